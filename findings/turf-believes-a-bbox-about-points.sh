#!/usr/bin/env bash
# A good engineer would guess: whether a point is inside a polygon depends on its coordinates. A bbox member that RFC 7946 allows, with west
# greater than east across 180 degrees or with six numbers for heights, changes nothing.
#
# @turf/boolean-point-in-polygon 7.4.0 reads it as four numbers from west to east before it looks at the coordinates: with either of those no
# point is inside.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @turf/boolean-point-in-polygon@7.4.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { booleanPointInPolygon } from '@turf/boolean-point-in-polygon';

const rectangle = (west, east) => [[[west, 47], [east, 47], [east, 48], [west, 48], [west, 47]]];
const feature = (type, coordinates) => ({ type: 'Feature', properties: {}, geometry: { type, coordinates } });
const inside = (point, given, bbox) => [booleanPointInPolygon(point, given), booleanPointInPolygon(point, { ...given, bbox })];
const here = feature('Polygon', rectangle(9, 10));
const across = feature('MultiPolygon', [rectangle(179, 180), rectangle(-180, -179)]);
const seen = {
  'four numbers': inside([9.5, 47.5], here, [9, 47, 10, 48]),
  'six numbers': inside([9.5, 47.5], here, [9, 47, 400, 10, 48, 500]),
  'across 180': inside([179.5, 47.5], across, [179, 47, -179, 48]),
};
console.log('turf 7.4.0, whether a point is inside, without and with a bbox:', seen);
assert.deepEqual(seen, { 'four numbers': [true, true], 'six numbers': [true, false], 'across 180': [true, false] });
EOF
node probe.mjs
