#!/usr/bin/env bash
# A good engineer would guess: 12:00:00+02:00 in a CoT event, an ISO 8601 time with an offset, is taken for 10:00:00Z, or the event
# is refused.
#
# taky 0.10 drops the offset, keeps the clock time and passes the event on as 12:00:00Z, two hours later: an object with half an
# hour to live lives two and a half. It also gives the point back with six decimals.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check setuptools==65.5.0 taky==0.10
"$work/venv/bin/python" -W ignore - <<'EOF'
from lxml import etree
from taky.cot.models import Event

times = 'time="2026-11-29T12:00:00+02:00" start="2026-11-29T12:00:00+02:00" stale="2026-11-29T12:30:00+02:00"'
point = '<point lat="47.1234567" lon="9.7654321" hae="0" ce="9999999" le="9999999"/>'
received = etree.fromstring(f'<event version="2.0" uid="a" type="u-d-f" how="m-g" {times}>{point}<detail/></event>')
passed_on = Event.from_elm(received).as_element
print("taky 0.10 passes on:", etree.tostring(passed_on).decode())
assert passed_on.get("time") == "2026-11-29T12:00:00.000Z" and passed_on.get("stale") == "2026-11-29T12:30:00.000Z"
assert passed_on.find("point").get("lat") == "47.123457"
EOF
