#!/usr/bin/env bash
# A good engineer would guess: KML whose elements have a prefix (<kml:Placemark> with xmlns:kml, as some exporters write it) is the
# same XML as without, and is read alike.
#
# @tmcw/togeojson 7.1.3 looks for names with their prefix and returns an empty FeatureCollection, without an error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund @tmcw/togeojson@7.1.3 @xmldom/xmldom@0.8.15
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import { kml } from '@tmcw/togeojson';
import { DOMParser } from '@xmldom/xmldom';

const names = ['kml', 'Document', 'Placemark', 'Point', 'coordinates'];
const file = (prefix) => names.map((name) => `<${prefix}${name}>`).join('') + '9,47' + names.map((name) => `</${prefix}${name}>`).reverse().join('');
const read = (text) => kml(new DOMParser().parseFromString(text, 'text/xml')).features.length;
const plain = read(file('').replace('<kml>', '<kml xmlns="http://www.opengis.net/kml/2.2">'));
const prefixed = read(file('kml:').replace('<kml:kml>', '<kml:kml xmlns:kml="http://www.opengis.net/kml/2.2">'));
console.log(`togeojson 7.1.3, features read without prefix: ${plain}, with prefix: ${prefixed}`);
assert.deepEqual([plain, prefixed], [1, 0]);
EOF
node probe.mjs
