//! The passes over a chunk of a chip that was prepared for many prompts.

use super::super::image::{LAYER_EPSILON, NO_SCORE, head_scores, softmax_over_tokens};
use super::super::lanes::{Ops, PANEL, Row, Work, parts, rows, rows_mut};
use super::super::product::{cut, product};
use super::super::simd::Simd;
use super::chip::ManyChunk;
use super::state::{Accumulated, State};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// What a thread needs meanwhile, whatever the prompt.
#[derive(Debug, Default)]
pub struct ManyScratch {
    /// Scores and weights of a chunk, `[panels][8 padded tokens][16]`.
    pub scores: Vec<f32>,
    /// Keys or queries with the norm's deviation in them, `[panels][128][16]` for a few panels.
    pub keys: Vec<f32>,
    /// Products of values with what their output adds to, `[panels][2 heads][16]` for a few panels.
    pub crossed: Vec<f32>,
    /// Weights of a chunk by image token, `[panels][16][columns]`.
    pub by_token: Vec<f32>,
}

/// Attention from the tokens to the image in layer 0.
pub struct First<'a> {
    /// `[panels][128][16]`, and `[panels][8][16][16]`.
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub state: &'a mut State,
    pub scratch: &'a mut ManyScratch,
}

impl Work for First<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let Self { k, v, state, scratch } = self;
        let padded = state.sizes.padded();
        let (panels, height) = (state.sizes.chunk_panels(), padded * HEADS);
        let scores = rows_mut::<S, V>(&mut scratch.scores);
        for first in (0..panels).step_by(NP) {
            let right = parts(rows::<S, V>(k), CROSS_CHANNELS, first);
            head_scores::<S, V, NP>(
                ops,
                &state.tokens.by_head,
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
        let heads = state.sizes.heads();
        exponentials(ops, scores, height, panels, heads, &mut state.sums);
        mix(ops, &scratch.scores, height, panels, heads, v, &mut state.sums);
    }
}

/// The end of layer 0, and the attention from the tokens to the image in layer 1.
pub struct Second<'a> {
    pub chunk: &'a ManyChunk,
    /// Layer 0's queries, `[panels][128][16]`.
    pub q: &'a [f32],
    pub index: usize,
    pub state: &'a mut State,
    pub scratch: &'a mut ManyScratch,
}

