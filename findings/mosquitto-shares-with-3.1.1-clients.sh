#!/usr/bin/env bash
# A good engineer would guess: shared subscriptions are a part of MQTT 5, so to an MQTT 3.1.1 client `$share/group/t` is an
# ordinary filter for a topic of that very name, and nothing published to `t` arrives.
#
# mosquitto 2.0.11 shares for 3.1.1 clients too: of two subscribers each gets half, and nobody sees the whole.
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
import sys, threading, time
import paho.mqtt.client as mqtt

def connected(**callbacks):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    for name, function in callbacks.items():
        setattr(client, name, function)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    return client

got = [[], []]
for mine in got:
    ready = threading.Event()
    member = connected(on_subscribe=lambda *a, ready=ready: ready.set(), on_message=lambda c, u, m, mine=mine: mine.append(m.payload))
    member.subscribe("$share/group/t", 1)
    assert ready.wait(10)
publisher = connected()
for n in range(6):
    publisher.publish("t", str(n), 1).wait_for_publish(10)
until = time.monotonic() + 10
while sum(map(len, got)) < 6 and time.monotonic() < until:
    time.sleep(0.05)
print("mosquitto 2.0.11, six messages among two MQTT 3.1.1 subscribers:", got)
assert [len(mine) for mine in got] == [3, 3] and len(set(got[0] + got[1])) == 6
EOF
