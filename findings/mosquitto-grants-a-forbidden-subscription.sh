#!/usr/bin/env bash
# A good engineer would guess: a subscription to a topic that the access list does not let the user read is refused in the
# SUBACK, with 0x87 (not authorized) in MQTT 5 and 0x80 in 3.1.1.
#
# mosquitto 2.0.11 grants it with the QoS that was asked for, in both versions, and then delivers nothing. A client that waits for
# an answer on such a topic waits for ever: only a message sent to itself shows whether it may read.
set -euo pipefail
work=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'topic read open/#\ntopic write #\n' > access
printf 'listener %s 127.0.0.1\nallow_anonymous true\nacl_file %s/access\nuser %s\n' "$port" "$work" "$(id -un)" > broker.conf
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
venv/bin/python - "$port" <<'EOF'
import sys, threading
import paho.mqtt.client as mqtt

def ask(version):
    granted, delivered, both = [], [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
    def on_suback(client, userdata, mid, codes, properties):
        granted.extend(code.value for code in codes)
        # The open topic comes last: when it has arrived, the other would have.
        client.publish("closed/a", b"1", 1)
        client.publish("open/a", b"1", 1)
    def on_message(client, userdata, message):
        delivered.append(message.topic)
        if message.topic == "open/a":
            both.set()
    client.on_subscribe, client.on_message = on_suback, on_message
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    client.subscribe([("closed/a", 1), ("open/a", 1)] if version != mqtt.MQTTv5 else
                     [("closed/a", mqtt.SubscribeOptions(1)), ("open/a", mqtt.SubscribeOptions(1))])
    assert both.wait(10)
    client.disconnect()
    return granted, delivered

seen = {"3.1.1": ask(mqtt.MQTTv311), "5": ask(mqtt.MQTTv5)}
print("mosquitto 2.0.11, codes of SUBACK and topics delivered:", seen)
assert all(answer == ([1, 1], ["open/a"]) for answer in seen.values())
EOF
