// What docs/web.md promises of the page's speed and size. Times are ratios to the same prompt through the command line's
// pipe, in turns with it: from the pointer to the preview drawn, and previews a second while the pointer moves. Then the bytes
// of the page over the wire, and the service's memory with the page open. Broker, board and browser are on this machine; of
// several rounds the one with the fastest pipe is the quietest.
//
//   cargo build --release && node web/measure.mjs --program target/release/geosam-edge [--rounds N] [--seconds N] [--only speed|wire|memory]
//
// Without --program it is that of the tests: GEOSAM_EDGE, or target/debug/geosam-edge.

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import mqtt from 'mqtt'

import { writeRaster } from './tests/rasters.mjs'

const { values } = parseArgs({ options: { program: { type: 'string' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '5' }, only: { type: 'string' } } })
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
// Before the tests' parts are loaded, which take it from there.
if (values.program) process.env.GEOSAM_EDGE = resolve(values.program)
const { Board, Broker, PROGRAM, SCENE, Tab, launchBrowser, objects, pause, until } = await import('./tests/parts.mjs')
/** Tiles that have been seen when memory is looked at. */
const TILES = 200
const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))]

/** A pointer that moves about a place each `gap` milliseconds: from its event to the frame with its preview, and what of it is
 * spent until the question is sent, until it is answered, and until the answer is drawn. */
function hover(tab, { x, y }, gap) {
  return tab.page.evaluate(
    async ([x, y, gap, length]) => {
      const { scene, session } = globalThis.geosam
      const { map } = scene
      const viewport = map.getViewport()
      const [times, spans, moved, askedFor] = [[], { waits: [], asks: [], draws: [] }, new Map(), new WeakMap()]
      const { setGlance } = scene
      const { glance } = session
      session.glance = async (at) => {
        const [begin, sent] = [moved.get(at.join()), performance.now()]
        const answer = await glance.call(session, at)
        if (answer) askedFor.set(answer, { begin, sent, heard: performance.now() })
        return answer
      }
      scene.setGlance = (answer) => {
        const asked = answer && askedFor.get(answer)
        if (asked) {
          const { begin, sent, heard } = asked
          map.once('postrender', () => {
            const drawn = performance.now()
            times.push(drawn - begin)
            spans.waits.push(sent - begin)
            spans.asks.push(heard - sent)
            spans.draws.push(drawn - heard)
          })
        }
        setGlance.call(scene, answer)
      }
      const begin = performance.now()
      for (let step = 0; performance.now() - begin < length; step += 1) {
        const [left, top] = [x + 6 * Math.sin(step / 9), y + 6 * Math.cos(step / 7)]
        const box = viewport.getBoundingClientRect()
        const at = map.getCoordinateFromPixel([left - box.left, top - box.top])
        moved.set(at.slice(0, 2).join(), performance.now())
        viewport.dispatchEvent(new PointerEvent('pointermove', { clientX: left, clientY: top, pointerType: 'mouse', bubbles: true }))
        await new Promise((resolve) => setTimeout(resolve, gap))
      }
      const lasted = performance.now() - begin
      // The methods of their classes again.
      delete scene.setGlance
      delete session.glance
      return { times, spans, lasted }
    },
    [x, y, gap, seconds * 1000],
  )
}

