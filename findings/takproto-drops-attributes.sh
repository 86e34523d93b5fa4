#!/usr/bin/env bash
# A good engineer would guess: an attribute of a CoT event that TAK's protobuf has no field for stays in xmlDetail, which is there
# for whatever has no field of its own, or the element that has it does.
#
# takproto 3.0.1 (which PyTAK uses) drops such attributes of the elements that it knows: a contact's phone and a status' readiness are
# gone, while unknown elements beside them are kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check takproto==3.0.1
"$work/venv/bin/python" -W ignore - <<'EOF_PROBE'
import takproto

times = 'time="2026-11-29T12:00:00Z" start="2026-11-29T12:00:00Z" stale="2026-11-29T12:30:00Z"'
point = '<point lat="47.1" lon="9.7" hae="0" ce="9999999" le="9999999"/>'
detail = '<contact callsign="board" phone="0123"/><status battery="55" readiness="true"/><remarks>kept</remarks>'
event = f'<event version="2.0" uid="a" type="a-f-G" how="m-g" {times}>{point}<detail>{detail}</detail></event>'
told = takproto.parse_proto(takproto.xml2proto(event)).cotEvent.detail
print("takproto 3.0.1 makes of", detail, "this:", str(told).replace("\n", " "))
assert told.contact.callsign == "board" and told.status.battery == 55 and "<remarks>kept</remarks>" in told.xmlDetail
assert "0123" not in str(told) and "readiness" not in str(told)
EOF_PROBE
