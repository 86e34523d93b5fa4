// The page: what is on the panel, and how it, the map and the board belong together.

import 'ol/ol.css'
import './style.css'

import { Board } from './board'
import { TOOLS, type Tool, takeHands } from './hands'
import { Layers } from './layers'
import { Scene } from './scene'
import { Session } from './session'
import { kept, tabName } from './tab'
import { type TextKey, current, say, speak } from './texts'
import type { Answer, DrawingOptions, Folder, Folders, Position } from './wire'

const FOLDER = 'geosam-folder'
const THEME = 'geosam-theme'
const KEYS: TextKey[] = ['key_click', 'key_box', 'key_remove', 'key_letters', 'key_map']

function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (!element) throw new Error(`the page has no #${id}`)
  return element as T
}

const checkbox = (id: string) => part<HTMLInputElement>(id)

let tool: Tool = 'foreground'
let folders: Folders = { root: '', device: '', folders: [] }
let shown: Folder | undefined

const scene = new Scene(part('map'))

function message(text: string, bad = false): void {
  part('message').textContent = text
  part('message').dataset.bad = String(bad)
}

function failed(answer: Answer): void {
  // The board's own words: they say what to do.
  const problem = answer.error
  if (problem) message(`${problem.message} (${problem.code})`, true)
}

async function getFolders(): Promise<Folders> {
  const response = await fetch('/api/folders')
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
  return (await response.json()) as Folders
}

function options(): DrawingOptions {
  const simplified = checkbox('simplified').checked
  return {
    output: {
      crs: 'source',
      vectorization: simplified ? 'simplified' : 'pixel',
      largest_only: checkbox('largest').checked,
    },
    ...(checkbox('stitch').checked ? { stitch: true } : {}),
  }
}

function choose(chosen: Tool): void {
  tool = chosen
  for (const button of document.querySelectorAll<HTMLElement>('[data-tool]')) {
    const on = button.dataset.tool === chosen
    button.setAttribute('aria-checked', String(on))
    button.tabIndex = on ? 0 : -1
  }
  part('map').dataset.tool = chosen
}

function showResult(answer: Answer | undefined): void {
  const mask = answer?.result?.features[0]?.properties
  const areas = answer?.result?.features.map((f) => f.properties.area_m2 ?? 0) ?? []
  const area = areas.reduce((sum, one) => sum + one, 0)
  const number = (value: number, digits: number) => value.toLocaleString(current(), { maximumFractionDigits: digits })
  part('score').textContent = mask ? number(mask.score, 3) : '–'
  part('area').textContent = !mask ? '–' : area >= 10_000 ? `${number(area / 10_000, 2)} ha` : `${number(area, 1)} m²`
  part('chip').textContent = answer?.masks?.[0]?.chip_id ?? '–'
  if (answer && !answer.result?.features.length) message(say('nothing_here'))
  else if (answer?.complete === false) message(say('incomplete'))
  else if (mask?.touches_chip_edge && answer?.complete === undefined) message(say('edge'))
  else if (answer) message('')
}

/** The folders in the list, and what is wrong with the one that is chosen. */
function listFolders(): void {
  const select = part<HTMLSelectElement>('folder')
  const options = folders.folders.map((folder) => {
    const option = document.createElement('option')
    option.value = folder.name
    option.textContent = folder.ready ? `${folder.name} · ${folder.model}` : `${folder.name} (${say('not_ready')})`
    option.selected = folder.name === shown?.name
    return option
  })
  if (!options.length) {
    const none = document.createElement('option')
    none.textContent = say('no_folder')
    options.push(none)
  }
  select.replaceChildren(...options)
  const problem = part('problem')
  const progress = shown?.raster?.progress
  let text = ''
  if (shown && !shown.ready) text = say('folder_not_ready', { problem: shown.problem?.message ?? '' })
  else if (progress !== undefined) text = say('pyramid', { percent: String(Math.floor(progress * 100)) })
  else if (shown && !shown.raster) text = say('no_raster', { problem: shown.raster_problem ?? '' })
  problem.textContent = text
  problem.hidden = !text
}

