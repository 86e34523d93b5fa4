#!/usr/bin/env bash
# A good engineer would guess: a GeoJSON source of MapLibre keeps the ids of Features, which are texts or numbers (RFC 7946), or drops texts,
# since vector tiles have numbers alone.
#
# MapLibre GL JS 5.24.1 gives each Feature the number that its text begins with: of "1a-1", "1a-2", "2-x" and "b" two are 1, so a state that is
# set for one is set for both, and nothing is said. `promoteId: "id"` with the id as a property, too, keeps texts.
# Needs: Chromium, Node.js 20.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-audit --no-fund maplibre-gl@5.24.1 playwright-core >/dev/null 2>&1
cat >look.mjs <<'EOF'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

const code = readFileSync('node_modules/maplibre-gl/dist/maplibre-gl.js')
const server = createServer(({ url }, answer) =>
  url === '/maplibre.js' ? answer.setHeader('Content-Type', 'text/javascript').end(code)
    : answer.setHeader('Content-Type', 'text/html').end('<div id="map" style="width:300px;height:200px"></div><script src="/maplibre.js"></script>'))
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const args = ['--headless', '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader']
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args })
const page = await browser.newPage()
await page.goto(`http://127.0.0.1:${server.address().port}/`)
const ids = (more) => page.evaluate((more) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error('never idle')), 40_000)
  const feature = (id, x) => ({ type: 'Feature', id, properties: { id }, geometry: { type: 'Point', coordinates: [x, 47] } })
  const data = { type: 'FeatureCollection', features: ['1a-1', '1a-2', '2-x', 'b'].map((id, n) => feature(id, 9 + n * 0.01)) }
  document.querySelector('#map').replaceChildren()
  const map = new maplibregl.Map({ container: 'map', center: [9.015, 47], zoom: 11, style: { version: 8, sources: {}, layers: [] } })
  map.on('load', () => {
    map.addSource('s', { type: 'geojson', data, ...more })
    map.addLayer({ id: 'l', type: 'circle', source: 's' })
    map.once('idle', () => resolve(map.queryRenderedFeatures({ layers: ['l'] }).map(({ id, properties }) => [properties.id, id]).sort()))
  })
}), more)
const [plain, promoted] = [await ids({}), await ids({ promoteId: 'id' })]
console.log('without promoteId:', JSON.stringify(plain))
console.log('with promoteId:   ', JSON.stringify(promoted))
await browser.close()
server.close()
assert.deepEqual(promoted.map(([, id]) => id), ['1a-1', '1a-2', '2-x', 'b'])
assert.deepEqual(plain.slice(0, 3), [['1a-1', 1], ['1a-2', 1], ['2-x', 2]], 'this has changed')
EOF
node look.mjs