/** The same prompt through the pipe, hot, one after the other. */
async function pipe(at) {
  const child = spawn(PROGRAM, ['segment', `${SCENE}/features`, '--models', `${SCENE}/models`, '--engine', 'fused', '--request', '-'], { stdio: ['pipe', 'pipe', 'ignore'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const request = JSON.stringify({ id: 1, crs: 'source', output: { crs: 'source', vectorization: 'pixel', largest_only: false }, points: [at] })
  const times = []
  for (let i = 0; i < 120; i += 1) {
    const begin = performance.now()
    child.stdin.write(`${request}\n`)
    await lines.next()
    times.push(performance.now() - begin)
  }
  child.stdin.end()
  return quantile(times.slice(20), 0.5)
}

async function speed(browser, broker) {
  const board = await Board.start(broker)
  const pond = (await until('the folder', () => objects(board, 'pond').catch(() => undefined)))[0]
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
  const tab = await Tab.ready(context, board.url)
  await tab.click(pond.at)
  await tab.mask(1)
  await tab.page.keyboard.press('c')
  await pause(1000)
  const centre = await tab.pixel(pond.at)
  const measured = []
  for (let round = 0; round < rounds; round += 1) {
    const load = loadavg()[0]
    const before = await pipe(pond.at)
    const rests = await hover(tab, centre, 300)
    const moves = await hover(tab, centre, 4)
    measured.push({ load, pipe: Math.min(before, await pipe(pond.at)), rests, moves })
  }
  const quiet = measured.toSorted((a, b) => a.pipe - b.pipe)[0]
  console.log('| load | pipe | pointer rests: median | p90 | moves: median | p90 | until sent, answered, drawn | previews a second | |\n|---|---|---|---|---|---|---|---|---|')
  for (const { load, pipe, rests, moves } of measured) {
    const cells = [rests, moves].flatMap(({ times }) => [0.5, 0.9].map((share) => quantile(times, share)).map((ms) => `${ms.toFixed(0)} ms, ${(ms / pipe).toFixed(2)} x`))
    const spent = Object.values(moves.spans).map((span) => quantile(span, 0.5).toFixed(1)).join(', ')
    const sustained = (moves.times.length / moves.lasted) * 1000
    console.log(`| ${[load.toFixed(1), `${pipe.toFixed(1)} ms`, ...cells, spent, `${sustained.toFixed(1)}, ${((sustained * pipe) / 1000).toFixed(2)} of the pipe's`, pipe === quiet.pipe ? 'quietest' : ''].join(' | ')} |`)
  }
  await context.close()
  await board.end()
}

/** All that a first visit transfers for the page itself, heads and compressed bodies, as Chromium counts it. */
async function wire(browser, broker) {
  const board = await Board.start(broker)
  const page = await (await browser.newContext()).newPage()
  const network = await page.context().newCDPSession(page)
  await network.send('Network.enable')
  const [urls, bytes] = [new Map(), new Map()]
  network.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, new URL(response.url).pathname))
  network.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => bytes.set(urls.get(requestId), encodedDataLength))
  await page.goto(board.url)
  await until('the page', () => bytes.get('/page.js') && bytes.get('/page.css') && bytes.get('/'))
  await pause(500)
  const own = [...bytes].filter(([path]) => path && !/^\/(api|tiles)\//.test(path))
  console.log(`\nover the wire: ${own.reduce((sum, [, n]) => sum + n, 0)} bytes (${own.map(([path, n]) => `${path} ${n}`).join(', ')})`)
  await page.context().close()
  await board.end()
}

const megabytes = (board, key) => Number(readFileSync(`/proc/${board.child.pid}/status`, 'utf8').match(new RegExp(`${key}:\\s+(\\d+)`))[1]) / 1024

/** A raster of 4096 x 4096 without overviews under the demo's folder; the same prompts with the page and without. */
async function memory(browser, broker) {
  const dir = mkdtempSync(join(tmpdir(), 'geosam-memory-'))
  const colour = (column, row) => [(column ^ row) & 255, (column * 7 + row) & 255, (row * 3) & 255]
  writeRaster(join(dir, 'scene.tif'), { width: 4096, height: 4096, affine: [0.25, 0, 512000, 0, -0.25, 5278100], colour })
  cpSync(join(SCENE, 'features'), join(dir, 'features'), { recursive: true })
  const features = [join(dir, 'features')]
  const prompts = async (device, at) => {
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`)
    await client.subscribeAsync(`geosam/${device}/response/measure/segment`)
    for (let id = 0; id < 30; id += 1) {
      const heard = new Promise((resolve) => client.once('message', resolve))
      await client.publishAsync(`geosam/${device}/request/measure/segment`, JSON.stringify({ id, crs: 'source', points: [at] }), { qos: 1 })
      await heard
    }
    await client.endAsync()
  }
  const at = [512512, 5277616]
  const plain = await Board.start(broker, { device: 'plain', features, listens: false })
  await prompts('plain', at)
  await pause(1000)
  const without = [megabytes(plain, 'VmRSS'), megabytes(plain, 'VmHWM')]
  await plain.end()
  const board = await Board.start(broker, { device: 'page', features })
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
  const tab = await Tab.ready(context, board.url)
  await prompts('page', at)
  const { version } = await tab.page.evaluate(async () => (await (await fetch('/api/folders')).json()).folders[0].raster)
  // As a page that is moved about: six at a time.
  const seen = Array.from({ length: TILES }, (_, i) => `/tiles/features/4/${i % 16}/${Math.floor(i / 16)}.png?v=${version}`)
  while (seen.length) {
    const six = seen.splice(0, 6)
    const answers = await tab.page.evaluate((six) => Promise.all(six.map(async (url) => (await fetch(url)).status)), six)
    if (answers.some((status) => status !== 200)) throw new Error(`tiles: ${answers}`)
  }
  await pause(1000)
  const open = [megabytes(board, 'VmRSS'), megabytes(board, 'VmHWM')]
  console.log(`memory of serve after 30 prompts: ${without.map((n) => n.toFixed(1)).join(', at most ')} MB without a page; ${open.map((n) => n.toFixed(1)).join(', at most ')} MB with the page open and ${TILES} tiles seen: ${open.map((n, i) => `+${(n - without[i]).toFixed(1)}`).join(', ')} MB`)
  await context.close()
  await board.end()
  rmSync(dir, { recursive: true })
}

// As systemd/geosam-edge.service has it.
process.env.MALLOC_ARENA_MAX = '2'
const broker = await Broker.start()
const browser = await launchBrowser()
for (const part of [speed, wire, memory]) if (values.only === undefined || values.only === part.name) await part(browser, broker)
await browser.close()
await broker.end()
