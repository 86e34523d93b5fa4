#!/usr/bin/env bash
# A good engineer would guess: of a raster of 10 m a pixel, every second pixel (or the mean of two by two) is one of 20 m a pixel, and
# rio.transform() says so, as its coordinates and to_raster() do.
#
# rioxarray 0.19.0 goes on with 10 m, in transform(), resolution() and bounds(): outlines of a mask that is drawn from the thinned raster
# are half as large, and the further from its corner the further off. transform(recalc=True) is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check rioxarray==0.19.0 xarray==2026.9.0 rasterio==1.4.4 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import rasterio
import rioxarray
from rasterio.features import bounds, shapes

pixels = numpy.zeros((80, 80), "uint8")
pixels[40:60, 40:60] = 1
with rasterio.open("mask.tif", "w", driver="GTiff", width=80, height=80, count=1, dtype="uint8", crs="EPSG:32632",
                   transform=rasterio.Affine(10, 0, 500000, 0, -10, 5200000)) as file:
    file.write(pixels, 1)
full = rioxarray.open_rasterio("mask.tif")[0]

def seen(raster, **how):
    transform = raster.rio.transform(**how)
    box = next(bounds(shape) for shape, value in shapes(raster.values.astype("uint8"), transform=transform) if value == 1)
    return transform.a, box

thin, mean = full[::2, ::2], full.coarsen(x=2, y=2).mean()
thin.rio.to_raster("thin.tif")
print("rioxarray 0.19.0, pixel size and box of the object, full:", seen(full), "thin:", seen(thin), "mean:", seen(mean))
print("by recalc:", seen(thin, recalc=True), seen(mean, recalc=True), "in the file:", rasterio.open("thin.tif").transform.a)
assert seen(full) == (10, (500400, 5199400, 500600, 5199600))
assert seen(thin) == (10, (500200, 5199700, 500300, 5199800)) and seen(mean)[0] == 10
assert seen(mean, recalc=True) == (20, (500400, 5199400, 500600, 5199600))
assert seen(thin, recalc=True)[0] == rasterio.open("thin.tif").transform.a == 20
EOF
