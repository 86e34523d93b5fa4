//! Long lists of points: a layer with the ordinary order of products.
//!
//! What [`image`](super::image) does instead, all projections on the tokens' side, costs 8 x 256 multiply-adds for every
//! pair of a token and an image token where the ordinary order costs 128, but saves the projections of the image tokens:
//! it pays up to 15 tokens. Here every image token is projected. The attention that follows a layer is then the same as
//! that on a prepared chip ([`FirstPass`](super::image::FirstPass)), on keys and values that this pass leaves behind.

use super::image::{LAYER_EPSILON, NO_SCORE, head_scores};
use super::lanes::{Ops, PANEL, Row, Work, parts, rows, rows_mut};
use super::product::{Packed, product, product_by_lane};
use super::simd::Simd;
use super::weights::{CROSS_HEAD, FusedWeights, ImageToToken, Linear, Norm, TokenToImage};
use super::workspace::{Chunk, PANEL_LEN, Scratch, Sizes};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// Projections of the image tokens for one layer, as left factors.
#[derive(Debug)]
pub(super) struct LongLayer {
    /// Queries of the attention from image to tokens, `[128, 256]`.
    q: Packed,
    /// Its output, `[256, 128]`.
    out: Packed,
    /// Keys of the attention from tokens to image that follows, `[128, 256]`.
    next_k: Packed,
}

/// The projections of both layers, packed when the first long prompt comes.
#[derive(Debug)]
pub(super) struct LongWeights(pub Vec<LongLayer>);

impl LongWeights {
    /// Packs the projections; `block` is the processor's block of a packed factor.
    pub fn new(weights: &FusedWeights, block: usize) -> Self {
        let following =
            weights.layers.iter().skip(1).map(|layer| &layer.token_to_image).chain([&weights.last]);
        let layers = weights.layers.iter().zip(following).map(|(layer, next)| LongLayer {
            q: projection(&layer.image_to_token, block),
            // Kept transposed, [128][256].
            out: Packed::pack(CHANNELS, CROSS_CHANNELS, block, |row, column| {
                layer.image_to_token.out[column * CHANNELS + row]
            }),
            next_k: keys(next, block),
        });
        Self(layers.collect())
    }
}

fn projection(attention: &ImageToToken, block: usize) -> Packed {
    Packed::pack(CROSS_CHANNELS, CHANNELS, block, |row, column| attention.q[row * CHANNELS + column])
}

fn keys(attention: &TokenToImage, block: usize) -> Packed {
    Packed::pack(CROSS_CHANNELS, CHANNELS, block, |row, column| attention.k[row * CHANNELS + column])
}

/// The end of a layer for one chunk, and the keys and values of the attention that follows.
pub(super) struct LongPass<'a> {
    pub sizes: Sizes,
    pub layer: &'a LongLayer,
    pub attention: &'a ImageToToken,
    pub norm: &'a Norm,
    /// The projection of the values that follow.
    pub next_values: &'a Linear,
    /// Queries prepared with the chip, `[panels][128][16]`; `None`: those of the chunk's own tokens.
    pub queries: Option<&'a [f32]>,
    /// The tokens' keys by head, `[8][padded / 4][16][4]`, and their values, for each head `[16, tokens]`.
    pub keys: &'a [f32],
    pub values: &'a [Packed; HEADS],
    /// The image tokens before the layer, `[panels][256][16]`; `None`: those in the chunk.
    pub before: Option<&'a [f32]>,
    pub positions: &'a [f32],
    /// Keys `[panels][128][16]` and values `[panels][8][16 image tokens][16 channels]` of what follows.
    pub next_k: &'a mut [f32],
    pub next_v: &'a mut [f32],
    pub chunk: &'a mut Chunk,
    pub scratch: &'a mut Scratch,
}

impl Work for LongPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        mut self,
        ops: Ops<S, V>,
    ) {
        for first in (0..self.sizes.chunk_panels()).step_by(NP) {
            self.image_to_token::<S, V, NP, MR>(ops, first);
            self.project::<S, V, NP, MR, TM>(ops, first);
        }
    }
}

