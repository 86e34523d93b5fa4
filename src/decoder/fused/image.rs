//! The image tokens' side of the two-way transformer: three passes over the chunks.
//!
//! The first attends from the tokens to the image in layer 0, on keys and values that were prepared with the chip. Each
//! of the other two finishes a layer: attention from the image to the tokens and its norm, and at once, while the
//! image tokens are in the cache, the next attention from the tokens to the image, its softmax kept up as the scores
//! come.

use super::lanes::{Ops, PANEL, Row, Work, parts, rows, rows_mut};
use super::product::{Packed, accumulate, cut, product, product_by_lane, product_of_head};
use super::simd::Simd;
use super::weights::Norm;
use super::workspace::{Chunk, PANEL_LEN, Scratch, Sizes};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// Below every score.
pub(super) const NO_SCORE: f32 = -1e30;
/// Epsilon of the transformer's norms.
pub(super) const LAYER_EPSILON: f32 = 1e-5;

/// Attention from tokens to image on prepared keys and values, for one chunk.
pub(super) struct FirstPass<'a> {
    pub sizes: Sizes,
    /// The tokens' queries by head, `[8][padded / 4][16][4]`.
    pub queries: &'a [f32],
    /// Keys `[panels][128][16]`.
    pub keys: &'a [f32],
    /// Values `[panels][8][16 image tokens][16 channels]`.
    pub values: &'a [f32],
    pub chunk: &'a mut Chunk,
    pub scratch: &'a mut Scratch,
}

impl Work for FirstPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let (tokens, padded) = (self.sizes.tokens, self.sizes.padded());
        let height = padded * HEADS;
        let panels = self.sizes.chunk_panels();
        let keys = rows::<S, V>(self.keys);
        let values = rows::<S, V>(self.values);
        let scores = rows_mut::<S, V>(&mut self.scratch.scores);
        for first in (0..panels).step_by(NP) {
            let right = parts(keys, CROSS_CHANNELS, first);
            head_scores::<S, V, NP>(
                ops,
                self.queries,
                right,
                padded,
                #[inline(always)]
                |t, h, sums| {
                    for j in 0..NP {
                        scores[(first + j) * height + t * HEADS + h] = sums[j];
                    }
                },
            );
        }

        // The heads of the tokens that fill up the last four are left out.
        let attended = &mut self.chunk.attended;
        let heads = tokens * HEADS;
        for head in 0..heads {
            let column = (head..panels * height).step_by(height);
            let mut peak = ops.splat(NO_SCORE);
            for i in column.clone() {
                peak = ops.max(peak, scores[i]);
            }
            let peak = ops.largest(peak);
            let mut total = ops.splat(0.0);
            for i in column {
                scores[i] = ops.exp(ops.sub(scores[i], ops.splat(peak)));
                total = ops.add(total, scores[i]);
            }
            attended.peak[head] = peak;
            attended.total[head] = ops.sum(total);
        }

        let mixed = rows_mut::<S, V>(&mut attended.mixed);
        for h in 0..HEADS {
            for start in (0..padded).step_by(4) {
                let mut sums = [ops.splat(0.0); 4];
                for panel in 0..panels {
                    let values = &values[(panel * HEADS + h) * PANEL..][..PANEL];
                    let weights = &self.scratch.scores[panel * height * PANEL..][..height * PANEL];
                    let weights = weights.as_chunks::<PANEL>().0;
                    let mut four = [&weights[0]; 4];
                    for i in 0..4 {
                        four[i] = &weights[(start + i) * HEADS + h];
                    }
                    for k in 0..PANEL {
                        for i in 0..4 {
                            sums[i] = ops.mul_add(ops.splat(four[i][k]), values[k], sums[i]);
                        }
                    }
                }
                for (t, sums) in (start..tokens).zip(sums) {
                    mixed[t * HEADS + h] = sums;
                }
            }
        }
    }
}

/// Scores of the tokens' queries or keys by head `[8][padded / 4][16][4]` against `[128]` rows in each of `NP` panels:
/// `each(token, head, scores)`.
#[inline(always)]
pub(super) fn head_scores<S: Simd, const V: usize, const NP: usize>(
    ops: Ops<S, V>,
    left: &[f32],
    right: [&[Row<S, V>]; NP],
    padded: usize,
    mut each: impl FnMut(usize, usize, [Row<S, V>; NP]),
) {
    let fours = padded / 4;
    for h in 0..HEADS {
        let mut right = right;
        for right in &mut right {
            *right = &right[h * PANEL..][..PANEL];
        }
        for four in 0..fours {
            let left = &left[(h * fours + four) * 4 * PANEL..][..4 * PANEL];
            product_of_head::<S, V, NP>(
                ops,
                left,
                right,
                #[inline(always)]
                |i, sums| each(four * 4 + i, h, sums),
            );
        }
    }
}

