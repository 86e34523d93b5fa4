#!/usr/bin/env bash
# A good engineer would guess: when a client comes with the id of another, the broker closes the connection of the first (MQTT 3.1.1,
# 3.1.4), which so learns that it is no longer served.
#
# amqtt 0.12.1 leaves it open, and sends nothing there any more: a board whose id a second one has stays online, by its own account, and
# is deaf.
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
    first = connected("same")
    granted(first, "t", 1)
    second = connected("same")
    granted(second, "t", 1)
    publisher = connected("publisher")
    publisher.publish("t", b"1", 1).wait_for_publish(10)
    second.got.get(timeout=10)
    # There is nothing to wait for in the other connection; it would be closed or served by now.
    try:
        heard = first.got.get(timeout=3).payload
    except queue.Empty:
        heard = None
    seen = {"connected": first.is_connected(), "closed": not first.closed.empty(), "heard": heard}
    for client in (first, second, publisher):
        client.disconnect()
        client.loop_stop()
    return seen

async def main():
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": anonymous})
    await broker.start()
    seen = await asyncio.to_thread(run)
    await broker.shutdown()
    print("amqtt 0.12.1, the first client after the second and a message:", seen)
    assert seen == {"connected": True, "closed": False, "heard": None}

asyncio.run(main())
EOF