impl Work for Second<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let Self { chunk, q, index, state, scratch } = self;
        let (heads, padded) = (state.sizes.heads(), state.sizes.padded());
        let (panels, height, both) = (state.sizes.chunk_panels(), padded * HEADS, 2 * state.sizes.heads());
        let keys = rows_mut::<S, V>(&mut scratch.keys);
        let crossed = rows_mut::<S, V>(&mut scratch.crossed);
        let weights = &mut rows_mut::<S, V>(&mut state.weights)[index * panels * both..][..panels * both];
        let deviations = &mut rows_mut::<S, V>(&mut state.first_deviation)[index * panels..][..panels];
        for first in (0..panels).step_by(NP) {
            let scores = &mut rows_mut::<S, V>(&mut scratch.scores)[first * height..][..NP * height];
            let right = parts(rows::<S, V>(q), CROSS_CHANNELS, first);
            write_heads::<S, V, NP>(ops, &state.tokens.by_head, right, padded, scores, height);
            for j in 0..NP {
                softmax_over_tokens(ops, &mut scores[j * height..][..heads]);
            }

            // The norm's deviation: squares of what is added to x, and twice its product with x.
            let right = parts(rows::<S, V>(&chunk.o0), CROSS_CHANNELS, first);
            write_heads::<S, V, NP>(ops, &state.values_by_head[0], right, padded, crossed, height);
            let squares = &rows::<S, V>(&chunk.x_square)[first..][..NP];
            let mut square = [ops.splat(0.0); NP];
            square.copy_from_slice(squares);
            let given = &*scores;
            product::<S, V, NP, MR>(
                ops,
                &state.gram,
                cut(parts(given, height, 0), heads),
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        let (i, weight) = (j * height + row, given[j * height + row]);
                        let twice = ops.add(crossed[i], crossed[i]);
                        square[j] = ops.mul_add(weight, ops.add(sums[j], twice), square[j]);
                    }
                },
            );
            for j in 0..NP {
                let deviation = inverse_deviation(ops, square[j]);
                deviations[first + j] = deviation;
                let weights = &mut weights[(first + j) * both..][..heads];
                for (out, weight) in weights.iter_mut().zip(&scores[j * height..]) {
                    *out = ops.mul(*weight, deviation);
                }
                let keys = &mut keys[j * CROSS_CHANNELS..][..CROSS_CHANNELS];
                let (x, p) = (rows::<S, V>(&chunk.kx), rows::<S, V>(&chunk.kp));
                let start = (first + j) * CROSS_CHANNELS;
                for ((out, x), p) in keys.iter_mut().zip(&x[start..]).zip(&p[start..]) {
                    *out = ops.mul_add(*x, deviation, *p);
                }
            }

            let right = parts(&*keys, CROSS_CHANNELS, 0);
            write_heads::<S, V, NP>(ops, &state.tokens.queries_by_head, right, padded, scores, height);
            product::<S, V, NP, MR>(
                ops,
                &state.keys_of_layer_1,
                cut(parts(&weights[first * both..], both, 0), heads),
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        scores[j * height + row] = ops.add(scores[j * height + row], sums[j]);
                    }
                },
            );
        }

        let scores = rows_mut::<S, V>(&mut scratch.scores);
        exponentials(ops, scores, height, panels, heads, &mut state.sums);
        let given = &state.weights[index * panels * both * PANEL..];
        by_token(given, both, heads, panels, &mut scratch.by_token, state.sums.columns);
        reduce::<S, V, TM>(ops, &scratch.scores, height, panels, heads, &scratch.by_token, &mut state.sums);
        let scores = rows_mut::<S, V>(&mut scratch.scores);
        for (scores, deviation) in scores.chunks_exact_mut(height).zip(&*deviations) {
            scores[..heads].iter_mut().for_each(|score| *score = ops.mul(*score, *deviation));
        }
        mix(ops, &scratch.scores, height, panels, heads, &chunk.vx, &mut state.sums);
    }
}

/// The end of layer 1, and the last attention from the tokens to the image: for the decoder's own tokens, since nothing is
/// read of the prompt's behind it.
pub struct Third<'a> {
    pub chunk: &'a ManyChunk,
    pub index: usize,
    /// The square of `g`.
    pub g_square: f32,
    pub state: &'a mut State,
    pub scratch: &'a mut ManyScratch,
}

