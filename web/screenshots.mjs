// The pictures of docs/web.md and the README: node web/screenshots.mjs. To be looked at before they are committed. The
// Chinese one needs a font with its characters (fonts-noto-cjk, fonts-wqy-zenhei).

import { Board, Broker, ROOT, Tab, launchBrowser, objects, pause, until } from './tests/parts.mjs'

const broker = await Broker.start()
const board = await Board.start(broker)
const browser = await launchBrowser()
const ponds = await until('the folder', () => objects(board, 'pond').catch(() => undefined))
const buildings = await objects(board, 'building')
const size = ({ box: [west, south, east, north] }) => (east - west) * (north - south)

async function picture(name, options, layer, zoom, work) {
  const context = await browser.newContext({ deviceScaleFactor: 1, ...options })
  const tab = await Tab.open(context, board.url)
  await tab.state('online')
  await tab.page.fill('#layer', layer)
  await tab.page.dispatchEvent('#layer', 'change')
  await tab.page.locator('#map').focus()
  if (zoom) await tab.page.evaluate(([x, y, r]) => globalThis.geosam.scene.map.getView().animate({ center: [x, y], resolution: r, duration: 0 }), zoom)
  await work(tab)
  await tab.page.evaluate(() => document.activeElement.blur())
  await pause(800)
  await tab.page.screenshot({ path: `${ROOT}docs/${name}` })
  console.log(name, tab.complaints)
  await context.close()
}

const save = async (tab, objects) => {
  for (const [i, { at }] of objects.entries()) {
    await tab.click(at)
    await tab.mask(1)
    await tab.page.keyboard.press('s')
    await until('the count', async () => Number(await tab.text('#count')) > i)
  }
}

const middle = ponds.toSorted((a, b) => size(b) - size(a))[0]
const near = (objects, { at: [x, y] }) => objects.toSorted((a, b) => Math.hypot(a.at[0] - x, a.at[1] - y) - Math.hypot(b.at[0] - x, b.at[1] - y))
await picture('page.png', { viewport: { width: 1200, height: 760 }, locale: 'en-GB', colorScheme: 'light' }, 'buildings', [...middle.at, 0.5], async (tab) => {
  await save(tab, near(buildings, middle).slice(0, 5))
  await tab.click(middle.at)
  await tab.mask(1)
  const other = near(ponds.filter((p) => p !== middle), middle)[0]
  await tab.click(other.at, { button: 'right' })
  await tab.mask(2)
  const house = near(buildings, middle)[6]
  const { x, y } = await tab.pixel(house.at)
  await tab.page.mouse.move(x - 3, y)
  await tab.page.mouse.move(x, y, { steps: 4 })
})
await picture('page-tablet.png', { viewport: { width: 600, height: 960 }, hasTouch: true, locale: 'zh-CN', colorScheme: 'dark' }, 'buildings', [...middle.at, 0.7], async (tab) => {
  const { x, y } = await tab.pixel(middle.at)
  await tab.page.touchscreen.tap(x, y)
  await tab.mask(1)
})
await browser.close()
await board.end()
await broker.end()
