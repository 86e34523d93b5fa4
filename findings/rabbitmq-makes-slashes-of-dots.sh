#!/usr/bin/env bash
# A good engineer would guess: a message published to fleet/board.7/state arrives with that topic, dot and all: MQTT has no rule about dots.
#
# RabbitMQ 3.10.8 translates slashes to the dots of AMQP and, for the subscriber, all dots to slashes: it arrives as fleet/board/7/state,
# also for who subscribed to the very topic, and fleet/+/state does not match it. Names of boards and ids with a dot do not work there.
# Needs: apt-get install rabbitmq-server
set -euo pipefail
work=$(mktemp -d)
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mqtt=$(port)
echo '[rabbitmq_mqtt].' > plugins
printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$(port)" "mqtt.listeners.tcp.1 = 127.0.0.1:$mqtt" 'mqtt.allow_anonymous = true' \
    'distribution.listener.interface = 127.0.0.1' > rabbitmq.conf
export ERL_EPMD_PORT=$(port) ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=finding@localhost RABBITMQ_DIST_PORT=$(port) \
    RABBITMQ_MNESIA_BASE=$work/mnesia RABBITMQ_LOG_BASE=$work RABBITMQ_ENABLED_PLUGINS_FILE=$work/plugins \
    RABBITMQ_CONFIG_FILE=$work/rabbitmq RABBITMQ_CONF_ENV_FILE=$work/absent
HOME=$work /usr/lib/rabbitmq/bin/rabbitmq-server >log 2>&1 &
trap 'kill %1 2>/dev/null || true; wait; epmd -kill >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
for _ in $(seq 600); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $mqtt))" 2>/dev/null && break; sleep 0.2; done
venv/bin/python - "$mqtt" <<'EOF'
import queue, sys
import paho.mqtt.client as mqtt

def connected(client_id):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
    client.got, client.told = queue.Queue(), queue.Queue()
    client.on_connect = client.on_subscribe = lambda *arguments: client.told.put(arguments)
    client.on_message = lambda c, u, message: client.got.put(message)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    client.told.get(timeout=30)
    return client

def subscribed(client_id, *subscriptions):
    client = connected(client_id)
    for topic, qos in subscriptions:
        client.subscribe(topic, qos)
        client.told.get(timeout=30)
    return client

def until(client, topic):
    got = []
    while not got or got[-1].topic != topic:
        got.append(client.got.get(timeout=30))
    return got[:-1]

publisher = connected("publisher")
exact, one_level = subscribed("exact", ("fleet/board.7/state", 1), ("end", 1)), subscribed("one-level", ("fleet/+/state", 1), ("end", 1))
for topic in ("fleet/board.7/state", "fleet/board-8/state", "end"):
    publisher.publish(topic, b"1", 1).wait_for_publish(30)
seen = [[message.topic for message in until(client, "end")] for client in (exact, one_level)]
for client in (exact, one_level, publisher):
    client.disconnect()
    client.loop_stop()
print("RabbitMQ 3.10.8, topics for subscribers of fleet/board.7/state and fleet/+/state:", *seen)
assert seen == [["fleet/board/7/state"], ["fleet/board-8/state"]]
EOF
