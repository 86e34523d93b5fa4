#!/usr/bin/env bash
# A good engineer would guess: a GeoJSON position of more than three numbers (RFC 7946 tells parsers that they may ignore the rest; tracks
# have a measure or a time there) is read without the fourth.
#
# shapely 2.2.0 raises an error for the whole text, in from_geojson() (GEOS) as in shape(), though its geometries can have a measure and
# from_wkt() reads one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import shapely
from shapely.geometry import shape

line = {"type": "LineString", "coordinates": [[9, 47, 400, 1], [9.1, 47, 410, 2]]}
def told(read, value):
    try:
        return read(value).wkt
    except (shapely.errors.GEOSException, ValueError) as error:
        return f"refused: {error}"

seen = told(shapely.from_geojson, json.dumps(line)), told(shape, line), told(shapely.from_wkt, "LINESTRING ZM (9 47 400 1, 9.1 47 410 2)")
print("shapely 2.2.0, from_geojson(), shape() and from_wkt():", *seen, sep=" | ")
assert seen[0].startswith("refused") and seen[1].startswith("refused") and seen[2] == "LINESTRING ZM (9 47 400 1, 9.1 47 410 2)"
EOF
