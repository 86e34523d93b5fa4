#!/usr/bin/env bash
# A good engineer would guess: of a shapefile in which one record has no shape, all others are read with theirs, as by GDAL and shpjs.
#
# @loaders.gl/shapefile 4.5.2 (of deck.gl's makers) reads the shapes before it and none after it, and reports nothing: of three fields
# of which the second is still to be drawn, it gives one feature. The table beside has all three rows.
# Whoever shows fields from shapefiles in a web map: compare the number of features with the table's, or read with shpjs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check pyshp==3.1.6
venv/bin/python - <<'EOF_PROBE'
import shapefile

with shapefile.Writer("fields", shapeType=shapefile.POLYGON) as writer:
    writer.field("n", "N", 5)
    for n in range(3):
        if n == 1:
            writer.null()
        else:
            writer.poly([[[9 + n, 47], [9 + n, 48], [9.5 + n, 48], [9 + n, 47]]])
        writer.record(n)
EOF_PROBE
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @loaders.gl/core@4.5.4 @loaders.gl/shapefile@4.5.2 shpjs@6.2.0
cat > probe.mjs <<'EOF_PROBE'
import assert from 'node:assert';
import fs from 'node:fs';
import { parse } from '@loaders.gl/core';
import { DBFLoader, SHPLoader } from '@loaders.gl/shapefile';
import shpjs from 'shpjs';

const read = (name) => Uint8Array.from(fs.readFileSync(name)).buffer;
const { geometries, error } = await parse(read('fields.shp'), SHPLoader, { core: { worker: false } });
const rows = await parse(read('fields.dbf'), DBFLoader, { core: { worker: false }, dbf: { encoding: 'latin1' } });
const { features } = await shpjs({ shp: read('fields.shp'), dbf: read('fields.dbf') });
const types = features.map(({ geometry }) => geometry && geometry.type);
console.log('@loaders.gl/shapefile 4.5.2:', geometries.length, 'shape of', rows.length, 'rows, error', error, '; shpjs 6.2.0:', types);
assert.deepEqual([geometries.length, rows.length, error], [1, 3, undefined]);
assert.deepEqual(types, ['Polygon', null, 'Polygon']);
EOF_PROBE
node probe.mjs
