// The page in a real browser, with a stock broker and the program: node --test web/tests

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { after, afterEach, before, test } from 'node:test'

import { Board, Broker, HOST, Tab, commandLine, launchBrowser, objects, pause, until } from './parts.mjs'

let [broker, board, browser, context] = []
let [ponds, buildings] = []
let tabs = []

before(async () => {
  broker = await Broker.start()
  board = await Board.start(broker)
  browser = await launchBrowser()
  ponds = await until('the folder', async () => {
    const found = await objects(board, 'pond').catch(() => undefined)
    return found
  })
  buildings = await objects(board, 'building')
})

after(async () => {
  await browser?.close()
  await board?.end()
  await broker?.end()
})

afterEach(async () => {
  const complaints = tabs.flatMap((tab) => tab.complaints)
  tabs = []
  await context?.close()
  context = undefined
  assert.deepEqual(complaints, [], 'the browser complains')
})

async function open(options = {}) {
  context ??= await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB', ...options })
  const tab = await Tab.ready(context, board.url)
  tabs.push(tab)
  return tab
}

/** The polygons of an answer, and what the command line says to the same prompts. */
function assertSame(answer, prompts) {
  const points = prompts.filter((p) => p.at)
  const box = prompts.filter((p) => p.box).at(-1)
  const told = commandLine({
    ...(points.length ? { points: points.map((p) => p.at), labels: points.map((p) => Number(p.foreground)) } : {}),
    ...(box ? { bbox: box.box } : {}),
  })
  assert.equal(told.status, 'ok')
  assert.deepEqual(
    answer.result.features.map((f) => f.geometry),
    told.result.features.map((f) => f.geometry),
  )
}

/** A pond that a chip of the folder holds whole. */
const pond = () => ponds[0]

test('a click cuts a pond out as the command line does, another makes background, and both are taken back', async () => {
  const tab = await open()
  assert.equal(await tab.page.evaluate(() => isSecureContext), false, 'as on a board')
  await tab.click(pond().at)
  const first = await tab.mask(1)
  assertSame(first, await tab.prompts())
  assert.match(await tab.text('#score'), /^[01]\.\d+$/)
  assert.match(await tab.text('#area'), /m²|ha/)
  assert.equal(await tab.text('#chip'), first.masks[0].chip_id)
  const drawn = () => tab.page.evaluate(() => globalThis.geosam.scene.map.getAllLayers().map((layer) => layer.getSource()?.getFeatures?.().length))
  // Chips, saved, the chip of the mask, mask, preview, prompts.
  assert.deepEqual((await drawn()).filter((n) => n !== undefined).with(4, 0), [6, 0, 1, first.result.features.length, 0, 1])

  await tab.click(ponds[1].at, { button: 'right' })
  assertSame(await tab.mask(2), await tab.prompts())
  await tab.click(ponds[2].at, { keys: ['Control'] })
  await tab.mask(3)
  await tab.page.keyboard.press('f')
  // Between two others, so that one chip holds them all.
  await tab.click([0, 1].map((i) => (pond().at[i] + ponds[1].at[i]) / 2), { keys: ['Alt'] })
  assertSame(await tab.mask(4), await tab.prompts())
  assert.deepEqual((await tab.prompts()).map((p) => p.foreground), [true, false, false, false])
  await tab.page.keyboard.press('z')
  await tab.mask(3)
  // A click on a point takes it back, also in the middle.
  await tab.click(ponds[1].at)
  assertSame(await tab.mask(2), await tab.prompts())
  assert.deepEqual((await tab.prompts()).map((p) => p.foreground), [true, false])
  await tab.page.keyboard.press('c')
  await until('nothing', async () => (await tab.prompts()).length === 0 && !(await tab.answer()))
})

