#!/usr/bin/env bash
# A good engineer would guess: a FeatureCollection in which one feature has no place yet ("geometry": null, as RFC 7946 has it for
# unlocated features) is read: with an empty geometry for it, or without it.
#
# shapely 2.2.0 (GEOS) raises an error about JSON types for the whole collection.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check shapely==2.2.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import shapely

here = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [9, 47]}}
nowhere = {"type": "Feature", "properties": {}, "geometry": None}
collection = lambda *features: json.dumps({"type": "FeatureCollection", "features": features})
located = shapely.from_geojson(collection(here)).wkt
try:
    unlocated = shapely.from_geojson(collection(here, nowhere)).wkt
except shapely.errors.GEOSException as error:
    unlocated = str(error)
print(f"shapely 2.2.0 (GEOS {shapely.geos_version_string}), without an unlocated feature: {located}, with one: {unlocated}")
assert located == "GEOMETRYCOLLECTION (POINT (9 47))" and "null" in unlocated
EOF