impl Work for Third<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let Self { chunk, index, g_square, state, scratch } = self;
        let (heads, padded, own) = (state.sizes.heads(), state.sizes.padded(), state.own);
        let (panels, height, both) = (state.sizes.chunk_panels(), padded * HEADS, 2 * state.sizes.heads());
        let (own_heads, own_padded) = (own * HEADS, own.next_multiple_of(4));
        let keys = rows_mut::<S, V>(&mut scratch.keys);
        let crossed = rows_mut::<S, V>(&mut scratch.crossed);
        let weights = &mut rows_mut::<S, V>(&mut state.weights)[index * panels * both..][..panels * both];
        let s1 = &rows::<S, V>(&state.first_deviation)[index * panels..][..panels];
        let s2 = &mut rows_mut::<S, V>(&mut state.second_deviation)[index * panels..][..panels];
        let two = ops.splat(2.0);
        for first in (0..panels).step_by(NP) {
            let scores = &mut rows_mut::<S, V>(&mut scratch.scores)[first * height..][..NP * height];
            let weights = &mut weights[first * both..][..NP * both];
            let (qx, qp) = (rows::<S, V>(&chunk.qx), rows::<S, V>(&chunk.qp));
            for j in 0..NP {
                let start = (first + j) * CROSS_CHANNELS;
                let keys = &mut keys[j * CROSS_CHANNELS..][..CROSS_CHANNELS];
                for ((out, x), p) in keys.iter_mut().zip(&qx[start..]).zip(&qp[start..]) {
                    *out = ops.mul_add(*x, s1[first + j], *p);
                }
            }
            let right = parts(&*keys, CROSS_CHANNELS, 0);
            write_heads::<S, V, NP>(ops, &state.tokens.by_head, right, padded, scores, height);
            product::<S, V, NP, MR>(
                ops,
                &state.queries_of_layer_1,
                cut(parts(&*weights, both, 0), heads),
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        scores[j * height + row] = ops.add(scores[j * height + row], sums[j]);
                    }
                },
            );
            for j in 0..NP {
                let scores = &mut scores[j * height..][..heads];
                softmax_over_tokens(ops, scores);
                weights[j * both + heads..][..heads].copy_from_slice(scores);
            }

            let (h1, h2) = (rows::<S, V>(&chunk.h1), rows::<S, V>(&chunk.h2));
            for (values, right, part) in
                [(&state.values_by_head[0], h1, 0), (&state.values_by_head[1], h2, heads)]
            {
                head_scores::<S, V, NP>(
                    ops,
                    values,
                    parts(right, CROSS_CHANNELS, first),
                    padded,
                    #[inline(always)]
                    |t, h, sums| {
                        // Tokens that fill up the last four would lie in the other part.
                        if t * HEADS < heads {
                            for j in 0..NP {
                                crossed[j * both + part + t * HEADS + h] = sums[j];
                            }
                        }
                    },
                );
            }
            let mut square = [ops.splat(g_square); NP];
            for j in 0..NP {
                let (e_square, e_g) =
                    (rows::<S, V>(&chunk.e_square)[first + j], rows::<S, V>(&chunk.e_g)[first + j]);
                let inner = ops.mul_add(e_square, s1[first + j], ops.mul(two, e_g));
                square[j] = ops.mul_add(inner, s1[first + j], square[j]);
            }
            let given = &*weights;
            product::<S, V, NP, MR>(
                ops,
                &state.first_square,
                parts(given, both, 0),
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        let i = j * both + row;
                        let linear = ops.mul_add(crossed[i], s1[first + j], ops.splat(state.with_g[row]));
                        square[j] = ops.mul_add(given[i], ops.mul_add(linear, two, sums[j]), square[j]);
                    }
                },
            );
            let mut right = parts(given, both, 0);
            for right in &mut right {
                *right = &right[heads..];
            }
            product::<S, V, NP, MR>(
                ops,
                &state.second_square,
                right,
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        let i = j * both + heads + row;
                        let linear =
                            ops.mul_add(crossed[i], s1[first + j], ops.splat(state.with_g[heads + row]));
                        square[j] = ops.mul_add(given[i], ops.mul_add(linear, two, sums[j]), square[j]);
                    }
                },
            );

            let (ke, kfp) = (rows::<S, V>(&chunk.ke), rows::<S, V>(&chunk.kfp));
            for j in 0..NP {
                let deviation = inverse_deviation(ops, square[j]);
                s2[first + j] = deviation;
                let scale = ops.mul(deviation, s1[first + j]);
                let start = (first + j) * CROSS_CHANNELS;
                let keys = &mut keys[j * CROSS_CHANNELS..][..CROSS_CHANNELS];
                for ((out, x), p) in keys.iter_mut().zip(&ke[start..]).zip(&kfp[start..]) {
                    *out = ops.mul_add(*x, scale, *p);
                }
            }
            let right = parts(&*keys, CROSS_CHANNELS, 0);
            write_heads::<S, V, NP>(ops, &state.tokens.queries_by_head, right, own_padded, scores, height);
            product::<S, V, NP, MR>(
                ops,
                &state.last_keys,
                parts(given, both, 0),
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        let sum = ops.add(sums[j], ops.splat(state.last_keys_g[row]));
                        scores[j * height + row] = ops.mul_add(sum, s2[first + j], scores[j * height + row]);
                    }
                },
            );
        }

        let scores = rows_mut::<S, V>(&mut scratch.scores);
        exponentials(ops, scores, height, panels, own_heads, &mut state.sums);
        for head in 0..own_heads {
            let mut total = ops.splat(0.0);
            for panel in 0..panels {
                let score = &mut scores[panel * height + head];
                *score = ops.mul(*score, s2[panel]);
                total = ops.add(total, *score);
            }
            state.sums.scaled_total[head] += ops.sum(total);
        }
        let given = &state.weights[index * panels * both * PANEL..];
        by_token(given, both, both, panels, &mut scratch.by_token, state.sums.columns);
        reduce::<S, V, TM>(
            ops,
            &scratch.scores,
            height,
            panels,
            own_heads,
            &scratch.by_token,
            &mut state.sums,
        );
        let scores = rows_mut::<S, V>(&mut scratch.scores);
        for (scores, deviation) in scores.chunks_exact_mut(height).zip(s1) {
            scores[..own_heads].iter_mut().for_each(|score| *score = ops.mul(*score, *deviation));
        }
        mix(ops, &scratch.scores, height, panels, own_heads, &chunk.ve, &mut state.sums);
    }
}

