#!/usr/bin/env bash
# A good engineer would guess: a GeoJSON Feature with a property that is called "geometry" (a word, say) is read with its geometry
# and with that property: they stand in different members.
#
# OpenLayers 10.11.0 keeps both under one name: the word takes the geometry's place, and the map fails later on it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund ol@10.11.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import GeoJSON from 'ol/format/GeoJSON.js';

const point = (properties) => ({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [9, 47] } });
const read = (properties) => new GeoJSON().readFeature(point(properties)).getGeometry();
const [plain, named] = [read({ shape: 'round' }), read({ geometry: 'round' })];
console.log('OpenLayers 10.11.0, geometry of a point, and of a point with the property "geometry":', plain.getCoordinates(), named);
assert.deepEqual([plain.getType(), named], ['Point', 'round']);
EOF
node probe.mjs
