#!/usr/bin/env bash
# A good engineer would guess: a Feature comes back as a Feature: with "properties", which RFC 7946 demands, if only as {} or null, and a
# geometry collection with "geometries".
#
# geobuf 4.0.0 leaves out both where they are empty: feature.properties.name, which reads a missing name elsewhere, is a TypeError.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund geobuf@4.0.0 pbf@5.1.2
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { decode, encode } from 'geobuf';
import * as pbf from 'pbf';

const read = (value) => decode(new pbf.PbfReader(encode(value, new pbf.PbfWriter())));
const feature = read({ type: 'Feature', properties: {}, geometry: { type: 'Point', coordinates: [9, 47] } });
const empty = read({ type: 'GeometryCollection', geometries: [] });
console.log('geobuf 4.0.0:', JSON.stringify(feature), JSON.stringify(empty));
assert.deepEqual(feature, { type: 'Feature', geometry: { type: 'Point', coordinates: [9, 47] } });
assert.deepEqual(empty, { type: 'GeometryCollection' });
EOF
node probe.mjs