test('a box is drawn by Shift and dragging, or with its tool', async () => {
  const tab = await open()
  const [west, south, east, north] = buildings[0].box
  await tab.drag([west, north], [east, south])
  const answer = await tab.mask(1)
  const prompts = await tab.prompts()
  assert.ok(prompts[0].box.every((side, i) => Math.abs(side - buildings[0].box[i]) < 3), JSON.stringify([prompts, buildings[0].box]))
  assertSame(answer, prompts)
  await tab.page.click('[data-tool=box]')
  const [a, b] = [await tab.pixel([west - 2, north + 2]), await tab.pixel([east + 2, south - 2])]
  await tab.page.mouse.move(a.x, a.y)
  await tab.page.mouse.down()
  await tab.page.mouse.move(b.x, b.y, { steps: 3 })
  await tab.page.mouse.up()
  assertSame(await tab.mask(2), await tab.prompts())
})

test('the mask under the pointer is shown before a click, and P switches that off', async () => {
  const tab = await open()
  const shown = () => tab.page.evaluate(() => globalThis.geosam.scene.layers.glance.getSource().getFeatures().length > 0)
  const { x, y } = await tab.pixel(pond().at)
  await tab.page.mouse.move(x - 40, y)
  await tab.page.mouse.move(x, y, { steps: 8 })
  await until('a preview', shown)
  await tab.page.keyboard.press('p')
  await until('no preview', async () => !(await shown()))
  await tab.page.mouse.move(x + 5, y, { steps: 4 })
  await pause(300)
  assert.equal(await shown(), false)
})

test('an object is saved and taken back, and what was under way is there again after a reload', async () => {
  const tab = await open()
  await tab.page.fill('#layer', 'ponds')
  await tab.page.dispatchEvent('#layer', 'change')
  await tab.page.locator('#map').focus()
  await tab.click(pond().at)
  await tab.mask(1)
  await tab.page.keyboard.press('s')
  await until('the count', async () => (await tab.text('#count')) === '1')
  assert.equal(await tab.text('#counted'), 'object in this layer')
  assert.equal(board.layer('ponds').length, 1)
  await tab.see('the saved object', () => globalThis.geosam.scene.layers.saved.getSource().getFeatures().length === 1)
  // Drawn where the mask was: saved objects are in WGS84, the map is in the folder's CRS.
  const [x, y] = pond().at
  assert.ok(await tab.page.evaluate(([x, y]) => globalThis.geosam.scene.layers.saved.getSource().getFeatures()[0].getGeometry().intersectsCoordinate([x, y]), [x, y]))

  await tab.click(ponds[1].at)
  await tab.click(ponds[2].at, { button: 'right' })
  const before = await tab.mask(2)
  await tab.page.reload()
  await tab.state('online')
  const again = await tab.mask(2)
  assert.deepEqual(again.result.features.map((f) => f.geometry), before.result.features.map((f) => f.geometry))
  await tab.page.click('#undo')
  await tab.mask(1)
  await tab.page.click('#clear')

  await tab.page.fill('#layer', 'ponds')
  await tab.page.dispatchEvent('#layer', 'change')
  await until('the count', async () => (await tab.text('#count')) === '1')
  const file = tab.page.waitForEvent('download')
  await tab.page.click('#download')
  const collection = JSON.parse(readFileSync(await (await file).path(), 'utf8'))
  assert.deepEqual(collection.features, board.layer('ponds'))
  await tab.page.locator('#map').focus()
  await tab.page.keyboard.press('Control+z')
  await until('the count', async () => (await tab.text('#count')) === '0')
  assert.equal(await tab.text('#counted'), 'objects in this layer')
  await until('the layer', () => board.layer('ponds').length === 0)
})

test('what is asked while the broker is away is answered when it is back', async () => {
  const tab = await open()
  await tab.click(pond().at)
  await tab.mask(1)
  await broker.stop()
  await tab.state('offline')
  await tab.click(ponds[1].at, { button: 'right' })
  await broker.launch()
  await tab.state('online')
  assertSame(await tab.mask(2), await tab.prompts())
})

test('a board that is killed is seen, and goes on where it was', async () => {
  const tab = await open()
  await tab.click(pond().at)
  await tab.mask(1)
  await board.kill()
  // Its server is gone with it, and so is the way to the broker.
  await tab.state('offline')
  await tab.page.keyboard.press('z')
  await board.launch()
  await tab.state('online')
  await until('nothing', async () => (await tab.prompts()).length === 0)
  await tab.click(ponds[1].at)
  assertSame(await tab.mask(1), await tab.prompts())
})

