#!/usr/bin/env bash
# A good engineer would guess: what pymavlink's fence loader has read from a .poly file it saves as a fence in the same place, and
# a fence's positions have one unit, wherever they came from.
#
# pymavlink 2.4.50 holds degrees after a file of waypoints, and degrees times ten million after a .poly. save() writes both as
# they are: the latitude in the saved file is 470000000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pymavlink==2.4.50
cd "$work"
printf '47.00 9.00\n47.00 9.10\n47.10 9.10\n47.10 9.05\n47.05 9.00\n' > field.poly
{
    printf 'QGC WPL 110\n'
    printf '0\t0\t0\t5001\t3\t0\t0\t0\t47.00\t9.00\t0\t1\n1\t0\t0\t5001\t3\t0\t0\t0\t47.00\t9.10\t0\t1\n2\t0\t0\t5001\t3\t0\t0\t0\t47.10\t9.10\t0\t1\n'
} > field.waypoints
MAVLINK20=1 venv/bin/python - <<'EOF_PROBE'
from pymavlink import mavutil, mavwp

mavutil.set_dialect("ardupilotmega")
seen = {}
for name in ("field.waypoints", "field.poly"):
    fence = mavwp.MissionItemProtocol_Fence()
    fence.load(name)
    fence.save("saved.waypoints")
    with open("saved.waypoints") as file:
        saved = file.read().splitlines()[1].split("\t")
    seen[name] = fence.item(0).x, float(saved[8])
print("pymavlink 2.4.50, latitude of the first item as held and as saved, by file:", seen)
assert seen == {"field.waypoints": (47.0, 47.0), "field.poly": (470000000, 470000000.0)}
EOF_PROBE
