//! A chip prepared for many prompts: everything that its image tokens contribute to, whatever the prompt.
//!
//! With `x = keys + bias` centred over the channels (see [`many`](super)), and `e = C (w1 x)`, C being the centring:
//! projections of the two, and their squares. 26 MB beside what every chip is prepared to, held while a list of prompts is
//! decoded.

use super::super::lanes::{Ops, PANEL, Row, Work, parts, rows, rows_mut};
use super::super::product::{Packed, product, product_by_lane};
use super::super::simd::Simd;
use super::super::weights::{FusedWeights, Linear};
use super::super::workspace::{MOST_PANELS, Sizes};
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HEADS};

/// Rows of one panel of image tokens.
const PANEL_LEN: usize = CHANNELS * PANEL;

/// Products of parameters, made once for a model.
#[derive(Debug)]
pub struct ManyWeights {
    /// `[128, 256]`, of `x`: the output of layer 0's attention from image to tokens, transposed; keys and queries of layer 1.
    o0: Packed,
    kx: Packed,
    qx: Packed,
    /// Of `e`: that output again through norm and centring, that of layer 1, and keys of the last attention.
    h1: Packed,
    h2: Packed,
    ke: Packed,
    /// `[256, 256]`, of `e`: the first upscaling.
    ce: Packed,
    /// Values of layer 1's attention, of `x`, and of the last one, of `e`.
    vx: Linear,
    ve: Linear,
    /// Of the positions: keys and queries of layer 1, and keys of the last attention.
    kp: Packed,
    qp: Packed,
    kfp: Packed,
    /// `C (b1 + bo2)`: the part of layer 1's norm's input that is the same for every image token.
    pub g: Vec<f32>,
    /// The first upscaling through the last norm's weight, for rows of 256; of `g`; and its bias with the norm's.
    pub upscaling: Linear,
    pub upscaling_g: Vec<f32>,
    pub upscaling_bias: Vec<f32>,
}

/// `x` less its mean.
pub fn centre(x: &mut [f32]) {
    let mean = (x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len().max(1) as f64) as f32;
    x.iter_mut().for_each(|x| *x -= mean);
}

impl ManyWeights {
    /// Multiplies and packs; `block` is the processor's block of a packed factor.
    pub fn new(weights: &FusedWeights, block: usize) -> Option<Self> {
        let [first, second] = weights.layers.as_slice() else { return None };
        let (w1, b1) = (&first.norms[3].weight, &first.norms[3].bias);
        let (w2, b2) = (&second.norms[3].weight, &second.norms[3].bias);
        let ones = vec![1.0; CHANNELS];
        let packed = |flat: &[f32], scale: &[f32]| {
            Packed::pack(CROSS_CHANNELS, CHANNELS, block, |row, column| {
                flat[row * CHANNELS + column] * scale[column]
            })
        };
        // Rows of the output, centred: C is symmetric.
        let mut centred = first.image_to_token.out.clone();
        centred.chunks_exact_mut(CHANNELS).for_each(centre);
        let mut g: Vec<f32> = b1.iter().zip(&second.image_to_token.out_bias).map(|(a, b)| a + b).collect();
        centre(&mut g);

        let up = &weights.upscaling;
        let row = |row: usize, scale: &[f32]| -> Vec<f32> {
            (0..CHANNELS).map(|column| up.first.value(row, column) * scale[column]).collect()
        };
        let through: Vec<f32> = (0..CHANNELS).flat_map(|i| row(i, w2)).collect();
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let upscaling_g = through.chunks_exact(CHANNELS).map(|row| dot(row, &g) as f32).collect();
        let first_bias = up.first_bias.iter().cycle();
        let upscaling_bias = (0..CHANNELS)
            .zip(first_bias)
            .map(|(i, bias)| (dot(&row(i, &ones), b2) + f64::from(*bias)) as f32);
        let upscaling_bias = upscaling_bias.collect();
        let mut upscaling = Linear::default();
        upscaling.set_rows(&through, CHANNELS);
        Some(Self {
            o0: packed(&first.image_to_token.out, &ones),
            kx: packed(&second.token_to_image.k, w1),
            qx: packed(&second.image_to_token.q, w1),
            h1: packed(&centred, w1),
            h2: packed(&second.image_to_token.out, &ones),
            ke: packed(&weights.last.k, w2),
            ce: Packed::pack(CHANNELS, CHANNELS, block, |i, column| up.first.value(i, column) * w2[column]),
            vx: second.token_to_image.v.scaled(w1),
            ve: weights.last.v.scaled(w2),
            kp: packed(&second.token_to_image.k, &ones),
            qp: packed(&second.image_to_token.q, &ones),
            kfp: packed(&weights.last.k, &ones),
            g,
            upscaling,
            upscaling_g,
            upscaling_bias,
        })
    }
}

