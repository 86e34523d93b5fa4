// What the board says: the answers of its HTTP server, and the part of the MQTT contract that the page uses.

export type Position = [number, number]
export type Box = [number, number, number, number]

/** Why something was not done. */
export interface Problem {
  code: string
  message: string
  retryable?: boolean
}

/** The raster that tiles are made of. */
export interface Raster {
  width: number
  height: number
  /** Pixels to the folder's CRS: x = a column + b row + c, y = d column + e row + f. */
  affine: [number, number, number, number, number, number]
  /** Pixels of a tile's side. */
  tile: number
  /** Levels of tiles; the last has the raster's own pixels. */
  levels: number
  /** Changes when the raster does. */
  version: string
  /** How much of the overview has been made, where it is being made. */
  progress?: number
}

/** A folder as the board tells of it. */
export interface Folder {
  name: string
  ready: boolean
  problem?: Problem
  model?: string
  /** Whether prompts may start from a mask. */
  refine?: boolean
  crs?: { text: string; epsg: number | null; unit: string | null }
  extent?: Box
  pixel_size?: [number, number]
  raster?: Raster
  raster_problem?: string
}

/** `GET /api/folders`. */
export interface Folders {
  root: string
  device: string
  folders: Folder[]
  /** How many bytes of objects the board makes into a GeoPackage, where it does. */
  geopackage_bytes?: number
}

export interface MaskProperties {
  score: number
  chip_id: string
  area_m2?: number | null
  touches_chip_edge: boolean
}

export interface Polygons {
  type: 'Polygon' | 'MultiPolygon'
  coordinates: unknown
}

export interface Feature<P> {
  type: 'Feature'
  id?: string | number
  geometry: Polygons
  properties: P
}

/** How far a search for everything has come. */
export interface Progress {
  id?: string | number | null
  status: 'progress'
  done: number
  total: number
  objects: number
  error?: undefined
}

/** An answer to a request. */
export interface Answer {
  id?: string | number | null
  status: 'ok' | 'error'
  error?: Problem
  result?: { type: 'FeatureCollection'; features: Feature<MaskProperties>[] }
  masks?: { index: number; score: number; pixels: number; chip_id: string }[]
  complete?: boolean
  /** Whether it started from a mask, where that was asked for. */
  refined?: boolean
  not_refined_because?: 'no_mask' | 'other_chip'
  sessions?: { session: string; folder: string | null; prompts: { foreground: number; background: number; boxes: number } }[]
  layers?: { name: string; features: number }[]
  features?: Feature<SavedProperties>[]
  next?: number | null
  saved?: { layer: string; id: string; feature: Feature<SavedProperties> }
  unsaved?: { layer: string; id: string }
  everything?: { layer: string; folder: string; objects: number; chips: number; chips_skipped: number }
  cancelled?: number
}

export interface SavedProperties {
  id: string
  folder: string
  layer: string
}

/** How an object is drawn, as members of a request. */
export interface DrawingOptions {
  output: { crs: string; vectorization: 'pixel' | 'simplified'; largest_only: boolean }
  stitch?: boolean
}

/** A point or a box that was set, and whether it was to correct the mask of those before it. */
export type Prompt = ({ at: Position; foreground: boolean } | { box: Box }) & { refine?: true }

/** Prompts as members of a request. */
export function members(prompts: Prompt[]): { points?: Position[]; labels?: number[]; bbox?: Box } {
  const points = prompts.filter((p) => 'at' in p)
  const boxes = prompts.filter((p) => 'box' in p)
  const box = boxes[boxes.length - 1]
  return {
    ...(points.length ? { points: points.map((p) => p.at), labels: points.map((p) => Number(p.foreground)) } : {}),
    ...(box ? { bbox: box.box } : {}),
  }
}

/** Prompts as the fewest requests of which each holds what it may: in one request a box comes before the points, and all of it
 * corrects the same mask. */
export function batches(prompts: Prompt[]): Prompt[][] {
  const batches: Prompt[][] = []
  for (const prompt of prompts) {
    const last = batches[batches.length - 1]
    if (last && !last[0]?.refine && !prompt.refine && !('box' in prompt)) last.push(prompt)
    else batches.push([prompt])
  }
  return batches
}
