// What a tab is called, so that two of them do not disturb each other, and what it remembers over a reload.

import { chance } from './board'
import type { Prompt } from './wire'

const NAME = 'geosam-tab'
const WORK = 'geosam-work'
/** How long another tab may take to say that it has the name. */
const PATIENCE_MS = 150

/** What is remembered of the work under way. */
export interface Work {
  folder: string
  prompts: Prompt[]
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
  }
  sessionStorage.setItem(NAME, name)
  channel.addEventListener('message', (event) => {
    if (event.data === `whose ${name}`) channel.postMessage(`mine ${name}`)
  })
  return name
}

/** Remembers the work under way. */
export function keep(work: Work): void {
  sessionStorage.setItem(WORK, JSON.stringify(work))
}

/** The work before a reload. */
export function kept(): Work | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(WORK) ?? 'null') ?? undefined
  } catch {
    return undefined
  }
}
