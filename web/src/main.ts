// The page: what is on the panel, and how it, the map and the board belong together.

import 'ol/ol.css'
import './style.css'

import { Board } from './board'
import { TOOLS, type Tool, takeHands } from './hands'
import { type FileKind, Layers } from './layers'
import { checkbox, explained, failed, message, part, showCount, showResult, showSearch } from './panel'
import { Refine } from './refine'
import { Scene } from './scene'
import { Searching } from './search'
import { Session } from './session'
import { kept, tabName } from './tab'
import { type TextKey, current, say, speak } from './texts'
import type { Answer, Box, DrawingOptions, Folder, Folders, Position } from './wire'

const FOLDER = 'geosam-folder'
const THEME = 'geosam-theme'
const KEYS: TextKey[] = ['key_click', 'key_box', 'key_remove', 'key_letters', 'key_map']

let tool: Tool = 'foreground'
let folders: Folders = { root: '', device: '', folders: [] }
let shown: Folder | undefined

const scene = new Scene(part('map'))

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
  for (const button of document.querySelectorAll<HTMLElement>('#tools [data-tool]')) {
    const on = button.dataset.tool === chosen
    button.setAttribute('aria-checked', String(on))
    button.tabIndex = on ? 0 : -1
  }
  part('map').dataset.tool = chosen
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
  if (shown && !shown.ready) text = say('folder_not_ready', { problem: shown.problem ? explained(shown.problem) : '' })
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
  message(folders.folders.some(({ ready }) => ready) ? say('hint') : '')
  const board = new Board(folders.root, folders.device, name)
  const changed = () => {
    scene.setPrompts(session.prompts)
    scene.setMask(session.answer)
    showResult(session.answer)
  }
  const refine = new Refine(checkbox('refine'), () => shown)
  const list = () => {
    listFolders()
    refine.show()
  }
  const session = new Session(board, name, options, refine, changed, failed)
  const layers = new Layers(board, scene, () => shown, showCount, part('layers'))
  const layerInput = part<HTMLInputElement>('layer')
  const layer = () => layerInput.value.trim()
  /** The layer, if it can be one. */
  const goodLayer = (): string | undefined => {
    if (/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/.test(layer())) return layer()
    message(say('layer_bad'), true)
    return undefined
  }
  const searching = new Searching(
    board,
    () => showSearch(searching.now),
    (search, answer) => {
      const { layer: into } = search.body
      const found = answer.everything
      if (found) {
        const skipped = found.chips_skipped ? say('search_skipped', { skipped: String(found.chips_skipped) }) : ''
        message(`${say('search_done', { layer: into, objects: String(found.objects), chips: String(found.chips) })} ${skipped}`)
      } else if (answer.error?.code === 'CANCELLED') message(say('search_cancelled', { layer: into, objects: String(search.objects) }))
      else failed(answer)
      if (layer() === into) void layers.show(into)
    },
  )

  async function open(folder: Folder | undefined): Promise<void> {
    shown = folder
    list()
    part('download_gpkg').hidden = folders.geopackage_bytes === undefined
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
    list()
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
    searching.resume()
    void layers.show(layer())
  }
  let asked: ReturnType<typeof setTimeout> | undefined
  board.onTold = (kind, told, payload) => {
    if (kind === 'folder') {
      clearTimeout(asked)
      asked = setTimeout(() => void refresh(), 300)
    } else if (told === layer()) layers.hear(told, JSON.parse(payload))
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
    const into = goodLayer()
    if (!into) return
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
  const search = () => {
    const [into, box] = [goodLayer(), shown?.extent && scene.visible(shown.extent)]
    if (!into || !shown?.ready || searching.now) return
    if (!box) {
      message(say('search_nowhere'), true)
      return
    }
    message('')
    searching.begin(shown.name, box as Box, into, Number(part<HTMLSelectElement>('search_points').value))
  }
  const download = async (kind: FileKind) => {
    const from = goodLayer()
    if (!from) return
    message('')
    try {
      await layers.download(from, kind, folders.geopackage_bytes)
    } catch (error) {
      message(say('download_failed', { problem: error instanceof Error ? error.message : String(error) }), true)
    }
  }
  const act: Record<string, () => unknown> = {
    undo: () => session.undo(),
    clear: () => session.clear(),
    save,
    unsave,
    download: () => download('geojson'),
    download_kml: () => download('kml'),
    download_gpkg: () => download('gpkg'),
    search_begin: search,
    search_cancel: () => searching.cancel(),
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
  for (const button of document.querySelectorAll<HTMLElement>('#tools [data-tool]')) {
    button.addEventListener('click', () => choose(button.dataset.tool as Tool))
  }
  part('tools').addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    choose(TOOLS[(TOOLS.indexOf(tool) + step + TOOLS.length) % TOOLS.length] ?? 'foreground')
    document.querySelector<HTMLElement>('#tools [aria-checked="true"]')?.focus()
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
    } else if (key === 'e' && event.shiftKey) search()
    else if (key === 'z' || key === 'backspace') void session.undo()
    else if (key === 'c') void session.clear()
    else if (key === 's') void save()
    else if (key === 'p') checkbox('preview').click()
    else if (key === 'm') refine.turn()
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
    list()
    showSearch(searching.now)
    showCount()
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
  Object.assign(globalThis, { geosam: { scene, session, board, searching } })

  board.connect()
  const of = (name: string | null | undefined) => folders.folders.find((folder) => folder.name === name)
  await open(of(kept()?.folder) ?? of(localStorage.getItem(FOLDER)) ?? folders.folders.find((f) => f.ready) ?? folders.folders[0])
}

const theme = localStorage.getItem(THEME)
if (theme) document.documentElement.dataset.theme = theme
speak(current())
choose('foreground')
void start()
