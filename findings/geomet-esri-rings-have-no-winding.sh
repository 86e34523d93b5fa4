#!/usr/bin/env bash
# A good engineer would guess: between GeoJSON and Esri's JSON, where the way that a ring runs says whether it is a hole (clockwise: none), holes stay holes.
#
# geomet 1.1.0: each ring of Esri's JSON becomes a polygon of its own, holes too; and GeoJSON's rings are written the way they run, so that exteriors
# by RFC 7946 are what Esri's readers take for holes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geomet==1.1.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
from geomet import esri

clockwise = [[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]]
hole = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
read = esri.loads(json.dumps({"rings": [clockwise, hole], "spatialReference": {"wkid": 4326}}))
parts = [len(part) for part in read["coordinates"]]
print("geomet 1.1.0: Esri's polygon with one hole is read as", read["type"], "with so many rings each:", parts)
written = esri.dumps({"type": "Polygon", "coordinates": [clockwise[::-1], hole[::-1]]})
print("and a GeoJSON polygon, counter-clockwise, is written as", written["rings"])
assert read["type"] == "MultiPolygon" and parts == [1, 1]
assert written["rings"] == [clockwise[::-1], hole[::-1]]
EOF
