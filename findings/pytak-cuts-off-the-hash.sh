#!/usr/bin/env bash
# A good engineer would guess: COT_URL=mqtt+ro://HOST:PORT/fleet/cot/# subscribes to the topic filter fleet/cot/#, or the URL is
# refused because of the #.
#
# PyTAK 7.6.1 takes # and what follows for a URL fragment and subscribes to fleet/cot/ (one topic that nobody uses), without a
# word. The other wildcard, +, works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check pytak==7.6.1 aiomqtt==2.5.1
"$work/venv/bin/python" -W ignore - <<'EOF'
import asyncio, configparser, logging, socket, threading
import pytak

logging.disable(logging.CRITICAL)
server = socket.create_server(("127.0.0.1", 0))

def subscribed_filter(found, asked):
    """As much of a broker as shows which filter is asked for."""
    link, _ = server.accept()
    data = b""
    while got := link.recv(1000):
        data += got
        while len(data) > 1 and len(data) >= 2 + data[1]:
            packet, data = data[:2 + data[1]], data[2 + data[1]:]
            if packet[0] >> 4 == 1:
                link.sendall(b"\x20\3\0\0\0" if packet[8] == 5 else b"\x20\2\0\0")
            if packet[0] >> 4 == 8:
                at = packet.index(b"fleet")
                found.append(packet[at:at + int.from_bytes(packet[at - 2:at], "big")].decode())
                link.sendall(b"\x90\3" + packet[2:4] + b"\0")
                asked.set()

async def listen(topic):
    found, asked = [], threading.Event()
    threading.Thread(target=subscribed_filter, args=(found, asked), daemon=True).start()
    config = configparser.ConfigParser()
    config["probe"] = {"COT_URL": f"mqtt+ro://127.0.0.1:{server.getsockname()[1]}/{topic}", "MQTT_CLIENT_ID": "probe"}
    tool = pytak.CLITool(config["probe"])
    await tool.setup()
    running = asyncio.create_task(tool.run())
    await asyncio.to_thread(asked.wait, 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found[0]

seen = {topic: asyncio.run(listen(topic)) for topic in ("fleet/cot/#", "fleet/cot/+")}
print("PyTAK 7.6.1, filters asked for and subscribed:", seen)
assert seen == {"fleet/cot/#": "fleet/cot/", "fleet/cot/+": "fleet/cot/+"}
EOF
