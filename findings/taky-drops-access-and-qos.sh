#!/usr/bin/env bash
# A good engineer would guess: a server that passes CoT events on leaves their attributes access, qos and opex (which say who may
# see an event and how urgent it is) as they came, like the rest of what it does not need.
#
# taky 0.10 drops all three, and keeps the whole of detail.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check setuptools==65.5.0 taky==0.10
"$work/venv/bin/python" -W ignore - <<'EOF_PROBE'
from lxml import etree
from taky.cot.models import Event

times = 'time="2026-11-29T12:00:00Z" start="2026-11-29T12:00:00Z" stale="2026-11-29T12:30:00Z"'
point = '<point lat="47.1" lon="9.7" hae="0" ce="9999999" le="9999999"/>'
attributes = 'version="2.0" uid="a" type="u-d-f" how="m-g" access="restricted" qos="5-r-g" opex="e-drill"'
received = f'<event {attributes} {times}>{point}<detail><note kind="any"/></detail></event>'
passed_on = Event.from_elm(etree.fromstring(received)).as_element
print("taky 0.10 passes on:", etree.tostring(passed_on).decode())
assert set(passed_on.keys()) == {"version", "uid", "type", "how", "time", "start", "stale"}
assert passed_on.find("detail/note").get("kind") == "any"
EOF_PROBE
