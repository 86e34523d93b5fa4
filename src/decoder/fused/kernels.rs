//! What the tokens' side computes, compiled for every instruction set.

use std::sync::Mutex;

use super::image::LAYER_EPSILON;
use super::lanes::{Ops, PANEL, Row, Work, rows, rows_mut};
use super::simd::Simd;
use super::tokens::unlocked;
use super::weights::{CROSS_HEAD, Linear, Norm};
use super::workspace::Chunk;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// Rows of 16 in a token.
const TOKEN_ROWS: usize = CHANNELS / PANEL;

/// A linear layer on `[n][inputs]`, n a multiple of 4.
pub(super) struct Product<'a> {
    pub linear: &'a Linear,
    pub x: &'a [f32],
    pub out: &'a mut [f32],
    pub relu: bool,
}

impl Work for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        ops.linear::<NP, TM>(self.linear, self.x, self.out, self.relu);
    }
}

/// LayerNorm of tokens `[n][256]`.
pub(super) struct Norms<'a> {
    pub rows: &'a mut [f32],
    pub norm: &'a Norm,
}

impl Work for Norms<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let share = (CHANNELS as f32).recip();
        let (weight, bias) = (rows::<S, V>(&self.norm.weight), rows::<S, V>(&self.norm.bias));
        for token in rows_mut::<S, V>(self.rows).chunks_exact_mut(TOKEN_ROWS) {
            let mut sum = ops.splat(0.0);
            for x in token.iter() {
                sum = ops.add(sum, *x);
            }
            let mean = ops.splat(ops.sum(sum) * share);
            let mut squares = ops.splat(0.0);
            for x in token.iter_mut() {
                *x = ops.sub(*x, mean);
                squares = ops.mul_add(*x, *x, squares);
            }
            let scale = ops.splat((ops.sum(squares) * share + LAYER_EPSILON).sqrt().recip());
            for ((x, weight), bias) in token.iter_mut().zip(weight).zip(bias) {
                *x = ops.mul_add(ops.mul(*x, scale), *weight, *bias);
            }
        }
    }
}

/// Attention among the tokens: `q` (scaled), `k`, `v` and the result are `[tokens][256]`.
pub(super) struct SelfAttend<'a> {
    pub tokens: usize,
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub out: &'a mut [f32],
}

impl Work for SelfAttend<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        const HEAD_ROWS: usize = TOKEN_ROWS / HEADS;
        let (q, k, v) = (rows::<S, V>(self.q), rows::<S, V>(self.k), rows::<S, V>(self.v));
        let out = rows_mut::<S, V>(self.out);
        for i in 0..self.tokens {
            for head in 0..HEADS {
                let at = |t: usize| t * TOKEN_ROWS + head * HEAD_ROWS;
                let mut peak = f32::MIN;
                for j in 0..self.tokens {
                    peak = peak.max(dot(ops, &q[at(i)..][..HEAD_ROWS], &k[at(j)..][..HEAD_ROWS]));
                }
                let mut total = 0.0;
                let mut mixed = [ops.splat(0.0); HEAD_ROWS];
                for j in 0..self.tokens {
                    // The scores are few: computing them twice costs less than keeping them anywhere.
                    let score = dot(ops, &q[at(i)..][..HEAD_ROWS], &k[at(j)..][..HEAD_ROWS]);
                    let weight = (score - peak).exp();
                    total += weight;
                    for r in 0..HEAD_ROWS {
                        mixed[r] = ops.mul_add(ops.splat(weight), v[at(j) + r], mixed[r]);
                    }
                }
                let share = ops.splat(total.recip());
                for r in 0..HEAD_ROWS {
                    out[at(i) + r] = ops.mul(mixed[r], share);
                }
            }
        }
    }
}

#[inline(always)]
fn dot<S: Simd, const V: usize>(ops: Ops<S, V>, a: &[Row<S, V>], b: &[Row<S, V>]) -> f32 {
    let mut products = ops.splat(0.0);
    for (a, b) in a.iter().zip(b) {
        products = ops.mul_add(*a, *b, products);
    }
    ops.sum(products)
}

/// `x` `[tokens][128]`, each head through its part of `weight` `[128][256]`: `each` gets the index `token * 8 + head`,
/// the first of 16 channels, and these channels.
pub(super) struct ThroughHeads<'a, F> {
    pub tokens: usize,
    pub x: &'a [f32],
    pub weight: &'a [f32],
    pub each: F,
}

