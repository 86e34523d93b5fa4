#!/usr/bin/env bash
# A good engineer would guess: a property that is true or false, and null or missing in one feature, comes out of read_file() and
# to_file() or to_json() as true, false and null. Whole numbers beside a null become 1.0 in pandas, but a boolean is none.
#
# geopandas 1.2.0 (pyogrio 0.13.0) makes 1.0 and 0.0 of true and false, in GeoJSON that is written again too. Without the null they stay as
# they are.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geopandas==1.2.0 shapely==2.2.0 pyproj==3.7.2 pyogrio==0.13.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import geopandas

def again(values):
    point = {"type": "Point", "coordinates": [9, 47]}
    features = [{"type": "Feature", "properties": properties, "geometry": point} for properties in values]
    with open("in.geojson", "w") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file)
    frame = geopandas.read_file("in.geojson")
    frame.to_file("out.geojson")
    with open("out.geojson") as file:
        written = [feature["properties"]["checked"] for feature in json.load(file)["features"]]
    return repr(written), repr([feature["properties"]["checked"] for feature in json.loads(frame.to_json())["features"]])

both = [{"checked": True}, {"checked": False}]
seen = {"both": again(both), "null": again(both + [{"checked": None}]), "missing": again(both + [{}])}
print("geopandas 1.2.0, by to_file() and to_json():", seen)
numbers = "[1.0, 0.0, None]", "[1.0, 0.0, None]"
assert seen == {"both": ("[True, False]", "[True, False]"), "null": numbers, "missing": numbers}
EOF
