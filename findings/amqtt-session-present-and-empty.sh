#!/usr/bin/env bash
# A good engineer would guess: with a client id of its own and clean session off, a subscriber of QoS 1 finds on its return
# what arrived meanwhile; and if a broker keeps nothing, its CONNACK says that there is no session (session present 0).
#
# amqtt 0.12.1 with its default of anonymous clients: CONNACK says session present 1, the publisher had its PUBACK, and the message
# is gone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0 amqtt==0.12.1
"$work/venv/bin/python" - <<'EOF'
import asyncio, logging, socket, threading
import paho.mqtt.client as mqtt
from amqtt.broker import Broker

logging.basicConfig(level=logging.CRITICAL)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

def connected(client_id, clean, got=None):
    flags, ready = [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
    client.on_connect = lambda c, u, f, r, p: (flags.append(f.session_present), ready.set())
    if got is not None:
        client.on_message = lambda c, u, m: got.append(m.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    return client, flags[0]

def gone(client):
    ended = threading.Event()
    client.on_disconnect = lambda *arguments: ended.set()
    client.disconnect()
    assert ended.wait(10)
    client.loop_stop()

def run():
    got, subscribed, again = [], threading.Event(), threading.Event()
    client, _ = connected("lasting", False, got)
    client.on_subscribe = lambda *arguments: subscribed.set()
    client.subscribe("t", 1)
    assert subscribed.wait(10)
    gone(client)
    publisher, _ = connected("publisher", True)
    publisher.publish("t", b"while away", 1).wait_for_publish(10)
    client, present = connected("lasting", False, got)
    # A message that comes after the return shows that the subscription is there, and when the first would have come.
    publisher.publish("t", b"afterwards", 1).wait_for_publish(10)
    for _ in range(100):
        if b"afterwards" in got or again.wait(0.05):
            break
    gone(client)
    gone(publisher)
    return present, got

async def main():
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": anonymous})
    await broker.start()
    present, got = await asyncio.to_thread(run)
    await broker.shutdown()
    print(f"amqtt 0.12.1: session present {present}, delivered {got}")
    assert present and b"while away" not in got

asyncio.run(main())
EOF
