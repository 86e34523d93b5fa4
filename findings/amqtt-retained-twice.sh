#!/usr/bin/env bash
# A good engineer would guess: a subscriber gets each retained message that its filter matches once, with the QoS that was granted, and
# none of other topics.
#
# amqtt 0.12.1 with anonymous clients: the first client that comes does. Each later one gets, before that, with QoS 0 and the retain
# flag, what the filters of the earlier clients match: the same message twice, and messages of topics that it never asked for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0 amqtt==0.12.1
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import asyncio, logging, socket, threading
import paho.mqtt.client as mqtt
from amqtt.broker import Broker

logging.basicConfig(level=logging.CRITICAL)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

def connected(client_id, got):
    client, ready = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id), threading.Event()
    client.on_connect = lambda *arguments: ready.set()
    client.on_message = lambda c, u, m: got.append((m.topic, m.qos, m.retain))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    return client

def subscribed(client_id, topic):
    got, acknowledged = [], threading.Event()
    client = connected(client_id, got)
    client.on_subscribe = lambda *arguments: acknowledged.set()
    client.subscribe(topic, 1)
    assert acknowledged.wait(10)
    # There is nothing after a retained message that tells of its end.
    threading.Event().wait(2)
    return client, got

def run():
    publisher = connected("publisher", [])
    publisher.publish("a", b"1", 1, retain=True).wait_for_publish(10)
    publisher.publish("b", b"2", 1, retain=True).wait_for_publish(10)
    clients = [subscribed("first", "a"), subscribed("second", "a"), subscribed("third", "b")]
    for client in [publisher] + [client for client, _ in clients]:
        client.disconnect()
        client.loop_stop()
    return [got for _, got in clients]

async def main():
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": anonymous})
    await broker.start()
    first, second, third = await asyncio.to_thread(run)
    await broker.shutdown()
    print("amqtt 0.12.1, topic, QoS and retain flag of what subscribers of a, a and b get:", first, second, third)
    assert first == [("a", 1, True)] and second == [("a", 0, True), ("a", 1, True)]
    assert third == [("a", 0, True), ("b", 1, True)]

asyncio.run(main())
EOF
