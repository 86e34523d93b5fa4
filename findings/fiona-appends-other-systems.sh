#!/usr/bin/env bash
# A good engineer would guess: points in UTM that are appended to a layer in degrees are transformed, or refused: both sides say
# which system they are in.
#
# fiona 1.10.1 and geopandas 1.2.0 (pyogrio 0.13.0) append the numbers as they are, without an error or a warning: a field lies
# 500,000 degrees to the east.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check fiona==1.10.1 geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0 pyproj==3.7.2
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import fiona
import geopandas
from shapely.geometry import Point

schema = {"geometry": "Point", "properties": {"n": "int"}}
places = [("w", 4326, (9.0, 47.0)), ("a", 32632, (500000.0, 5205000.0))]
for mode, epsg, place in places:
    with fiona.open("fiona.gpkg", mode, driver="GPKG", schema=schema, crs=f"EPSG:{epsg}") as layer:
        layer.write({"type": "Feature", "geometry": {"type": "Point", "coordinates": place}, "properties": {"n": 1}})
    geopandas.GeoDataFrame({"n": [1]}, geometry=[Point(place)], crs=epsg).to_file("geopandas.gpkg", mode=mode)
seen = {}
for name in ("fiona", "geopandas"):
    layer = geopandas.read_file(f"{name}.gpkg")
    seen[name] = layer.crs.to_epsg(), [(point.x, point.y) for point in layer.geometry]
print("fiona 1.10.1, geopandas 1.2.0, system and points after appending:", seen)
assert all(read == (4326, [place for _, _, place in places]) for read in seen.values())
EOF
