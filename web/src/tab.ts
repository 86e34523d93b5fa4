// What a tab is called, so that two of them do not disturb each other, and what it remembers over a reload.

import { chance } from './board'
import type { Prompt } from './wire'

const NAME = 'geosam-tab'
const WORK = 'geosam-work'
const SEARCH = 'geosam-search'
/** How long another tab may take to say that it has the name. */
const PATIENCE_MS = 150

/** What is remembered of the work under way. */
export interface Work {
  folder: string
  prompts: Prompt[]
}

/** A search for everything that the board was asked for. */
export interface Search {
  id: string
  /** The client that asked: only it is answered. */
  client: string
  /** The request, to be sent again as it was. */
  body: { layer: string; folder: string }
  done: number
  total: number
  objects: number
}

/** The name of this tab: the same after a reload, another one where the tab was duplicated and its storage copied. */
export async function tabName(): Promise<string> {
  let name = sessionStorage.getItem(NAME) ?? `map-${chance()}`
  const channel = new BroadcastChannel('geosam-tabs')
  const taken = new Promise<boolean>((resolve) => {
    setTimeout(() => resolve(false), PATIENCE_MS)
    channel.addEventListener('message', (event) => {
      if (event.data === `mine ${name}`) resolve(true)
    })
    channel.postMessage(`whose ${name}`)
  })
  if (await taken) {
    name = `map-${chance()}`
    sessionStorage.removeItem(WORK)
    sessionStorage.removeItem(SEARCH)
  }
  sessionStorage.setItem(NAME, name)
  channel.addEventListener('message', (event) => {
    if (event.data === `whose ${name}`) channel.postMessage(`mine ${name}`)
  })
  return name
}

function read<T>(key: string): T | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? 'null') ?? undefined
  } catch {
    return undefined
  }
}

/** Remembers the work under way. */
export function keep(work: Work): void {
  sessionStorage.setItem(WORK, JSON.stringify(work))
}

/** The work before a reload. */
export function kept(): Work | undefined {
  return read(WORK)
}

/** Remembers a search, or that there is none. */
export function keepSearch(search: Search | undefined): void {
  if (search) sessionStorage.setItem(SEARCH, JSON.stringify(search))
  else sessionStorage.removeItem(SEARCH)
}

/** The search before a reload. */
export function keptSearch(): Search | undefined {
  return read(SEARCH)
}