/// One by the deviation of 256 channels with this sum of squares.
#[inline(always)]
fn inverse_deviation<S: Simd, const V: usize>(ops: Ops<S, V>, square: Row<S, V>) -> Row<S, V> {
    // What rounding leaves of a square must not be negative.
    let variance = ops.mul(ops.max(square, ops.splat(0.0)), ops.splat((CHANNELS as f32).recip()));
    ops.div(ops.splat(1.0), ops.sqrt(ops.add(variance, ops.splat(LAYER_EPSILON))))
}

/// `scores[j][token * 8 + head]` of `left` by head against `NP` panels.
#[inline(always)]
fn write_heads<S: Simd, const V: usize, const NP: usize>(
    ops: Ops<S, V>,
    left: &[f32],
    right: [&[Row<S, V>]; NP],
    padded: usize,
    scores: &mut [Row<S, V>],
    height: usize,
) {
    head_scores::<S, V, NP>(
        ops,
        left,
        right,
        padded,
        #[inline(always)]
        |t, h, sums| {
            for j in 0..NP {
                scores[j * height + t * HEADS + h] = sums[j];
            }
        },
    );
}

/// Scores of a chunk to e^(score - peak), and all that was summed up before to the new peak.
#[inline(always)]
fn exponentials<S: Simd, const V: usize>(
    ops: Ops<S, V>,
    scores: &mut [Row<S, V>],
    height: usize,
    panels: usize,
    heads: usize,
    sums: &mut Accumulated,
) {
    for head in 0..heads {
        let column = (head..panels * height).step_by(height);
        let mut peak = ops.splat(NO_SCORE);
        for i in column.clone() {
            peak = ops.max(peak, scores[i]);
        }
        let before = sums.peak[head];
        let peak = ops.largest(peak).max(before);
        let rescale = (before - peak).exp();
        sums.peak[head] = peak;
        let mut total = ops.splat(0.0);
        for i in column {
            scores[i] = ops.exp(ops.sub(scores[i], ops.splat(peak)));
            total = ops.add(total, scores[i]);
        }
        sums.total[head] = sums.total[head] * rescale + ops.sum(total);
        if rescale != 1.0 {
            sums.scaled_total[head] *= rescale;
            let columns = sums.columns;
            for row in
                [&mut sums.mixed[head * PANEL..][..PANEL], &mut sums.reduced[head * columns..][..columns]]
            {
                row.iter_mut().for_each(|x| *x *= rescale);
            }
        }
    }
}

