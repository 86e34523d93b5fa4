#!/usr/bin/env bash
# A good engineer would guess: mosquitto_sub -F %J, whose manual says that the payload is printed unquoted and unescaped, prints the
# payload's numbers as they came.
#
# mosquitto_sub 2.0.11 reads and writes them anew, with 15 digits: whole numbers beyond become others, 2.50 becomes 2.5, and what is
# beyond a double becomes null. %p gives the payload itself.
set -euo pipefail
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
apt-get -qq download mosquitto=2.0.11-1.2+deb12u2 mosquitto-clients=2.0.11-1.2+deb12u2 libmosquitto1=2.0.11-1.2+deb12u2 \
    libdlt2 libwrap0 libcjson1 2>/dev/null
for deb in *.deb; do dpkg -x "$deb" root; done
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser %s\n' "$port" "$(id -un)" > broker.conf
export LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu:root/lib/x86_64-linux-gnu
root/usr/sbin/mosquitto -c broker.conf 2>log &
for _ in $(seq 50); do python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && break; sleep 0.1; done
# Retained, so that it does not matter who comes first.
root/usr/bin/mosquitto_pub -p "$port" -r -q 1 -t t -m '{"id":9007199254740991,"at":[9.172119530000001,47.65],"area":2.50,"far":1e400}'
printed=$(root/usr/bin/mosquitto_sub -p "$port" -t t -C 1 -W 10 -F '%J')
echo "mosquitto_sub 2.0.11 %J: $printed"
[[ "$printed" == *'"payload":{"id":9.00719925474099e+15,"at":[9.17211953,47.65],"area":2.5,"far":null}}' ]]
