// What the page's tests share: a broker, a board, a browser. All of them real: Debian's mosquitto and Chromium, and the
// program that cargo has built (GEOSAM_EDGE, or target/debug/geosam-edge).

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { chromium } from 'playwright-core'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const PROGRAM = process.env.GEOSAM_EDGE ?? join(ROOT, 'target/debug/geosam-edge')
export const SCENE = join(ROOT, 'models/demo')
const MOSQUITTO = existsSync('/usr/sbin/mosquitto') ? '/usr/sbin/mosquitto' : 'mosquitto'
const CHROMIUM = process.env.GEOSAM_CHROMIUM ?? '/usr/bin/chromium'
/** A name and not 127.0.0.1: browsers take loopback for more than what a board's address is. */
export const HOST = 'board'
const PATIENCE_MS = 30_000

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until something is so, and returns it. */
export async function until(what, look, patience = PATIENCE_MS) {
  const begin = Date.now()
  let last
  for (;;) {
    last = await look()
    if (last) return last
    if (Date.now() - begin > patience) throw new Error(`waited in vain for ${what}`)
    await pause(30)
  }
}

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

function ended(child) {
  return child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => child.once('exit', resolve))
}

/** A stock mosquitto on a port of its own, with the same port after a restart. */
export class Broker {
  static async start(lines = []) {
    const broker = new Broker()
    broker.dir = mkdtempSync(join(tmpdir(), 'geosam-broker-'))
    broker.port = await freePort()
    broker.lines = lines
    await broker.launch()
    return broker
  }

  async launch() {
    const user = process.getuid?.() === 0 ? ['user root'] : []
    const lines = [...user, `listener ${this.port} 127.0.0.1`, `log_dest file ${this.dir}/log`, 'log_type all', 'persistence true', `persistence_location ${this.dir}/`]
    const access = this.lines.length ? this.lines : ['allow_anonymous true']
    writeFileSync(`${this.dir}/mosquitto.conf`, [...lines, ...access, ''].join('\n'))
    this.child = spawn(MOSQUITTO, ['-c', `${this.dir}/mosquitto.conf`], { stdio: 'ignore' })
    await until('the broker', () => this.log().includes(`Opening ipv4 listen socket on port ${this.port}`))
    await pause(100)
  }

  log() {
    return existsSync(`${this.dir}/log`) ? readFileSync(`${this.dir}/log`, 'utf8') : ''
  }

  async stop() {
    this.child.kill('SIGTERM')
    await ended(this.child)
  }

  async end() {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A board that serves the demo's scene, or other folders, and the page unless it does not listen. */
export class Board {
  static async start(broker, { device = 'b1', more = '', web = '', features = [`${SCENE}/features`], models = `${SCENE}/models`, listens = true } = {}) {
    const board = new Board()
    board.dir = mkdtempSync(join(tmpdir(), 'geosam-board-'))
    board.port = await freePort()
    board.sign = listens ? 'the map page is served' : 'the board has started'
    const page = listens ? `listen = "127.0.0.1:${board.port}"\n${web}\n` : ''
    writeFileSync(
      `${board.dir}/edge.toml`,
      `device = "${device}"\nfeatures = ${JSON.stringify(features)}\nmodels = "${models}"\nstate = "${board.dir}/state"\n` +
        `[broker]\nurl = "mqtt://127.0.0.1:${broker.port}"\n${more}\n[decoder]\nengine = "fused"\n[web]\n${page}`,
    )
    await board.launch()
    return board
  }

  async launch() {
    this.child = spawn(PROGRAM, ['serve', '--config', `${this.dir}/edge.toml`], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.log = ''
    this.child.stderr.on('data', (text) => (this.log += text))
    await until('the board', () => this.log.includes(this.sign))
  }

  get url() {
    return `http://${HOST}:${this.port}/`
  }

  async kill(signal = 'SIGKILL') {
    this.child.kill(signal)
    await ended(this.child)
  }

  /** The objects of a layer, as they stand in its file. */
  layer(name) {
    const path = `${this.dir}/state/layers/${name}.geojsonl`
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line)) : []
  }

  async end() {
    await this.kill('SIGTERM')
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** A page that a test hands over, and not a server, may otherwise not ask a server on loopback for anything. */
const FLAGS = process.env.GEOSAM_PAGE ? ['--disable-features=BlockInsecurePrivateNetworkRequests,LocalNetworkAccessChecks'] : []

export function launchBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', ...FLAGS, `--host-resolver-rules=MAP ${HOST} 127.0.0.1`,
    ],
  })
}

