#!/usr/bin/env bash
# A good engineer would guess: rewind(), which its README says returns a version with other winding, leaves what it was given as it
# was.
#
# @mapbox/geojson-rewind 0.5.2 reverses the rings in place and returns the very object: whoever else holds it, a map or a cache, has
# other rings.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @mapbox/geojson-rewind@0.5.2
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import rewind from '@mapbox/geojson-rewind';

const given = { type: 'Polygon', coordinates: [[[0, 0], [0, 1], [1, 1], [0, 0]]] };
const before = JSON.stringify(given.coordinates);
const returned = rewind(given);
console.log('geojson-rewind 0.5.2, the rings given before and after:', before, JSON.stringify(given.coordinates));
assert(returned === given && JSON.stringify(given.coordinates) === '[[[0,0],[1,1],[0,1],[0,0]]]');
EOF
node probe.mjs