/// Adds the values `[panels][8][16 image tokens][16 channels]`, weighted.
#[inline(always)]
fn mix<S: Simd, const V: usize>(
    ops: Ops<S, V>,
    weights: &[f32],
    height: usize,
    panels: usize,
    heads: usize,
    values: &[f32],
    sums: &mut Accumulated,
) {
    let values = rows::<S, V>(values);
    let weights = weights.as_chunks::<PANEL>().0;
    let mixed = rows_mut::<S, V>(&mut sums.mixed);
    let tokens = heads / HEADS;
    for h in 0..HEADS {
        for start in (0..tokens).step_by(4) {
            let mut four = [ops.splat(0.0); 4];
            for panel in 0..panels {
                let values = &values[(panel * HEADS + h) * PANEL..][..PANEL];
                // The last four may reach beyond the tokens, into what nobody reads.
                let mut of_panel = [&weights[0]; 4];
                for i in 0..4 {
                    of_panel[i] = &weights[panel * height + (start + i) * HEADS + h];
                }
                for k in 0..PANEL {
                    for i in 0..4 {
                        four[i] = ops.mul_add(ops.splat(of_panel[i][k]), values[k], four[i]);
                    }
                }
            }
            for (t, sum) in (start..tokens).zip(four) {
                mixed[t * HEADS + h] = ops.add(mixed[t * HEADS + h], sum);
            }
        }
    }
}

/// The first `count` of every panel's weights `[panels][stride][16]` by image token.
#[inline(always)]
fn by_token(weights: &[f32], stride: usize, count: usize, panels: usize, out: &mut [f32], columns: usize) {
    let weights = weights.as_chunks::<PANEL>().0;
    for panel in 0..panels {
        let out = &mut out[panel * PANEL * columns..][..PANEL * columns];
        for (row, values) in weights[panel * stride..][..count].iter().enumerate() {
            for (lane, value) in values.iter().enumerate() {
                out[lane * columns + row] = *value;
            }
        }
        // What fills up a row of 16 is weighted with nothing, and must be a number.
        out.chunks_exact_mut(columns).for_each(|out| out[count..].fill(0.0));
    }
}

/// Adds the weights by image token, weighted: `reduced[head][column]`.
#[inline(always)]
fn reduce<S: Simd, const V: usize, const TM: usize>(
    ops: Ops<S, V>,
    scores: &[f32],
    height: usize,
    panels: usize,
    heads: usize,
    by_token: &[f32],
    sums: &mut Accumulated,
) {
    let columns = sums.columns / PANEL;
    let scores = scores.as_chunks::<PANEL>().0;
    let by_token = rows::<S, V>(by_token);
    let reduced = rows_mut::<S, V>(&mut sums.reduced);
    let mut column = 0;
    while column < columns {
        let two = column + 2 <= columns;
        for start in (0..heads).step_by(TM) {
            let mut added = [[ops.splat(0.0); 2]; TM];
            for panel in 0..panels {
                let scores: &[[f32; PANEL]] = &scores[panel * height + start..][..TM];
                for k in 0..PANEL {
                    let right = &by_token[(panel * PANEL + k) * columns + column..];
                    let right = if two { [right[0], right[1]] } else { [right[0]; 2] };
                    for i in 0..TM {
                        let x = ops.splat(scores[i][k]);
                        added[i][0] = ops.mul_add(x, right[0], added[i][0]);
                        added[i][1] = ops.mul_add(x, right[1], added[i][1]);
                    }
                }
            }
            for (i, added) in added.into_iter().enumerate() {
                let out = &mut reduced[(start + i) * columns + column..];
                out[0] = ops.add(out[0], added[0]);
                if two {
                    out[1] = ops.add(out[1], added[1]);
                }
            }
        }
        column += 2;
    }
}
