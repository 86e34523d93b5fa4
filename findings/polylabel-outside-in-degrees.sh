#!/usr/bin/env bash
# A good engineer would guess: the pole of inaccessibility is inside of its polygon, however coarse the search. In degrees the default
# precision of 1 is "too imprecise", its README says: then the point is not the innermost one.
#
# polylabel 2.1.0 gives back the lower left corner of the bounding box, with distance 0, for every polygon that is narrower than the
# precision: outside of a field of a kilometre.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund polylabel@2.1.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert';
import polylabel from 'polylabel';

const diamond = [[9, 46.99], [9.01, 47], [9, 47.01], [8.99, 47], [9, 46.99]];
const rough = polylabel([diamond]);
const fine = polylabel([diamond], 1e-6);
console.log('polylabel 2.1.0, of a diamond around 9 47, by default and with a precision of 0.000001:', rough, fine);
assert.deepEqual([...rough, rough.distance], [8.99, 46.99, 0]);
assert(Math.hypot(fine[0] - 9, fine[1] - 47) < 1e-5);
EOF
node probe.mjs
