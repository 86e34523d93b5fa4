#!/usr/bin/env bash
# A good engineer would guess: FlatGeobuf that the npm package makes of GeoJSON with heights has them for other readers too, as it has
# for itself.
#
# flatgeobuf 4.5.0 (npm) stores the heights and leaves "has z" out of the header: GDAL (pyogrio 0.13.0) reads points of two
# coordinates, without a warning.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund flatgeobuf@4.5.0
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check pyogrio==0.13.0
cat > probe.mjs <<'EOF_PROBE'
import { writeFileSync } from 'node:fs';
import { geojson } from 'flatgeobuf';

const point = { type: 'Feature', properties: { n: 1 }, geometry: { type: 'Point', coordinates: [9, 47, 400] } };
const bytes = geojson.serialize({ type: 'FeatureCollection', features: [point] });
writeFileSync('points.fgb', bytes);
for await (const feature of geojson.deserialize(bytes)) console.log(JSON.stringify(feature.geometry.coordinates));
EOF_PROBE
by_npm=$(node probe.mjs)
venv/bin/python -W error - "$by_npm" <<'EOF_PROBE'
import struct, sys
import pyogrio

meta, _, geometry, _ = pyogrio.raw.read("points.fgb")
# WKB: byte order, type, then doubles.
kind, place = struct.unpack("<I", geometry[0][1:5])[0], struct.unpack(f"<{(len(geometry[0]) - 5) // 8}d", geometry[0][5:])
print(f"flatgeobuf 4.5.0 reads {sys.argv[1]}; GDAL {pyogrio.__gdal_version_string__} {meta['geometry_type']}, {place}")
assert sys.argv[1] == "[9,47,400]" and (meta["geometry_type"], kind, place) == ("Point", 1, (9.0, 47.0))
EOF_PROBE
