#!/usr/bin/env bash
# A good engineer would guess: mosquitto_sub -W SECONDS listens for that long, prints what comes, and ends with success, as a program
# does that has done what it was told; or at least a status tells messages from none.
#
# mosquitto_sub 2.0.11 ends with 27 and "Timed out" either way: a script with set -e stops there, though all has been printed.
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
root/usr/bin/mosquitto_pub -p "$port" -r -q 1 -t something -m hello
for topic in something nothing; do
    status=0
    printed=$(root/usr/bin/mosquitto_sub -p "$port" -t "$topic" -W 2 2>>errors) || status=$?
    echo "mosquitto_sub 2.0.11 -t $topic -W 2: printed '$printed', status $status" | tee -a seen
done
grep -q "something -W 2: printed 'hello', status 27$" seen && grep -q "nothing -W 2: printed '', status 27$" seen
