#!/usr/bin/env bash
# A good engineer would guess: the time that mosquitto_sub -F %j writes of a message is ISO 8601, as in its manual
# (2020-05-06T22:12:00.000000+0100), so that any program can read it.
#
# mosquitto_sub 2.0.11 writes Z and an offset, 2020-05-06T21:12:00.000000Z+0100, which neither Python nor JavaScript takes.
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
root/usr/bin/mosquitto_pub -p "$port" -r -q 1 -t t -m hello
TZ=XXX-1 root/usr/bin/mosquitto_sub -p "$port" -t t -C 1 -W 10 -F '%j' | python3 -c '
import datetime, json, sys, time
at = json.load(sys.stdin)["tst"]
try:
    datetime.datetime.fromisoformat(at)
    error = None
except ValueError as raised:
    error = raised
ends = at[26:]
clock = datetime.datetime.strptime(at[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc).timestamp()
ahead = round((clock - time.time()) / 3600)
print(f"mosquitto_sub 2.0.11, one hour east of Greenwich: {at} ({ahead} hours ahead of UTC), read in Python: {error}")
assert ends == "Z+0100" and error is not None
'
