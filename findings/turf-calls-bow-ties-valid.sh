#!/usr/bin/env bash
# A good engineer would guess: booleanValid(), which asks whether a geometry is valid by OGC's Simple Features, says no to an outline that
# crosses itself and to a hole that lies outside, and yes to a MultiPolygon whose parts touch in one corner: as GEOS does.
#
# @turf/boolean-valid 7.4.0 says the contrary of each.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @turf/boolean-valid@7.4.0
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check shapely==2.2.0
cat > shapes.json <<'EOF'
{"crosses itself": {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]},
 "hole outside": {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]], [[5, 5], [5, 6], [6, 6], [6, 5], [5, 5]]]},
 "touch in a corner": {"type": "MultiPolygon", "coordinates": [[[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]], [[[2, 2], [3, 2], [3, 3], [2, 3], [2, 2]]]]}}
EOF
cat > probe.mjs <<'EOF'
import fs from 'node:fs';
import { booleanValid } from '@turf/boolean-valid';

const shapes = JSON.parse(fs.readFileSync('shapes.json', 'utf8'));
fs.writeFileSync('turf.json', JSON.stringify(Object.values(shapes).map((shape) => booleanValid(shape))));
EOF
node probe.mjs
venv/bin/python - <<'EOF'
import json
from shapely.geometry import shape

shapes, turf = json.load(open("shapes.json")), json.load(open("turf.json"))
seen = {name: (valid, shape(geometry).is_valid) for (name, geometry), valid in zip(shapes.items(), turf)}
print("valid to turf 7.4.0 and to shapely 2.2.0:", seen)
assert seen == {"crosses itself": (True, False), "hole outside": (True, False), "touch in a corner": (False, True)}
EOF
