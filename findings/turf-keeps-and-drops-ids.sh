#!/usr/bin/env bash
# A good engineer would guess: functions that take a Feature and return it in another shape treat its id alike: bboxClip() and buffer()
# keep it, as simplify() does, for they keep the properties.
#
# turf 7.4.0: simplify() keeps id and properties; buffer() and bboxClip() keep the properties and drop the id.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @turf/bbox-clip@7.4.0 @turf/buffer@7.4.0 @turf/simplify@7.4.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import { bboxClip } from '@turf/bbox-clip';
import { buffer } from '@turf/buffer';
import { simplify } from '@turf/simplify';

const ring = [[9, 47], [9.1, 47], [9.1, 47.1], [9, 47.1], [9, 47]];
const field = { type: 'Feature', id: 'field-7', properties: { crop: 'rye' }, geometry: { type: 'Polygon', coordinates: [ring] } };
const results = { simplify: simplify(field, { tolerance: 0.001 }), buffer: buffer(field, 1), bboxClip: bboxClip(field, [9, 47, 9.05, 47.05]) };
const seen = Object.fromEntries(Object.entries(results).map(([name, { id, properties }]) => [name, [id, properties.crop]]));
console.log('turf 7.4.0, id and property of what is returned:', seen);
assert.deepEqual(seen, { simplify: ['field-7', 'rye'], buffer: [undefined, 'rye'], bboxClip: [undefined, 'rye'] });
EOF
node probe.mjs