/// What is prepared of one chunk; arrays are `[panels][128][16]` where nothing else is said.
#[derive(Debug, Default)]
pub struct ManyChunk {
    pub o0: Vec<f32>,
    pub kx: Vec<f32>,
    pub qx: Vec<f32>,
    pub h1: Vec<f32>,
    pub h2: Vec<f32>,
    pub ke: Vec<f32>,
    pub kp: Vec<f32>,
    pub qp: Vec<f32>,
    pub kfp: Vec<f32>,
    /// `[panels][8][16 image tokens][16 channels]`
    pub vx: Vec<f32>,
    pub ve: Vec<f32>,
    /// `[panels][256][16]`
    pub ce: Vec<f32>,
    /// `[panels][16]`: squares of `x` and of `e`, and `e g`.
    pub x_square: Vec<f32>,
    pub e_square: Vec<f32>,
    pub e_g: Vec<f32>,
}

/// Prepares a chunk.
pub struct PrepareMany<'a> {
    pub sizes: Sizes,
    pub weights: &'a FusedWeights,
    pub many: &'a ManyWeights,
    /// The image tokens as prepared, and their positions, `[panels][256][16]`.
    pub keys: &'a [f32],
    pub positions: &'a [f32],
    pub chunk: &'a mut ManyChunk,
}

impl Work for PrepareMany<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let Self { sizes, weights, many, keys, positions, chunk } = self;
        let [first_layer, second_layer] = weights.layers.as_slice() else { return };
        let panels = sizes.chunk_panels();
        let cross = || vec![0.0; panels * CROSS_CHANNELS * PANEL];
        let lanes = || vec![0.0; panels * PANEL];
        *chunk = ManyChunk {
            o0: cross(),
            kx: cross(),
            qx: cross(),
            h1: cross(),
            h2: cross(),
            ke: cross(),
            kp: cross(),
            qp: cross(),
            kfp: cross(),
            vx: cross(),
            ve: cross(),
            ce: vec![0.0; panels * PANEL_LEN],
            x_square: lanes(),
            e_square: lanes(),
            e_g: lanes(),
        };
        let no_bias = [0.0; CHANNELS];
        let (norm, out_bias) = (&first_layer.norms[3], &first_layer.image_to_token.out_bias);
        let mut buffer = vec![0.0; MOST_PANELS * PANEL_LEN];
        for first in (0..panels).step_by(NP) {
            let given = &rows::<S, V>(keys)[first * CHANNELS..][..NP * CHANNELS];
            let x = &mut rows_mut::<S, V>(&mut buffer)[..NP * CHANNELS];
            for (i, (x, key)) in x.iter_mut().zip(given).enumerate() {
                *x = ops.add(*key, ops.splat(out_bias[i % CHANNELS]));
            }
            centre_lanes(ops, x);
            write_squares(ops, x, &mut chunk.x_square, first);
            let x = &*x;
            for (factor, out) in
                [(&many.o0, &mut chunk.o0), (&many.kx, &mut chunk.kx), (&many.qx, &mut chunk.qx)]
            {
                project::<S, V, NP, MR>(ops, factor, x, &no_bias, out, first);
            }
            for j in 0..NP {
                by_lane::<S, V, NP, TM>(
                    ops,
                    &many.vx,
                    &buffer[j * PANEL_LEN..][..PANEL_LEN],
                    &mut chunk.vx,
                    first + j,
                );
            }

            let e = &mut rows_mut::<S, V>(&mut buffer)[..NP * CHANNELS];
            for (i, e) in e.iter_mut().enumerate() {
                *e = ops.mul(*e, ops.splat(norm.weight[i % CHANNELS]));
            }
            centre_lanes(ops, e);
            write_squares(ops, e, &mut chunk.e_square, first);
            let e_g = &mut rows_mut::<S, V>(&mut chunk.e_g)[first..][..NP];
            for (e, e_g) in e.chunks_exact(CHANNELS).zip(e_g) {
                let mut sum = ops.splat(0.0);
                for (e, g) in e.iter().zip(&many.g) {
                    sum = ops.mul_add(*e, ops.splat(*g), sum);
                }
                *e_g = sum;
            }
            let e = &*e;
            for (factor, out) in [
                (&many.h1, &mut chunk.h1),
                (&many.h2, &mut chunk.h2),
                (&many.ke, &mut chunk.ke),
                (&many.ce, &mut chunk.ce),
            ] {
                project::<S, V, NP, MR>(ops, factor, e, &no_bias, out, first);
            }
            for j in 0..NP {
                by_lane::<S, V, NP, TM>(
                    ops,
                    &many.ve,
                    &buffer[j * PANEL_LEN..][..PANEL_LEN],
                    &mut chunk.ve,
                    first + j,
                );
            }

            let positions = &rows::<S, V>(positions)[first * CHANNELS..][..NP * CHANNELS];
            let positioned = &mut rows_mut::<S, V>(&mut buffer)[..NP * CHANNELS];
            let bias = &second_layer.image_to_token.q_bias[..CROSS_CHANNELS];
            for (norm, projections) in [
                (
                    norm,
                    &mut [
                        (&many.kp, &no_bias[..CROSS_CHANNELS], &mut chunk.kp),
                        (&many.qp, bias, &mut chunk.qp),
                    ][..],
                ),
                (&second_layer.norms[3], &mut [(&many.kfp, &no_bias[..CROSS_CHANNELS], &mut chunk.kfp)][..]),
            ] {
                for (i, (x, position)) in positioned.iter_mut().zip(positions).enumerate() {
                    *x = ops.add(*position, ops.splat(norm.bias[i % CHANNELS]));
                }
                for (factor, bias, out) in projections {
                    project::<S, V, NP, MR>(ops, factor, positioned, bias, out, first);
                }
            }
        }
    }
}

