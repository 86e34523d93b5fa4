#!/usr/bin/env bash
# A good engineer would guess: a client library that tells whether a topic matches a filter follows MQTT's rule (4.7.2) that # and +
# at the start do not match topics that begin with $, as the broker that sent the message does.
#
# aiomqtt 2.5.1 has # match $SYS/broker/uptime: whoever listens to # and $SYS/# and sorts messages by filter takes the broker's
# own for a board's. paho-mqtt 2.2.0, on which it is built, says no.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check aiomqtt==2.5.1 paho-mqtt==2.2.0
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import aiomqtt
import paho.mqtt.client

topic = "$SYS/broker/uptime"
by_aiomqtt, by_paho = aiomqtt.Topic(topic).matches("#"), paho.mqtt.client.topic_matches_sub("#", topic)
print(f"# matches {topic}: aiomqtt 2.5.1 {by_aiomqtt}, paho-mqtt 2.2.0 {by_paho}")
assert by_aiomqtt and not by_paho
EOF
