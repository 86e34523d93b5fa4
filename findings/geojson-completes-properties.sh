#!/usr/bin/env bash
# A good engineer would guess: properties of a Feature are anybody's: a member "type" in them, "Point" of a survey or "Feature" of a map
# key, is a text like others.
#
# geojson 3.3.0 (Python) takes such properties for GeoJSON and completes them: "Point" gets a member "coordinates", "Feature" gets
# "geometry" and "properties". With any other text nothing is added.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geojson==3.3.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import geojson

def read(kind):
    properties = {"type": kind, "name": "well"}
    text = json.dumps({"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [9, 47]}})
    return dict(geojson.loads(text)["properties"])

seen = {kind: read(kind) for kind in ("Point", "Feature", "field")}
print("geojson 3.3.0, properties by their type:", seen)
assert seen["Point"] == {"type": "Point", "name": "well", "coordinates": []}
assert seen["Feature"] == {"type": "Feature", "name": "well", "geometry": None, "properties": {}}
assert seen["field"] == {"type": "field", "name": "well"}
EOF
