//! A mask as a prompt: what it changes of a chip that was prepared without one.
//!
//! The prompt encoder makes of a mask what is added to the image tokens in place of the embedding of "no mask": two
//! convolutions down to 16 channels `h` a token, and one of kernel 1, `W h + b`. Everything that is prepared with a chip
//! is linear in the image tokens, so it is corrected instead of computed again: keys become
//! `K + (Wk W) h + Wk (b - no_mask)`, and so do values, queries and the tokens themselves ([`MaskProducts`]).

use super::lanes::{Ops, PANEL, Row, Work, parts, rows, rows_mut};
use super::product::{Packed, product, product_by_lane};
use super::simd::Simd;
use super::weights::{BLOCK, Norm};
use super::workspace::{CHUNK_ROWS, MOST_PANELS, Sizes};
use crate::decoder::error::DecoderError;
use crate::decoder::mask_products::{MASK_CHANNELS, MaskProducts};
use crate::decoder::weights::{CROSS_CHANNELS, HEADS, Weights};
use crate::models::MASK_PROMPT;
use ndarray::{Array1, Array2};

/// Channels after the first and the second convolution.
const FIRST_CHANNELS: usize = MASK_CHANNELS[0];
pub(super) const HIDDEN: usize = MASK_CHANNELS[1];
/// Pixels of a mask in an image token: 4 x 4.
const PIXELS: usize = BLOCK * BLOCK;
/// Epsilon of both norms (Meta's `LayerNorm2d`).
const EPSILON: f32 = 1e-6;

/// A left factor and what is added to its products.
#[derive(Debug, Clone)]
struct Affine {
    weight: Packed,
    bias: Vec<f32>,
}

/// The parameters.
#[derive(Debug, Clone)]
pub(super) struct MaskWeights {
    /// `[4, (dy2, dx2)]`
    first: Affine,
    first_norm: Norm,
    /// `[16, (dy1, dx1, 4)]`
    second: Affine,
    second_norm: Norm,
    /// `[256, 16]`: what is added to the image tokens.
    tokens: Affine,
    /// `[128, 16]`: what is added to layer 0's keys and queries.
    k: Affine,
    q: Affine,
    /// The same for values, `[8][16 hidden][16 channels]` and `[8][16 channels]`.
    values: Vec<f32>,
    values_bias: Vec<f32>,
}

impl MaskWeights {
    /// The parameters of a checkpoint; `None` where it lacks those of mask prompts.
    pub fn new(w: &Weights, block: usize) -> Result<Option<Self>, DecoderError> {
        if !w.takes_masks() {
            return Ok(None);
        }
        let bias = |i: usize| -> Result<Vec<f32>, DecoderError> {
            Ok(w.vector(&format!("{MASK_PROMPT}.{i}.bias"))?.to_vec())
        };
        let weight = |i: usize| w.owned(&format!("{MASK_PROMPT}.{i}.weight"));
        let (first, second) = (weight(0)?, weight(3)?);
        // [output, input, dy, dx]
        let first = Packed::pack(FIRST_CHANNELS, BLOCK, block, |output, pixel| {
            first[[output, 0, pixel / 2, pixel % 2]]
        });
        let second = Packed::pack(HIDDEN, BLOCK * FIRST_CHANNELS, block, |output, column| {
            let (pixel, input) = (column / FIRST_CHANNELS, column % FIRST_CHANNELS);
            second[[output, input, pixel / 2, pixel % 2]]
        });

        let products = MaskProducts::new(w)?;
        let through =
            |name: &str| products.through(w, &format!("mask_decoder.transformer.layers.0.{name}_proj"));
        let affine = |(matrix, bias): (Array2<f32>, Array1<f32>)| {
            let (rows, columns) = matrix.dim();
            let weight = Packed::pack(rows, columns, block, |row, column| matrix[[row, column]]);
            Affine { weight, bias: bias.to_vec() }
        };
        let (values, values_bias) = through("cross_attn_token_to_image.v")?;
        let mut by_head = vec![0.0; CROSS_CHANNELS * HIDDEN];
        for ((row, hidden), value) in values.indexed_iter() {
            by_head[(row / PANEL * HIDDEN + hidden) * PANEL + row % PANEL] = *value;
        }
        let norm = |i: usize| Norm::new(w, &format!("{MASK_PROMPT}.{i}"));
        Ok(Some(Self {
            first: Affine { weight: first, bias: bias(0)? },
            first_norm: norm(1)?,
            second: Affine { weight: second, bias: bias(3)? },
            second_norm: norm(4)?,
            tokens: affine(products.tokens()),
            k: affine(through("cross_attn_token_to_image.k")?),
            q: affine(through("cross_attn_image_to_token.q")?),
            values: by_head,
            values_bias: values_bias.to_vec(),
        }))
    }
}

