// axe-core on the page in every state it can be in: dark and bright, on a desk, a tablet and a telephone, in two languages.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { Board, Broker, SCENE, Tab, launchBrowser, objects, until } from './parts.mjs'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const LEVELS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']
const SIZES = [
  { width: 1200, height: 800 },
  { width: 768, height: 1024 },
  { width: 390, height: 844 },
]

let [broker, board, browser, dir, ponds] = []

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'geosam-axe-'))
  broker = await Broker.start()
  board = await Board.start(broker)
  browser = await launchBrowser()
  ponds = await until('the folder', () => objects(board, 'pond').catch(() => undefined))
})

after(async () => {
  await browser?.close()
  await board?.end()
  await broker?.end()
  rmSync(dir, { recursive: true, force: true })
})

/** Nothing that WCAG 2.2 AA forbids, whatever the light, size and language. */
async function sound(tab, state) {
  await tab.page.evaluate(AXE)
  const problems = []
  for (const [i, size] of SIZES.entries()) {
    await tab.page.setViewportSize(size)
    for (const scheme of ['light', 'dark']) {
      await tab.page.evaluate((scheme) => (document.documentElement.dataset.theme = scheme), scheme)
      const found = await tab.page.evaluate((levels) => globalThis.axe.run(document, { runOnly: levels }), LEVELS)
      for (const { id, nodes } of found.violations) problems.push(`${state}, ${size.width}, ${scheme}: ${id}: ${nodes.map((node) => node.html).join(' ')}`)
      // Nothing sticks out of its window, panel or frame.
      const wide = await tab.page.evaluate(() => {
        const boxes = [document.documentElement, ...document.querySelectorAll('#panel, fieldset')]
        return boxes.filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.id || box.tagName)
      })
      if (wide.length) problems.push(`${state}, ${size.width}: something sticks out of ${wide}`)
    }
    if (i === 1) await tab.page.click('#language')
  }
  assert.deepEqual(problems, [])
}

async function state(name, work, at = board) {
  const context = await browser.newContext({ viewport: SIZES[0], locale: 'en-GB' })
  const tab = await Tab.open(context, at.url)
  await work(tab)
  await sound(tab, name)
  await context.close()
}

test('a mask, saved objects, options and keys', () =>
  state('at work', async (tab) => {
    await tab.state('online')
    await tab.folder()
    await tab.click(ponds[0].at)
    await tab.mask(1)
    await tab.page.keyboard.press('s')
    await until('the count', async () => (await tab.text('#count')) !== '0')
    await tab.click(ponds[1].at)
    await tab.mask(1)
    for (const summary of await tab.page.locator('summary').all()) await summary.click()
    await tab.page.locator('#map').focus()
  }))

test('a search under way', () =>
  state('a search', async (tab) => {
    await tab.state('online')
    await tab.folder()
    await tab.page.selectOption('#search_points', '32')
    await tab.page.click('#search_begin')
    await until('progress', () => tab.page.evaluate(() => globalThis.geosam.searching.now?.total), 120_000)
  }))

test('a busy board, and one that has gone away', async () => {
  await state('busy', async (tab) => {
    await tab.state('online')
    await tab.folder()
    // As when a queue is full, which a test cannot keep so for long.
    await tab.page.evaluate(() => {
      globalThis.geosam.board.busy += 1
      globalThis.geosam.board.onState('busy')
    })
    await tab.state('busy')
  })
  const say = (text) => execFileSync('mosquitto_pub', ['-p', String(broker.port), '-t', 'geosam/b1/state', '-r', '-q', '1', '-m', text])
  say('offline')
  await state('gone', (tab) => tab.state('board_off'))
  say('online')
})

test('no connection', async () => {
  await broker.stop()
  await state('offline', (tab) => tab.state('offline'))
  await broker.launch()
})

test('a folder that is not ready, and no raster', async () => {
  // Beside nothing, and without a model.
  const bare = join(dir, 'bare/bare')
  cpSync(join(SCENE, 'features'), bare, { recursive: true })
  mkdirSync(join(dir, 'models'))
  const other = await Board.start(broker, { device: 'b2', features: [bare], models: join(dir, 'models') })
  await state('not ready', (tab) => until('the problem', () => tab.page.isVisible('#problem')), other)
  await other.end()
  const whole = await Board.start(broker, { device: 'b3', features: [bare] })
  await state(
    'no raster',
    async (tab) => {
      await tab.state('online')
      await until('the problem', async () => /No raster beside this folder/.test(await tab.text('#problem')))
    },
    whole,
  )
  await whole.end()
})

test('the login', async () => {
  writeFileSync(join(dir, 'users'), 'board:one\n')
  execFileSync('mosquitto_passwd', ['-U', join(dir, 'users')])
  writeFileSync(join(dir, 'password'), 'one\n')
  const closed = await Broker.start(['allow_anonymous false', `password_file ${join(dir, 'users')}`])
  const other = await Board.start(closed, { more: `username = "board"\npassword_file = "${dir}/password"` })
  await state('login', (tab) => tab.state('refused'), other)
  await other.end()
  await closed.end()
})
