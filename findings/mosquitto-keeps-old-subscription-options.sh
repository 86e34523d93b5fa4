#!/usr/bin/env bash
# A good engineer would guess: a SUBSCRIBE for a filter that the client has already replaces that subscription, with its options
# (MQTT 5, 3.8.4).
#
# mosquitto 2.0.11 takes the new QoS and keeps the old "no local" and "retain as published": a client that asks for the retain flag
# later never sees it, and one that gave up "no local" goes on missing its own messages, though SUBACK says granted. UNSUBSCRIBE first
# helps.
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
import queue, sys
import paho.mqtt.client as mqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

def connected(client_id):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.got, client.told = queue.Queue(), queue.Queue()
    client.on_connect = client.on_subscribe = client.on_unsubscribe = lambda *arguments: client.told.put(arguments)
    client.on_message = lambda c, u, message: client.got.put(message)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    client.told.get(timeout=10)
    return client

def flags(*steps):
    """The QoS and retain flag with which a retained message comes after these subscriptions; None is to unsubscribe."""
    topic = f"t{len(clients)}"
    clients.append(connected(topic))
    for options in steps:
        clients[-1].unsubscribe(topic) if options is None else clients[-1].subscribe(topic, options=options)
        clients[-1].told.get(timeout=10)
    clients[0].publish(topic, b"1", 1, retain=True).wait_for_publish(10)
    message = clients[-1].got.get(timeout=10)
    return message.qos, message.retain

def own(*steps):
    """Whether a client hears itself after these subscriptions: its own message comes before another's."""
    client = connected("own")
    for options in steps:
        client.subscribe("own", options=options)
        client.told.get(timeout=10)
    client.publish("own", b"own", 1).wait_for_publish(10)
    clients[0].publish("own", b"other", 1).wait_for_publish(10)
    first = client.got.get(timeout=10).payload
    clients.append(client)
    return first == b"own"

clients = [connected("publisher")]
plain, kept = SubscribeOptions(0), SubscribeOptions(1, retainAsPublished=True)
seen = {"fresh": flags(kept), "replaced": flags(plain, kept), "unsubscribed": flags(plain, None, kept)}
heard = own(SubscribeOptions(1, noLocal=True), SubscribeOptions(1, noLocal=False))
for client in clients:
    client.disconnect()
    client.loop_stop()
print("mosquitto 2.0.11, QoS and retain flag:", seen, "hears itself without no local:", heard)
assert seen == {"fresh": (1, True), "replaced": (1, False), "unsubscribed": (1, True)} and not heard
EOF
