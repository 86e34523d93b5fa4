// What people do on the map: clicks, boxes, the pointer's way, keys.

import type MapBrowserEvent from 'ol/MapBrowserEvent'
import { platformModifierKeyOnly, shiftKeyOnly } from 'ol/events/condition'
import DragBox from 'ol/interaction/DragBox'
import DragPan from 'ol/interaction/DragPan'
import KeyboardPan from 'ol/interaction/KeyboardPan'
import KeyboardZoom from 'ol/interaction/KeyboardZoom'
import MouseWheelZoom from 'ol/interaction/MouseWheelZoom'
import PinchZoom from 'ol/interaction/PinchZoom'

import type { Scene } from './scene'
import type { Box, Position, Prompt } from './wire'

export type Tool = 'foreground' | 'background' | 'box'
export const TOOLS: Tool[] = ['foreground', 'background', 'box']

export interface Wishes {
  add(prompt: Prompt): void
  remove(prompt: Prompt): void
  hover(at: Position | undefined): void
  tool(): Tool
}

const place = (coordinate: number[]): Position => [coordinate[0] ?? 0, coordinate[1] ?? 0]

/** Joins the map's gestures to wishes. */
export function takeHands(scene: Scene, wishes: Wishes): void {
  const { map } = scene
  const isBox = (event: MapBrowserEvent) => shiftKeyOnly(event) || (wishes.tool() === 'box' && !platformModifierKeyOnly(event))
  const box = new DragBox({ condition: isBox, className: 'drag-box', minArea: 25 })
  const pan = new DragPan({ condition: (event) => !isBox(event) })
  for (const interaction of [pan, new PinchZoom(), new MouseWheelZoom(), new KeyboardPan(), new KeyboardZoom(), box]) {
    map.addInteraction(interaction)
  }
  box.on('boxend', () => wishes.add({ box: box.getGeometry().getExtent().slice(0, 4) as Box }))

  const point = (pixel: number[], foreground: boolean) => {
    const there = scene.promptAt(pixel)
    if (there) wishes.remove(there)
    else wishes.add({ at: place(map.getCoordinateFromPixel(pixel)), foreground })
  }
  // `singleclick` would wait for a second one.
  map.on('click', (event) => {
    const original = event.originalEvent as MouseEvent
    const background = wishes.tool() === 'background' || original.ctrlKey || original.altKey || original.metaKey
    // With the box tool a click is a box that was not drawn.
    if (wishes.tool() === 'box' && !background) return
    point(event.pixel, !background)
  })
  const viewport = map.getViewport() as HTMLElement
  viewport.addEventListener('contextmenu', (event) => {
    event.preventDefault()
    point(map.getEventPixel(event), false)
  })
  map.on('pointermove', (event) => {
    const original = event.originalEvent as PointerEvent
    const still = event.dragging || original.pointerType === 'touch' || original.buttons !== 0
    wishes.hover(still || isBox(event) ? undefined : place(event.coordinate))
  })
  viewport.addEventListener('pointerleave', () => wishes.hover(undefined))

  // By keyboard alone: the middle of the map is the pointer.
  const target = map.getTargetElement() as HTMLElement
  const cross = document.getElementById('cross')
  target.addEventListener('focus', () => {
    if (cross && target.matches(':focus-visible')) cross.hidden = false
  })
  target.addEventListener('blur', () => {
    if (cross) cross.hidden = true
  })
  let corner: Position | undefined
  target.addEventListener('keydown', (event) => {
    // Not that of a button on the map.
    if (event.key !== 'Enter' || event.target !== target) return
    event.preventDefault()
    if (cross) cross.hidden = false
    const centre = map.getView().getCenter()
    if (!centre) return
    const at = place(centre)
    if (wishes.tool() === 'box') {
      if (corner) {
        const [[x, y], [u, v]] = [corner, at]
        corner = undefined
        wishes.add({ box: [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)] })
      } else corner = at
    } else {
      corner = undefined
      const pixel = map.getPixelFromCoordinate(centre)
      point(pixel, !(event.shiftKey || wishes.tool() === 'background'))
    }
  })
}
