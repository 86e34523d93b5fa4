// The map: raster, chips, masks, prompts, saved objects. What people do with it is in `hands`.

import Feature from 'ol/Feature'
import Map from 'ol/Map'
import View from 'ol/View'
import { defaults as controls } from 'ol/control/defaults'
import ScaleLine from 'ol/control/ScaleLine'
import { type Extent, createEmpty, getCenter, getIntersection, isEmpty } from 'ol/extent'
import GeoJSON from 'ol/format/GeoJSON'
import Point from 'ol/geom/Point'
import { fromExtent } from 'ol/geom/Polygon'
import VectorLayer from 'ol/layer/Vector'
import type Projection from 'ol/proj/Projection'
import VectorSource from 'ol/source/Vector'
import CircleStyle from 'ol/style/Circle'
import Fill from 'ol/style/Fill'
import Stroke from 'ol/style/Stroke'
import Style from 'ol/style/Style'

import { projectionOf, tilesOf } from './grid'
import type { Answer, Folder, Prompt } from './wire'

const GREEN = '#0a8f3c'
const RED = '#d3202f'
const EDGE = '#ff00c8'

function outline(color: string, width: number, dash?: number[]): Style[] {
  const stroke = (c: string, w: number) => new Style({ stroke: new Stroke({ color: c, width: w, ...(dash ? { lineDash: dash } : {}) }) })
  return [stroke('rgba(0,0,0,0.55)', width + 2), stroke(color, width)]
}

function filled(color: string, edge: string, width: number, dash?: number[]): Style {
  return new Style({ fill: new Fill({ color }), stroke: new Stroke({ color: edge, width, ...(dash ? { lineDash: dash } : {}) }) })
}

function dot(color: string): Style {
  return new Style({ image: new CircleStyle({ radius: 7, fill: new Fill({ color }), stroke: new Stroke({ color: '#fff', width: 2 }) }) })
}

const MASK = filled('rgba(255,0,200,0.28)', EDGE, 2)
// Seen on white roofs, too.
const GLANCE = [filled('rgba(255,255,255,0.25)', 'rgba(0,0,0,0.55)', 4), filled('rgba(0,0,0,0)', '#ffffff', 2, [6, 4])]
const SAVED = filled('rgba(20,120,255,0.18)', '#1f7bff', 2)
const CHIP = outline('#ffd400', 1.5, [8, 6])
const CHIPS = [new Style({ stroke: new Stroke({ color: 'rgba(128,128,128,0.9)', width: 1 }) })]
const BOX = outline(GREEN, 2)
const POINTS = { true: dot(GREEN), false: dot(RED) }

export class Scene {
  readonly map: Map
  private readonly layers = {
    chips: new VectorLayer({ source: new VectorSource(), style: CHIPS, visible: false }),
    saved: new VectorLayer({ source: new VectorSource(), style: SAVED }),
    chip: new VectorLayer({ source: new VectorSource(), style: CHIP }),
    mask: new VectorLayer({ source: new VectorSource(), style: MASK }),
    glance: new VectorLayer({ source: new VectorSource(), style: GLANCE }),
    prompts: new VectorLayer({ source: new VectorSource() }),
  }
  private tiles: ReturnType<typeof tilesOf> | undefined
  private projection: Projection | undefined
  private format = new GeoJSON()
  /** What a click on a point means. */
  private readonly promptOf = new WeakMap<Feature, Prompt>()

  constructor(target: HTMLElement) {
    // The hands bring their own interactions.
    this.map = new Map({ target, controls: controls({ rotate: false, attribution: false }), interactions: [], layers: Object.values(this.layers) })
    // Its own texts are English.
    for (const way of ['in', 'out']) {
      const button = target.querySelector<HTMLElement>(`.ol-zoom-${way}`)
      if (button) button.dataset.title = button.dataset.label = `zoom_${way}`
    }
  }

  /** Shows a folder. */
  show(folder: Folder): void {
    const projection = projectionOf(folder)
    this.projection = projection
    this.format = new GeoJSON({ dataProjection: projection, featureProjection: projection })
    for (const layer of Object.values(this.layers)) layer.getSource()?.clear()
    this.retile(folder)
    const [pixel = 1] = folder.pixel_size ?? []
    const extent = folder.extent ?? [0, 0, 1, 1]
    const size = Math.max(extent[2] - extent[0], extent[3] - extent[1])
    this.map.setView(
      new View({ projection, extent: projection.getExtent(), constrainOnlyCenter: true, minResolution: pixel / 32, maxResolution: size / 100, enableRotation: false, showFullExtent: true }),
    )
    for (const control of this.map.getControls().getArray().filter((c) => c instanceof ScaleLine)) this.map.removeControl(control)
    if (projection.getUnits() === 'm') this.map.addControl(new ScaleLine())
    this.fit()
  }

