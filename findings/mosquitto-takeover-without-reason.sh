#!/usr/bin/env bash
# A good engineer would guess: an MQTT 5 client whose client id connects a second time is told so by a DISCONNECT with
# reason code 0x8E (session taken over), as MQTT 5 (3.1.4-3) has it, and so can stop instead of connecting again.
#
# mosquitto 2.0.11 closes the first connection without a DISCONNECT. Two clients with one id look to each other like a bad
# network, and throw each other out for ever.
set -euo pipefail
work=$(mktemp -d)
trap 'kill %1 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 libdlt2 libwrap0 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser %s\n' "$port" "$(id -un)" > broker.conf
LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
python3 - "$port" <<'EOF'
import socket, sys

def connected():
    link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    link.settimeout(5)
    body = b"\0\4MQTT\5\2\0\x1e\0" + b"\0\4same"
    link.sendall(bytes([0x10, len(body)]) + body)
    assert link.recv(100)[0] == 0x20
    return link

first = connected()
second = connected()
last = first.recv(100)
print("mosquitto 2.0.11, what the first client still gets:", last.hex() or "nothing, the connection is closed")
assert last == b""
EOF
