#!/usr/bin/env bash
# A good engineer would guess: a shared subscription gets no retained messages when it is made, as MQTT 5 (3.8.4) has it: else each
# member that joins works on the same old one.
#
# mosquitto 2.0.11 sends them to every member that joins.
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

def connected(got):
    client, ready = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5), threading.Event()
    client.on_connect = lambda *arguments: ready.set()
    client.on_message = lambda c, u, message: got.append((message.payload, message.retain))
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    assert ready.wait(10)
    return client

connected([]).publish("t", b"old", 1, retain=True).wait_for_publish(10)
members = [[], []]
for got in members:
    client, subscribed = connected(got), threading.Event()
    client.on_subscribe = lambda *arguments, subscribed=subscribed: subscribed.set()
    client.subscribe("$share/group/t", options=mqtt.SubscribeOptions(1))
    assert subscribed.wait(10)
    threading.Event().wait(1)
print("mosquitto 2.0.11, what two members of a shared subscription get of one retained message:", members)
assert members == [[(b"old", True)], [(b"old", True)]]
EOF
