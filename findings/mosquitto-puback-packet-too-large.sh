#!/usr/bin/env bash
# A good engineer would guess: a broker that will not take a QoS 1 message answers with one of the nine reason codes that
# MQTT 5 lists for PUBACK (0x97, quota exceeded, say), and to an MQTT 3.1.1 client, which cannot be told, gives no PUBACK or
# closes the connection.
#
# mosquitto 2.0.11 with message_size_limit: reason code 0x95 (packet too large), which MQTT 5 (3.4.2.1) does not have for PUBACK,
# so that clients which map codes to an enumeration fail on it. An MQTT 3.1.1 client gets an ordinary PUBACK, and the message
# is dropped.
set -euo pipefail
work=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nmessage_size_limit 1000\nuser %s\n' "$port" "$(id -un)" > broker.conf
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
python3 - "$port" <<'EOF'
import socket, struct, sys

def text(value):
    return struct.pack(">H", len(value)) + value

def packet(first, body):
    length, out = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        out += bytes([digit | (128 if length else 0)])
        if not length:
            return bytes([first]) + out + body

def puback(level, size):
    """The answer to a retained message, and whether a subscriber gets it afterwards."""
    properties = b"\0" if level == 5 else b""
    link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    link.settimeout(5)
    link.sendall(packet(0x10, text(b"MQTT") + bytes([level, 2, 0, 30]) + properties + text(b"probe")))
    link.recv(100)
    topic = text(f"t/{level}/{size}".encode())
    link.sendall(packet(0x33, topic + struct.pack(">H", 7) + properties + b"x" * size))
    answer = link.recv(100).hex()
    link.sendall(packet(0x82, struct.pack(">H", 8) + properties + topic + b"\1") + b"\xc0\0")
    # PINGRESP comes last, so what is retained has come before it.
    after = b""
    while not after.endswith(b"\xd0\0"):
        after += link.recv(4096)
    return answer, b"xxx" in after

seen = {(level, size): puback(level, size) for level in (5, 4) for size in (20, 2000)}
print("mosquitto 2.0.11, answer and delivery by protocol level and payload size:", seen)
assert seen[5, 2000] == ("4003000795", False), "PUBACK with reason code 0x95"
assert seen[4, 20] == ("40020007", True) and seen[4, 2000] == ("40020007", False), "a plain PUBACK for both"
EOF
