#!/usr/bin/env bash
# A good engineer would guess: WKT as Esri writes it (in the .prj of a shapefile) of a projection that proj4js knows gives the same
# coordinates as OGC's WKT of the same system, or an error.
#
# proj4js 2.22.0 reads Esri's Stereographic_North_Pole and takes no notice of where its Standard_Parallel_1 belongs: EPSG:3413, the
# polar stereographic system of sea ice data, comes out 2,192 km off.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund proj4@2.22.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import proj4 from 'proj4';

const base = (datum) => `GEOGCS["WGS 84",DATUM["${datum}",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]`;
const ogc = `PROJCS["Polar",${base('WGS_1984')},PROJECTION["Polar_Stereographic"],PARAMETER["latitude_of_origin",70],
  PARAMETER["central_meridian",-45],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]`;
const esri = `PROJCS["Polar",${base('D_WGS_1984')},PROJECTION["Stereographic_North_Pole"],PARAMETER["False_Easting",0.0],
  PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",-45.0],PARAMETER["Standard_Parallel_1",70.0],UNIT["Meter",1.0]]`;
const string = '+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +datum=WGS84';
const [a, b, c] = [ogc, esri, string].map((definition) => proj4(definition).forward([-40, 75]));
const apart = Math.hypot(a[0] - b[0], a[1] - b[1]) / 1000;
console.log('proj4js 2.22.0, 40 W 75 N by OGC, Esri and PROJ string:', a, b, c, `${Math.round(apart)} km apart`);
assert(Math.hypot(a[0] - c[0], a[1] - c[1]) < 0.01 && Math.round(apart) === 2192);
EOF
node probe.mjs
