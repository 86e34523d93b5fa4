#!/usr/bin/env bash
# A good engineer would guess: hae="9999999" of a CoT point, which says that the height is not known (as 9999999 in ce and le says of the
# errors), is left out of GeoJSON.
#
# @tak-ps/node-cot 12.23.0 makes a point 9,999,999 metres up of it, further than satellites fly, in geometry and in center.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @tak-ps/node-cot@12.23.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import CoT from '@tak-ps/node-cot';

const times = 'time="2026-11-29T12:00:00Z" start="2026-11-29T12:00:00Z" stale="2026-11-29T12:30:00Z"';
const point = '<point lat="47.1" lon="9.1" hae="9999999" ce="9999999" le="9999999"/>';
const event = `<event version="2.0" uid="a" type="a-f-G" how="m-g" ${times}>${point}<detail><contact callsign="board"/></detail></event>`;
const feature = await new CoT(event).to_geojson();
console.log('node-cot 12.23.0:', JSON.stringify(feature.geometry), JSON.stringify(feature.properties.center));
assert.deepEqual(feature.geometry, { type: 'Point', coordinates: [9.1, 47.1, 9999999] });
assert.deepEqual(feature.properties.center, [9.1, 47.1, 9999999]);
EOF
node probe.mjs
