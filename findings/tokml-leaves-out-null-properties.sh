#!/usr/bin/env bash
# A good engineer would guess: a GeoJSON feature whose properties are null, which RFC 7946 allows, becomes a Placemark without a name.
#
# tokml 0.4.0 leaves such features out: of a file of shapes without attributes there remains an empty KML, without an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund tokml@0.4.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import tokml from 'tokml';

const placemarks = (properties) => tokml({ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [9, 47] } }).split('<Placemark>').length - 1;
const seen = { empty: placemarks({}), null: placemarks(null) };
console.log('tokml 0.4.0, Placemarks of a feature with empty and with null properties:', seen);
assert.deepEqual(seen, { empty: 1, null: 0 });
EOF
node probe.mjs
