#!/usr/bin/env bash
# A good engineer would guess: an event of some 9,800 bytes reaches the other clients of a TAK server at once, over TLS as over TCP.
#
# taky 0.10 waits for the socket with select() and then takes 4,096 bytes of a TLS record. The rest lies in the TLS library, where
# select() does not see it: the event is passed on only when its sender sends the next one. In records of at most 4,096 bytes the
# same event is passed on at once.
set -euo pipefail
work=$(mktemp -d)
trap 'kill "${taky:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check setuptools==65.5.0 taky==0.10
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >taky.conf <<EOF
[taky]
hostname=localhost
bind_ip=127.0.0.1
root_dir=$work
redis=false
[cot_server]
port=$port
[dp_server]
upload_path=$work/dp
[ssl]
enabled=true
client_cert_required=true
ca=$work/cert.pem
cert=$work/cert.pem
key=$work/key.pem
cert_db=$work/db
EOF
# Its monitor has a fixed port unless there is no address for it; nobody else's shall be in the way.
sed -i '/^port=/a mon_ip' taky.conf
venv/bin/taky -c taky.conf -l error >log 2>&1 &
taky=$!
python3 - "$port" <<'EOF'
import datetime, socket, ssl, sys, threading, time

def event(uid, kind, detail):
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (t.strftime("%Y-%m-%dT%H:%M:%S.000Z") for t in [now, now + datetime.timedelta(minutes=5)])
    return (f'<event version="2.0" uid="{uid}" type="{kind}" how="m-g" time="{begin}" start="{begin}" stale="{end}">'
            f'<point lat="1" lon="2" hae="0" ce="9999999.0" le="9999999.0"/><detail>{detail}</detail></event>').encode()

def client(name):
    context = ssl.create_default_context(cafile="cert.pem")
    context.load_cert_chain("cert.pem", "key.pem")
    for _ in range(100):
        try:
            tcp = socket.create_connection(("localhost", int(sys.argv[1])))
            break
        except ConnectionRefusedError:
            time.sleep(0.1)
    tls = context.wrap_socket(tcp, server_hostname="localhost")
    tls.sendall(event(name, "a-f-G-U-C", f'<takv device="x" platform="x" os="x" version="1"/><contact callsign="{name}" '
                                         'endpoint="*:-1:stcp"/><__group name="Cyan" role="Team Member"/>'))
    time.sleep(1)
    return tls

listener, sender = client("listener"), client("sender")
heard = b""
def listen():
    global heard
    while True:
        heard += listener.recv(65536)
threading.Thread(target=listen, daemon=True).start()

def arrives(uid, seconds):
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if f'uid="{uid}"'.encode() in heard:
            return True
        time.sleep(0.01)
    return False

links = '<link point="1,2"/>' * 500
whole, parts = event("one-record", "u-d-f", links), event("small-records", "u-d-f", links)
sender.sendall(whole)
print(f"taky 0.10, {len(whole)} bytes in one record, seen within 3 s:", at_once := arrives("one-record", 3))
sender.sendall(event("next", "u-d-f", ""))
print("seen after the next event:", later := arrives("one-record", 3))
for begin in range(0, len(parts), 4096):
    sender.sendall(parts[begin:begin + 4096])
print("in records of 4096 bytes, seen within 3 s:", small := arrives("small-records", 3))
assert (at_once, later, small) == (False, True, True)
EOF
