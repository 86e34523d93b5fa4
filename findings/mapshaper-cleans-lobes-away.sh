#!/usr/bin/env bash
# A good engineer would guess: -clean makes of an outline that crosses itself once the two parts that it encloses, as GEOS' make_valid()
# does, and what it leaves out it reports.
#
# mapshaper 0.7.70 keeps the larger part alone, without a word, and drops a feature whose two parts are of one size, of which it says no
# more than "Retained 1 of 2 features". A bow tie of 1.2 and 2.7 loses 1.2.
# Whoever cleans fields or masks with mapshaper: repair such outlines first (shapely.make_valid()), and compare areas afterwards.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts mapshaper@0.7.70
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check shapely==2.2.0 numpy==2.4.6
python3 - <<'EOF_PROBE'
import json

rings = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]], [[10, 0], [13, 3], [13, 0], [10, 2], [10, 0]]
features = [{"type": "Feature", "properties": {"n": n}, "geometry": {"type": "Polygon", "coordinates": [ring]}} for n, ring in enumerate(rings)]
with open("fields.json", "w") as file:
    json.dump({"type": "FeatureCollection", "features": features}, file)
EOF_PROBE
node_modules/.bin/mapshaper fields.json -clean -o cleaned.json > said.txt 2>&1
venv/bin/python - <<'EOF_PROBE'
import json
import shapely

with open("fields.json") as file:
    given = [shapely.make_valid(shapely.geometry.shape(feature["geometry"])) for feature in json.load(file)["features"]]
with open("cleaned.json") as file:
    cleaned = [(feature["properties"]["n"], shapely.geometry.shape(feature["geometry"])) for feature in json.load(file)["features"]]
with open("said.txt") as file:
    said = file.read()
print("mapshaper 0.7.70 made of two bow ties:", *cleaned, "and GEOS:", *given, "and mapshaper said:", said)
assert [[round(part.area, 3) for part in field.geoms] for field in given] == [[1, 1], [1.2, 2.7]]
assert [(n, field.geom_type, round(field.area, 3)) for n, field in cleaned] == [(1, "Polygon", 2.7)]
EOF_PROBE
