#!/usr/bin/env bash
# A good engineer would guess: the WKT of one coordinate system, EPSG:28992, in version 1 and in version 2, both with its codes and
# both without a shift of datum, gives the same coordinates of a point in WGS 84.
#
# proj4js 2.22.0 shifts the datum with the second and not with the first, 111 m apart: it looks the shift up by the code of the
# geographic system in version 2, and by the name of the datum in version 1, and does not know the name.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund proj4@2.22.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import proj4 from 'proj4';

const values = [['latitude_of_origin', 52.1561605555556], ['central_meridian', 5.38763888888889], ['scale_factor', 0.9999079],
  ['false_easting', 155000], ['false_northing', 463000]];
const one = `PROJCS["Amersfoort / RD New",GEOGCS["Amersfoort",DATUM["Amersfoort",SPHEROID["Bessel 1841",6377397.155,299.1528128]],
  PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4289"]],PROJECTION["Oblique_Stereographic"],
  ${values.map(([name, value]) => `PARAMETER["${name}",${value}]`)},UNIT["metre",1],AUTHORITY["EPSG","28992"]]`;
const degrees = 'ANGLEUNIT["degree",0.0174532925199433]';
const two = `PROJCRS["Amersfoort / RD New",BASEGEOGCRS["Amersfoort",DATUM["Amersfoort",ELLIPSOID["Bessel 1841",6377397.155,299.1528128,
  LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,${degrees}],ID["EPSG",4289]],CONVERSION["RD New",METHOD["Oblique Stereographic",ID["EPSG",9809]],
  PARAMETER["Latitude of natural origin",52.1561605555556,${degrees}],PARAMETER["Longitude of natural origin",5.38763888888889,${degrees}],
  PARAMETER["Scale factor at natural origin",0.9999079,SCALEUNIT["unity",1]],PARAMETER["False easting",155000,LENGTHUNIT["metre",1]],
  PARAMETER["False northing",463000,LENGTHUNIT["metre",1]]],CS[Cartesian,2],AXIS["easting (X)",east],AXIS["northing (Y)",north],
  LENGTHUNIT["metre",1],ID["EPSG",28992]]`;
const [a, b] = [one, two].map((definition) => proj4(definition).forward([5, 52]));
const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
console.log('proj4js 2.22.0, 5 E 52 N by WKT 1 and 2 of EPSG:28992:', a, b, `${Math.round(apart)} m apart`);
assert.equal(Math.round(apart), 111);
EOF
node probe.mjs
