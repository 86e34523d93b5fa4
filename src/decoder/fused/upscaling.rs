//! From the image tokens of a chunk to its logits, all in the cache: both transposed convolutions, the norm and the
//! GELUs between them, and the product with the hypernetworks' weights.

use super::lanes::{Ops, PANEL, Work, parts, rows, rows_mut};
use super::product::{Packed, product};
use super::simd::Simd;
use super::weights::{BLOCK, Upscaling};
use super::workspace::{CHUNK_ROWS, Chunk, Scratch, Sizes};
use crate::decoder::weights::{CHANNELS, HALF_CHANNELS, MASKS, QUARTER_CHANNELS};

/// Epsilon of the norm between the two upscalings (Meta's `LayerNorm2d`).
const EPSILON: f32 = 1e-6;
/// Rows of one panel after the second upscaling, for one pixel of the first.
const QUARTER_ROWS: usize = BLOCK * QUARTER_CHANNELS;

/// The upscaling of one chunk.
pub(super) struct UpscalingPass<'a> {
    pub sizes: Sizes,
    pub weights: &'a Upscaling,
    /// The hypernetworks' weights, `[4, 32]`.
    pub hyper: &'a Packed,
    /// The high-resolution maps of the chunk, `[panels][(dy1, dx1, 64)][16]` and `[panels][(dy1, dx1, dy2, dx2, 32)][16]`.
    pub maps: Option<[&'a [f32]; 2]>,
    pub chunk: &'a mut Chunk,
    pub scratch: &'a mut Scratch,
}

impl Work for UpscalingPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        mut self,
        ops: Ops<S, V>,
    ) {
        for first in (0..self.sizes.chunk_panels()).step_by(NP) {
            self.panels::<S, V, NP, MR>(ops, first);
            for j in 0..NP {
                self.write_logits((first + j) * PANEL, j);
            }
        }
    }
}

impl UpscalingPass<'_> {
    #[inline(always)]
    fn panels<S: Simd, const V: usize, const NP: usize, const MR: usize>(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
    ) {
        let weights = self.weights;
        let keys = rows::<S, V>(&self.chunk.keys);
        let [half, quarter] = match self.maps {
            Some(maps) => maps.map(|map| Some(rows::<S, V>(map))),
            None => [None, None],
        };

        let halves = rows_mut::<S, V>(&mut self.scratch.positioned);
        let right = parts(keys, CHANNELS, first);
        product::<S, V, NP, MR>(
            ops,
            &weights.first,
            right,
            #[inline(always)]
            |row, sums| {
                let bias = ops.splat(weights.first_bias[row % HALF_CHANNELS]);
                for j in 0..NP {
                    let mut sum = ops.add(sums[j], bias);
                    if let Some(half) = half {
                        sum = ops.add(sum, half[(first + j) * CHANNELS + row]);
                    }
                    halves[j * CHANNELS + row] = sum;
                }
            },
        );
        for pixel in halves[..NP * CHANNELS].chunks_exact_mut(HALF_CHANNELS) {
            ops.norm(pixel, &weights.norm.weight, &weights.norm.bias, EPSILON);
            ops.gelu_all(pixel);
        }

        let halves = rows::<S, V>(&self.scratch.positioned);
        let pixels = rows_mut::<S, V>(&mut self.scratch.pixels);
        let logits = rows_mut::<S, V>(&mut self.scratch.logits);
        for pixel in 0..BLOCK {
            let mut right = parts(halves, CHANNELS, 0);
            for right in &mut right {
                *right = &right[pixel * HALF_CHANNELS..][..HALF_CHANNELS];
            }
            product::<S, V, NP, MR>(
                ops,
                &weights.second,
                right,
                #[inline(always)]
                |row, sums| {
                    let bias = ops.splat(weights.second_bias[row % QUARTER_CHANNELS]);
                    for j in 0..NP {
                        let mut sum = ops.add(sums[j], bias);
                        if let Some(quarter) = quarter {
                            sum = ops.add(sum, quarter[((first + j) * BLOCK + pixel) * QUARTER_ROWS + row]);
                        }
                        pixels[j * QUARTER_ROWS + row] = sum;
                    }
                },
            );
            ops.gelu_all(&mut pixels[..NP * QUARTER_ROWS]);
            for quarter in 0..BLOCK {
                let mut right = parts(pixels, QUARTER_ROWS, 0);
                for right in &mut right {
                    *right = &right[quarter * QUARTER_CHANNELS..][..QUARTER_CHANNELS];
                }
                product::<S, V, NP, MR>(
                    ops,
                    self.hyper,
                    right,
                    #[inline(always)]
                    |mask, sums| {
                        for j in 0..NP {
                            logits[((j * MASKS + mask) * BLOCK + pixel) * BLOCK + quarter] = sums[j];
                        }
                    },
                );
            }
        }
    }

    /// Panel `j` of the scratch, whose first token is `first` of the chunk, to the chunk's part of the images.
    #[inline(always)]
    fn write_logits(&mut self, first: usize, j: usize) {
        let grid = self.sizes.grid;
        let side = 4 * grid;
        // [mask][dy1][dx1][dy2][dx2][lane]
        let panel = self.scratch.logits.as_chunks::<PANEL>().0[j * MASKS * 16..].as_chunks::<16>().0;
        for (mask, image) in self.chunk.logits.chunks_exact_mut(4 * CHUNK_ROWS * side).enumerate() {
            let blocks = &panel[mask];
            for lane in 0..PANEL {
                let (row, column) = ((first + lane) / grid, (first + lane) % grid);
                for dy in 0..4 {
                    let (dy1, dy2) = (dy / 2, dy % 2);
                    let block = |dx1: usize, dx2: usize| blocks[((dy1 * 2 + dx1) * 2 + dy2) * 2 + dx2][lane];
                    let start = (4 * row + dy) * side + 4 * column;
                    image[start..start + 4].copy_from_slice(&[
                        block(0, 0),
                        block(0, 1),
                        block(1, 0),
                        block(1, 1),
                    ]);
                }
            }
        }
    }
}
