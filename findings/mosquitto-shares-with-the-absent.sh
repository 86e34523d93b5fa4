#!/usr/bin/env bash
# A good engineer would guess: messages of a shared subscription go to a member that is connected; what is for the group does not wait
# for one that is switched off while another has time.
#
# mosquitto 2.0.11 deals them out to all members with a session: with one of two away, every other message waits in the queue of the
# one that is away.
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

def connected(client_id, clean_start, got):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    ready, ten_minutes = threading.Event(), Properties(PacketTypes.CONNECT)
    ten_minutes.SessionExpiryInterval = 600
    client.on_connect = lambda *arguments: ready.set()
    client.on_message = lambda c, u, message: got.append(int(message.payload))
    client.connect("127.0.0.1", int(sys.argv[1]), clean_start=clean_start, properties=ten_minutes)
    client.loop_start()
    assert ready.wait(10)
    return client

def member(client_id, got):
    client, subscribed = connected(client_id, True, got), threading.Event()
    client.on_subscribe = lambda *arguments: subscribed.set()
    client.subscribe("$share/group/t", options=mqtt.SubscribeOptions(1))
    assert subscribed.wait(10)
    return client

there, away = [], []
member("there", there)
leaving, gone = member("away", away), threading.Event()
leaving.on_disconnect = lambda *arguments: gone.set()
leaving.disconnect()
assert gone.wait(10)
publisher = connected("publisher", True, [])
for n in range(6):
    publisher.publish("t", str(n), 1).wait_for_publish(10)
threading.Event().wait(1)
meanwhile = sorted(there)
connected("away", False, away)
threading.Event().wait(1)
print("mosquitto 2.0.11, of six messages the member that is there gets", meanwhile, "and the other, when it comes back,", sorted(away))
assert len(meanwhile) == 3 and sorted(meanwhile + away) == [0, 1, 2, 3, 4, 5]
EOF