impl<F: FnMut(usize, usize, [f32; PANEL])> Work for ThroughHeads<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(
        mut self,
        ops: Ops<S, V>,
    ) {
        let weight = rows::<S, V>(self.weight);
        let x = self.x.as_chunks::<CROSS_HEAD>().0;
        for head in 0..HEADS {
            for column in 0..TOKEN_ROWS {
                let mut part = [ops.splat(0.0); CROSS_HEAD];
                for channel in 0..CROSS_HEAD {
                    part[channel] = weight[(head * CROSS_HEAD + channel) * TOKEN_ROWS + column];
                }
                for token in 0..self.tokens {
                    let x = &x[token * HEADS + head];
                    let mut sum = ops.splat(0.0);
                    for channel in 0..CROSS_HEAD {
                        sum = ops.mul_add(ops.splat(x[channel]), part[channel], sum);
                    }
                    let mut values = [0.0; PANEL];
                    rows_mut::<S, V>(&mut values)[0] = sum;
                    (self.each)(token * HEADS + head, column * PANEL, values);
                }
            }
        }
    }
}

/// `x` `[panels of heads][256][16]`, each head through its part of the projection of values: `[tokens][128]`.
pub(super) struct ThroughValues<'a> {
    pub tokens: usize,
    pub x: &'a [f32],
    pub values: &'a Linear,
    pub out: &'a mut [f32],
}

impl Work for ThroughValues<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let x = self.x.as_chunks::<PANEL>().0;
        let out = rows_mut::<S, V>(self.out);
        for head in 0..HEADS {
            let weight = self.values.panel::<S, V>(head);
            for token in 0..self.tokens {
                let index = token * HEADS + head;
                let x = &x[index / PANEL * CHANNELS..][..CHANNELS];
                let mut sums =
                    [self.values.bias::<S, V>(head), ops.splat(0.0), ops.splat(0.0), ops.splat(0.0)];
                for (x, weight) in x.as_chunks::<4>().0.iter().zip(weight.as_chunks::<4>().0) {
                    for i in 0..4 {
                        sums[i] = ops.mul_add(ops.splat(x[i][index % PANEL]), weight[i], sums[i]);
                    }
                }
                out[index] = ops.add(ops.add(sums[0], sums[1]), ops.add(sums[2], sums[3]));
            }
        }
    }
}

/// What the chunks have mixed in the first pass, together: `[heads][16]`.
pub(super) struct MergeHeads<'a> {
    pub chunks: &'a mut [Mutex<Chunk>],
    pub heads: usize,
    pub out: &'a mut [f32],
}

impl Work for MergeHeads<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        debug_assert!(self.heads * CROSS_HEAD <= self.out.len() && CROSS_HEAD * HEADS == CROSS_CHANNELS);
        let out = rows_mut::<S, V>(self.out);
        out.fill(ops.splat(0.0));
        for head in 0..self.heads {
            let peak =
                self.chunks.iter_mut().map(|c| unlocked(c).attended.peak[head]).fold(f32::MIN, f32::max);
            let (mut total, mut sum) = (0.0, ops.splat(0.0));
            for chunk in self.chunks.iter_mut() {
                let attended = &unlocked(chunk).attended;
                let scale = (attended.peak[head] - peak).exp();
                total += scale * attended.total[head];
                sum = ops.mul_add(ops.splat(scale), rows::<S, V>(&attended.mixed)[head], sum);
            }
            out[head] = ops.mul(sum, ops.splat(total.recip()));
        }
    }
}

/// What the chunks have mixed in a later pass, together: `[panels of heads][256][16]`.
pub(super) struct Merge<'a> {
    pub chunks: &'a mut [Mutex<Chunk>],
    pub panels: usize,
    pub out: &'a mut [f32],
}

impl Work for Merge<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let out = rows_mut::<S, V>(self.out);
        for (panel, out) in out.chunks_exact_mut(CHANNELS).take(self.panels).enumerate() {
            let mut peak = ops.splat(f32::MIN);
            for chunk in self.chunks.iter_mut() {
                peak = ops.max(peak, rows::<S, V>(&unlocked(chunk).attended.peak)[panel]);
            }
            let mut total = ops.splat(0.0);
            out.fill(ops.splat(0.0));
            for chunk in self.chunks.iter_mut() {
                let attended = &unlocked(chunk).attended;
                let scale = ops.exp(ops.sub(rows::<S, V>(&attended.peak)[panel], peak));
                total = ops.mul_add(scale, rows::<S, V>(&attended.total)[panel], total);
                let mixed = &rows::<S, V>(&attended.mixed)[panel * CHANNELS..][..CHANNELS];
                for (out, mixed) in out.iter_mut().zip(mixed) {
                    *out = ops.mul_add(scale, *mixed, *out);
                }
            }
            let share = ops.div(ops.splat(1.0), total);
            for out in out {
                *out = ops.mul(*out, share);
            }
        }
    }
}
