#!/usr/bin/env bash
# A good engineer would guess: ReduceMax over values of which one is NaN is NaN, as with Max of the same runtime and numpy, or leaves NaN
# out; so it can, or cannot, serve to find NaN.
#
# ONNX Runtime 1.32.0 (CPU): NaN when the NaN comes first, and else the largest of the others. Order decides.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import onnxruntime
from onnx import TensorProto, helper

def reduce_max(values):
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [len(values)])
    told = helper.make_tensor_value_info("y", TensorProto.FLOAT, [])
    graph = helper.make_graph([helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)], "largest", [given], [told])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return float(onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": numpy.array(values, "float32")})[0])

nan = float("nan")
first, middle = reduce_max([nan, 1, 2]), reduce_max([1, nan, 2])
print("ONNX Runtime 1.32.0, ReduceMax of nan 1 2:", first, "and of 1 nan 2:", middle)
assert numpy.isnan(first) and middle == 2
EOF
