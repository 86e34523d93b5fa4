// How fast the page is, as ratios to the same prompt through the command line's pipe (docs/web.md): from the pointer to the
// preview drawn, and previews a second while it moves. Broker, board and browser on this machine.
//
//   cargo build --release && GEOSAM_EDGE=target/release/geosam-edge node web/measure.mjs [SECONDS]

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { Board, Broker, PROGRAM, SCENE, Tab, launchBrowser, objects, pause, until } from './tests/parts.mjs'

const seconds = Number(process.argv[2] ?? 10)
const quantile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))]

const broker = await Broker.start()
const board = await Board.start(broker)
const browser = await launchBrowser()
const ponds = await until('the folder', () => objects(board, 'pond').catch(() => undefined))
const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
const tab = await Tab.open(context, board.url)
await tab.state('online')
await tab.click(ponds[0].at)
await tab.mask(1)
await tab.page.keyboard.press('c')
await pause(1000)
const centre = await tab.pixel(ponds[0].at)

const measure = (gap) =>
  tab.page.evaluate(
    async ([x, y, gap, length]) => {
      const { scene } = globalThis.geosam
      const viewport = scene.map.getViewport()
      const [times, sent] = [[], new Map()]
      const { setGlance } = scene
      const { glance } = globalThis.geosam.session
      let asked
      globalThis.geosam.session.glance = (at) => {
        asked = sent.get(at.join())
        return glance.call(globalThis.geosam.session, at)
      }
      scene.setGlance = (answer) => {
        const at = asked
        if (answer && at) scene.map.once('postrender', () => times.push(performance.now() - at))
        setGlance.call(scene, answer)
      }
      const begin = performance.now()
      let step = 0
      while (performance.now() - begin < length) {
        step += 1
        const [left, top] = [x + 6 * Math.sin(step / 9), y + 6 * Math.cos(step / 7)]
        const box = viewport.getBoundingClientRect()
        const at = scene.map.getCoordinateFromPixel([left - box.left, top - box.top])
        sent.set(at.slice(0, 2).join(), performance.now())
        viewport.dispatchEvent(new PointerEvent('pointermove', { clientX: left, clientY: top, pointerType: 'mouse', bubbles: true }))
        await new Promise((resolve) => setTimeout(resolve, gap))
      }
      Object.assign(scene, { setGlance })
      globalThis.geosam.session.glance = glance
      return { times, length: performance.now() - begin }
    },
    [centre.x, centre.y, gap, seconds * 1000],
  )
const rested = await measure(300)
const moving = await measure(8)

// The same prompt, hot, one after the other.
const child = spawn(PROGRAM, ['segment', `${SCENE}/features`, '--models', `${SCENE}/models`, '--engine', 'fused', '--request', '-'], { stdio: ['pipe', 'pipe', 'inherit'] })
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
const request = JSON.stringify({ id: 1, crs: 'source', output: { crs: 'source', vectorization: 'pixel', largest_only: false }, points: [ponds[0].at] })
const piped = []
for (let i = 0; i < 200; i += 1) {
  const begin = performance.now()
  child.stdin.write(`${request}\n`)
  await lines.next()
  piped.push(performance.now() - begin)
}
child.stdin.end()
const pipe = quantile(piped.slice(20), 0.5)
const row = (name, { times, length }) =>
  console.log(
    `| ${name} | ${quantile(times, 0.5).toFixed(0)} ms, ${(quantile(times, 0.5) / pipe).toFixed(2)} x | ${quantile(times, 0.9).toFixed(0)} ms, ${(quantile(times, 0.9) / pipe).toFixed(2)} x | ${((times.length / length) * 1000).toFixed(1)} |`,
  )
console.log(`command line's pipe, hot: median ${pipe.toFixed(1)} ms\n`)
console.log('| pointer to preview drawn | median | p90 | previews a second |\n|---|---|---|---|')
row('moves every 300 ms', rested)
row('moves without a pause', moving)
await browser.close()
await board.end()
await broker.end()
