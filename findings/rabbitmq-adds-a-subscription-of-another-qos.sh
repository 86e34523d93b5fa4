#!/usr/bin/env bash
# A good engineer would guess: a client that subscribes to a filter again with another QoS has that one subscription (MQTT 3.1.1, 3.8.4)
# and gets each message once.
#
# RabbitMQ 3.10.8 has both from then on: each message of QoS 1 comes twice, with QoS 0 and with QoS 1.
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
client = subscribed("again", ("fleet", 0), ("fleet", 1), ("end", 1))
publisher.publish("fleet", b"1", 1).wait_for_publish(30)
# QoS 0 and 1 come by two queues, whose order among each other is open: the end comes by the second.
for n in range(3):
    publisher.publish("end", b"1", 1).wait_for_publish(30)
got = [client.got.get(timeout=30) for _ in range(5)]
seen = sorted(message.qos for message in got if message.topic == "fleet")
for client in (client, publisher):
    client.disconnect()
    client.loop_stop()
print("RabbitMQ 3.10.8, QoS of what one message of QoS 1 becomes:", seen)
assert seen == [0, 1]
EOF
