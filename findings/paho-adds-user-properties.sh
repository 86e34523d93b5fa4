#!/usr/bin/env bash
# A good engineer would guess: assigning an attribute of paho's Properties replaces what it had, so that one object can be filled anew
# for each message.
#
# paho-mqtt 2.2.0 replaces CorrelationData and appends to UserProperty: the second message has the first one's user properties as well,
# the third those of both. clear() in between, or an object for each message.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

properties, seen = Properties(PacketTypes.PUBLISH), []
for n in ("1", "2"):
    properties.CorrelationData = n.encode()
    properties.UserProperty = ("request", n)
    seen.append((properties.CorrelationData, list(properties.UserProperty)))
print("paho-mqtt 2.2.0, of the first and the second message:", *seen)
assert seen == [(b"1", [("request", "1")]), (b"2", [("request", "1"), ("request", "2")])]
EOF