async function start(): Promise<void> {
  const name = await tabName()
  for (;;) {
    try {
      folders = await getFolders()
      break
    } catch (error) {
      message(say('no_api', { problem: String(error) }), true)
      await new Promise((resolve) => setTimeout(resolve, 2000))
    }
  }
  message('')
  const board = new Board(folders.root, folders.device, name)
  const changed = () => {
    scene.setPrompts(session.prompts)
    scene.setMask(session.answer)
    showResult(session.answer)
  }
  const session = new Session(board, name, options, changed, failed)
  const layers = new Layers(board, scene, () => shown, part('count'), part('layers'))
  const layerInput = part<HTMLInputElement>('layer')
  const layer = () => layerInput.value.trim()

  async function open(folder: Folder | undefined): Promise<void> {
    shown = folder
    listFolders()
    if (!folder?.extent) return
    localStorage.setItem(FOLDER, folder.name)
    scene.show(folder)
    scene.showChips(checkbox('chips').checked || !folder.raster)
    const opened = session.open(folder.name)
    void layers.show(layer())
    const response = await fetch(`/api/folders/${encodeURIComponent(folder.name)}/chips.geojson`)
    if (response.ok && shown === folder) {
      scene.setChips(await response.json())
      scene.setMask(session.answer)
    }
    await opened
  }

  /** The folders anew; where they came, changed or went. */
  async function refresh(): Promise<void> {
    const before = shown
    try {
      folders = await getFolders()
    } catch {
      // The connection's state tells.
      return
    }
    const now = folders.folders.find((folder) => folder.name === before?.name)
    if (!before || !now || now.ready !== before.ready || JSON.stringify(now.extent) !== JSON.stringify(before.extent)) {
      await open(now ?? folders.folders.find((folder) => folder.ready) ?? folders.folders[0])
      return
    }
    shown = now
    if (now.raster?.version !== before.raster?.version) scene.retile(now)
    listFolders()
  }
  setInterval(() => {
    if (shown?.raster?.progress !== undefined) void refresh()
  }, 1000)

  board.onState = (state) => {
    const pill = part('state')
    pill.dataset.state = state
    pill.textContent = say(state)
    const login = part('login')
    if (state === 'refused' && login.hidden) {
      login.hidden = false
      part('user').focus()
    } else if (state !== 'refused') login.hidden = true
  }
  let first = true
  board.onConnected = () => {
    // What went on while we were away, or before a reload.
    void refresh()
    if (!first) void session.reconcile()
    first = false
    void layers.show(layer())
  }
  let asked: ReturnType<typeof setTimeout> | undefined
  board.onTold = (kind, told) => {
    if (kind === 'folder') {
      clearTimeout(asked)
      asked = setTimeout(() => void refresh(), 300)
    } else if (told === layer()) void layers.show(layer())
  }
  part<HTMLFormElement>('login').addEventListener('submit', (event) => {
    event.preventDefault()
    const [username, password] = [part<HTMLInputElement>('user').value, part<HTMLInputElement>('password').value]
    board.connect({ username, password })
  })

  // The pointer's preview: one under way, the newest place next, asked for before the answer is drawn.
  let wanted: Position | undefined
  let looking = false
  const send = (): Promise<Answer | undefined> | undefined => {
    const at = wanted
    wanted = undefined
    return at && checkbox('preview').checked && !document.hidden ? session.glance(at) : undefined
  }
  const look = async (): Promise<void> => {
    if (looking) return
    looking = true
    let under = send()
    while (under) {
      const answer = await under
      under = send()
      if (hovering && checkbox('preview').checked) scene.setGlance(answer?.status === 'ok' ? answer : undefined)
    }
    looking = false
  }
  let hovering = false
  const hover = (at: Position | undefined) => {
    hovering = at !== undefined
    wanted = at
    if (at) void look()
    else scene.setGlance(undefined)
  }

  takeHands(scene, {
    add: (prompt) => {
      hover(undefined)
      message('')
      if (shown?.ready) void session.add(prompt)
    },
    remove: (prompt) => void session.remove(prompt),
    hover: (at) => {
      if (shown?.ready) hover(at)
    },
    tool: () => tool,
  })

  const save = async () => {
    const into = layer()
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(into)) {
      message(say('layer_bad'), true)
      return
    }
    const answer = await session.save(into)
    if (answer?.saved) {
      message(say('saved', { layer: into }))
      await layers.show(into)
    }
  }
  const unsave = async () => {
    const answer = await session.unsave(layer())
    if (answer.error) failed(answer)
    else {
      message(say('taken_back', { layer: layer() }))
      await layers.show(layer())
    }
  }
  const act: Record<string, () => unknown> = {
    undo: () => session.undo(),
    clear: () => session.clear(),
    save,
    unsave,
    download: () => layers.download(layer()),
    extent: () => scene.fit(),
    language: () => {
      speak(current() === 'en' ? 'zh' : 'en')
      texts()
    },
    theme: () => {
      const dark = matchMedia('(prefers-color-scheme: dark)').matches
      const now = document.documentElement.dataset.theme ?? (dark ? 'dark' : 'light')
      document.documentElement.dataset.theme = now === 'dark' ? 'light' : 'dark'
      localStorage.setItem(THEME, document.documentElement.dataset.theme)
    },
  }
  for (const [id, action] of Object.entries(act)) part(id).addEventListener('click', () => void action())
  for (const button of document.querySelectorAll<HTMLElement>('[data-tool]')) {
    button.addEventListener('click', () => choose(button.dataset.tool as Tool))
  }
  part('tools').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    choose(TOOLS[(TOOLS.indexOf(tool) + step + TOOLS.length) % TOOLS.length] ?? 'foreground')
    document.querySelector<HTMLElement>('[data-tool][aria-checked="true"]')?.focus()
  })
  part('folder').addEventListener('change', () => {
    const chosen = folders.folders.find((f) => f.name === part<HTMLSelectElement>('folder').value)
    void session.clear()
    void open(chosen)
  })
  layerInput.addEventListener('change', () => void layers.show(layer()))
  for (const id of ['simplified', 'largest', 'stitch']) checkbox(id).addEventListener('change', () => void session.again())
  checkbox('chips').addEventListener('change', () => scene.showChips(checkbox('chips').checked || !shown?.raster))
  checkbox('preview').addEventListener('change', () => scene.setGlance(undefined))

  addEventListener('keydown', (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== 'checkbox'
    if (typing || event.target instanceof HTMLSelectElement || event.altKey) return
    const key = event.key.toLowerCase()
    if (event.ctrlKey || event.metaKey) {
      if (key === 'z') void unsave()
      else return
    } else if (key === 'z' || key === 'backspace') void session.undo()
    else if (key === 'c') void session.clear()
    else if (key === 's') void save()
    else if (key === 'p') checkbox('preview').click()
    else if (key === 'f') choose('foreground')
    else if (key === 'b') choose('background')
    else if (key === 'r') choose('box')
    else if (key === 'escape') hover(undefined)
    else return
    event.preventDefault()
  })
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) hover(undefined)
  })
  // A page that was frozen has lost its connection without knowing.
  document.addEventListener('resume', () => board.refresh())

  function texts(): void {
    board.onState(board.state)
    listFolders()
    part('keys').replaceChildren(
      ...KEYS.map((key) => {
        const item = document.createElement('li')
        item.textContent = say(key)
        return item
      }),
    )
    part('language').textContent = current() === 'en' ? '中文' : 'English'
    part('language').lang = current() === 'en' ? 'zh' : 'en'
  }
  speak(current())
  texts()
  // For tests, and for who looks on in the browser's console.
  Object.assign(globalThis, { geosam: { scene, session, board } })

  board.connect()
  const of = (name: string | null | undefined) => folders.folders.find((folder) => folder.name === name)
  await open(of(kept()?.folder) ?? of(localStorage.getItem(FOLDER)) ?? folders.folders.find((f) => f.ready) ?? folders.folders[0])
}

const theme = localStorage.getItem(THEME)
if (theme) document.documentElement.dataset.theme = theme
speak(current())
choose('foreground')
void start()
