// Where a folder lies: projections of our own, and the grid of its tiles. Nothing is reprojected here: the view is in the
// folder's CRS, whatever that is, and a raster that does not lie north up with square pixels comes through six numbers.

import { type Coordinate } from 'ol/coordinate'
import TileLayer from 'ol/layer/Tile'
import { Projection, addCoordinateTransforms, addProjection } from 'ol/proj'
import type { Units } from 'ol/proj/Units'
import TileImage from 'ol/source/TileImage'
import TileGrid from 'ol/tilegrid/TileGrid'

import type { Box, Folder, Raster } from './wire'

let made = 0

/** The projection of a folder's CRS. It has an extent and the right unit: tiles of rotated rasters are misplaced without. */
export function projectionOf(folder: Folder): Projection {
  const [west, south, east, north] = folder.extent ?? [0, 0, 1, 1]
  const [dx, dy] = [east - west, north - south]
  const unit = folder.crs?.unit
  const units: Units = unit === 'm' ? 'm' : unit === 'degrees' ? 'degrees' : unit?.includes('foot') ? 'us-ft' : 'm'
  made += 1
  const projection = new Projection({
    code: `folder:${made}:${folder.name}`,
    units,
    extent: [west - dx, south - dy, east + dx, north + dy],
  })
  addProjection(projection)
  return projection
}

/** Whether a plain tile grid holds the raster: north up, square pixels. */
export function isPlain([a, b, , d, e]: Raster['affine']): boolean {
  return b === 0 && d === 0 && a > 0 && e < 0 && Math.abs(a + e) <= 1e-9 * a
}

function levels(raster: Raster, finest: number): number[] {
  return Array.from({ length: raster.levels }, (_, z) => finest * 2 ** (raster.levels - 1 - z))
}

/** Corners of a raster in the CRS. */
export function corners({ width, height, affine: [a, b, c, d, e, f] }: Raster): Coordinate[] {
  const at = (column: number, row: number) => [a * column + b * row + c, d * column + e * row + f]
  return [at(0, 0), at(width, 0), at(width, height), at(0, height)]
}

/** The tiles of a folder's raster, in its own grid. */
export function tilesOf(folder: Folder, raster: Raster, projection: Projection): TileLayer<TileImage> {
  const [a, b, c, d, e, f] = raster.affine
  let [of, grid] = [projection, undefined as TileGrid | undefined]
  if (isPlain(raster.affine)) {
    const extent: Box = [c, f + e * raster.height, c + a * raster.width, f]
    grid = new TileGrid({ extent, origin: [c, f], resolutions: levels(raster, a), tileSize: raster.tile })
  } else {
    // x is the column, y minus the row.
    made += 1
    const extent = [0, -raster.height, raster.width, 0]
    of = new Projection({ code: `raster:${made}:${folder.name}`, units: 'pixels', extent })
    addProjection(of)
    const determinant = a * e - b * d
    addCoordinateTransforms(
      of,
      projection,
      ([x = 0, y = 0]) => [a * x - b * y + c, d * x - e * y + f],
      ([x = 0, y = 0]) => {
        const [u, v] = [x - c, y - f]
        return [(e * u - b * v) / determinant, -(a * v - d * u) / determinant]
      },
    )
    grid = new TileGrid({ extent, origin: [0, 0], resolutions: levels(raster, 1), tileSize: raster.tile })
  }
  const [name, version] = [encodeURIComponent(folder.name), encodeURIComponent(raster.version)]
  const source = new TileImage({
    projection: of,
    tileGrid: grid,
    interpolate: false,
    transition: 0,
    tileUrlFunction: ([z, x, y]) => `/tiles/${name}/${z}/${x}/${y}.png?v=${version}`,
  })
  return new TileLayer({ source })
}
