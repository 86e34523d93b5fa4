// A broker with users, and a page with a password.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { Board, Broker, Tab, commandLine, launchBrowser, until } from './parts.mjs'

let [broker, board, browser] = []

before(async () => {
  const dir = mkdtempSync(join(tmpdir(), 'geosam-users-'))
  writeFileSync(join(dir, 'users'), 'board:one\nanna:two\nbert:two\n')
  execFileSync('mosquitto_passwd', ['-U', join(dir, 'users')])
  // As docs/mqtt.md says: the client's level in topics is the user.
  writeFileSync(join(dir, 'access'), 'user board\ntopic readwrite geosam/#\n\nuser anna\ntopic write geosam/+/request/anna/+\n\nuser bert\ntopic write geosam/+/request/bert/list\ntopic write geosam/+/request/bert/segment\n\npattern read geosam/+/response/%u/+\npattern read geosam/+/state\npattern read geosam/+/folder/+\npattern read geosam/+/saved/+\n')
  writeFileSync(join(dir, 'password'), 'one\n')
  writeFileSync(join(dir, 'page'), 'sesame\n')
  broker = await Broker.start(['allow_anonymous false', `password_file ${dir}/users`, `acl_file ${dir}/access`])
  board = await Board.start(broker, { more: `username = "board"\npassword_file = "${dir}/password"`, web: `password_file = "${dir}/page"` })
  browser = await launchBrowser()
})

after(async () => {
  await browser?.close()
  await board?.end()
  await broker?.end()
})

test('page and broker each ask for their password, and let in who knows both', async () => {
  assert.equal((await fetch(`http://127.0.0.1:${board.port}/`)).status, 401)

  const context = await browser.newContext({ httpCredentials: { username: 'any', password: 'sesame' } })
  const tab = await Tab.open(context, board.url)
  await tab.state('refused')
  await tab.page.fill('#user', 'anna')
  await tab.page.fill('#password', 'wrong')
  await tab.page.press('#password', 'Enter')
  await until('a refusal', () => broker.log().match(/disconnected.*not authori[sz]ed/gi)?.length > 1)
  await tab.state('refused')
  await tab.page.fill('#password', 'two')
  await tab.page.press('#password', 'Enter')
  await tab.state('online')
  assert.equal(await tab.page.isVisible('#login'), false)
  const kept = await tab.page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))
  assert.ok(!kept.includes('two'), 'the password is not kept')
  await tab.page.evaluate(() => fetch('/api/folders'))
  await tab.see('the folder', () => document.getElementById('folder').value === 'features')
  const session = await tab.page.evaluate(() => document.cookie)
  assert.equal(session, '', 'its cookie is not for scripts')
  const at = await tab.page.evaluate(() => globalThis.geosam.scene.map.getView().getCenter())
  await tab.click(at)
  await tab.mask(1)
  const [prompt] = await tab.prompts()
  const told = commandLine({ points: [prompt.at] })
  assert.deepEqual((await tab.answer()).result.features.map((f) => f.geometry), told.result.features.map((f) => f.geometry))

  // A search is the user's: after a reload the page waits for the login, and then follows it.
  const search = () => tab.page.evaluate(() => globalThis.geosam?.searching.now)
  await tab.page.selectOption('#search_points', '32')
  await tab.page.click('#search_begin')
  const begun = await until('a search', search)
  await tab.page.reload()
  await tab.state('refused')
  assert.equal(await search(), undefined)
  await tab.page.fill('#user', 'anna')
  await tab.page.fill('#password', 'two')
  await tab.page.press('#password', 'Enter')
  await tab.state('online')
  assert.equal((await until('the search', search)).id, begun.id)
  await tab.mask(1)
  await tab.page.click('#search_cancel')
  await until('its end', async () => !(await search()))
  assert.deepEqual(tab.complaints, [])
})

test('what the access list keeps back is told', async () => {
  const context = await browser.newContext({ locale: 'en-GB', httpCredentials: { username: 'any', password: 'sesame' } })
  const tab = await Tab.open(context, board.url)
  await tab.state('refused')
  await tab.page.fill('#user', 'bert')
  await tab.page.fill('#password', 'two')
  await tab.page.press('#password', 'Enter')
  await tab.state('online')
  await tab.see('the folder', () => document.getElementById('folder').value === 'features')
  await tab.page.click('#search_begin')
  await until('a message', async () => /^The broker does not let this user ask for "everything"\./.test(await tab.text('#message')))
  assert.equal(await tab.page.isVisible('#search_state'), false)
  await context.close()
})
