// GeoTIFFs for tests: any affine, a colour for each pixel, uncompressed.

import { closeSync, openSync, writeSync } from 'node:fs'

const [SHORT, LONG, DOUBLE] = [3, 4, 12]
const BYTES = { [SHORT]: 2, [LONG]: 4, [DOUBLE]: 8 }
const ROWS = 16

/** Writes a raster in EPSG:32632; `affine` is a to f of x = a column + b row + c, y = d column + e row + f. */
export function writeRaster(path, { width, height, affine: [a, b, c, d, e, f], colour }) {
  const file = openSync(path, 'w')
  const start = Buffer.alloc(8)
  start.write('II')
  start.writeUInt16LE(42, 2)
  const lengths = Array.from({ length: Math.ceil(height / ROWS) }, (_, i) => Math.min(ROWS, height - i * ROWS) * width * 3)
  const directory = 8 + width * height * 3
  start.writeUInt32LE(directory, 4)
  writeSync(file, start)
  lengths.forEach((length, strip) => {
    const pixels = Buffer.alloc(length)
    for (let i = 0; i < length / 3; i += 1) pixels.set(colour(i % width, strip * ROWS + Math.floor(i / width)), i * 3)
    writeSync(file, pixels)
  })
  // ModelTransformation; GeoTIFF 1.1: projected, pixels are areas, EPSG:32632.
  const transformation = [a, b, 0, c, d, e, 0, f, 0, 0, 0, 0, 0, 0, 0, 1]
  const keys = [1, 1, 1, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632]
  const tags = [
    [256, LONG, [width]], [257, LONG, [height]], [258, SHORT, [8, 8, 8]], [259, SHORT, [1]], [262, SHORT, [2]],
    [273, LONG, lengths.map((_, i) => 8 + i * ROWS * width * 3)], [277, SHORT, [3]], [278, LONG, [ROWS]], [279, LONG, lengths],
    [284, SHORT, [1]], [34264, DOUBLE, transformation], [34735, SHORT, keys],
  ]
  const head = Buffer.alloc(2 + tags.length * 12 + 4)
  head.writeUInt16LE(tags.length)
  const values = []
  let next = directory + head.length
  tags.forEach(([tag, type, numbers], i) => {
    const size = BYTES[type]
    const bytes = Buffer.alloc(Math.max(4, numbers.length * size))
    numbers.forEach((n, j) => (type === DOUBLE ? bytes.writeDoubleLE(n, j * size) : bytes.writeUIntLE(n, j * size, size)))
    const at = 2 + i * 12
    head.writeUInt16LE(tag, at)
    head.writeUInt16LE(type, at + 2)
    head.writeUInt32LE(numbers.length, at + 4)
    if (bytes.length === 4) bytes.copy(head, at + 8)
    else {
      head.writeUInt32LE(next, at + 8)
      values.push(bytes)
      next += bytes.length
    }
  })
  writeSync(file, Buffer.concat([head, ...values]))
  closeSync(file)
}
