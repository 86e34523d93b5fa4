#!/usr/bin/env bash
# A good engineer would guess: a property that is a whole number beyond 64 bits with a sign (a hash, say) is read as a floating-point
# number or a text: GeoJSON has no limit, and 1e19 is read.
#
# GDAL 3.12.4 (pyogrio 0.13.0) refuses the whole file because of one number from 9223372036854775808 (2^63) on, as JSON that it
# cannot parse. Up to 9223372036854775807, and with a decimal point, it reads them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pyogrio==0.13.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import pyogrio

def read(number):
    feature = '{"type": "Feature", "properties": {"n": %s}, "geometry": {"type": "Point", "coordinates": [9, 47]}}' % number
    with open("one.geojson", "w") as file:
        file.write('{"type": "FeatureCollection", "features": [%s]}' % feature)
    try:
        return pyogrio.raw.read("one.geojson")[3][0][0].item()
    except pyogrio.errors.DataSourceError as error:
        return "refused: " + str(error).split(";")[-1].strip()

seen = {number: read(number) for number in ("9223372036854775807", "9223372036854775808", "9223372036854775808.0")}
print(f"GDAL {pyogrio.__gdal_version_string__}:", seen)
assert seen["9223372036854775807"] == 2**63 - 1 and seen["9223372036854775808.0"] == 2.0**63
assert seen["9223372036854775808"].startswith("refused")
EOF
