// Rasters that do not lie north up with square pixels: each pixel has a colour of its own, and the page must show it where it
// lies. With GEOSAM_GDAL, a Python with rasterio, GDAL says where that is.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { Board, Broker, ROOT, SCENE, Tab, launchBrowser } from './parts.mjs'
import { writeRaster } from './rasters.mjs'

const [WIDTH, HEIGHT] = [700, 500]
/** The middle of the demo's scene, in EPSG:32632. */
const MIDDLE = [512512, 5277616]
const VIEWS = 5
const PLACES = 20

/** Pixels to the CRS, about the middle: x = a column + b row + c, y = d column + e row + f. */
function grid(a, b, d, e) {
  return [a, b, MIDDLE[0] - (a * WIDTH + b * HEIGHT) / 2, d, e, MIDDLE[1] - (d * WIDTH + e * HEIGHT) / 2]
}
/** Turned, sheared, of two sides. */
function turned(degrees, shear, [across, down]) {
  const [turn, skew] = [(degrees * Math.PI) / 180, ((degrees + shear) * Math.PI) / 180]
  return grid(across * Math.cos(turn), down * Math.sin(skew), across * Math.sin(turn), -down * Math.cos(skew))
}
const GRIDS = {
  'north-up': grid(0.5, 0, 0, -0.5),
  'south-up': grid(0.5, 0, 0, 0.5),
  oblong: grid(0.8, 0, 0, -0.3),
  turned: turned(20, 0, [0.5, 0.5]),
  sheared: turned(20, 12, [0.5, 0.5]),
  'oblong-and-turned': turned(-70, 0, [0.7, 0.4]),
}

const colour = (column, row) => [column & 255, row & 255, 128 | (column >> 8) | ((row >> 8) << 3)]

/** The colours of a raster at positions of its CRS. */
function truth(path, affine, positions) {
  if (process.env.GEOSAM_GDAL) {
    const input = JSON.stringify(positions)
    return JSON.parse(execFileSync(process.env.GEOSAM_GDAL, [join(ROOT, 'tests/peers/colours_with_gdal.py'), path], { input, encoding: 'utf8' }))
  }
  const [a, b, c, d, e, f] = affine
  const determinant = a * e - b * d
  return positions.map(([x, y]) => colour(Math.floor((e * (x - c) - b * (y - f)) / determinant), Math.floor((a * (y - f) - d * (x - c)) / determinant)))
}

/** Numbers that look like chance, and are the same each time. */
function dice(seed) {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32
    return state / 2 ** 32
  }
}

let [broker, board, browser, dir] = []

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'geosam-grids-'))
  for (const [name, affine] of Object.entries(GRIDS)) {
    mkdirSync(join(dir, name))
    // The name that the manifest tells.
    writeRaster(join(dir, name, 'scene.tif'), { width: WIDTH, height: HEIGHT, affine, colour })
    cpSync(join(SCENE, 'features'), join(dir, name, name), { recursive: true })
  }
  broker = await Broker.start()
  board = await Board.start(broker, { features: Object.keys(GRIDS).map((name) => join(dir, name, name)) })
  browser = await launchBrowser()
})

after(async () => {
  await browser?.close()
  await board?.end()
  await broker?.end()
  rmSync(dir, { recursive: true, force: true })
})

for (const [name, affine] of Object.entries(GRIDS)) {
  test(`a raster that lies ${name} is shown where it lies`, async () => {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 } })
    const tab = await Tab.open(context, board.url)
    await tab.state('online')
    await tab.page.selectOption('#folder', name)
    await tab.see('the folder', () => globalThis.geosam.scene.map.getView().isDef())
    const [a, b, c, d, e, f] = affine
    const at = (column, row) => [a * column + b * row + c, d * column + e * row + f]
    const chance = dice(7)
    const [positions, shown] = [[], []]
    for (let view = 0; view < VIEWS; view += 1) {
      const [left, top] = [30 + chance() * (WIDTH - 60), 30 + chance() * (HEIGHT - 60)]
      // Off the edges of pixels by a fifth, which is two pixels of the screen at least.
      const place = () => at(Math.floor(left + 24 * (chance() - 0.5)) + 0.2 + 0.6 * chance(), Math.floor(top + 40 * (chance() - 0.5)) + 0.2 + 0.6 * chance())
      const places = Array.from({ length: PLACES }, place)
      positions.push(...places)
      shown.push(...(await tab.page.evaluate(seen, { centre: at(left, top), resolution: Math.min(Math.hypot(a, d), Math.hypot(b, e)) / 10, places })))
    }
    const expected = truth(join(dir, name, 'scene.tif'), affine, positions)
    const wrong = positions.flatMap((position, i) => (String(shown[i]) === String(expected[i]) ? [] : [`${position}: ${shown[i]} for ${expected[i]}`]))
    assert.deepEqual(wrong, [], `${wrong.length} of ${positions.length}`)
    assert.deepEqual(tab.complaints, [])
    await context.close()
  })
}

/** In the page: the colours at places, when all tiles of a view are there. */
async function seen({ centre, resolution, places }) {
  const { map } = globalThis.geosam.scene
  const complete = new Promise((resolve) => map.once('rendercomplete', resolve))
  map.getView().setCenter(centre)
  map.getView().setResolution(resolution)
  map.render()
  await complete
  const canvas = map.getViewport().querySelector('.ol-layer canvas, canvas.ol-layer')
  return places.map((place) => {
    const [x, y] = map.getPixelFromCoordinate(place)
    return [...canvas.getContext('2d').getImageData(Math.floor(x), Math.floor(y), 1, 1).data.slice(0, 3)]
  })
}
