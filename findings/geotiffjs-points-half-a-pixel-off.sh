#!/usr/bin/env bash
# A good engineer would guess: one raster has one bounding box, whether its GeoTIFF ties the corner of the first pixel (PixelIsArea)
# or its middle (PixelIsPoint): a reader that has pixelIsArea() takes half a pixel off in the second case, as GDAL does.
#
# geotiff.js 3.0.5: getBoundingBox() and getOrigin() of the second are half a pixel to the south-east.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund geotiff@3.0.5
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { fromArrayBuffer } from 'geotiff';

// Two by two pixels of ten metres, whose upper left corner is at 500000 5300000 (UTM 32).
const raster = (rasterType, x, y) => {
  const keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, rasterType, 3072, 0, 1, 32632];
  const doubles = [10, 10, 0, 0, 0, 0, x, y, 0];
  const [SHORT, LONG, DOUBLE] = [3, 4, 12];
  const at = { pixels: 8, doubles: 16, keys: 16 + 8 * doubles.length, tags: 16 + 8 * doubles.length + 2 * keys.length };
  const tags = [[256, SHORT, 1, 2], [257, SHORT, 1, 2], [258, SHORT, 1, 8], [259, SHORT, 1, 1], [262, SHORT, 1, 1], [273, LONG, 1, at.pixels],
    [277, SHORT, 1, 1], [278, SHORT, 1, 2], [279, LONG, 1, 4], [33550, DOUBLE, 3, at.doubles], [33922, DOUBLE, 6, at.doubles + 24],
    [34735, SHORT, keys.length, at.keys]];
  const view = new DataView(new ArrayBuffer(at.tags + 2 + 12 * tags.length + 4));
  [0x49, 0x49, 42, 0].forEach((byte, n) => view.setUint8(n, byte));
  view.setUint32(4, at.tags, true);
  doubles.forEach((value, n) => view.setFloat64(at.doubles + 8 * n, value, true));
  keys.forEach((value, n) => view.setUint16(at.keys + 2 * n, value, true));
  view.setUint16(at.tags, tags.length, true);
  tags.forEach(([tag, type, count, value], n) => {
    const entry = at.tags + 2 + 12 * n;
    view.setUint16(entry, tag, true);
    view.setUint16(entry + 2, type, true);
    view.setUint32(entry + 4, count, true);
    view.setUint32(entry + 8, value, true);
  });
  return view.buffer;
};
const read = async (buffer) => {
  const image = await (await fromArrayBuffer(buffer)).getImage();
  return [image.pixelIsArea(), ...image.getBoundingBox()];
};
const [area, point] = [await read(raster(1, 500000, 5300000)), await read(raster(2, 500005, 5299995))];
console.log('geotiff.js 3.0.5, pixelIsArea and bounding box of one raster described in two ways:', area, point);
assert.deepEqual(area, [true, 500000, 5299980, 500020, 5300000]);
assert.deepEqual(point, [false, 500005, 5299975, 500025, 5299995]);
EOF
node probe.mjs
