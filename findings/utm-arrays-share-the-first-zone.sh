#!/usr/bin/env bash
# A good engineer would guess: of arrays of positions each is put into its own zone, or those of several zones are refused, as those of both hemispheres are.
#
# utm 0.9.0: all are put into the zone of the first, without a word: a position on the other side of the Earth has an easting of -115,000 km.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check utm==0.9.0 numpy==2.4.6
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import numpy
import utm

easting, _, zone, _ = utm.from_latlon(numpy.array([10.0, 10.0]), numpy.array([8.9, -170.0]))
alone = utm.from_latlon(10.0, -170.0)
print("utm 0.9.0: 10 N 170 W in an array behind 10 N 8.9 E has the easting", round(easting[1]), "in zone", zone)
print("alone it has", round(alone[0]), "in zone", alone[2])
try:
    utm.from_latlon(numpy.array([1.0, -1.0]), numpy.array([9.0, 9.0]))
    hemispheres = "taken"
except ValueError as error:
    hemispheres = str(error)
print("positions of both hemispheres:", hemispheres)
assert zone == 32 and easting[1] < -1e8 and alone[2] == 2 and "same sign" in hemispheres
EOF
