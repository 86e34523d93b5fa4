#!/usr/bin/env bash
# A good engineer would guess: a broker with persistence keeps every session over a restart whose expiry interval has not passed.
# Clean start says how a connection begins, the expiry interval how long the session stays (MQTT 5, 3.1.2.4 and 3.1.2.11.2).
#
# mosquitto 2.0.11 keeps it for as long as it runs, but after a restart a session is gone, with its subscriptions and with what it
# had acknowledged for it, when its last connection was one with clean start. With clean start off it is there.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nuser %s\n' \
    "$port" "$work" "$(id -un)" > broker.conf
cat > probe.py <<'EOF_PROBE'
import os, subprocess, sys, threading, time
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port = int(sys.argv[1])

def broker():
    libraries = "root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu"
    process = subprocess.Popen(["root/usr/sbin/mosquitto", "-c", "broker.conf"], stderr=subprocess.DEVNULL,
                               env={**os.environ, "LD_LIBRARY_PATH": libraries})
    for _ in range(50):
        try:
            mqtt.Client(mqtt.CallbackAPIVersion.VERSION2).connect("127.0.0.1", port)
            return process
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the broker did not start")

def connected(client_id, clean_start, got=None):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    present, ready = [], threading.Event()
    client.on_connect = lambda c, u, flags, r, p: (present.append(flags.session_present), ready.set())
    if got is not None:
        client.on_message = lambda c, u, message: got.append(message.payload)
    an_hour = Properties(PacketTypes.CONNECT)
    an_hour.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=clean_start, properties=an_hour)
    client.loop_start()
    assert ready.wait(10)
    return client, present[0]

def gone(client):
    ended = threading.Event()
    client.on_disconnect = lambda *arguments: ended.set()
    client.disconnect()
    assert ended.wait(10)
    client.loop_stop()

def run(clean_start, restart):
    process, client_id = broker(), f"{clean_start}-{restart}"
    client, _ = connected(client_id, clean_start)
    subscribed = threading.Event()
    client.on_subscribe = lambda *arguments: subscribed.set()
    client.subscribe("t", options=mqtt.SubscribeOptions(1))
    assert subscribed.wait(10)
    gone(client)
    publisher, _ = connected("publisher", True)
    publisher.publish("t", b"while away", 1).wait_for_publish(10)
    gone(publisher)
    if restart:
        process.terminate()
        process.wait()
        process = broker()
    got = []
    client, present = connected(client_id, False, got)
    for _ in range(50 if present else 10):
        if not got:
            time.sleep(0.1)
    gone(client)
    process.terminate()
    process.wait()
    return present, got

seen = {(clean, restart): run(clean, restart) for clean in (False, True) for restart in (False, True)}
print("mosquitto 2.0.11, session present and messages by clean start and restart of the broker:", seen)
there = (True, [b"while away"])
assert seen == {(False, False): there, (False, True): there, (True, False): there, (True, True): (False, [])}
EOF_PROBE
venv/bin/python probe.py "$port"
