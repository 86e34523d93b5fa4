#!/usr/bin/env bash
# A good engineer would guess: a field that the Schema of a KML file calls "bool" has its values, "true" and "false" (as GDAL writes them) or 1 and
# 0, as true and false in GeoJSON, as its "int" and "double" are numbers.
#
# @tmcw/togeojson 7.1.3 makes true of every one that is not empty: of "false" and "0" too. In a field that is a "string" they stay texts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @tmcw/togeojson@7.1.3 @xmldom/xmldom@0.8.15
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { kml } from '@tmcw/togeojson';
import { DOMParser } from '@xmldom/xmldom';

const values = ['true', 'false', '1', '0'];
const read = (type) => {
  const schema = `<Schema id="s"><SimpleField name="checked" type="${type}"/></Schema>`;
  const placemark = (value) =>
    `<Placemark><ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="checked">${value}</SimpleData></SchemaData></ExtendedData>` +
    '<Point><coordinates>9,47</coordinates></Point></Placemark>';
  const file = `<kml xmlns="http://www.opengis.net/kml/2.2"><Document>${schema}${values.map(placemark).join('')}</Document></kml>`;
  return kml(new DOMParser().parseFromString(file, 'text/xml')).features.map((feature) => feature.properties.checked);
};
const seen = { bool: read('bool'), string: read('string') };
console.log(`togeojson 7.1.3, of ${values} in a field of each type:`, seen);
assert.deepEqual(seen, { bool: [true, true, true, true], string: values });
EOF
node probe.mjs
