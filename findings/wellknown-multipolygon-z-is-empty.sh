#!/usr/bin/env bash
# A good engineer would guess: a reader of WKT that reads "POLYGON Z" with its heights reads "MULTIPOLYGON Z" too, which is how PostGIS,
# shapely and ISO write it, or says that it can not.
#
# wellknown 0.5.0 gives a MultiPolygon without coordinates, and so does @loaders.gl/wkt 4.5.2; so does wellknown for "POLYGONZ". Without
# the letter the same text is read with its heights.
# Whoever shows masks from WKT in a web map: check that something was read, or write WKT without heights, or WKB; wkx 0.5.0 reads it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund wellknown@0.5.0 wkx@0.5.0 @loaders.gl/core@4.5.4 @loaders.gl/wkt@4.5.2
cat > probe.mjs <<'EOF_PROBE'
import assert from 'node:assert';
import wellknown from 'wellknown';
import wkx from 'wkx';
import { WKTLoader } from '@loaders.gl/wkt';

const ring = [[9, 47, 300], [9.1, 47, 300], [9.1, 47.1, 300], [9, 47, 300]];
const text = `((${ring.map((position) => position.join(' ')).join(', ')}))`;
const many = `MULTIPOLYGON Z (${text})`;
const readers = [wellknown.parse, WKTLoader.parseTextSync];
const seen = readers.map((parse) => parse(many));
console.log('wellknown 0.5.0 and @loaders.gl/wkt 4.5.2 read', many, 'as', seen);
for (const parse of readers) {
  assert.deepEqual(parse(many), { type: 'MultiPolygon', coordinates: [] });
  assert.deepEqual(parse(many.replace('Z ', '')).coordinates, [[ring]]);
  assert.deepEqual(parse(`POLYGON Z ${text}`).coordinates, [ring]);
}
assert.deepEqual(wellknown.parse(`POLYGONZ ${text}`).coordinates, []);
assert.deepEqual(wkx.Geometry.parse(many).toGeoJSON().coordinates, [[ring]]);
EOF_PROBE
node probe.mjs
