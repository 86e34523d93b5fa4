// Layers of saved objects: shown in the folder's CRS, counted, downloaded.

import type { Board } from './board'
import { kml } from './kml'
import type { Scene } from './scene'
import { say } from './texts'
import type { Feature, Folder, SavedProperties } from './wire'

/** Objects that are drawn; more are counted only. */
const MOST_DRAWN = 5000
/** Numbers of one question about coordinates. */
const MOST_NUMBERS = 100_000
/** How long objects that are told of are gathered before they are drawn, and how often at the most they are counted. */
const GATHER_MS = 300
const COUNT_MS = 1500

type Saved = Feature<SavedProperties>
/** An object that is told of: saved or changed, or out of its layer. */
type Told = Saved & { id: string; deleted?: true }

/** How a layer is downloaded. */
export type FileKind = 'geojson' | 'kml' | 'gpkg'

export class Layers {
  private asked = 0
  private showing = 0
  private told = new Map<string, Told>()
  private drawing: ReturnType<typeof setTimeout> | undefined
  private counting: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly board: Board,
    private readonly scene: Scene,
    private readonly folder: () => Folder | undefined,
    /** Says how many objects the layer has. */
    private readonly count: (objects: number) => void,
    private readonly names: HTMLElement,
  ) {}

  /** Counts a layer's objects, and draws those of the folder. */
  async show(layer: string): Promise<void> {
    this.told.clear()
    this.asked += 1
    this.showing += 1
    await this.showAll(layer, this.asked)
    this.showing -= 1
  }

  private async showAll(layer: string, asked: number): Promise<void> {
    const there = await this.counted(layer)
    if (asked !== this.asked) return
    const folder = this.folder()
    const features = there ? await this.fetch(layer, MOST_DRAWN) : []
    if (asked !== this.asked || !folder) return
    const drawn = await toFolder(features, folder.name)
    if (asked === this.asked) this.scene.setSaved(drawn)
  }

  /** Draws an object of the layer that is shown, of which the board tells: there may be many of them in a short time. */
  hear(layer: string, object: Told): void {
    this.told.set(object.id, object)
    const asked = this.asked
    this.drawing ??= setTimeout(() => void this.draw(), GATHER_MS)
    this.counting ??= setTimeout(() => {
      this.counting = undefined
      if (asked === this.asked) void this.counted(layer)
    }, COUNT_MS)
  }

  private async draw(): Promise<void> {
    // What is fetched meanwhile may be from before these.
    this.drawing = this.showing ? setTimeout(() => void this.draw(), GATHER_MS) : undefined
    const [asked, folder] = [this.asked, this.folder()]
    if (this.drawing || !folder) return
    const objects = [...this.told.values()]
    this.told.clear()
    const drawn = await toFolder(objects.filter((object) => !object.deleted), folder.name)
    if (asked !== this.asked) return
    this.scene.removeSaved(objects.map(({ id }) => id))
    this.scene.addSaved(drawn)
  }

  /** Says how many objects are in a layer, and which layers there are; whether this one is. */
  private async counted(layer: string): Promise<boolean> {
    const list = await this.board.ask('list', {})
    const options = (list.layers ?? []).map(({ name }) => {
      const option = document.createElement('option')
      option.value = name
      return option
    })
    this.names.replaceChildren(...options)
    const there = list.layers?.find(({ name }) => name === layer)
    this.count(there?.features ?? 0)
    return there !== undefined
  }

  private async fetch(layer: string, most: number): Promise<Saved[]> {
    const features: Saved[] = []
    let offset: number | null | undefined = 0
    while (offset !== null && offset !== undefined && features.length < most) {
      const page = await this.board.ask('fetch', { layer, offset, limit: 500 })
      if (page.status !== 'ok') break
      features.push(...(page.features ?? []))
      offset = page.next
    }
    return features
  }

  /** The layer as a file, in WGS84, as it was saved. It comes over the broker whatever the file is, so that its access list
   * decides. A GeoPackage is a database: the board makes it of what the page has. */
  async download(layer: string, kind: FileKind, most = 0): Promise<void> {
    const features = await this.fetch(layer, Infinity)
    // No program opens an empty one.
    if (!features.length && kind !== 'geojson') throw new Error(say('layer_empty', { layer }))
    if (kind === 'geojson') return save(`${layer}.geojson`, new Blob([JSON.stringify({ type: 'FeatureCollection', features })], { type: 'application/geo+json' }))
    if (kind === 'kml') return save(`${layer}.kml`, new Blob(kml(layer, features), { type: 'application/vnd.google-earth.kml+xml' }))
    const lines = new Blob(features.map((feature) => `${JSON.stringify(feature)}\n`))
    if (lines.size > most) throw new Error(say('layer_large', { megabytes: String(Math.floor(most / 2 ** 20)) }))
    const response = await fetch(`/api/geopackage/${layer}`, { method: 'POST', body: lines })
    if (!response.ok) throw new Error(await response.text())
    save(`${layer}.gpkg`, await response.blob())
  }
}

function save(name: string, file: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** Saved objects of a folder, which are in WGS84, in its CRS: the board computes it, a browser knows no CRS. */
async function toFolder(features: Saved[], folder: string): Promise<object[]> {
  const drawn: object[] = []
  let [batch, numbers] = [[] as Saved[], [] as number[]]
  const flush = async () => {
    if (!batch.length) return
    const response = await fetch(`/api/folders/${encodeURIComponent(folder)}/from-wgs84`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(numbers),
    })
    if (response.ok) {
      const answered = (await response.json()) as number[]
      let next = 0
      for (const feature of batch) {
        const coordinates = mapPositions(feature.geometry.coordinates, () => {
          const position = [answered[next], answered[next + 1]]
          next += 2
          return position
        })
        drawn.push({ type: 'Feature', id: feature.properties.id, geometry: { type: feature.geometry.type, coordinates }, properties: {} })
      }
    }
    batch = []
    numbers = []
  }
  for (const feature of features) {
    // A layer's file may have been edited by hand.
    if (feature.properties.folder !== folder || !feature.geometry) continue
    batch.push(feature)
    mapPositions(feature.geometry.coordinates, (position) => {
      numbers.push(...position.slice(0, 2))
      return position
    })
    if (numbers.length > MOST_NUMBERS) await flush()
  }
  await flush()
  return drawn
}

/** Positions of nested arrays of coordinates, in their order, replaced. */
function mapPositions(coordinates: unknown, replace: (position: number[]) => unknown): unknown {
  if (!Array.isArray(coordinates)) return coordinates
  if (typeof coordinates[0] === 'number') return replace(coordinates as number[])
  return coordinates.map((inner) => mapPositions(inner, replace))
}
