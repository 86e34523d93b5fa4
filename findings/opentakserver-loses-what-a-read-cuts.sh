#!/usr/bin/env bash
# A good engineer would guess: a TAK server reads a stream. Where an event ends and the next begins in what is read at once does not matter.
#
# OpenTAKServer 1.7.14 keeps the beginning of an event for the next read only when nothing else was read with it. Behind a whole event it
# is thrown away, and with it the event, of which only a line in the log tells. So who sends events without a pause loses some of them.
# Seen at RabbitMQ's exchange "firehose", where OpenTAKServer puts every event that it has taken from a client.
# Needs: apt-get install rabbitmq-server
set -euo pipefail
work=$(mktemp -d)
cd "$work"
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check opentakserver==1.7.14
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# OpenTAKServer wants RabbitMQ at its usual port: at an address where nobody else is.
address=127.$((RANDOM % 254 + 1)).$((RANDOM % 254 + 1)).1
echo '[].' > plugins
printf '%s\n' "listeners.tcp.1 = $address:5672" 'distribution.listener.interface = 127.0.0.1' > rabbitmq.conf
export ERL_EPMD_PORT=$(port) ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=finding@localhost RABBITMQ_DIST_PORT=$(port) \
    RABBITMQ_MNESIA_BASE=$work/mnesia RABBITMQ_LOG_BASE=$work RABBITMQ_ENABLED_PLUGINS_FILE=$work/plugins \
    RABBITMQ_CONFIG_FILE=$work/rabbitmq RABBITMQ_CONF_ENV_FILE=$work/absent
HOME=$work /usr/lib/rabbitmq/bin/rabbitmq-server >log 2>&1 &
trap 'kill $(jobs -p) 2>/dev/null || true; wait; epmd -kill >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
until python3 -c "import socket; socket.create_connection(('$address', 5672))" 2>/dev/null; do kill -0 %1; sleep 0.2; done
export OTS_DATA_FOLDER=$work/ots OTS_RABBITMQ_SERVER_ADDRESS=$address OTS_STREAMING_INTERFACE=127.0.0.1 OTS_TCP_STREAMING_PORT=$(port) \
    SQLALCHEMY_DATABASE_URI=sqlite://
mkdir ots
venv/bin/python - "$address" <<'EOF'
import sys
import pika
channel = pika.BlockingConnection(pika.ConnectionParameters(host=sys.argv[1])).channel()
# As OpenTAKServer's main program does when it starts.
channel.exchange_declare("cot_parser", durable=True, exchange_type="direct")
channel.exchange_declare("firehose", durable=True, exchange_type="fanout")
EOF
venv/bin/eud_handler >ots.log 2>&1 &
venv/bin/python - "$address" "$OTS_TCP_STREAMING_PORT" <<'EOF'
import datetime, json, re, socket, sys, time
import pika

channel = pika.BlockingConnection(pika.ConnectionParameters(host=sys.argv[1])).channel()
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, "firehose")

def event(uid):
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (t.strftime("%Y-%m-%dT%H:%M:%S.000Z") for t in [now, now + datetime.timedelta(minutes=5)])
    return (f'<event version="2.0" uid="{uid}" type="u-d-f" how="m-g" time="{begin}" start="{begin}" stale="{end}">'
            '<point lat="1" lon="2" hae="0" ce="9999999.0" le="9999999.0"/><detail><remarks>a shape</remarks></detail></event>').encode()

while True:
    try:
        stream = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
        break
    except ConnectionRefusedError:
        time.sleep(0.2)
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
heard = []

def hears(uid, seconds=120):
    begin = time.monotonic()
    while uid not in heard and time.monotonic() - begin < seconds:
        body = channel.basic_get(queue, auto_ack=True)[2]
        if body:
            heard.append(re.search('uid="([^"]*)"', json.loads(body)["cot"])[1])
        time.sleep(0.01)
    assert uid in heard, (uid, heard)

# An event alone, in two parts: it arrives.
whole = event("cut-alone")
stream.sendall(whole[:100])
time.sleep(1)
stream.sendall(whole[100:])
hears("cut-alone")
# Three events one after another, in two parts.
cut = event("cut-behind-another")
stream.sendall(event("first") + cut[:100])
hears("first")
stream.sendall(cut[100:] + event("third"))
hears("third")
print("OpenTAKServer 1.7.14 took:", *heard)
assert heard == ["cut-alone", "first", "third"]
EOF
