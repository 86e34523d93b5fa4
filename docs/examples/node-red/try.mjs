// Tries the flow beside it with the real things: Node-RED with its map, Chromium, Debian's mosquitto, and the program that cargo
// has built (GEOSAM_EDGE, or target/debug/geosam-edge) with the demo card. Clicks, draws, saves, and compares what the map
// shows with what the command line answers.
//
//   (cd web && npm ci) && node docs/examples/node-red/try.mjs [PICTURE.png]
//
// Node-RED is installed below target/. The picture has the scene behind the shapes where gdalwarp is installed.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Board, Broker, ROOT, SCENE, commandLine, freePort, launchBrowser, pause, until } from '../../../web/tests/parts.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const NODE_RED = process.env.GEOSAM_NODE_RED ?? join(ROOT, 'target/node-red')
const VERSIONS = ['node-red@4.1.15', 'node-red-contrib-web-worldmap@5.8.1']
const LAYER = 'worldmap'
const picture = process.argv[2]

if (!existsSync(join(NODE_RED, 'node_modules/node-red'))) {
  mkdirSync(NODE_RED, { recursive: true })
  execFileSync('npm', ['install', '--prefix', NODE_RED, '--no-audit', '--no-fund', ...VERSIONS], { stdio: 'inherit' })
}

/** Node-RED with the flow, told where broker and board are. */
class NodeRed {
  static async start(broker) {
    const red = new NodeRed()
    red.dir = mkdtempSync(join(tmpdir(), 'geosam-node-red-'))
    red.port = await freePort()
    const flow = JSON.parse(readFileSync(join(HERE, 'flow.json'), 'utf8'))
    flow.find((node) => node.type === 'mqtt-broker').port = String(broker.port)
    flow.find((node) => node.type === 'tab').env.find(({ name }) => name === 'BOARD').value = 'b1'
    writeFileSync(join(red.dir, 'flows.json'), JSON.stringify(flow))
    mkdirSync(join(red.dir, 'public'))
    const settings = { flowFile: 'flows.json', uiHost: '127.0.0.1', uiPort: red.port, httpStatic: join(red.dir, 'public'), telemetry: { enabled: false } }
    writeFileSync(join(red.dir, 'settings.js'), `module.exports = ${JSON.stringify(settings)}`)
    const words = [join(NODE_RED, 'node_modules/node-red/red.js'), '--userDir', red.dir, '--settings', join(red.dir, 'settings.js')]
    red.child = spawn(process.execPath, words, { cwd: NODE_RED, stdio: ['ignore', 'pipe', 'pipe'] })
    red.log = ''
    for (const stream of [red.child.stdout, red.child.stderr]) stream.on('data', (text) => (red.log += text))
    await until('Node-RED', () => red.log.includes('Started flows') && red.log.includes('Connected to broker'), 60_000)
    return red
  }

  /** The scene as a picture in the map's own projection, with its corners; nothing without GDAL. */
  backdrop() {
    const warped = join(this.dir, 'scene-3857.tif')
    try {
      execFileSync('gdalwarp', ['-q', '-t_srs', 'EPSG:3857', '-r', 'bilinear', '-dstalpha', join(SCENE, 'scene.tif'), warped])
    } catch {
      return undefined
    }
    execFileSync('gdal_translate', ['-q', '-of', 'PNG', warped, join(this.dir, 'public/scene.png')], { env: { ...process.env, GDAL_PAM_ENABLED: 'NO' } })
    const corners = JSON.parse(execFileSync('gdalinfo', ['-json', warped], { encoding: 'utf8' })).cornerCoordinates
    const degrees = ([x, y]) => [(360 / Math.PI) * Math.atan(Math.exp(y / 6378137)) - 90, (x / 6378137) * (180 / Math.PI)]
    // Without `opt` the overlay is passed over.
    return { overlay: 'scene', url: '/scene.png', bounds: [degrees(corners.lowerLeft), degrees(corners.upperRight)], opt: {} }
  }

