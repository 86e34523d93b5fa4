#!/usr/bin/env bash
# A good engineer would guess: the filter board-7/# matches board-7 and what is below it, and not board-70: `#` stands for whole levels
# (MQTT 5, 4.7.1). And `+` matches a level that is empty.
#
# mqtt-regex 1.1.0 takes messages of board-70 and board-7x for those of board-7, with "0" as the first level of what is below; an empty level
# matches no `+`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund mqtt-regex@1.1.0
cat > probe.cjs <<'EOF'
const assert = require('node:assert/strict');
const mqtt_regex = require('mqtt-regex');

const below = (topic) => mqtt_regex('geosam/board-7/#rest').exec(topic)?.rest ?? null;
const topics = ['geosam/board-7', 'geosam/board-7/status', 'geosam/board-8/status', 'geosam/board-70/status'];
const seen = [...topics.map(below), Boolean(mqtt_regex('a/+level/b').exec('a//b'))];
console.log(`mqtt-regex 1.1.0, what board-7/# makes of ${topics}, and whether a/+/b matches a//b:`, seen);
assert.deepEqual(seen, [[], ['status'], null, ['0', 'status'], false]);
EOF
node probe.cjs
