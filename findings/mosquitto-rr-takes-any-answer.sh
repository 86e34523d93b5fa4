#!/usr/bin/env bash
# A good engineer would guess: mosquitto_rr, told to send correlation data with its request, waits for the answer that bears the
# same correlation data: that is what MQTT 5 (4.10) has it for.
#
# mosquitto_rr 2.0.11 takes whatever comes first on the response topic for the answer, here one with the correlation data of
# another request, prints it, and ends with success. Two that ask at once on one response topic get each other's answers.
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
# Whoever answers waits for the request, and answers another one.
{
    root/usr/bin/mosquitto_sub -p "$port" -V 5 -C 1 -W 20 -t request -F '%R %D' > request
    root/usr/bin/mosquitto_pub -p "$port" -V 5 -t response -D publish correlation-data of-another -m 'the answer to another request'
} &
for _ in $(seq 50); do grep -q request log && break; sleep 0.1; done
sleep 1
status=0
answer=$(root/usr/bin/mosquitto_rr -p "$port" -V 5 -W 20 -t request -e response -D publish correlation-data mine -m question -F '%D: %p') || status=$?
echo "mosquitto_rr 2.0.11, response topic and correlation data asked with: $(cat request); answer: $answer; status $status"
[ "$(cat request)" = "response mine" ] && [ "$answer" = "of-another: the answer to another request" ] && [ "$status" = 0 ]
