// What stands on the panel: messages, the result, how far a search has come.

import type { Search } from './tab'
import { current, isKey, say } from './texts'
import type { Answer, Problem } from './wire'

export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (!element) throw new Error(`the page has no #${id}`)
  return element as T
}

export const checkbox = (id: string) => part<HTMLInputElement>(id)

export function message(text: string, bad = false): void {
  part('message').textContent = text.trim()
  part('message').dataset.bad = String(bad)
}

/** The board's own words, which say what to do, and before them what its code means where they are not in the reader's language.
 * That no chip is there says it all: the CRS that the board speaks of is not what a click gets wrong. */
export function explained({ code, message }: Problem): string {
  const meaning = isKey(code) ? say(code) : ''
  return `${meaning} ${code === 'NO_CHIP_COVERS' ? '' : message} (${code})`.replace(/ +/g, ' ').trim()
}

export function failed(answer: Answer): void {
  if (answer.error) message(explained(answer.error), true)
}

let objects = 0

/** How many objects the layer has; in the language of now where it is not said. */
export function showCount(count = objects): void {
  objects = count
  part('count').textContent = String(count)
  part('counted').textContent = say('objects_saved', { objects: String(count) })
}

export function showResult(answer: Answer | undefined): void {
  const mask = answer?.result?.features[0]?.properties
  const areas = answer?.result?.features.map((f) => f.properties.area_m2 ?? 0) ?? []
  const area = areas.reduce((sum, one) => sum + one, 0)
  const number = (value: number, digits: number) => value.toLocaleString(current(), { maximumFractionDigits: digits })
  part('score').textContent = mask ? number(mask.score, 3) : '–'
  part('area').textContent = !mask ? '–' : area >= 10_000 ? `${number(area / 10_000, 2)} ha` : `${number(area, 1)} m²`
  part('chip').textContent = answer?.masks?.[0]?.chip_id ?? '–'
  if (answer && !answer.result?.features.length) message(say('nothing_here'))
  else if (answer?.not_refined_because === 'other_chip') message(say('refine_other_chip'))
  else if (answer?.complete === false) message(say('incomplete'))
  else if (mask?.touches_chip_edge && answer?.complete === undefined) message(say('edge'))
  else if (answer) message('')
}

export function showSearch(now: Search | undefined): void {
  part<HTMLButtonElement>('search_begin').disabled = now !== undefined
  const [state, first] = [part('search_state'), part('search_state').hidden]
  state.hidden = !now
  if (!now) return
  const { body, done, total, objects } = now
  const bar = part<HTMLProgressElement>('search_bar')
  bar.max = total || 1
  if (total) bar.value = done
  else bar.removeAttribute('value')
  const values = { layer: body.layer, done: String(done), total: String(total), objects: String(objects) }
  part('search_told').textContent = say(total ? 'search_progress' : 'search_waits', values)
  if (first) state.scrollIntoView({ block: 'nearest' })
}
