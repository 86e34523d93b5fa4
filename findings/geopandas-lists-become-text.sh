#!/usr/bin/env bash
# A good engineer would guess: a GeoJSON property that is a list is still that list, or at least JSON, after geopandas has read the file
# and written it again as GeoJSON.
#
# geopandas 1.2.0 with pyogrio 0.13.0 reads lists as numpy arrays and writes an array as the text that numpy prints it as:
# ["wheat", "rye"] comes out as the text "['wheat' 'rye']", [1, 2] as "[1 2]", which no JSON parser reads; the middle of long ones
# is replaced by "...". A column of Python lists it writes rightly.
# Whoever edits GeoJSON with lists (classes, scores, prompts of a mask) in geopandas: df["classes"].map(lambda found: found.tolist())
# before to_file().
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check \
  geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0 pandas==3.1.1 numpy==2.4.6
cd "$work"
venv/bin/python -W error - <<'EOF_PROBE'
import json
import geopandas

properties = {"crops": ["wheat", "rye"], "rows": [1, 2], "many": list(range(2000))}
given = {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [9, 47]}}
with open("in.geojson", "w") as file:
    json.dump({"type": "FeatureCollection", "features": [given]}, file)


def written(frame):
    frame.to_file("out.geojson")
    with open("out.geojson") as file:
        return json.load(file)["features"][0]["properties"]


frame = geopandas.read_file("in.geojson")
seen = written(frame)
print("geopandas 1.2.0 read", str(given["properties"])[:60], "... and wrote", seen)
assert (seen["crops"], seen["rows"]) == ("['wheat' 'rye']", "[1 2]")
assert "..." in seen["many"] and len(seen["many"]) < 100
for name in properties:
    frame[name] = frame[name].map(lambda found: found.tolist())
assert written(frame) == properties
EOF_PROBE
