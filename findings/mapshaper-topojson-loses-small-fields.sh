#!/usr/bin/env bash
# A good engineer would guess: mapshaper without a command that simplifies writes the same shapes in TopoJSON as in GeoJSON, to some
# decimals that suit the smallest of them.
#
# mapshaper 0.7.70 chooses the grid by the average: a field of 110 m beside a square of two degrees comes back without a geometry (the
# TopoJSON has all its corners in one place). `no-quantization` keeps it.
# Needs: Node.js 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --ignore-scripts mapshaper@0.7.70
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import mapshaper from 'mapshaper';

const square = (x, y, side) => [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]];
const field = (n, ring) => ({ type: 'Feature', properties: { n }, geometry: { type: 'Polygon', coordinates: [ring] } });
const fields = { type: 'FeatureCollection', features: [field('small', square(9.17, 47.17, 0.001)), field('large', square(8, 46, 2))] };
const through = async (...options) => {
    const made = await mapshaper.applyCommands(`-i fields.json -o made.json format=topojson ${options.join(' ')}`, { 'fields.json': fields });
    const read = await mapshaper.applyCommands('-i made.json -o back.json format=geojson', made);
    return JSON.parse(read['back.json']).features.map((feature) => feature.geometry && feature.geometry.coordinates[0].length);
};
const seen = { default: await through(), exact: await through('no-quantization') };
console.log('mapshaper 0.7.70, vertices of the small and the large field by way of TopoJSON:', JSON.stringify(seen));
assert.deepEqual(seen, { default: [null, 5], exact: [5, 5] });
EOF
node probe.mjs 2>/dev/null
