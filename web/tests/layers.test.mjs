// Layers in the page: everything in the view, and their files.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'

import { Board, Broker, PROGRAM, Tab, commandLine, launchBrowser, objects, until } from './parts.mjs'

let [broker, board, browser, context, tab] = []
let ponds = []

before(async () => {
  broker = await Broker.start()
  board = await Board.start(broker)
  browser = await launchBrowser()
  ponds = await until('the folder', () => objects(board, 'pond').catch(() => undefined))
})

after(async () => {
  await browser?.close()
  await board?.end()
  await broker?.end()
})

afterEach(async () => {
  const { complaints } = tab
  await context.close()
  assert.deepEqual(complaints, [], 'the browser complains')
})

async function open(layer) {
  context = await browser.newContext({ viewport: { width: 1200, height: 800 }, locale: 'en-GB' })
  tab = await Tab.ready(context, board.url)
  await into(layer)
}

async function into(layer, of = tab) {
  await of.page.fill('#layer', layer)
  await of.page.dispatchEvent('#layer', 'change')
  await of.page.locator('#map').focus()
}

const search = () => tab.page.evaluate(() => globalThis.geosam.searching.now)
const message = () => tab.text('#message')
const drawn = (of = tab) => of.page.evaluate(() => globalThis.geosam.scene.layers.saved.getSource().getFeatures().length)
/** Positions, of these, that lie in an object that is drawn. */
const covered = (positions) =>
  tab.page.evaluate((positions) => {
    const features = globalThis.geosam.scene.layers.saved.getSource().getFeatures()
    return positions.filter((position) => features.some((feature) => feature.getGeometry().intersectsCoordinate(position))).length
  }, positions)

test('everything in the view is found and drawn, also when the page is loaded again meanwhile', async () => {
  await open('all')
  // Who looks on hears of each object.
  const other = await Tab.ready(context, board.url)
  await into('all', other)
  await until('the count', async () => (await other.text('#count')) === '0')
  await tab.page.selectOption('#search_points', '8')
  await tab.page.keyboard.press('Shift+E')
  const begun = await until('progress', async () => ((await search())?.done ? search() : undefined))
  assert.equal(begun.total, 6, 'the whole folder is in view')
  assert.match(await tab.text('#search_told'), /^all: [1-6] of 6 chips, \d+ objects$/)
  assert.equal(await tab.page.isDisabled('#search_begin'), true, 'one at a time')
  await tab.page.reload()
  await tab.state('online')
  // The board's own, and not another one.
  const again = await until('the search', search)
  assert.equal(again.id, begun.id)
  await into('all')
  await until('its end', async () => /objects found on 6 chips, saved in all/.test(await message()), 120_000)
  assert.equal(await search(), undefined)
  assert.equal(await tab.page.isVisible('#search_state'), false)
  const lines = board.layer('all')
  assert.ok(lines.length > 20, `${lines.length} objects`)
  assert.equal(new Set(lines.map((line) => line.id)).size, lines.length)
  assert.deepEqual(new Set(lines.map((line) => line.properties.request_id)), new Set([begun.id]))
  assert.equal(Number((await message()).match(/^\d+/)[0]), lines.length)
  await until('the objects', async () => (await drawn()) === lines.length && (await tab.text('#count')) === String(lines.length))
  await until('the objects', async () => (await drawn(other)) === lines.length && (await other.text('#count')) === String(lines.length))
  assert.deepEqual(other.complaints, [])
  assert.ok((await covered(ponds.map((pond) => pond.at))) > ponds.length / 2)
  // A search that is over is not asked for again.
  await tab.page.reload()
  await tab.state('online')
  assert.equal(await search(), undefined)
})

