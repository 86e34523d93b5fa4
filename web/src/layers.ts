// Layers of saved objects: shown in the folder's CRS, counted, downloaded.

import type { Board } from './board'
import type { Scene } from './scene'
import type { Feature, Folder, SavedProperties } from './wire'

/** Objects that are drawn; more are counted only. */
const MOST_DRAWN = 5000
/** Numbers of one question about coordinates. */
const MOST_NUMBERS = 100_000

type Saved = Feature<SavedProperties>

export class Layers {
  private asked = 0

  constructor(
    private readonly board: Board,
    private readonly scene: Scene,
    private readonly folder: () => Folder | undefined,
    private readonly count: HTMLElement,
    private readonly names: HTMLElement,
  ) {}

  /** Counts a layer's objects, and draws those of the folder. */
  async show(layer: string): Promise<void> {
    this.asked += 1
    const asked = this.asked
    const list = await this.board.ask('list', {})
    if (asked !== this.asked) return
    const options = (list.layers ?? []).map(({ name }) => {
      const option = document.createElement('option')
      option.value = name
      return option
    })
    this.names.replaceChildren(...options)
    const there = list.layers?.find(({ name }) => name === layer)
    this.count.textContent = String(there?.features ?? 0)
    const folder = this.folder()
    const features = there ? await this.fetch(layer, MOST_DRAWN) : []
    if (asked !== this.asked || !folder) return
    const here = features.filter((feature) => feature.properties.folder === folder.name)
    const drawn = await toFolder(here, folder.name)
    if (asked === this.asked) this.scene.setSaved(drawn)
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

  /** The layer as a file: GeoJSON in WGS84, as it was saved. */
  async download(layer: string): Promise<void> {
    const features = await this.fetch(layer, Infinity)
    const text = JSON.stringify({ type: 'FeatureCollection', features })
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([text], { type: 'application/geo+json' }))
    link.download = `${layer}.geojson`
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
  }
}

/** Saved objects, which are in WGS84, in the CRS of a folder: the board computes it, a browser knows no CRS. */
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