/// Every lane less its mean over the channels.
#[inline(always)]
fn centre_lanes<S: Simd, const V: usize>(ops: Ops<S, V>, x: &mut [Row<S, V>]) {
    let share = ops.splat((CHANNELS as f32).recip());
    for x in x.chunks_exact_mut(CHANNELS) {
        let mut sums = [ops.splat(0.0); 4];
        for four in x.as_chunks::<4>().0 {
            for i in 0..4 {
                sums[i] = ops.add(sums[i], four[i]);
            }
        }
        let sum = ops.add(ops.add(sums[0], sums[1]), ops.add(sums[2], sums[3]));
        let mean = ops.mul(sum, share);
        for x in x {
            *x = ops.sub(*x, mean);
        }
    }
}

#[inline(always)]
fn write_squares<S: Simd, const V: usize>(ops: Ops<S, V>, x: &[Row<S, V>], out: &mut [f32], first: usize) {
    for (x, out) in x.chunks_exact(CHANNELS).zip(&mut rows_mut::<S, V>(out)[first..]) {
        let mut sums = [ops.splat(0.0); 4];
        for four in x.as_chunks::<4>().0 {
            for i in 0..4 {
                sums[i] = ops.mul_add(four[i], four[i], sums[i]);
            }
        }
        *out = ops.add(ops.add(sums[0], sums[1]), ops.add(sums[2], sums[3]));
    }
}

/// `factor x + bias` for `NP` panels of 256 rows.
#[inline(always)]
fn project<S: Simd, const V: usize, const NP: usize, const MR: usize>(
    ops: Ops<S, V>,
    factor: &Packed,
    x: &[Row<S, V>],
    bias: &[f32],
    out: &mut [f32],
    first: usize,
) {
    let height = factor.rows();
    let out = &mut rows_mut::<S, V>(out)[first * height..][..NP * height];
    product::<S, V, NP, MR>(
        ops,
        factor,
        parts(x, CHANNELS, 0),
        #[inline(always)]
        |row, sums| {
            for j in 0..NP {
                out[j * height + row] = ops.add(sums[j], ops.splat(bias[row]));
            }
        },
    );
}

/// Values `[8][16 image tokens][16 channels]` of one panel.
#[inline(always)]
fn by_lane<S: Simd, const V: usize, const NP: usize, const TM: usize>(
    ops: Ops<S, V>,
    values: &Linear,
    left: &[f32],
    out: &mut [f32],
    panel: usize,
) {
    let out = &mut rows_mut::<S, V>(out)[panel * CROSS_CHANNELS..][..CROSS_CHANNELS];
    for head in (0..HEADS).step_by(NP) {
        let right: [&[Row<S, V>]; NP] = std::array::from_fn(|n| values.panel::<S, V>(head + n));
        product_by_lane::<S, V, NP, TM>(
            ops,
            left,
            right,
            #[inline(always)]
            |lane, sums| {
                for n in 0..NP {
                    out[(head + n) * PANEL + lane] = sums[n];
                }
            },
        );
    }
}
