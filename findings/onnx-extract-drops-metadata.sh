#!/usr/bin/env bash
# A good engineer would guess: a part that onnx.utils.extract_model() cuts out of a model (a decoder without its encoder) keeps the
# model's metadata_props: means, classes, a licence.
#
# onnx 1.23.2 drops them, with model_version and doc_string, and calls itself the producer. The version converter of the same package
# keeps all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check onnx==1.23.2 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import onnx
from onnx import TensorProto, helper, utils, version_converter

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
nodes = [helper.make_node("Neg", ["a"], ["b"]), helper.make_node("Abs", ["b"], ["c"])]
model = helper.make_model(helper.make_graph(nodes, "whole", [value("a")], [value("c")], value_info=[value("b")]),
    opset_imports=[helper.make_opsetid("", 17)], producer_name="us", model_version=7)
helper.set_model_props(model, {"mean": "123.675"})
onnx.save(model, "whole.onnx")
utils.extract_model("whole.onnx", "part.onnx", ["b"], ["c"])
told = lambda model: ({entry.key: entry.value for entry in model.metadata_props}, model.producer_name, model.model_version)
part, converted = told(onnx.load("part.onnx")), told(version_converter.convert_version(model, 18))
print("onnx 1.23.2, metadata, producer and version of the whole, the part and a converted model:", told(model), part, converted)
assert converted == told(model) == ({"mean": "123.675"}, "us", 7) and part == ({}, "onnx.utils.extract_model", 0)
EOF
