#!/usr/bin/env bash
# A good engineer would guess: rally points that are loaded from a file and saved again make the same file, in whole degrees at least.
#
# pymavlink 2.4.50 takes the landing direction of a file for degrees and saves it in hundredths of degrees: 2 becomes 200, and 20000
# when that is loaded and saved.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pymavlink==2.4.50
cd "$work"
venv/bin/python -W ignore - <<'EOF'
from pymavlink import mavwp

with open("first.rally", "w") as file:
    file.write("RALLY 47.1 9.1 100 40 2 0\n")
directions = []
for name, saved in (("first.rally", "second.rally"), ("second.rally", "third.rally")):
    rally = mavwp.MAVRallyLoader()
    rally.load(name)
    rally.save(saved)
    with open(saved) as file:
        directions.append(float(file.read().split()[5]))
print("pymavlink 2.4.50, landing direction of 2 degrees after it was saved once and twice:", directions)
assert directions == [200, 20000]
EOF
