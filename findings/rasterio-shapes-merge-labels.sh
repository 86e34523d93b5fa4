#!/usr/bin/env bash
# A good engineer would guess: features.shapes() takes float64 rasters, so it tells values apart that float64 does.
#
# rasterio 1.4.4 (GDAL) compares them as float32: four neighbours with the labels 16777216 to 16777219 are one shape with the value
# 16777220, which no pixel has. int32 keeps them apart; int64, for which one turns to float64, is refused.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
from rasterio.features import shapes

labels = numpy.array([[16777216, 16777217], [16777218, 16777219]])

def values(kind):
    try:
        return sorted(int(value) for _, value in shapes(labels.astype(kind)))
    except ValueError:
        return "refused"

seen = {kind: values(kind) for kind in ("int32", "int64", "float64")}
print("rasterio 1.4.4, values of the shapes:", seen)
assert seen == {"int32": labels.ravel().tolist(), "int64": "refused", "float64": [16777220]}
EOF
