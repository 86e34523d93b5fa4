#!/usr/bin/env bash
# A good engineer would guess: the points of a track that OpenLayers writes as GPX have the heights that the line has, and one without a
# height only where the line has none.
#
# ol 10.11.0 passes over a height of 0 and writes the one of the point before it: a flight from 120 m down to the ground, in heights above
# the ground, ends at 120 m. A waypoint at 0 gets no <ele>. Its KML of the same line is right.
# Whoever gives flight lines or a coast's outline from a web map to a GPS device: write GPX with togpx, or move heights of 0 to 0.001 first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund ol@10.11.0 jsdom@26.1.0
cat > probe.mjs <<'EOF_PROBE'
import assert from 'node:assert';
import { JSDOM } from 'jsdom';

const { window } = new JSDOM('');
Object.assign(globalThis, { document: window.document, Node: window.Node, XMLSerializer: window.XMLSerializer });
const { default: GeoJSON } = await import('ol/format/GeoJSON.js');
const { default: GPX } = await import('ol/format/GPX.js');
const { default: KML } = await import('ol/format/KML.js');

const read = (geometry) => new GeoJSON().readFeatures({ type: 'Feature', properties: {}, geometry });
const line = read({ type: 'LineString', coordinates: [[9, 47, 50], [9.1, 47, 120], [9.2, 47, 0], [9.3, 47, 0]] });
const point = read({ type: 'Point', coordinates: [9, 47, 0] });
const heights = [...new GPX().writeFeatures(line).matchAll(/<ele>(.*?)<\/ele>/g)].map((found) => Number(found[1]));
const kml = new KML().writeFeatures(line).match(/<coordinates>(.*)<\/coordinates>/)[1];
const waypoint = new GPX().writeFeatures(point).match(/<wpt.*wpt>|<wpt.*?\/>/)[0];
console.log('ol 10.11.0 wrote the heights 50, 120, 0, 0 to GPX as', heights, 'and to KML as', kml, 'and a point at 0 as', waypoint);
assert.deepEqual(heights, [50, 120, 120, 120]);
assert.equal(kml, '9,47,50 9.1,47,120 9.2,47,0 9.3,47,0');
assert(!waypoint.includes('<ele>'));
EOF_PROBE
node probe.mjs
