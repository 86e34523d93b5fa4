// The demo's model with parameters for masks as prompts, which it was made without: made up, but enough to tell whether a mask
// is taken, and which. As tests/support/mask_model.rs does it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
  return n
})
const crc32 = (bytes) => ((bytes.reduce((crc, byte) => TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), -1) ^ -1) >>> 0).toString(16).padStart(8, '0')

/** Name and shape of each, in the order of a stack of three convolutions with two norms between them. */
const MISSING = [
  [0, [4, 1, 2, 2], 4],
  [1, [4], 4],
  [3, [16, 4, 2, 2], 16],
  [4, [16], 16],
  [6, [256, 16, 1, 1], 256],
].flatMap(([at, shape, bias]) => [
  [`prompt_encoder.mask_downscaling.${at}.weight`, shape],
  [`prompt_encoder.mask_downscaling.${at}.bias`, [bias]],
])

/** Writes the model of a directory into another, with the parameters. */
export function withMaskParameters(from, to) {
  const file = readFileSync(join(from, 'decoder.safetensors'))
  const length = Number(file.readBigUInt64LE(0))
  const head = JSON.parse(file.toString('utf8', 8, 8 + length))
  const data = [file.subarray(8 + length)]
  let state = 9
  const next = () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 8) / 2 ** 23 - 1
  }
  let end = data[0].length
  for (const [name, shape] of MISSING) {
    const values = Float32Array.from({ length: shape.reduce((product, side) => product * side, 1) }, next)
    head[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] }
    data.push(Buffer.from(values.buffer))
    end += values.byteLength
  }
  let text = JSON.stringify(head)
  text += ' '.repeat((8 - (text.length % 8)) % 8)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  const written = Buffer.concat([size, Buffer.from(text), ...data])
  mkdirSync(to, { recursive: true })
  writeFileSync(join(to, 'decoder.safetensors'), written)
  writeFileSync(join(to, 'model.toml'), readFileSync(join(from, 'model.toml'), 'utf8').replace(crc32(file), crc32(written)))
}
