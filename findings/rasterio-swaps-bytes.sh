#!/usr/bin/env bash
# A good engineer would guess: shapes(), rasterize() and reproject() take the values of an array, in whatever order numpy keeps their bytes:
# heights of SRTM's .hgt tiles, which numpy reads as ">i2", are the same heights as in "<i2". Writing them to a file is right.
#
# rasterio 1.4.4 takes the bytes as they lie: the labels 1 and 2 are shapes with the values 256 and 512, and a 7 that is burnt into such an
# array is 1792, without an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import rasterio
from rasterio.features import rasterize, shapes
from rasterio.warp import reproject

place = rasterio.Affine(1, 0, 0, 0, -1, 2)

def seen(kind):
    labels = numpy.array([[1, 1], [2, 2]], kind)
    with rasterio.open("labels.tif", "w", driver="GTiff", width=2, height=2, count=1, dtype="int16", transform=place) as file:
        file.write(labels, 1)
    warped, burnt = numpy.zeros((2, 2), "=i2"), numpy.zeros((1, 1), kind)
    reproject(labels, warped, src_transform=place, src_crs=32632, dst_transform=place, dst_crs=32632)
    rasterize([({"type": "Point", "coordinates": [0.5, 0.5]}, 7)], out=burnt)
    written = rasterio.open("labels.tif").read(1)
    return {"written": written.tolist(), "shapes": [value for _, value in shapes(labels)], "warped": warped.tolist(), "burnt": burnt.item()}

little, big = seen("<i2"), seen(">i2")
print("rasterio 1.4.4, of the labels 1 and 2 and a 7 in <i2:", little, "in >i2:", big)
assert little == {"written": [[1, 1], [2, 2]], "shapes": [1, 2], "warped": [[1, 1], [2, 2]], "burnt": 7}
assert big == {"written": [[1, 1], [2, 2]], "shapes": [256, 512], "warped": [[256, 256], [512, 512]], "burnt": 1792}
EOF
