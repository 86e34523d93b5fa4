#!/usr/bin/env bash
# A good engineer would guess: a QoS 1 message that is sent again after a lost connection carries the DUP flag, as MQTT demands
# (3.3.1-1), so that whoever counts or looks for repeats can tell.
#
# MQTT.js 5.16.0 sends it again with the same packet id and without DUP, in a session that the broker has resumed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund mqtt@5.16.0
node - <<'EOF'
const net = require('net');
const mqtt = require('mqtt');

// As much of a broker as takes one message, loses the connection before PUBACK, and resumes the session.
let connections = 0;
const published = [];
const server = net.createServer((link) => {
  const mine = ++connections;
  let data = Buffer.alloc(0);
  link.on('error', () => {});
  link.on('data', (got) => {
    data = Buffer.concat([data, got]);
    while (data.length > 1 && data.length >= 2 + data[1]) {
      const packet = data.subarray(0, 2 + data[1]);
      data = data.subarray(2 + data[1]);
      if (packet[0] >> 4 === 1) link.write(Buffer.from([0x20, 2, mine > 1 ? 1 : 0, 0]));
      if (packet[0] >> 4 === 3) {
        published.push(packet.toString('hex'));
        if (mine === 1) link.destroy(); else link.write(Buffer.from([0x40, 2, packet[5], packet[6]]));
      }
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  const url = `mqtt://127.0.0.1:${server.address().port}`;
  const client = mqtt.connect(url, { clientId: 'c', clean: false, protocolVersion: 4, reconnectPeriod: 200 });
  client.publish('t', 'x', { qos: 1 }, (error) => {
    console.log('MQTT.js 5.16.0 sent (32 is QoS 1, 3a the same with DUP):', published, error || '');
    process.exit(published.length === 2 && published[0] === published[1] && published[1].startsWith('32') ? 0 : 1);
  });
});
setTimeout(() => { console.log('no acknowledgement came', published); process.exit(1); }, 20000);
EOF
