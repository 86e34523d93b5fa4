#!/usr/bin/env bash
# A good engineer would guess: Sigmoid of float32 is right to a few of its last digits, grows with its argument, and is above zero down
# to some -87, where float32 itself ends.
#
# ONNX Runtime 1.32.0 (CPU) is right to 1e-7 in absolute terms alone: from -18 down all are the same (0 where this was tried, of which
# the logarithm is minus infinity), and at -16 it is half of what it should be.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import math
import numpy
import onnxruntime
from onnx import TensorProto, helper

at = [-10, -16, -17, -18, -20, -50]
given, told = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(at)]) for name in ("x", "y"))
graph = helper.make_graph([helper.make_node("Sigmoid", ["x"], ["y"])], "sigmoid", [given], [told])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
values = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": numpy.array(at, "float32")})[0].tolist()
right = [1 / (1 + math.exp(-x)) for x in at]
print("ONNX Runtime 1.32.0, Sigmoid:", ", ".join(f"{x}: {value:.3g} ({truth:.3g})" for x, value, truth in zip(at, values, right)))
assert values[3] == values[4] == values[5] and abs(values[4] / right[4] - 1) > 0.5
EOF