impl LongPass<'_> {
    /// Attention from `NP` panels to the tokens, residual and norm; leaves the positioned tokens in the scratch.
    #[inline(always)]
    fn image_to_token<S: Simd, const V: usize, const NP: usize, const MR: usize>(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
    ) {
        let (tokens, padded) = (self.sizes.tokens, self.sizes.padded());
        let height = padded * HEADS;
        let keys = rows_mut::<S, V>(&mut self.chunk.keys[first * PANEL_LEN..][..NP * PANEL_LEN]);
        let positions = rows::<S, V>(&self.positions[first * PANEL_LEN..][..NP * PANEL_LEN]);
        let positioned = rows_mut::<S, V>(&mut self.scratch.positioned);
        let between = rows_mut::<S, V>(&mut self.scratch.pixels);
        let scores = rows_mut::<S, V>(&mut self.scratch.scores);

        let queries: [&[Row<S, V>]; NP] = match self.queries {
            Some(queries) => parts(rows::<S, V>(queries), CROSS_CHANNELS, first),
            None => {
                ops.add_all(positioned, keys, positions);
                let right = parts(&*positioned, CHANNELS, 0);
                let bias = &self.attention.q_bias[..CROSS_CHANNELS];
                product::<S, V, NP, MR>(
                    ops,
                    &self.layer.q,
                    right,
                    #[inline(always)]
                    |row, sums| {
                        for j in 0..NP {
                            between[j * CROSS_CHANNELS + row] = ops.add(sums[j], ops.splat(bias[row]));
                        }
                    },
                );
                parts(&*between, CROSS_CHANNELS, 0)
            }
        };
        head_scores::<S, V, NP>(
            ops,
            self.keys,
            queries,
            padded,
            #[inline(always)]
            |t, h, sums| {
                for j in 0..NP {
                    scores[j * height + h * padded + t] = sums[j];
                }
            },
        );
        for j in 0..NP {
            for head in scores[j * height..][..height].chunks_exact_mut(padded) {
                softmax(ops, &mut head[..tokens]);
            }
        }
        for (h, values) in self.values.iter().enumerate() {
            let mut right = parts(&*scores, height, 0);
            for right in &mut right {
                *right = &right[h * padded..][..tokens];
            }
            product::<S, V, NP, MR>(
                ops,
                values,
                right,
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        between[j * CROSS_CHANNELS + h * CROSS_HEAD + row] = sums[j];
                    }
                },
            );
        }

        let before = self.before.map(|before| rows::<S, V>(&before[first * PANEL_LEN..][..NP * PANEL_LEN]));
        let bias = &self.attention.out_bias[..CHANNELS];
        let right = parts(&*between, CROSS_CHANNELS, 0);
        product::<S, V, NP, MR>(
            ops,
            &self.layer.out,
            right,
            #[inline(always)]
            |row, sums| {
                for j in 0..NP {
                    let i = j * CHANNELS + row;
                    let x = if let Some(before) = before { before[i] } else { keys[i] };
                    keys[i] = ops.add(x, ops.add(sums[j], ops.splat(bias[row])));
                }
            },
        );
        for keys in keys.chunks_exact_mut(CHANNELS) {
            ops.norm(keys, &self.norm.weight, &self.norm.bias, LAYER_EPSILON);
        }
        ops.add_all(positioned, keys, positions);
    }

    /// Keys and values of what follows, for `NP` panels.
    #[inline(always)]
    fn project<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
    ) {
        let right = parts(rows::<S, V>(&self.scratch.positioned), CHANNELS, 0);
        let next_k = &mut rows_mut::<S, V>(self.next_k)[first * CROSS_CHANNELS..][..NP * CROSS_CHANNELS];
        product::<S, V, NP, MR>(
            ops,
            &self.layer.next_k,
            right,
            #[inline(always)]
            |row, sums| {
                for j in 0..NP {
                    next_k[j * CROSS_CHANNELS + row] = sums[j];
                }
            },
        );
        let next_v = rows_mut::<S, V>(self.next_v);
        for panel in first..first + NP {
            let left = &self.chunk.keys[panel * PANEL_LEN..][..PANEL_LEN];
            for head in (0..HEADS).step_by(NP) {
                let right: [&[Row<S, V>]; NP] =
                    std::array::from_fn(|n| self.next_values.panel::<S, V>(head + n));
                product_by_lane::<S, V, NP, TM>(
                    ops,
                    left,
                    right,
                    #[inline(always)]
                    |lane, sums| {
                        for n in 0..NP {
                            let bias = self.next_values.bias::<S, V>(head + n);
                            next_v[(panel * HEADS + head + n) * PANEL + lane] = ops.add(sums[n], bias);
                        }
                    },
                );
            }
        }
    }
}

/// Softmax over rows, for every lane.
#[inline(always)]
fn softmax<S: Simd, const V: usize>(ops: Ops<S, V>, scores: &mut [Row<S, V>]) {
    let mut peak = ops.splat(NO_SCORE);
    for score in scores.iter() {
        peak = ops.max(peak, *score);
    }
    let mut total = ops.splat(0.0);
    for score in scores.iter_mut() {
        *score = ops.exp(ops.sub(*score, peak));
        total = ops.add(total, *score);
    }
    let share = ops.div(ops.splat(1.0), total);
    for score in scores {
        *score = ops.mul(*score, share);
    }
}
