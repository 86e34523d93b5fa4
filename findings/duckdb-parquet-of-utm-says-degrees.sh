#!/usr/bin/env bash
# A good engineer would guess: what ST_Transform(place, 'EPSG:4326', 'EPSG:32632', always_xy := true) gives, written to GeoParquet, says
# that it is in EPSG:32632, or that its system is not known (crs: null).
#
# duckdb 1.5.5 with spatial 1.5.5 leaves out "crs", which GeoParquet defines as longitude and latitude (OGC:CRS84): readers find the field
# 500,000 degrees to the east. The form with one system, ST_Transform(place, 'EPSG:32632') of a column that has its own, writes it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-spatial==1.5.5 pyarrow==26.0.1
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import duckdb
import pyarrow.parquet
from duckdb_extensions import import_extension

feature = {"type": "Feature", "properties": {"n": 1}, "geometry": {"type": "Point", "coordinates": [9, 47]}}
with open("one.geojson", "w") as file:
    json.dump({"type": "FeatureCollection", "features": [feature]}, file)
base = duckdb.connect()
import_extension("spatial", con=base)
base.execute("LOAD spatial")

def column(arguments):
    base.execute(f"COPY (SELECT ST_Transform(geom, {arguments}, always_xy := true) AS place FROM ST_Read('one.geojson')) TO 'a.parquet'")
    return json.loads(pyarrow.parquet.read_metadata("a.parquet").metadata[b"geo"])["columns"]["place"]

two, one = column("'EPSG:4326', 'EPSG:32632'"), column("'EPSG:32632'")
named = one.get("crs", {}).get("id")
print("duckdb 1.5.5, from one system to another:", sorted(two), [round(n) for n in two["bbox"]], "to one:", sorted(one), named)
assert "crs" not in two and round(two["bbox"][0]) == 500000 and named == {"authority": "EPSG", "code": 32632}
EOF
