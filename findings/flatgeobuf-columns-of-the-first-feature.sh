#!/usr/bin/env bash
# A good engineer would guess: FlatGeobuf made of a FeatureCollection has a column for each property that any of its features has,
# or making it fails where features differ.
#
# flatgeobuf 4.5.0 (npm) takes names and types from the first feature alone, without a word: what only later features have is
# dropped, and a text in a column whose first value was a number becomes NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund flatgeobuf@4.5.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { geojson } from 'flatgeobuf';

const feature = (properties) => ({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [9, 47] } });
const features = [feature({ area: 5 }), feature({ area: 'unknown', crop: 'rye' })];
const seen = [];
for await (const read of geojson.deserialize(geojson.serialize({ type: 'FeatureCollection', features }))) seen.push(read.properties);
console.log('flatgeobuf 4.5.0, of', features.map((f) => f.properties), 'there remains', seen);
assert.deepEqual(seen, [{ area: 5 }, { area: NaN }]);
EOF
node probe.mjs
