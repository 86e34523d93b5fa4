#!/usr/bin/env bash
# A good engineer would guess: publish() that returns rc 4 (MQTT_ERR_NO_CONN), and whose wait_for_publish() raises, has not taken
# the message, so it has to be published again once the connection stands.
#
# paho-mqtt 2.2.0 keeps a QoS 1 message all the same and sends it on connecting, while the handle goes on saying that it failed:
# who publishes again sends twice.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check paho-mqtt==2.2.0
"$work/venv/bin/python" - <<'EOF'
import socket, threading
import paho.mqtt.client as mqtt

# As much of an MQTT 3.1.1 broker as one client needs.
server = socket.create_server(("127.0.0.1", 0))
published, arrived = [], threading.Event()
def serve():
    link, _ = server.accept()
    data = b""
    while True:
        got = link.recv(1000)
        if not got:
            return
        data += got
        while len(data) > 1 and len(data) >= 2 + data[1]:
            packet, data = data[:2 + data[1]], data[2 + data[1]:]
            if packet[0] >> 4 == 1:
                link.sendall(b"\x20\2\0\0")
            if packet[0] >> 4 == 3:
                published.append(packet[7:])
                link.sendall(b"\x40\2" + packet[5:7])
                arrived.set()
threading.Thread(target=serve, daemon=True).start()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="c")
acknowledged = threading.Event()
client.on_publish = lambda *arguments: acknowledged.set()
handle = client.publish("t", b"one", 1)
try:
    handle.wait_for_publish(1)
    raised = None
except RuntimeError as error:
    raised = error
client.connect("127.0.0.1", server.getsockname()[1])
client.loop_start()
assert arrived.wait(10) and acknowledged.wait(10)
try:
    after = handle.is_published()
except RuntimeError as error:
    after = error
print(f"paho-mqtt 2.2.0: rc {handle.rc}, waiting: {raised!r}; the broker got {published}; the handle afterwards: {after!r}")
assert handle.rc == mqtt.MQTT_ERR_NO_CONN and isinstance(raised, RuntimeError)
assert published == [b"one"] and isinstance(after, RuntimeError)
EOF
