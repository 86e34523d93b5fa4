#!/usr/bin/env bash
# A good engineer would guess: objects that duckdb's spatial extension reads from GeoJSON and writes as KML lie where they lay, as
# they do when it writes GeoJSON.
#
# duckdb 1.5.5 with spatial 1.5.5 writes latitude first into <coordinates>, whose order is longitude, latitude: 9 east 47 north becomes
# 47 east 9 north, off Somalia. With `srs 'OGC:CRS84'` it is right; without an srs, which comes with the column, and with EPSG:4326 it
# is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-spatial==1.5.5
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json, re
import duckdb
from duckdb_extensions import import_extension

feature = {"type": "Feature", "properties": {"n": 1}, "geometry": {"type": "Point", "coordinates": [9, 47]}}
with open("one.geojson", "w") as file:
    json.dump({"type": "FeatureCollection", "features": [feature]}, file)
base = duckdb.connect()
import_extension("spatial", con=base)
base.execute("LOAD spatial")

def written(name, driver, extra=""):
    base.execute(f"COPY (SELECT * FROM ST_Read('one.geojson')) TO '{name}' WITH (FORMAT gdal, DRIVER '{driver}'{extra})")
    return re.search(r'coordinates"?>?:? ?\[? ?([\d., ]+)', open(name).read())[1].replace(" ", "")

geojson, kml = written("a.geojson", "GeoJSON"), written("a.kml", "KML")
ordered = written("b.kml", "KML", ", SRS 'OGC:CRS84'")
print("duckdb 1.5.5, GeoJSON:", geojson, "KML:", kml, "KML with OGC:CRS84:", ordered)
assert [float(n) for n in geojson.split(",")] == [9, 47] and kml == "47,9" and ordered == "9,47"
EOF
