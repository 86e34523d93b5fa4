#!/usr/bin/env bash
# A good engineer would guess: a helper that makes a CoT event of a latitude and a longitude writes them as given, or with the
# six or seven decimals that a GPS has.
#
# PyTAK 7.6.1 gen_cot() cuts (not rounds) them to four decimals: up to 11 m to the south-west of where they were, and an object
# at 0.00009 degrees lies at 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pytak==7.6.1
"$work/venv/bin/python" -W ignore - <<'EOF'
import xml.etree.ElementTree as xml
import pytak

point = xml.fromstring(pytak.gen_cot(lat=47.12349999, lon=0.00009, uid="a", cot_type="a-f-G")).find("point")
print("PyTAK 7.6.1, of 47.12349999 0.00009:", point.get("lat"), point.get("lon"))
assert (float(point.get("lat")), float(point.get("lon"))) == (47.1234, 0.0)
EOF
