#!/usr/bin/env bash
# A good engineer would guess: unkinkPolygon(), which takes polygons apart where they cross themselves, gives back one that does not
# cross itself, hole and all.
#
# @turf/unkink-polygon 7.4.0 makes two polygons of it: the outline without its hole, and the hole filled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @turf/unkink-polygon@7.4.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { unkinkPolygon } from '@turf/unkink-polygon';

const outline = [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]];
const hole = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]];
const sound = { type: 'Feature', properties: {}, geometry: { type: 'Polygon', coordinates: [outline, hole] } };
const parts = unkinkPolygon(sound).features.map((part) => part.geometry.coordinates);
console.log('turf 7.4.0, parts of a sound polygon with a hole:', JSON.stringify(parts));
assert.deepEqual(parts, [[outline], [hole]]);
EOF
node probe.mjs
