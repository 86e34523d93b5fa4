#!/usr/bin/env bash
# A good engineer would guess: a client that subscribes to a filter again with another QoS gets messages with that (MQTT 3.1.1, 3.8.4),
# as the SUBACK says.
#
# amqtt 0.12.1 grants the new QoS and goes on with the first: who had 0 and asks for 1 gets 0, and who had 1 and asks for 0 gets 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0 amqtt==0.12.1
cd "$work"
venv/bin/python -W ignore - <<'EOF'
import asyncio, logging, queue, socket
import paho.mqtt.client as mqtt
from amqtt.broker import Broker

logging.basicConfig(level=logging.CRITICAL)
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]

def connected(client_id):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
    client.got, client.told, client.closed = queue.Queue(), queue.Queue(), queue.Queue()
    client.on_connect = client.on_subscribe = lambda *arguments: client.told.put(arguments)
    client.on_disconnect = lambda *arguments: client.closed.put(arguments)
    client.on_message = lambda c, u, message: client.got.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.told.get(timeout=10)
    return client

def granted(client, topic, qos):
    client.subscribe(topic, qos)
    return client.told.get(timeout=10)[3][0].value

def run():
    publisher, seen = connected("publisher"), []
    for first, second in ((0, 1), (1, 0)):
        client, topic = connected(f"from-{first}"), f"t{first}"
        told = [granted(client, topic, first), granted(client, topic, second)]
        publisher.publish(topic, b"1", 1).wait_for_publish(10)
        seen.append((told, client.got.get(timeout=10).qos))
        client.disconnect()
        client.loop_stop()
    publisher.disconnect()
    publisher.loop_stop()
    return seen

async def main():
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": anonymous})
    await broker.start()
    seen = await asyncio.to_thread(run)
    await broker.shutdown()
    print("amqtt 0.12.1, QoS that were granted one after another, and with which a message of QoS 1 comes:", seen)
    assert seen == [([0, 1], 0), ([1, 0], 1)]

asyncio.run(main())
EOF