/// A mask and the parameters that take it in.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a> {
    pub weights: &'a MaskWeights,
    /// Logits `[4 grid, 4 grid]`.
    pub values: &'a [f32],
}

impl Mask<'_> {
    /// The rows that chunk `i` covers.
    pub fn of_chunk(&self, sizes: Sizes, i: usize) -> &[f32] {
        let len = 4 * CHUNK_ROWS * 4 * sizes.grid;
        &self.values[i * len..][..len]
    }
}

/// The mask of a chunk through the first two convolutions, `[panels][16][16]`.
pub(super) struct EncodeMask<'a> {
    pub sizes: Sizes,
    pub weights: &'a MaskWeights,
    /// The chunk's rows of the mask, `[4 CHUNK_ROWS][4 grid]`.
    pub mask: &'a [f32],
    pub hidden: &'a mut [f32],
}

impl Work for EncodeMask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let (grid, weights) = (self.sizes.grid, self.weights);
        let mut pixels = [0.0; MOST_PANELS * PIXELS * PANEL];
        let mut channels = [0.0; MOST_PANELS * BLOCK * FIRST_CHANNELS * PANEL];
        for first in (0..self.sizes.chunk_panels()).step_by(NP) {
            // [panel][(dy1, dx1, dy2, dx2)][lane]
            for (i, pixel) in pixels.iter_mut().take(NP * PIXELS * PANEL).enumerate() {
                let (lane, i) = (i % PANEL, i / PANEL);
                let (place, panel) = (i % PIXELS, i / PIXELS);
                let token = (first + panel) * PANEL + lane;
                let (row, column) = (token / grid, token % grid);
                let (outer, inner) = (place / BLOCK, place % BLOCK);
                let (dy, dx) = (outer / 2 * 2 + inner / 2, outer % 2 * 2 + inner % 2);
                *pixel = self.mask[(4 * row + dy) * 4 * grid + 4 * column + dx];
            }
            let pixels = rows::<S, V>(&pixels);
            let channels = rows_mut::<S, V>(&mut channels);
            for outer in 0..BLOCK {
                let mut right = parts(pixels, PIXELS, 0);
                for right in &mut right {
                    *right = &right[outer * BLOCK..][..BLOCK];
                }
                product::<S, V, NP, MR>(
                    ops,
                    &weights.first.weight,
                    right,
                    #[inline(always)]
                    |row, sums| {
                        for j in 0..NP {
                            channels[(j * BLOCK + outer) * FIRST_CHANNELS + row] =
                                ops.add(sums[j], ops.splat(weights.first.bias[row]));
                        }
                    },
                );
            }
            for pixel in channels[..NP * BLOCK * FIRST_CHANNELS].chunks_exact_mut(FIRST_CHANNELS) {
                ops.norm(pixel, &weights.first_norm.weight, &weights.first_norm.bias, EPSILON);
                ops.gelu_all(pixel);
            }
            let right = parts(&*channels, BLOCK * FIRST_CHANNELS, 0);
            let hidden = &mut rows_mut::<S, V>(self.hidden)[first * HIDDEN..][..NP * HIDDEN];
            product::<S, V, NP, MR>(
                ops,
                &weights.second.weight,
                right,
                #[inline(always)]
                |row, sums| {
                    for j in 0..NP {
                        hidden[j * HIDDEN + row] = ops.add(sums[j], ops.splat(weights.second.bias[row]));
                    }
                },
            );
            for token in hidden.chunks_exact_mut(HIDDEN) {
                ops.norm(token, &weights.second_norm.weight, &weights.second_norm.bias, EPSILON);
                ops.gelu_all(token);
            }
        }
    }
}

