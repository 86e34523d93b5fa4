#!/usr/bin/env bash
# A good engineer would guess: WKT 2 says by its method, "Popular Visualisation Pseudo Mercator" with the code 1024, that it is the
# Mercator of web maps, whatever code the whole system has, if any (Esri's is 102100).
#
# proj4js 2.22.0 knows it by ID["EPSG",3857] alone: without that it computes on the ellipsoid, 31 km to the south of where web maps
# have 47 N.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund proj4@2.22.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import proj4 from 'proj4';

const degrees = 'ANGLEUNIT["degree",0.0174532925199433]';
const metres = 'LENGTHUNIT["metre",1]';
const webMercator = (id) => `PROJCRS["WGS 84 / Pseudo-Mercator",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,
  298.257223563,${metres}]],PRIMEM["Greenwich",0,${degrees}],ID["EPSG",4326]],CONVERSION["Web Mercator",
  METHOD["Popular Visualisation Pseudo Mercator",ID["EPSG",1024]],PARAMETER["Latitude of natural origin",0,${degrees}],
  PARAMETER["Longitude of natural origin",0,${degrees}],PARAMETER["False easting",0,${metres}],PARAMETER["False northing",0,${metres}]],
  CS[Cartesian,2],AXIS["easting (X)",east],AXIS["northing (Y)",north],${metres}${id}]`;
const northing = (id) => Math.round(proj4(webMercator(id)).forward([9, 47])[1]);
const [coded, uncoded] = [',ID["EPSG",3857]', ''].map(northing);
console.log('proj4js 2.22.0, northing of 47 N by WKT 2 of web maps\' Mercator, with and without the code of the system:', coded, uncoded);
assert.deepEqual([coded, coded - uncoded], [5942074, 31264]);
EOF
node probe.mjs