  /** Takes the raster's tiles anew, for example when an overview of it has been made. */
  retile(folder: Folder): void {
    if (this.tiles) this.map.removeLayer(this.tiles)
    this.tiles = undefined
    if (folder.raster && this.projection) {
      this.tiles = tilesOf(folder, folder.raster, this.projection)
      this.map.getLayers().insertAt(0, this.tiles)
    }
  }

  /** The whole folder. */
  fit(): void {
    const extent = this.projection?.getExtent()
    if (!extent) return
    const [dx, dy] = [(extent[2] - extent[0]) / 3, (extent[3] - extent[1]) / 3]
    this.map.getView().fit([extent[0] + dx, extent[1] + dy, extent[2] - dx, extent[3] - dy], { padding: [16, 16, 16, 16] })
  }

  setChips(geojson: unknown): void {
    const source = this.layers.chips.getSource()
    source?.clear()
    source?.addFeatures(this.format.readFeatures(geojson))
  }

  showChips(visible: boolean): void {
    this.layers.chips.setVisible(visible)
  }

  private draw(layer: 'mask' | 'glance', answer: Answer | undefined): void {
    const source = this.layers[layer].getSource()
    source?.clear()
    if (answer?.result) source?.addFeatures(this.format.readFeatures({ ...answer.result, crs: undefined }))
  }

  /** The mask of an answer, and its chip dashed. */
  setMask(answer: Answer | undefined): void {
    this.draw('mask', answer)
    const chip = this.layers.chip.getSource()
    chip?.clear()
    const id = answer?.masks?.[0]?.chip_id
    if (id === undefined) return
    const around = this.extentOf('mask')
    const named = this.layers.chips.getSource()?.getFeatures().filter((f) => f.get('id') === id) ?? []
    // Ids repeat where a folder has several layers.
    const at = isEmpty(around) ? undefined : getCenter(around)
    const found = named.find((f) => !at || f.getGeometry()?.intersectsCoordinate(at)) ?? named[0]
    if (found) chip?.addFeature(new Feature(found.getGeometry()))
  }

  setGlance(answer: Answer | undefined): void {
    this.draw('glance', answer)
  }

  private extentOf(layer: 'mask'): Extent {
    return this.layers[layer].getSource()?.getExtent() ?? createEmpty()
  }

  setPrompts(prompts: Prompt[]): void {
    const source = this.layers.prompts.getSource()
    source?.clear()
    const boxes = prompts.filter((p) => 'box' in p)
    const last = boxes[boxes.length - 1]
    for (const prompt of prompts) {
      if ('box' in prompt && prompt !== last) continue
      const feature = new Feature('box' in prompt ? fromExtent(prompt.box) : new Point(prompt.at))
      feature.setStyle('box' in prompt ? BOX : POINTS[`${prompt.foreground}`])
      if ('at' in prompt) this.promptOf.set(feature, prompt)
      source?.addFeature(feature)
    }
  }

  /** The point at a pixel of the map. */
  promptAt(pixel: number[]): Prompt | undefined {
    const layerFilter = (layer: unknown) => layer === this.layers.prompts
    const found = this.map.getFeaturesAtPixel(pixel, { layerFilter, hitTolerance: 3 }) as Feature[]
    return found.map((feature) => this.promptOf.get(feature)).find((prompt) => prompt !== undefined)
  }

  setSaved(features: object[]): void {
    const source = this.layers.saved.getSource()
    source?.clear()
    source?.addFeatures(this.format.readFeatures({ type: 'FeatureCollection', features }))
  }

  /** Draws saved objects beside those that are there, or in the place of those with the same ids. */
  addSaved(features: object[]): void {
    const source = this.layers.saved.getSource()
    const drawn = this.format.readFeatures({ type: 'FeatureCollection', features })
    this.removeSaved(drawn.map((feature) => feature.getId()))
    source?.addFeatures(drawn)
  }

  removeSaved(ids: (string | number | undefined)[]): void {
    const source = this.layers.saved.getSource()
    for (const id of ids) {
      const feature = id === undefined ? null : source?.getFeatureById(id)
      if (feature) source?.removeFeature(feature)
    }
  }

  /** What of an extent is seen, in its CRS; nothing where none of it is. */
  visible(extent: Extent): Extent | undefined {
    const size = this.map.getSize()
    if (!size || !this.map.getView().isDef()) return undefined
    const seen = getIntersection(this.map.getView().calculateExtent(size), extent)
    return isEmpty(seen) ? undefined : seen
  }
}