/// Layer 0's keys and values of a chunk, with its mask.
pub(super) struct MaskedKeysAndValues<'a> {
    pub sizes: Sizes,
    pub weights: &'a MaskWeights,
    /// `[panels][16][16]`
    pub hidden: &'a [f32],
    /// As prepared, without a mask: `[panels][128][16]` and `[panels][8][16 image tokens][16 channels]`.
    pub keys: &'a [f32],
    pub values: &'a [f32],
    pub masked_keys: &'a mut [f32],
    pub masked_values: &'a mut [f32],
}

impl Work for MaskedKeysAndValues<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let by_head = rows::<S, V>(&self.weights.values);
        let bias = rows::<S, V>(&self.weights.values_bias);
        let values = rows::<S, V>(self.values);
        let masked = rows_mut::<S, V>(self.masked_values);
        for first in (0..self.sizes.chunk_panels()).step_by(NP) {
            corrected::<S, V, NP, MR>(ops, &self.weights.k, self.hidden, first, self.keys, self.masked_keys);
            for panel in first..first + NP {
                let left = &self.hidden[panel * HIDDEN * PANEL..][..HIDDEN * PANEL];
                for head in (0..HEADS).step_by(NP) {
                    let right: [&[Row<S, V>]; NP] = parts(by_head, HIDDEN, head);
                    product_by_lane::<S, V, NP, TM>(
                        ops,
                        left,
                        right,
                        #[inline(always)]
                        |lane, sums| {
                            for n in 0..NP {
                                let i = (panel * HEADS + head + n) * PANEL + lane;
                                masked[i] = ops.add(values[i], ops.add(sums[n], bias[head + n]));
                            }
                        },
                    );
                }
            }
        }
    }
}

/// Layer 0's queries of a chunk and its image tokens, with its mask.
pub(super) struct MaskedQueriesAndTokens<'a> {
    pub sizes: Sizes,
    pub weights: &'a MaskWeights,
    /// `[panels][16][16]`
    pub hidden: &'a [f32],
    /// As prepared, without a mask: `[panels][128][16]` and `[panels][256][16]`.
    pub queries: &'a [f32],
    pub tokens: &'a [f32],
    pub masked_queries: &'a mut [f32],
    pub masked_tokens: &'a mut [f32],
}

impl Work for MaskedQueriesAndTokens<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize, const NP: usize, const MR: usize, const TM: usize>(self, ops: Ops<S, V>) {
        let Self { sizes, weights, hidden, .. } = self;
        for first in (0..sizes.chunk_panels()).step_by(NP) {
            corrected::<S, V, NP, MR>(ops, &weights.q, hidden, first, self.queries, self.masked_queries);
            corrected::<S, V, NP, MR>(ops, &weights.tokens, hidden, first, self.tokens, self.masked_tokens);
        }
    }
}

/// `out = given + affine(hidden)` for `NP` panels.
#[inline(always)]
fn corrected<S: Simd, const V: usize, const NP: usize, const MR: usize>(
    ops: Ops<S, V>,
    affine: &Affine,
    hidden: &[f32],
    first: usize,
    given: &[f32],
    out: &mut [f32],
) {
    let height = affine.bias.len();
    let right = parts(rows::<S, V>(hidden), HIDDEN, first);
    let given = &rows::<S, V>(given)[first * height..][..NP * height];
    let out = &mut rows_mut::<S, V>(out)[first * height..][..NP * height];
    product::<S, V, NP, MR>(
        ops,
        &affine.weight,
        right,
        #[inline(always)]
        |row, sums| {
            for j in 0..NP {
                let i = j * height + row;
                out[i] = ops.add(given[i], ops.add(sums[j], ops.splat(affine.bias[row])));
            }
        },
    );
}