/** A page that is open, with what it had to complain of. */
export class Tab {
  static async open(context, url) {
    const tab = new Tab()
    tab.page = await context.newPage()
    tab.complaints = []
    tab.page.on('console', (message) => {
      // A board or broker that is away is told by the browser itself.
      if (message.type() === 'error' && !/WebSocket|ERR_CONNECTION|502|Failed to load resource/.test(message.text())) tab.complaints.push(message.text())
    })
    tab.page.on('pageerror', (error) => tab.complaints.push(String(error)))
    // A page that was built after the program: GEOSAM_PAGE=1 takes its files from where web/build.sh puts them.
    if (process.env.GEOSAM_PAGE) {
      await tab.page.route(url, async (route) => {
        const served = await route.fetch({ url: url.replace(HOST, '127.0.0.1') })
        const headers = Object.fromEntries(Object.entries(served.headers()).filter(([name]) => !/^content-(encoding|length)/.test(name)))
        await route.fulfill({ status: served.status(), headers, path: join(ROOT, 'src/web/assets/index.html') })
      })
      for (const name of ['page.js', 'page.css']) await tab.page.route(`**/${name}`, (route) => route.fulfill({ path: join(ROOT, 'src/web/assets', name) }))
    }
    await tab.page.goto(url)
    return tab
  }

  /** A page that is connected and shows the demo's folder. */
  static async ready(context, url) {
    const tab = await Tab.open(context, url)
    await tab.state('online')
    await tab.folder()
    return tab
  }

  folder() {
    return this.see('the folder', () => globalThis.geosam?.scene.map.getView().isDef() && document.getElementById('folder').value === 'features')
  }

  state(wanted) {
    return until(`the state ${wanted}`, async () => (await this.page.getAttribute('#state', 'data-state')) === wanted)
  }

  text(selector) {
    return this.page.textContent(selector)
  }

  /** The page under its policy has no `eval`, so it is polled from here. */
  see(what, look, argument) {
    return until(what, () => this.page.evaluate(look, argument))
  }

  prompts() {
    return this.page.evaluate(() => globalThis.geosam.session.prompts)
  }

  /** The mask that is drawn, as the board answered it. */
  answer() {
    return this.page.evaluate(() => globalThis.geosam.session.answer)
  }

  /** Waits for the mask of so many prompts. */
  async mask(prompts) {
    await until(`a mask of ${prompts} prompts`, () =>
      this.page.evaluate((count) => {
        const { session } = globalThis.geosam
        return session.prompts.length === count && session.settled && session.answer?.masks?.length
      }, prompts),
    )
    return this.answer()
  }

  /** Where a position of the folder's CRS is on the screen. */
  async pixel([x, y]) {
    return this.page.evaluate(
      ([x, y]) => {
        const { map } = globalThis.geosam.scene
        map.renderSync()
        const [left, top] = map.getPixelFromCoordinate([x, y])
        const box = map.getViewport().getBoundingClientRect()
        return { x: left + box.left, y: top + box.top }
      },
      [x, y],
    )
  }

  async click(position, options = {}) {
    const { x, y } = await this.pixel(position)
    await this.page.mouse.move(x, y)
    for (const key of options.keys ?? []) await this.page.keyboard.down(key)
    await this.page.mouse.click(x, y, { button: options.button ?? 'left' })
    for (const key of options.keys ?? []) await this.page.keyboard.up(key)
  }

  async drag(from, to) {
    const [a, b] = [await this.pixel(from), await this.pixel(to)]
    await this.page.keyboard.down('Shift')
    await this.page.mouse.move(a.x, a.y)
    await this.page.mouse.down()
    await this.page.mouse.move((a.x + b.x) / 2, (a.y + b.y) / 2)
    await this.page.mouse.move(b.x, b.y)
    await this.page.mouse.up()
    await this.page.keyboard.up('Shift')
  }
}

/** What the command line answers to the same prompts, which are numbered from 1. */
export function commandLines(requests, models = `${SCENE}/models`) {
  const lines = requests.map((request, i) => JSON.stringify({ id: i + 1, crs: 'source', output: { crs: 'source', vectorization: 'pixel', largest_only: false }, ...request }))
  const dir = mkdtempSync(join(tmpdir(), 'geosam-request-'))
  const path = join(dir, 'request.jsonl')
  writeFileSync(path, `${lines.join('\n')}\n`)
  const text = execFileSync(PROGRAM, ['segment', `${SCENE}/features`, '--models', models, '--engine', 'fused', '--request', path], { encoding: 'utf8' })
  rmSync(dir, { recursive: true })
  return text.trim().split('\n').map((line) => JSON.parse(line))
}

/** What it answers to one. */
export const commandLine = (request) => commandLines([request])[0]

/** Objects of a kind in the scene, each with a position inside and its corners, in the folder's CRS. */
export async function objects(board, kind) {
  const truth = JSON.parse(readFileSync(`${SCENE}/truth.geojson`, 'utf8'))
  const found = truth.features.filter((feature) => feature.properties.kind === kind)
  const numbers = found.flatMap(({ geometry, properties }) => {
    const ring = geometry.coordinates.flat(geometry.type === 'Polygon' ? 1 : 2)
    const [xs, ys] = [ring.map(([x]) => x), ring.map(([, y]) => y)]
    return [...properties.inside, Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]
  })
  const answer = await fetch(`http://127.0.0.1:${board.port}/api/folders/features/from-wgs84`, { method: 'POST', body: JSON.stringify(numbers) })
  const flat = await answer.json()
  return found.map((_, i) => {
    const [x, y, west, south, east, north] = flat.slice(6 * i, 6 * i + 6)
    return { at: [x, y], box: [west, south, east, north] }
  })
}
