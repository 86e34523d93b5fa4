#!/usr/bin/env bash
# A good engineer would guess: quantization, which rounds coordinates to a grid, makes a file coarser, and what has a height keeps it.
#
# topojson-server 3.0.1 keeps heights without quantization. With it (topology(objects, 1e6)) they are gone, of points and of polygons.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund topojson-server@3.0.1 topojson-client@3.1.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { feature } from 'topojson-client';
import { topology } from 'topojson-server';

const points = { type: 'MultiPoint', coordinates: [[9, 47, 400], [10, 48, 500]] };
const ring = { type: 'Polygon', coordinates: [[[9, 47, 400], [10, 47, 400], [10, 48, 500], [9, 47, 400]]] };
const heights = (quantization) => [points, ring].map((geometry) => {
    const made = topology({ shape: geometry }, quantization);
    return feature(made, made.objects.shape).geometry.coordinates.flat(geometry === ring ? 1 : 0).map((place) => place[2]);
});
const seen = { without: heights(), with: heights(1e6) };
console.log('topojson-server 3.0.1, heights without and with quantization:', JSON.stringify(seen));
assert.deepEqual(seen.without, [[400, 500], [400, 400, 500, 400]]);
assert.deepEqual(seen.with.flat(), Array(6).fill(undefined));
EOF
node probe.mjs
