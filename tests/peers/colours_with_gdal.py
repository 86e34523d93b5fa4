"""The colours of a raster at positions of its CRS, which GDAL finds: for web/tests/grids.test.mjs.

    echo '[[x, y], ...]' | python colours_with_gdal.py raster.tif

Needs rasterio.
"""

import json
import sys

import rasterio

with rasterio.open(sys.argv[1]) as raster:
    pixels = raster.read()
    places = [raster.index(x, y) for x, y in json.load(sys.stdin)]
print(json.dumps([[int(band) for band in pixels[:, row, column]] for row, column in places]))
