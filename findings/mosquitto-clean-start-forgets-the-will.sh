#!/usr/bin/env bash
# A good engineer would guess: a will that waits (Will Delay Interval) is published when its session ends, and a connection with clean
# start ends the old session (MQTT 5, 3.1.2.5 and 3.1.4): only a client that resumes its session takes the will back.
#
# mosquitto 2.0.11 forgets the will with the session: a client that lost its line and comes back clean never was away.
set -euo pipefail
work=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser %s\n' "$port" "$(id -un)" > broker.conf
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
venv/bin/python - "$port" <<'EOF'
import sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

wills = []

def connected(client_id, clean_start=True):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    ready, lasting, delayed = threading.Event(), Properties(PacketTypes.CONNECT), Properties(PacketTypes.WILLMESSAGE)
    lasting.SessionExpiryInterval, delayed.WillDelayInterval = 600, 2
    client.on_connect = lambda *arguments: ready.set()
    client.on_message = lambda c, u, message: wills.append(message.topic)
    client.will_set(f"will/{client_id}", b"gone", 1, False, delayed)
    client.connect("127.0.0.1", int(sys.argv[1]), clean_start=clean_start, properties=lasting)
    client.loop_start()
    assert ready.wait(10)
    return client

def lost(client):
    """The line is cut, without a DISCONNECT."""
    client.loop_stop()
    client.socket().close()

watcher, subscribed = connected("watcher"), threading.Event()
watcher.on_subscribe = lambda *arguments: subscribed.set()
watcher.subscribe("will/+", options=mqtt.SubscribeOptions(1))
assert subscribed.wait(10)
for client_id, again in (("resumes", False), ("clean", True), ("stays-away", None)):
    lost(connected(client_id))
    threading.Event().wait(0.5)
    if again is not None:
        connected(client_id, again)
threading.Event().wait(5)
print("mosquitto 2.0.11, wills of a client that resumes, one that comes back clean, and one that stays away:", wills)
assert wills == ["will/stays-away"]
EOF
