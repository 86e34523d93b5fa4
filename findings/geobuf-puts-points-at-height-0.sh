#!/usr/bin/env bash
# A good engineer would guess: in a file where one point has a height, the points without one come back without one.
#
# geobuf 4.0.0 gives all of them the height 0, and writes the same bytes as for points that do lie at 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund geobuf@4.0.0 pbf@5.1.2
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { decode, encode } from 'geobuf';
import * as pbf from 'pbf';

const point = (...coordinates) => ({ type: 'Feature', properties: { n: 1 }, geometry: { type: 'Point', coordinates } });
const read = (...features) => {
    const bytes = encode({ type: 'FeatureCollection', features }, new pbf.PbfWriter());
    return decode(new pbf.PbfReader(bytes)).features.map((feature) => feature.geometry.coordinates);
};
const alone = read(point(9, 47)), beside = read(point(9, 47, 400), point(9, 47));
console.log('geobuf 4.0.0, a point without height alone:', alone, 'and beside one that has:', beside);
assert.deepEqual(alone, [[9, 47]]);
assert.deepEqual(beside, [[9, 47, 400], [9, 47, 0]]);
EOF
node probe.mjs
