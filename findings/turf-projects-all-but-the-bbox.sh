#!/usr/bin/env bash
# A good engineer would guess: bbox() of a feature that toMercator() projected is in metres, whether or not the feature had a bbox
# member in degrees (which RFC 7946 allows): projecting replaces it or drops it.
#
# @turf/projection 7.4.0 keeps the old bbox member and @turf/bbox 7.4.0 takes it for granted: metres inside, degrees outside.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @turf/projection@7.4.0 @turf/bbox@7.4.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import { bbox } from '@turf/bbox';
import { toMercator } from '@turf/projection';

const feature = { type: 'Feature', properties: {}, geometry: { type: 'LineString', coordinates: [[9, 47], [10, 48]] } };
const box = (given) => bbox(toMercator(given)).map(Math.round);
const seen = { without: box(feature), with: box({ ...feature, bbox: [9, 47, 10, 48] }) };
console.log('turf 7.4.0, bbox of a projected feature without and with a bbox member:', seen);
assert.deepEqual(seen, { without: [1001875, 5942074, 1113195, 6106855], with: [9, 47, 10, 48] });
EOF
node probe.mjs
