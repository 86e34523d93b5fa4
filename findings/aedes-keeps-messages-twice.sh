#!/usr/bin/env bash
# A good engineer would guess: a message that two filters of a client match arrives as often when the client was away as when it was
# there.
#
# aedes 1.2.0 delivers it once to a client that is there, and stores it once for each filter for one that is away, which then gets it
# twice, without the DUP flag.
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
const options = { clientId: 'away', clean: false };
const first = await connected(options), live = [], late = [];
first.on('message', (topic, payload) => live.push(payload.toString()));
await first.subscribeAsync(['fleet/#', 'fleet/answer'], { qos: 1 });
await publisher.publishAsync('fleet/answer', 'there', { qos: 1 });
await publisher.publishAsync('fleet/end', 'end', { qos: 1 });
while (!live.includes('end')) await once(first, 'message');
await first.endAsync();
await publisher.publishAsync('fleet/answer', 'away', { qos: 1 });
await publisher.publishAsync('fleet/end', 'end', { qos: 1 });
const second = mqtt.connect(`mqtt://127.0.0.1:${server.address().port}`, options);
second.on('message', (topic, payload, packet) => late.push([payload.toString(), packet.dup]));
while (!late.some(([payload]) => payload === 'end')) await once(second, 'message');
const seen = { there: live.filter((text) => text === 'there').length, away: late.filter(([text]) => text === 'away') };
console.log('aedes 1.2.0, times it arrived when there; payload and DUP when away:', JSON.stringify(seen));
assert.deepEqual(seen, { there: 1, away: [['away', false], ['away', false]] });
process.exit();
EOF
timeout 60 node probe.mjs
