#!/usr/bin/env bash
# A good engineer would guess: an embedding of shape (channels, height, width) that came out of a transpose is saved as what it is, or
# refused because its memory is not contiguous, as safetensors.torch refuses such tensors.
#
# safetensors.numpy 0.8.0 writes the transposed shape and the values in the order of the array before the transpose: without an error,
# the file has other values in every place. numpy.ascontiguousarray() before saving helps.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
from safetensors.numpy import load, save

array = numpy.arange(6, dtype="float32").reshape(2, 3)
wanted = array.T
got = load(save({"a": wanted}))["a"]
print("safetensors 0.8.0, saved:", wanted.tolist(), "loaded:", got.tolist())
assert wanted.tolist() == [[0, 3], [1, 4], [2, 5]] and got.tolist() == [[0, 1], [2, 3], [4, 5]]
assert load(save({"a": numpy.ascontiguousarray(wanted)}))["a"].tolist() == wanted.tolist()
EOF
