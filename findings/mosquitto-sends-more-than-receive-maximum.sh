#!/usr/bin/env bash
# A good engineer would guess: a client of MQTT 5 that says Receive Maximum 32 never has more than 32 messages of QoS 1 that it has not
# acknowledged (MQTT 5, 4.9); what is more waits in the broker.
#
# mosquitto 2.0.11 keeps to that as long as nothing is acknowledged. Where many messages come at once and the client acknowledges
# some, it sends hundreds and thousands more than that, up to max_queued_messages, and without a bound where that is 0.
set -euo pipefail
work=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser %s\n' "$port" "$(id -un)" > broker.conf
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
venv/bin/python - "$port" <<'EOF'
import socket, struct, sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, heard = int(sys.argv[1]), {}

def listen(topic, acknowledged):
    """Acknowledges so many messages, and no more."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=topic, protocol=mqtt.MQTTv5, manual_ack=True)
    subscribed, properties = threading.Event(), Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = 32
    heard[topic] = 0
    def message(client, userdata, message):
        heard[topic] += 1
        if heard[topic] <= acknowledged:
            client.ack(message.mid, 1)
    client.on_message = message
    client.on_connect = lambda *arguments: client.subscribe(topic, 1)
    client.on_subscribe = lambda *arguments: subscribed.set()
    client.connect("127.0.0.1", port, clean_start=True, properties=properties)
    client.loop_start()
    assert subscribed.wait(10)

def text(value):
    return struct.pack(">H", len(value)) + value.encode()

def packet(kind, body):
    assert len(body) < 128
    return bytes([kind, len(body)]) + body

def publish(topic, count):
    """All at once, at QoS 1, over MQTT 3.1.1."""
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(packet(0x10, text("MQTT") + b"\4\2\0\x3c" + text("many-" + topic)))
    assert stream.recv(4) == b"\x20\2\0\0"
    stream.sendall(b"".join(packet(0x32, text(topic) + struct.pack(">H", n + 1) + b"x") for n in range(count)))
    left = 4 * count
    while left:
        left -= len(stream.recv(left))

for topic, acknowledged in [("silent", 0), ("some", 500)]:
    listen(topic, acknowledged)
    publish(topic, 5000)
    threading.Event().wait(4)
print("mosquitto 2.0.11, Receive Maximum 32, of 5000 messages: who acknowledges none has", heard["silent"])
print("who acknowledges 500 has then", heard["some"] - 500, "that are not acknowledged")
assert heard["silent"] == 32
assert heard["some"] - 500 > 64
EOF
