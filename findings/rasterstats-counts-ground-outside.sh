#!/usr/bin/env bash
# A good engineer would guess: of a field that lies partly outside of a raster, rasterstats counts the pixels inside alone, as
# exactextract does, at the latest when it is told a nodata value.
#
# rasterstats 0.21.0 with rasterio 1.4.4 counts what lies outside as pixels of value 0 where the raster has no nodata value: a field with
# a quarter inside, of 100 everywhere, gets a count of 100 instead of 25 and a mean of 25; one wholly outside gets a count of 100 as well.
# nodata=255 changes nothing.
# Whoever takes means over masks at the edge of a picture: give the file itself a nodata value, clip the masks to the raster's bounds
# first, or use exactextract.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check \
  rasterstats==0.21.0 rasterio==1.4.4 exactextract==0.3.0 shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF_PROBE'
import exactextract
import numpy
import rasterio
import rasterio.transform
import rasterstats
import shapely

transform = rasterio.transform.from_origin(500000, 5205100, 10, 10)
form = {"driver": "GTiff", "width": 10, "height": 10, "count": 1, "dtype": "uint8", "crs": "EPSG:32632", "transform": transform}
for name, nodata in (("plain.tif", None), ("nodata.tif", 255)):
    with rasterio.open(name, "w", nodata=nodata, **form) as file:
        file.write(numpy.full((10, 10), 100, "uint8"), 1)
quarter, outside = shapely.box(500050, 5205050, 500150, 5205150), shapely.box(600000, 5205000, 600100, 5205100)


def seen(field, name="plain.tif", **options):
    found = rasterstats.zonal_stats([field], name, stats="count mean", **options)[0]
    return found["count"], found["mean"]


by_rasterstats = [seen(quarter), seen(quarter, nodata=255), seen(outside, nodata=255), seen(quarter, "nodata.tif")]
feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(quarter)}
other = exactextract.exact_extract("plain.tif", [feature], ["count", "mean"])[0]["properties"]
print("rasterstats 0.21.0, count and mean of a field with a quarter inside, the same with nodata=255, of one outside, and of the first")
print("with a raster that has a nodata value:", *by_rasterstats, "; exactextract 0.3.0, of the first:", other)
assert by_rasterstats == [(100, 25), (100, 25), (100, 0), (25, 100)]
assert (other["count"], other["mean"]) == (25, 100)
EOF_PROBE
