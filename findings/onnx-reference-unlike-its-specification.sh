#!/usr/bin/env bash
# A good engineer would guess: ONNX's own reference evaluator computes what the operators' specification says, so that a runtime is held
# against it.
#
# onnx 1.23.2: Resize with pytorch_half_pixel to a single element takes position 0 by the specification ("length_resized > 1 ? ... : 0"),
# and ONNX Runtime 1.32.0 does. The reference takes 5 x 0.3 = 1.5 for the length, before it is rounded down, and so another position.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 5])
told = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])
node = helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
graph = helper.make_graph([node], "resize", [given], [told], [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 1, 0.3])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
values = {"x": numpy.array([[[[10, 11, 12, 13, 14]]]], "float32")}
by_reference = ReferenceEvaluator(model).run(None, values)[0].item()
by_runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, values)[0].item()
print(f"10 11 12 13 14 scaled by 0.3: onnx 1.23.2 {by_reference}, ONNX Runtime 1.32.0 {by_runtime}")
assert by_runtime == 10 and abs(by_reference - 11.1667) < 1e-3
EOF
