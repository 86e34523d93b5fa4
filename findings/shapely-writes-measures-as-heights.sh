#!/usr/bin/env bash
# A good engineer would guess: of a point with a measure and without a height (POINT M), GeoJSON, which has no measures, gets two numbers.
#
# shapely 2.2.0: to_geojson() writes two. mapping(), which geopandas' to_json() and fiona use, writes the measure as third, where
# GeoJSON has the height: a point at metre 900 of a track lies 900 m up.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check shapely==2.2.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import json
import shapely
from shapely.geometry import mapping

point = shapely.from_wkt("POINT M (9 47 900)")
seen = json.loads(shapely.to_geojson(point))["coordinates"], list(mapping(point)["coordinates"])
print("shapely 2.2.0, of", point.wkt, "to_geojson() and mapping():", *seen)
assert seen == ([9, 47], [9, 47, 900]) and not point.has_z
EOF