test('two tabs do not disturb each other, not even one that was duplicated', async () => {
  const first = await open()
  await first.click(pond().at)
  await first.mask(1)
  const storage = await first.page.evaluate(() => JSON.stringify(sessionStorage))
  await context.addInitScript((text) => {
    if (!sessionStorage.length) for (const [key, value] of Object.entries(JSON.parse(text))) sessionStorage.setItem(key, value)
  }, storage)
  const second = await open()
  await second.click(ponds[1].at)
  await second.mask(1)
  assertSame(await first.answer(), await first.prompts())
  await first.click(ponds[2].at)
  assertSame(await first.mask(2), await first.prompts())
  assert.equal((await second.prompts()).length, 1)
})

test('an idle page pings under its own policy, and stays connected', async () => {
  const tab = await open()
  const id = await tab.page.evaluate(() => globalThis.geosam.board.client.options.clientId)
  await until('a ping', () => broker.log().includes(`Received PINGREQ from ${id}`), 20_000)
  assert.ok(!broker.log().includes(`Client ${id} has exceeded timeout`))
  assert.equal(await tab.page.getAttribute('#state', 'data-state'), 'online')
})

test('a page from elsewhere cannot open the way to the broker', async () => {
  const server = createServer((_, answer) => answer.end('<!doctype html>')).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(`http://${HOST}:${server.address().port}/`)
  const opened = (url) =>
    page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const socket = new WebSocket(url, 'mqtt')
          socket.onopen = () => resolve('open')
          socket.onerror = () => resolve('refused')
        }),
      url,
    )
  assert.equal(await opened(`ws://${HOST}:${board.port}/mqtt`), 'refused')
  server.close()
})

test('the page is worked by keyboard alone', async () => {
  const tab = await open()
  await tab.page.evaluate(([x, y]) => globalThis.geosam.scene.map.getView().setCenter([x, y]), pond().at)
  await tab.page.keyboard.press('Tab')
  assert.equal(await tab.page.evaluate(() => document.activeElement.id), 'map')
  await tab.page.keyboard.press('Enter')
  assertSame(await tab.mask(1), await tab.prompts())
  // A button on the map is a button.
  for (const button of ['.ol-zoom-in', '#extent']) {
    await tab.page.focus(button)
    await tab.page.keyboard.press('Enter')
  }
  assert.equal((await tab.prompts()).length, 1)
  await tab.page.focus('#tools [data-tool=foreground]')
  await tab.page.keyboard.press('ArrowRight')
  assert.equal(await tab.page.evaluate(() => document.activeElement.dataset.tool), 'background')
})

test('the page speaks Chinese to who reads it, whatever went wrong', async () => {
  const tab = await open({ locale: 'zh-CN' })
  assert.equal(await tab.page.getAttribute('.ol-zoom-in', 'title'), '放大')
  const { x, y } = await tab.pixel([511985, 5277616])
  await tab.page.mouse.click(x, y)
  await until('a message', async () => /^该处没有影像块。 \(NO_CHIP_COVERS\)$/.test(await tab.text('#message')))
  const english = await tab.page.evaluate(() => [...document.querySelectorAll('[data-text], [title], [aria-label]')].filter((e) => e.id !== 'language').flatMap((e) => [e.dataset.text && e.textContent, e.title, e.ariaLabel]).filter((text) => text && !/[\u4e00-\u9fff]/.test(text)))
  assert.deepEqual(english, [])
  assert.equal((await tab.prompts()).length, 0)
})

test('touch sets points without a pointer that hovers', async () => {
  const tab = await open({ hasTouch: true, viewport: { width: 600, height: 960 } })
  const { x, y } = await tab.pixel(pond().at)
  await tab.page.touchscreen.tap(x, y)
  assertSame(await tab.mask(1), await tab.prompts())
  await tab.page.click('[data-tool=background]')
  const other = await tab.pixel(ponds[1].at)
  await tab.page.touchscreen.tap(other.x, other.y)
  await tab.mask(2)
  assert.equal((await tab.prompts())[1].foreground, false)
})
