#!/usr/bin/env bash
# A good engineer would guess: the fence loader of MAVProxy reads a polygon of five vertices as Mission Planner saves it (.poly, a
# latitude and a longitude a line) as a fence of five vertices, or refuses the file.
#
# pymavlink 2.4.50, which MAVProxy loads fences with, takes it for an older format without a word: the first vertex becomes the
# return point, the last is taken for the closing one and dropped, and three vertices remain.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pymavlink==2.4.50
cd "$work"
printf '#saved by a planner\n47.00 9.00\n47.00 9.10\n47.10 9.10\n47.10 9.05\n47.05 9.00\n' > field.poly
MAVLINK20=1 venv/bin/python - <<'EOF'
from pymavlink import mavutil, mavwp

mavutil.set_dialect("ardupilotmega")
fence = mavwp.MissionItemProtocol_Fence()
fence.load("field.poly")
items = [fence.item(n) for n in range(fence.count())]
seen = [(item.command, item.x / 1e7, item.y / 1e7) for item in items]
print("pymavlink 2.4.50, commands and positions:", seen)
# 5000 is the return point, 5001 a vertex to stay inside of.
assert seen == [(5000, 47.0, 9.0), (5001, 47.0, 9.1), (5001, 47.1, 9.1), (5001, 47.1, 9.05)]
EOF