test('only the view is searched, prompts go first, and a search is ended', async () => {
  await open('some')
  // The eastern fifth is not in view.
  const view = await tab.page.evaluate(() => {
    const { map } = globalThis.geosam.scene
    map.getView().setCenter([512300, 5277616])
    map.getView().setResolution(1.2)
    return map.getView().calculateExtent(map.getSize())
  })
  const { at } = ponds.find((pond) => pond.box[2] < 512600)
  await tab.page.selectOption('#search_points', '32')
  await tab.page.click('#search_begin')
  const { body } = await until('progress', async () => ((await search())?.done ? search() : undefined), 120_000)
  const [west, south, east, north] = [512000, 5277232, 513024, 5278000]
  assert.ok(view[2] < east)
  assert.deepEqual(body.bbox, [Math.max(view[0], west), Math.max(view[1], south), Math.min(view[2], east), Math.min(view[3], north)])
  await tab.click(at)
  const mask = await tab.mask(1)
  const told = commandLine({ points: [(await tab.prompts())[0].at] })
  assert.deepEqual(mask.result.features.map((f) => f.geometry), told.result.features.map((f) => f.geometry))
  assert.ok(await search(), 'it goes on')
  await tab.page.click('#search_cancel')
  await until('its end', async () => /^The search was ended; \d+ objects are in some\.$/.test(await message()))
  assert.equal(await search(), undefined)
  assert.equal(await tab.page.isDisabled('#search_begin'), false)
  await until('the count', async () => (await tab.text('#count')) === String(board.layer('some').length))
})

test('a search that is begun while the broker is away begins when it is back; nothing in view and bad layers are told', async () => {
  await open('later')
  await broker.stop()
  await tab.state('offline')
  await tab.page.evaluate(([x, y]) => {
    const view = globalThis.geosam.scene.map.getView()
    view.setCenter([x, y])
    view.setResolution(0.05)
  }, ponds[0].at)
  await tab.page.selectOption('#search_points', '8')
  await tab.page.click('#search_begin')
  assert.equal(await tab.text('#search_told'), 'later: waiting for the board')
  await broker.launch()
  await tab.state('online')
  await until('its end', async () => /found on \d chips, saved in later/.test(await message()), 60_000)
  await tab.page.evaluate(() => globalThis.geosam.scene.map.getView().setCenter([511500, 5277000]))
  await tab.page.click('#search_begin')
  assert.equal(await message(), 'Nothing of the folder is in view.')
  await into('.bad')
  await tab.page.click('#search_begin')
  assert.match(await message(), /^A layer has/)
  assert.equal(await search(), undefined)
})

test('a layer is downloaded as KML and GeoPackage, as export writes them', async () => {
  await open('two')
  for (const pond of ponds.slice(0, 2)) {
    await tab.click(pond.at)
    await tab.mask(1)
    await tab.page.keyboard.press('s')
    await until('an empty session', async () => (await tab.prompts()).length === 0)
  }
  await until('the count', async () => (await tab.text('#count')) === '2')
  const download = async (button) => {
    const file = tab.page.waitForEvent('download')
    await tab.page.click(button)
    const came = await file
    return { name: came.suggestedFilename(), path: await came.path() }
  }
  const exported = (name) => {
    const path = join(board.dir, name)
    execFileSync(PROGRAM, ['export', 'two', '--state', join(board.dir, 'state'), '--output', path])
    return path
  }
  const kml = await download('#download_kml')
  assert.equal(kml.name, 'two.kml')
  assert.equal(readFileSync(kml.path, 'utf8'), readFileSync(exported('two.kml'), 'utf8'))

  const gpkg = await download('#download_gpkg')
  assert.equal(gpkg.name, 'two.gpkg')
  const [ours, theirs] = [gpkg.path, exported('two.gpkg')].map((path) => readFileSync(path))
  assert.equal(ours.toString('latin1', 0, 15), 'SQLite format 3')
  assert.equal(ours.toString('latin1', 68, 72), 'GPKG')
  // The same but for the time at which it was written.
  const text = (file) => file.toString('latin1').replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '')
  assert.equal(text(ours), text(theirs))
  assert.ok(!existsSync(join(board.dir, 'state/page')), readdirSync(join(board.dir, 'state')).join())

  await into('nothing-yet')
  await tab.page.click('#download_gpkg')
  await until('a message', async () => /nothing-yet is empty/.test(await message()))
})
