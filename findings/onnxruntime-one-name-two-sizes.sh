#!/usr/bin/env bash
# A good engineer would guess: a model whose inputs are points [N, 2] and labels [N] is refused by the runtime when it is given three
# points and one label: the two dimensions have one name, and so one size.
#
# ONNX Runtime 1.32.0 does not compare them: the one label is spread over all points, without an error or a warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import onnxruntime
from onnx import TensorProto, helper

points = helper.make_tensor_value_info("points", TensorProto.FLOAT, ["N", 2])
labels = helper.make_tensor_value_info("labels", TensorProto.FLOAT, ["N"])
weighted = helper.make_tensor_value_info("weighted", TensorProto.FLOAT, ["N", 2])
nodes = [helper.make_node("Unsqueeze", ["labels", "last"], ["column"]), helper.make_node("Mul", ["points", "column"], ["weighted"])]
graph = helper.make_graph(nodes, "weigh", [points, labels], [weighted], [helper.make_tensor("last", TensorProto.INT64, [1], [1])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString())
given = {"points": numpy.ones((3, 2), "float32"), "labels": numpy.array([5], "float32")}
told = session.run(None, given)[0]
print("ONNX Runtime 1.32.0, points [N, 2] of 3 with labels [N] of 1:", told.tolist())
assert told.tolist() == [[5, 5]] * 3
EOF
