// Correcting the mask that is shown: with a model that takes masks, and with the demo's, which does not.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'

import { withMaskParameters } from './models.mjs'
import { Board, Broker, HOST, SCENE, Tab, commandLine, commandLines, launchBrowser, objects, until } from './parts.mjs'

let [broker, capable, plain, browser, context, models] = []
let [ponds, tabs] = [[], []]

before(async () => {
  models = mkdtempSync(join(tmpdir(), 'geosam-models-'))
  withMaskParameters(join(SCENE, 'models/demo'), join(models, 'demo'))
  broker = await Broker.start()
  capable = await Board.start(broker, { device: 'can', models })
  plain = await Board.start(broker, { device: 'cannot' })
  browser = await launchBrowser()
  const all = await until('the folder', () => objects(capable, 'pond').catch(() => undefined))
  // Near each other, so that one chip holds them.
  const [x, y] = all[0].at
  ponds = all.toSorted((a, b) => Math.hypot(a.at[0] - x, a.at[1] - y) - Math.hypot(b.at[0] - x, b.at[1] - y))
})

after(async () => {
  await browser?.close()
  await capable?.end()
  await plain?.end()
  await broker?.end()
  rmSync(models, { recursive: true, force: true })
})

afterEach(async () => {
  const complaints = tabs.flatMap((tab) => tab.complaints)
  tabs = []
  await context?.close()
  assert.deepEqual(complaints, [], 'the browser complains')
})

async function open(board, options = {}) {
  context = await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB', ...options })
  const tab = await Tab.ready(context, board.url)
  tabs.push(tab)
  return tab
}

const shown = (answer) => [answer.refined, answer.result.features.map((f) => f.geometry)]
const on = (tab) => tab.page.isChecked('#refine')
const request = (prompts) => ({ points: prompts.map((p) => p.at), labels: prompts.map((p) => Number(p.foreground)) })
/** Each from the mask of the one before it, but the first. */
const told = (prompts) => commandLines(prompts.map((_, i) => ({ ...request(prompts.slice(0, i + 1)), ...(i ? { mask_of: i } : {}) })), models)

test('the next point corrects the mask that is shown, as its preview does, and undo, reload, options and save keep to that', async () => {
  const tab = await open(capable)
  await tab.click(ponds[0].at)
  await tab.mask(1)
  await tab.page.keyboard.press('m')
  assert.equal(await on(tab), true)
  await tab.page.keyboard.press('p')
  const glance = await until('its preview', () => tab.page.evaluate((at) => globalThis.geosam.session.glance(at), ponds[1].at))
  await tab.click(ponds[1].at)
  const second = await tab.mask(2)
  const prompts = await tab.prompts()
  const [first, twice] = told(prompts)
  assert.equal(twice.refined, true)
  assert.deepEqual(shown(second), shown(twice))
  assert.deepEqual(shown(glance), shown(second))
  assert.notDeepEqual(shown(second)[1], shown(commandLine(request(prompts)))[1], 'the mask means something')

  await tab.click([0, 1].map((i) => (ponds[0].at[i] + ponds[1].at[i]) / 2), { button: 'right' })
  const third = await tab.mask(3)
  assert.deepEqual(shown(third), shown(told(await tab.prompts())[2]))
  await tab.page.reload()
  await tab.state('online')
  assert.deepEqual(shown(await tab.mask(3)), shown(third))
  await tab.page.keyboard.press('z')
  assert.deepEqual(shown(await tab.mask(2)), shown(second))
  await tab.page.evaluate(() => document.getElementById('largest').click())
  const largest = await tab.mask(2)
  assert.equal(largest.refined, true)
  assert.equal(largest.result.features.length, 1)
  await tab.page.keyboard.press('z')
  assert.deepEqual((await tab.mask(1)).masks, first.masks)
  await tab.page.keyboard.press('m')
  await tab.click(ponds[1].at)
  const last = await tab.mask(2)
  await tab.page.keyboard.press('s')
  await until('the object', () => capable.layer('objects').length === 1)
  assert.equal(last.refined, true)
  assert.equal(capable.layer('objects')[0].properties.score, last.result.features[0].properties.score, 'what was shown')
})

test('a point in the middle is taken back, and a box behind points comes back before them no more', async () => {
  const tab = await open(capable)
  await tab.click(ponds[0].at)
  await tab.click(ponds[1].at, { button: 'right' })
  await tab.mask(2)
  const [west, south, east, north] = ponds[0].box
  await tab.drag([west - 2, north + 2], [east + 2, south - 2])
  await tab.mask(3)
  await tab.click(ponds[1].at)
  await tab.mask(2)
  // The box was the last, and is the first to go.
  await tab.page.keyboard.press('z')
  const { points, labels } = request(await tab.prompts())
  assert.deepEqual([points.length, labels], [1, [1]])
  assert.deepEqual((await tab.mask(1)).result.features.map((f) => f.geometry), commandLine({ points, labels }).result.features.map((f) => f.geometry))
})

test('where the model takes no masks it is grey, and says why in the language of the page', async () => {
  const tab = await open(plain)
  await tab.page.click('summary >> nth=0')
  const title = () => tab.page.getAttribute('label:has(#refine)', 'title')
  assert.equal(await tab.page.isDisabled('#refine'), true)
  assert.equal(await title(), 'The model of features cannot correct a mask; import its checkpoint again on the board. (MODEL_MISMATCH)')
  await tab.page.keyboard.press('m')
  assert.equal(await tab.text('#message'), await title())
  await tab.page.click('#language')
  assert.match(await title(), /^features 的模型不能修正掩膜.*\(MODEL_MISMATCH\)$/)
  await tab.page.keyboard.press('m')
  assert.equal(await tab.text('#message'), await title())
  assert.equal(await on(tab), false)
  // One that can is not, and its title says what it does.
  await context.close()
  const other = await open(capable)
  assert.equal(await other.page.isDisabled('#refine'), false)
  assert.match(await other.page.getAttribute('label:has(#refine)', 'title'), /^The next point or box starts/)
})

test('by touch, and no point is lost to a model that turns out to take no masks', async () => {
  const tab = await open(plain, { hasTouch: true, viewport: { width: 600, height: 960 } })
  // As if the model had been replaced since the page looked.
  const withoutRefine = async (route) => {
    const told = await (await route.fetch({ url: route.request().url().replace(HOST, '127.0.0.1') })).json()
    for (const folder of told.folders) delete folder.refine
    await route.fulfill({ json: told })
  }
  // One may be on its way when the page is closed.
  await tab.page.route('**/api/folders', (route) => withoutRefine(route).catch(() => undefined))
  await tab.page.reload()
  await tab.state('online')
  await tab.folder()
  const tap = async (at) => {
    const { x, y } = await tab.pixel(at)
    await tab.page.touchscreen.tap(x, y)
  }
  await tap(ponds[0].at)
  await tab.mask(1)
  await broker.stop()
  await tab.state('offline')
  await tab.page.locator('summary').first().tap()
  await tab.page.locator('label:has(#refine)').tap()
  assert.equal(await on(tab), true, 'nobody says otherwise')
  await tap(ponds[1].at)
  await broker.launch()
  await tab.state('online')
  await until('it is off', async () => !(await on(tab)))
  const answer = await tab.mask(2)
  assert.equal(answer.refined, undefined)
  assert.deepEqual(answer.result.features.map((f) => f.geometry), commandLine(request(await tab.prompts())).result.features.map((f) => f.geometry))
  assert.match(await tab.text('#message'), /cannot correct a mask/)
})
