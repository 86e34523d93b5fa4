#!/usr/bin/env bash
# A good engineer would guess: a client with two filters that match a topic gets the message with the higher QoS of the two (MQTT 3.1.1,
# 3.3.5), or once for each.
#
# aedes 1.2.0 delivers it once, with QoS 0, when one of them has 0: whoever keeps a log of all (geosam/#, say, at QoS 0) beside a
# subscription of QoS 1 on one connection has lost the second's delivery guarantee.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund aedes@1.2.0 mqtt@5.16.0
cat > probe.mjs <<'EOF'
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';

const broker = await Aedes.createBroker();
const server = createServer(broker.handle).listen(0, '127.0.0.1');
await once(server, 'listening');
const connected = (options) => mqtt.connectAsync(`mqtt://127.0.0.1:${server.address().port}`, options);
const publisher = await connected({});
const delivered = async (first, second) => {
    const client = await connected({}), got = [];
    client.on('message', (topic, payload, packet) => got.push([payload.toString(), packet.qos]));
    await client.subscribeAsync('fleet/#', { qos: first });
    await client.subscribeAsync('fleet/answer', { qos: second });
    await client.subscribeAsync('end', { qos: 1 });
    await publisher.publishAsync('fleet/answer', 'answer', { qos: 1 });
    await publisher.publishAsync('end', 'end', { qos: 1 });
    while (!got.some(([payload]) => payload === 'end')) await once(client, 'message');
    await client.endAsync();
    return got.filter(([payload]) => payload === 'answer').map(([, qos]) => qos);
};
const seen = { '0 and 1': await delivered(0, 1), '1 and 0': await delivered(1, 0), '1 and 1': await delivered(1, 1) };
console.log('aedes 1.2.0, QoS of what arrives, by the QoS of fleet/# and fleet/answer:', JSON.stringify(seen));
assert.deepEqual(seen, { '0 and 1': [0], '1 and 0': [0], '1 and 1': [1] });
process.exit();
EOF
timeout 60 node probe.mjs
