#!/usr/bin/env bash
# A good engineer would guess: a vehicle's parameters that are saved to a file and loaded again are the same, at least as 32-bit
# floats, which is what MAVLink carries.
#
# pymavlink 2.4.50 (and so MAVProxy's param save) writes six decimals: a parameter below 0.0000005 comes back as 0, and
# 0.12345678 as 0.123457.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pymavlink==2.4.50
cd "$work"
venv/bin/python - <<'EOF_PROBE'
from pymavlink import mavparm

given = {"SMALL": 2e-7, "MIDDLE": 0.12345678, "LARGE": 16777215.0}
saved, loaded = mavparm.MAVParmDict(), mavparm.MAVParmDict()
saved.update(given)
saved.save("vehicle.parm")
loaded.load("vehicle.parm", check=False)
print("pymavlink 2.4.50, saved", given, "and loaded", dict(loaded))
assert dict(loaded) == {"SMALL": 0.0, "MIDDLE": 0.123457, "LARGE": 16777215.0}
EOF_PROBE
