#!/usr/bin/env bash
# A good engineer would guess: loads() and dumps() of a GeoJSON library give back the coordinates that were in the text.
#
# geojson 3.3.0 (Python) rounds coordinates to six decimals as it reads them, up to 5 cm away, and leaves the bbox beside them as it was:
# the point of this feature lies outside of its own box.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check geojson==3.3.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import geojson

place = [9.17211953, 47.65281238]
text = json.dumps({"type": "Feature", "properties": {}, "bbox": place + place, "geometry": {"type": "Point", "coordinates": place}})
read = geojson.loads(text)
print("geojson 3.3.0, of", place, "reads", read["geometry"]["coordinates"], "in", read["bbox"])
assert read["geometry"]["coordinates"] == [9.17212, 47.652812] and read["bbox"] == place + place
EOF
