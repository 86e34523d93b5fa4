#!/usr/bin/env bash
# A good engineer would guess: where mosquitto puts a prefix before the topics of some clients (mount_point of a listener, or a bridge with
# MQTT 5 and a prefix), it puts it before the response topic of their requests too, so that who answers there is heard.
#
# mosquitto 2.0.11 passes the response topic on as it was: the request gets through, the answer goes to a topic that the asker does not have
# (answers/me rather than team/answers/me; over the bridge board-7/board-7/answers/me). Neither side learns of it.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check paho-mqtt==2.2.0
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
central=$(port) team=$(port) board=$(port)
common="allow_anonymous true\nuser $(id -un)\n"
printf "${common}listener %s 127.0.0.1\nlistener %s 127.0.0.1\nmount_point team/\n" "$central" "$team" > central.conf
printf "${common}listener %s 127.0.0.1\nconnection up\naddress 127.0.0.1:%s\nbridge_protocol_version mqttv50\ntopic # both 1 \"\" board-7/\n" "$board" "$central" > board.conf
export LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu
for broker in central board; do root/usr/sbin/mosquitto -c $broker.conf 2>$broker.log & done
for wanted in "$central" "$team" "$board"; do
    for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $wanted))" 2>/dev/null && break; sleep 0.1; done
done
venv/bin/python - "$central" "$team" "$board" <<'EOF'
import queue, sys
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes

central, team, board = map(int, sys.argv[1:])
clients = []

def connected(port, filter):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.got, told = queue.Queue(), queue.Queue()
    client.on_connect = client.on_subscribe = lambda *arguments: told.put(arguments)
    client.on_message = lambda c, u, message: client.got.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    told.get(timeout=10)
    client.subscribe(filter, 1)
    told.get(timeout=10)
    clients.append(client)
    return client

def asked(asker_port, topic, answers, responder_port, seen_as):
    """The response topic that a responder sees, and whether its answer there reaches the asker."""
    asker, responder = connected(asker_port, answers), connected(responder_port, seen_as)
    properties = mqtt.Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = answers
    asker.publish(topic, b"question", 1, properties=properties).wait_for_publish(10)
    told = responder.got.get(timeout=10).properties.ResponseTopic
    responder.publish(told, b"answer", 1).wait_for_publish(10)
    try:
        return told, asker.got.get(timeout=3).payload == b"answer"
    except queue.Empty:
        return told, False

# A retained message comes over the bridge once it is there.
connected(central, "none").publish("board-7/ready", b"1", 1, retain=True).wait_for_publish(10)
connected(board, "ready").got.get(timeout=60)
seen = {"no prefix": asked(central, "request", "answers/me", central, "request"),
        "mount point": asked(team, "request", "answers/me", central, "team/request"),
        "bridge": asked(central, "board-7/request", "board-7/answers/me", board, "request")}
for client in clients:
    client.disconnect()
    client.loop_stop()
print("mosquitto 2.0.11, response topic as the responder sees it, and whether the answer arrives:", seen)
assert seen == {"no prefix": ("answers/me", True), "mount point": ("answers/me", False), "bridge": ("board-7/answers/me", False)}
EOF