/// Where a [`LayerPass`] gets the scores of the image tokens against the tokens from.
#[derive(Clone, Copy)]
pub(super) enum ImageQueries<'a> {
    /// Queries prepared with the chip, `[panels][128][16]`, and the tokens' keys by head.
    Prepared { queries: &'a [f32], keys: &'a [f32] },
    /// The chunk's own tokens, and the keys through the projection of queries, with a bias for every row.
    Projected { keys: &'a Packed, bias: &'a [f32] },
}

/// The end of a layer for one chunk, and the attention from tokens to image that follows.
pub(super) struct LayerPass<'a> {
    pub sizes: Sizes,
    pub image_queries: ImageQueries<'a>,
    /// The tokens' values through the output's projection, `[256, token * 8 + head]`, and that projection's bias.
    pub values: &'a Packed,
    pub bias: &'a [f32],
    pub norm: &'a Norm,
    /// The image tokens before the layer, `[panels][256][16]`; `None`: those in the chunk.
    pub before: Option<&'a [f32]>,
    /// The positional encoding of the chunk's image tokens, in the same layout.
    pub positions: &'a [f32],
    /// The tokens' queries for what follows, through the projection of keys, `[head panels][256][16]`.
    pub queries: &'a [f32],
    pub chunk: &'a mut Chunk,
    pub scratch: &'a mut Scratch,
}

impl Work for LayerPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        mut self,
        ops: Ops<S, V>,
    ) {
        self.chunk.attended.peak.fill(NO_SCORE);
        self.chunk.attended.total.fill(0.0);
        self.chunk.attended.mixed.fill(0.0);
        for first in (0..self.sizes.chunk_panels()).step_by(NP) {
            self.image_to_token::<S, V, NP, MR>(ops, first);
            self.token_to_image::<S, V, NP, MR, TM>(ops, first);
        }
    }
}