  async end() {
    this.child.kill('SIGTERM')
    await until('the end of Node-RED', () => this.child.exitCode !== null || this.child.signalCode !== null)
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** The map in a browser. Its variables are globals of the page: `map`, `markers`. */
class WorldMap {
  static async open(browser, url) {
    const world = new WorldMap()
    world.page = await (await browser.newContext({ viewport: { width: 1000, height: 700 } })).newPage()
    // Offline, as in the field.
    await world.page.route('**/*', (route) => (new URL(route.request().url()).hostname === '127.0.0.1' ? route.continue() : route.abort()))
    world.complaints = []
    world.page.on('pageerror', (error) => world.complaints.push(String(error)))
    await world.page.goto(url)
    await until('the board’s imagery in view', () => world.page.evaluate(() => map.getBounds().contains([47.6528, 9.1721]) && map.getZoom() > 14))
    await until('the menu', () => world.page.evaluate(() => addmenu.includes('This object')))
    await pause(1500)
    return world
  }

  /** A shape as the map holds it; nothing where there is none. */
  shape(name) {
    return this.page.evaluate((name) => markers[name]?.toGeoJSON?.(), name)
  }

  names() {
    return this.page.evaluate(() => Object.keys(markers))
  }

  legend() {
    return this.page.evaluate(() => document.querySelector('.legend')?.textContent ?? '')
  }

  async pixel([lon, lat]) {
    return this.page.evaluate(([lat, lon]) => {
      const [at, box] = [map.latLngToContainerPoint([lat, lon]), map.getContainer().getBoundingClientRect()]
      return { x: at.x + box.left, y: at.y + box.top }
    }, [lat, lon])
  }

  /** A right click, and a button of the menu that it opens. */
  async choose(position, button) {
    const { x, y } = await this.pixel(position)
    // Two right clicks within 300 ms zoom out.
    await pause(400)
    await this.page.mouse.click(x, y, { button: 'right' })
    await this.page.click(`.leaflet-popup button:text-is("${button}")`)
  }

  async draw([west, south, east, north]) {
    await this.page.evaluate(() => {
      map.addLayer(overlays.drawing)
      map.pm.enableDraw('Rectangle')
    })
    const [from, to] = [await this.pixel([west, north]), await this.pixel([east, south])]
    // As a hand does it: the corners are where the pointer was seen last.
    for (const { x, y } of [from, to]) {
      await this.page.mouse.move(x - 4, y - 4)
      await pause(100)
      await this.page.mouse.move(x, y, { steps: 3 })
      await pause(400)
      await this.page.mouse.click(x, y)
    }
    await this.page.click('.leaflet-popup button:text-is("Object in this box")')
  }
}

/** Positions that are the same but for the last digits. */
function assertSame(shown, wanted) {
  assert.equal(shown.length, wanted.length)
  for (const [n, feature] of shown.entries()) {
    const [a, b] = [feature, wanted[n]].map(({ geometry }) => geometry.coordinates.flat(Infinity))
    assert.equal(a.length, b.length)
    for (const [k, value] of a.entries()) assert.ok(Math.abs(value - b[k]) < 1e-6, `${value} and ${b[k]}`)
  }
}

const truth = JSON.parse(readFileSync(join(SCENE, 'truth.geojson'), 'utf8')).features
const kind = (wanted) => truth.filter(({ properties }) => properties.kind === wanted)
const bounds = ({ geometry }) => {
  const flat = geometry.coordinates.flat(geometry.type === 'Polygon' ? 1 : 2)
  const [x, y] = [0, 1].map((axis) => flat.map((position) => position[axis]))
  return [Math.min(...x), Math.min(...y), Math.max(...x), Math.max(...y)]
}
const output = { crs: 'EPSG:4326', vectorization: 'simplified' }

const broker = await Broker.start()
const board = await Board.start(broker)
let red
let browser
try {
  red = await NodeRed.start(broker)
  browser = await launchBrowser()
  const world = await WorldMap.open(browser, `http://127.0.0.1:${red.port}/worldmap`)

  const pond = kind('pond').find(({ properties: { inside: [x] } }) => x > 9.172)
  const building = kind('building').find(({ properties: { inside: [x, y] } }) => x > 9.17 && x < 9.172 && y > 47.65 && y < 47.654)
  const at = pond.properties.inside
  await world.choose(at, 'This object')
  const shown = await until('the pond', () => world.shape('answer'))
  const clicked = await world.page.evaluate(() => [rclk.lng, rclk.lat])
  assertSame(shown.features, commandLine({ crs: 'EPSG:4326', points: [clicked], output }).result.features)
  assert.match(await until('its area', () => world.legend()), /^score 0\.9\d, \d+ m²$/)
  console.log(`a right click: ${await world.legend()}, as on the command line`)

  await world.choose(at, 'Save')
  const saved = await until('the saved object', () => board.layer(LAYER)[0])
  assert.equal(saved.properties.client, 'node-red-map')
  await until('its shape', () => world.shape(saved.id))
  assertSame((await world.shape(saved.id)).features ?? [await world.shape(saved.id)], [saved])
  await until('the answer to go', async () => !(await world.shape('answer')))
  console.log(`saved as ${saved.id}, shown on the map`)

  const box = bounds(building)
  await world.draw(box)
  const boxed = await until('the building', () => world.shape('answer'))
  assert.equal(boxed.features.length, 1)
  const [a, b] = [bounds(boxed.features[0]), box]
  for (const n of [0, 1, 2, 3]) assert.ok(Math.abs(a[n] - b[n]) < 5e-5, `${a} and ${b}`)
  assert.deepEqual((await world.names()).filter((name) => name.startsWith('Rectangle')), [])
  console.log(`a rectangle: ${await world.legend()}`)

  await world.choose(at, 'Clear')
  await until('nothing', async () => !(await world.shape('answer')))
  // A field, and the pond that is not meant.
  const field = kind('field').find(({ properties: { inside: [x] } }) => x > 9.17)
  await world.choose(field.properties.inside, 'This object')
  await until('the field', () => world.shape('answer'))
  await world.choose(at, 'Not this')
  await until('two marks', async () => (await world.names()).filter((name) => name.startsWith('prompt')).length === 2)
  await world.choose(at, 'Undo')
  await until('one mark', async () => (await world.names()).filter((name) => name.startsWith('prompt')).length === 1)
  console.log('built prompt by prompt, and undone')

  // Outside of the imagery, and outside of all folders.
  const outside = await world.page.evaluate(() => [map.getBounds().getWest() + 1e-4, map.getBounds().getNorth() - 1e-4])
  await world.page.evaluate(() => map.closePopup())
  await world.choose(outside, 'Clear')
  await until('nothing', async () => !(await world.shape('answer')))
  const { x, y } = { x: 500, y: 15 }
  const beyond = await world.page.evaluate(([x, y]) => { const at = map.containerPointToLatLng([x, y]); return [at.lng, at.lat] }, [x, y])
  if (beyond[1] > 47.6554) {
    await world.choose(beyond, 'This object')
    assert.match(await until('a refusal', async () => (await world.legend()).startsWith('NO_CHIP') && (await world.legend())), /NO_CHIP_COVERS: no chip/)
    console.log(`a refusal: ${(await world.legend()).slice(0, 60)}...`)
    await world.choose(at, 'Clear')
  }

  // Another map shows what has been saved before.
  const other = await WorldMap.open(browser, `http://127.0.0.1:${red.port}/worldmap`)
  await until('the saved object on another map', () => other.shape(saved.id))
  assert.equal(await other.shape('answer'), undefined)
  console.log('another map shows what was saved')

  if (picture) {
    const scene = red.backdrop()
    if (scene) {
      await other.page.evaluate((scene) => doCommand({ map: scene }), scene)
      await until('the scene', () => other.page.evaluate(() => document.querySelector('img.leaflet-image-layer')?.naturalWidth > 0))
    }
    for (const shape of [...kind('pond').slice(2, 5), ...kind('building').slice(4, 9)]) {
      await other.choose(shape.properties.inside, 'This object')
      await until('a mask', () => other.shape('answer'))
      await other.choose(shape.properties.inside, 'Save')
      await until('its end', async () => !(await other.shape('answer')))
    }
    await other.choose(kind('wood').find(({ properties: { inside: [x, y] } }) => x > 9.164 && x < 9.17 && y > 47.65 && y < 47.654).properties.inside, 'This object')
    await until('the wood', () => other.shape('answer'))
    const menu = await other.pixel(at)
    await other.page.mouse.click(menu.x, menu.y, { button: 'right' })
    await other.page.waitForSelector('.leaflet-popup button')
    await pause(800)
    await other.page.screenshot({ path: picture })
    console.log(`drawn: ${picture}`)
  }
  const complaints = [...world.complaints, ...other.complaints]
  if (complaints.length > 0) console.log(`the pages complained: ${[...new Set(complaints)].join('; ')}`)
  console.log('1 passed, 0 failed')
} catch (error) {
  console.error(red?.log ?? '')
  throw error
} finally {
  await browser?.close()
  await red?.end()
  await board.end()
  await broker.end()
}
