//! What is computed once per chip, in the layouts of the passes.

use super::lanes::{Ops, PANEL, Work, parts, rows, rows_mut};
use super::product::product;
use super::simd::Simd;
use super::weights::{BLOCK, FusedWeights};
use super::workspace::{PANEL_LEN, Sizes};
use crate::decoder::chip::all_finite;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};
use ndarray::{ArrayView3, Axis};

/// A chip as the passes take it. Every array is a sequence of panels of 16 image tokens.
pub(super) struct Content {
    pub fingerprint: u64,
    /// The image tokens with the embedding of "no mask", `[panels][256][16]`.
    pub keys: Vec<f32>,
    /// Layer 0: keys and queries `[panels][128][16]`, values `[panels][8][16 image tokens][16 channels]`.
    pub k: Vec<f32>,
    pub q: Vec<f32>,
    pub v: Vec<f32>,
    /// The high-resolution maps, `[panels][(dy1, dx1, 64)][16]` and `[panels][(dy1, dx1, dy2, dx2, 32)][16]`.
    pub maps: Option<[Vec<f32>; 2]>,
}

impl Content {
    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let maps = self.maps.iter().flatten();
        let arrays = [&self.keys, &self.k, &self.q, &self.v].into_iter().chain(maps);
        arrays.map(|array| size_of_val(array.as_slice())).sum()
    }

    /// Whether every prepared value is finite.
    pub fn finite(&self) -> bool {
        [&self.keys, &self.k, &self.q, &self.v].into_iter().all(|values| all_finite(values))
    }
}

/// Layer 0's projections of some panels of image tokens.
pub(super) struct PreparePass<'a> {
    pub weights: &'a FusedWeights,
    /// `[panels][256][16]`: the embedding, to which "no mask" is added.
    pub keys: &'a mut [f32],
    pub positions: &'a [f32],
    pub k: &'a mut [f32],
    pub q: &'a mut [f32],
    pub v: &'a mut [f32],
}

impl Work for PreparePass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        const CROSS_LEN: usize = CROSS_CHANNELS * PANEL;
        let projections = &self.weights.projections;
        let mut positioned = vec![0.0; NP * PANEL_LEN];
        for first in (0..self.keys.len() / PANEL_LEN).step_by(NP) {
            let keys = rows_mut::<S, V>(&mut self.keys[first * PANEL_LEN..][..NP * PANEL_LEN]);
            let positions = rows::<S, V>(&self.positions[first * PANEL_LEN..][..NP * PANEL_LEN]);
            let out = rows_mut::<S, V>(&mut positioned);
            for (i, ((key, position), out)) in keys.iter_mut().zip(positions).zip(out).enumerate() {
                *key = ops.add(*key, ops.splat(self.weights.no_mask[i % CHANNELS]));
                *out = ops.add(*key, *position);
            }
            let positioned = rows::<S, V>(&positioned);
            let right = parts(positioned, CHANNELS, 0);
            let k = rows_mut::<S, V>(&mut self.k[first * CROSS_LEN..][..NP * CROSS_LEN]);
            product::<S, V, NP, MR>(
                ops,
                &projections.k,
                right,
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        k[j * CROSS_CHANNELS + row] = sums[j];
                    }
                },
            );
            let q = rows_mut::<S, V>(&mut self.q[first * CROSS_LEN..][..NP * CROSS_LEN]);
            product::<S, V, NP, MR>(
                ops,
                &projections.q,
                right,
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        q[j * CROSS_CHANNELS + row] = ops.add(sums[j], ops.splat(projections.q_bias[row]));
                    }
                },
            );
            let v = &mut self.v[first * CROSS_LEN..][..NP * CROSS_LEN];
            let right = parts(keys, CHANNELS, 0);
            product::<S, V, NP, MR>(
                ops,
                &projections.v,
                right,
                #[inline(always)]
                |row, sums| {
                    let (head, channel) = (row / PANEL, row % PANEL);
                    for j in 0..NP {
                        let mut lanes = [0.0; PANEL];
                        rows_mut::<S, V>(&mut lanes)[0] =
                            ops.add(sums[j], ops.splat(projections.v_bias[row]));
                        for (token, value) in lanes.into_iter().enumerate() {
                            v[((j * HEADS + head) * PANEL + token) * PANEL + channel] = value;
                        }
                    }
                },
            );
        }
    }
}

/// A map `[C, block grid, block grid]` in any memory order to panels `[P / 16][(pixels of a token, C)][16]`; the pixels
/// of a token in block order (see [`graph`](crate::decoder::graph)), `levels` being 0, 1 or 2 for a block of 1, 2 or 4.
pub(super) fn panels(map: ArrayView3<'_, f32>, sizes: Sizes, levels: u32) -> Vec<f32> {
    let copy;
    let map = if map.as_slice_memory_order().is_some() {
        map
    } else {
        copy = map.as_standard_layout().into_owned();
        copy.view()
    };
    // Contiguous in memory, so no stride is negative and every offset is below the length.
    let values = map.as_slice_memory_order().unwrap_or_default();
    let [by_channel, by_row, by_column] = [0, 1, 2].map(|axis| map.stride_of(Axis(axis)).unsigned_abs());

    let (grid, channels) = (sizes.grid, map.len_of(Axis(0)));
    let block = 1 << levels;
    let pixels = block * block;
    let mut out = vec![0.0; grid * grid * pixels * channels];
    for (panel, out) in out.chunks_exact_mut(pixels * channels * PANEL).enumerate() {
        let starts: [usize; PANEL] = std::array::from_fn(|lane| {
            let token = panel * PANEL + lane;
            token / grid * block * by_row + token % grid * block * by_column
        });
        for (pixel, out) in out.chunks_exact_mut(channels * PANEL).enumerate() {
            // (dy1, dx1) or (dy1, dx1, dy2, dx2), the first bit the highest.
            let (dy, dx) = match levels {
                0 => (0, 0),
                1 => (pixel / BLOCK_SIDE, pixel % BLOCK_SIDE),
                _ => {
                    let (first, second) = (pixel / BLOCK, pixel % BLOCK);
                    (first / 2 * 2 + second / 2, first % 2 * 2 + second % 2)
                }
            };
            let offset = dy * by_row + dx * by_column;
            for (channel, out) in out.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                let offset = offset + channel * by_channel;
                *out = starts.map(|start| values.get(start + offset).copied().unwrap_or(f32::NAN));
            }
        }
    }
    out
}

const BLOCK_SIDE: usize = 2;