impl LayerPass<'_> {
    /// Attention from `NP` panels to the tokens, residual and norm; leaves the positioned tokens in the scratch.
    #[inline(always)]
    fn image_to_token<S: Simd, const V: usize, const NP: usize, const MR: usize>(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
    ) {
        let heads = self.sizes.heads();
        let height = self.sizes.padded() * HEADS;
        let keys = &mut self.chunk.keys[first * PANEL_LEN..][..NP * PANEL_LEN];
        let positions = rows::<S, V>(&self.positions[first * PANEL_LEN..][..NP * PANEL_LEN]);
        let scores = rows_mut::<S, V>(&mut self.scratch.scores);
        match self.image_queries {
            ImageQueries::Prepared { queries, keys } => {
                let queries = rows::<S, V>(queries);
                let right = parts(queries, CROSS_CHANNELS, first);
                head_scores::<S, V, NP>(
                    ops,
                    keys,
                    right,
                    self.sizes.padded(),
                    #[inline(always)]
                    |t, h, sums| {
                        for j in 0..NP {
                            scores[j * height + t * HEADS + h] = sums[j];
                        }
                    },
                );
            }
            ImageQueries::Projected { keys: left, bias } => {
                let positioned = rows_mut::<S, V>(&mut self.scratch.positioned);
                ops.add_all(positioned, rows::<S, V>(keys), positions);
                let positioned = rows::<S, V>(&self.scratch.positioned);
                let right = parts(positioned, CHANNELS, 0);
                product::<S, V, NP, MR>(
                    ops,
                    left,
                    right,
                    #[inline(always)]
                    |row, sums| {
                        for j in 0..NP {
                            scores[j * height + row] = ops.add(sums[j], ops.splat(bias[row]));
                        }
                    },
                );
            }
        }
        for j in 0..NP {
            softmax_over_tokens(ops, &mut scores[j * height..][..heads]);
        }

        let before = self.before.map(|before| rows::<S, V>(&before[first * PANEL_LEN..][..NP * PANEL_LEN]));
        let keys = rows_mut::<S, V>(keys);
        let bias = &self.bias[..CHANNELS];
        let right = cut(parts(scores, height, 0), heads);
        product::<S, V, NP, MR>(
            ops,
            self.values,
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
        let positioned = rows_mut::<S, V>(&mut self.scratch.positioned);
        ops.add_all(positioned, keys, positions);
    }

    /// Attention from the tokens to `NP` panels, added to what earlier panels gave.
    #[inline(always)]
    fn token_to_image<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
    ) {
        let panels = self.sizes.head_panels();
        let mut panel = 0;
        while panel + NP <= panels {
            self.head_panels::<S, V, NP, NP, MR, TM>(ops, first, panel);
            panel += NP;
        }
        while panel < panels {
            self.head_panels::<S, V, NP, 1, MR, TM>(ops, first, panel);
            panel += 1;
        }
    }

    #[inline(always)]
    fn head_panels<
        S: Simd,
        const V: usize,
        const NP: usize,
        const N: usize,
        const MR: usize,
        const TM: usize,
    >(
        &mut self,
        ops: Ops<S, V>,
        first: usize,
        panel: usize,
    ) {
        let queries = rows::<S, V>(self.queries);
        let queries: [&[Row<S, V>]; N] = parts(queries, CHANNELS, panel);
        // [panels][N][16]
        let by_lane = rows_mut::<S, V>(&mut self.scratch.by_lane);
        for j in 0..NP {
            let left = &self.scratch.positioned[j * PANEL_LEN..][..PANEL_LEN];
            product_by_lane::<S, V, N, TM>(
                ops,
                left,
                queries,
                #[inline(always)]
                |lane, sums| {
                    for n in 0..N {
                        by_lane[(j * N + n) * PANEL + lane] = sums[n];
                    }
                },
            );
        }

        let attended = &mut self.chunk.attended;
        let peaks = &mut rows_mut::<S, V>(&mut attended.peak)[panel..][..N];
        let totals = &mut rows_mut::<S, V>(&mut attended.total)[panel..][..N];
        let mut scale = [ops.splat(0.0); N];
        for n in 0..N {
            let mut peak = peaks[n];
            for j in 0..NP {
                for score in &by_lane[(j * N + n) * PANEL..][..PANEL] {
                    peak = ops.max(peak, *score);
                }
            }
            scale[n] = ops.exp(ops.sub(peaks[n], peak));
            let mut total = ops.mul(totals[n], scale[n]);
            for j in 0..NP {
                for score in &mut by_lane[(j * N + n) * PANEL..][..PANEL] {
                    *score = ops.exp(ops.sub(*score, peak));
                    total = ops.add(total, *score);
                }
            }
            peaks[n] = peak;
            totals[n] = total;
        }

        let keys = &self.chunk.keys[first * PANEL_LEN..][..NP * PANEL_LEN];
        let left = parts(keys, PANEL_LEN, 0);
        let by_lane = &*by_lane;
        let right = parts(by_lane, N * PANEL, 0);
        let mixed = &mut rows_mut::<S, V>(&mut attended.mixed)[panel * CHANNELS..][..N * CHANNELS];
        let mut mixed = mixed.chunks_exact_mut(CHANNELS);
        let sums = std::array::from_fn(|_| mixed.next().unwrap_or_default());
        accumulate::<S, V, NP, N, MR>(ops, left, right, scale, sums);
    }
}

/// Softmax over the tokens of every head: rows `[token][8 heads]`.
#[inline(always)]
pub(super) fn softmax_over_tokens<S: Simd, const V: usize>(ops: Ops<S, V>, scores: &mut [Row<S, V>]) {
    let (tokens, _) = scores.as_chunks_mut::<HEADS>();
    let mut peak = [ops.splat(NO_SCORE); HEADS];
    for scores in tokens.iter() {
        for h in 0..HEADS {
            peak[h] = ops.max(peak[h], scores[h]);
        }
    }
    let mut total = [ops.splat(0.0); HEADS];
    for scores in tokens.iter_mut() {
        for h in 0..HEADS {
            scores[h] = ops.exp(ops.sub(scores[h], peak[h]));
            total[h] = ops.add(total[h], scores[h]);
        }
    }
    let mut share = total;
    for share in &mut share {
        *share = ops.div(ops.splat(1.0), *share);
    }
    for scores in tokens {
        for h in 0..HEADS {
            scores[h] = ops.mul(scores[h], share[h]);
        }
    }
}
