//! Many prompts on one chip: what a chip fixes of the passes is computed once, and a prompt costs half.
//!
//! A norm is affine once its deviation is known. So behind layer 0 an image token is
//!
//! ```text
//! k1 = s1 w1 (x + U1 a1) + b1        x: the chip's, centred;  U1: what the heads add, centred;  a1: their weights
//! ```
//!
//! and every projection `P` of it `s1 (P w1 x + (P w1 U1) a1) + P b1`: a part that the chip fixes, 16 channels a head, and a
//! product with the 56 weights `a1` (7 tokens) in place of one with 256 channels. The deviation `s1` comes of
//! `|x + U1 a1|^2`, which is such a sum, too. Behind layer 1, with `e = C (w1 x)`, `F1 = C (w1 U1)`, `F2` what its heads add and
//! `g = C (b1 + bias)`,
//!
//! ```text
//! k2 = s2 w2 (s1 (e + F1 a1) + F2 a2 + g) + b2
//! ```
//!
//! and the same holds for the last attention and the first upscaling. The image tokens themselves are never computed; what
//! is kept of a prompt are its weights `s1 a1` and `a2` for every image token, and two deviations. Of 0.43 G multiply-adds up to
//! the scores 0.19 are left, of 0.41 of the upscaling 0.26.
//!
//! Prompts are taken a few at a time by each thread, chunk by chunk, so that what is read of the chip serves them all.
//! Answers are those of a single decode but for rounding.
//!
//! Here: the order of the work. The parts: `chip` (once per call), `passes`, `state` (the tokens' side of one prompt).

mod chip;
mod passes;
mod state;

use std::sync::{Mutex, PoisonError};

use ndarray::Array3;

use self::chip::{ManyChunk, PrepareMany};
use self::passes::{First, ManyScratch, Second, Third};
use self::state::State;
use super::lanes::PANEL;
use super::passes::Crew;
use super::prepare::Content;
use super::product::Packed;
use super::upscaling::{FirstProduct, UpscalingPass};
use super::workspace::{CHUNK_ROWS, Chunk, MOST_PANELS, Scratch, Sizes, room};
use crate::decoder::chip::finite;
use crate::decoder::error::DecoderError;
use crate::decoder::weights::{CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, HEADS, MASKS, QUARTER_CHANNELS};
use crate::decoder::{Decoded, Keep};
use crate::family::Family;

pub(super) use self::chip::ManyWeights;
pub(super) use self::state::Model;

/// Prompts from which it pays to prepare the chip for them: 8, once the answers have been compared.
pub(super) const FEWEST: usize = usize::MAX;
/// Prompts that a thread takes at a time.
pub(super) const BATCH: usize = 4;

/// A chip for many prompts, and the model.
pub(super) struct Many<'a> {
    pub family: Family,
    pub model: Model<'a>,
    pub content: &'a Content,
    chunks: Vec<ManyChunk>,
    g_square: f32,
}

/// What a thread works in.
#[derive(Default)]
pub(super) struct Worker {
    states: Vec<State>,
    scratch: ManyScratch,
    upscaling: Scratch,
    chunk: Chunk,
    factor: Packed,
}

impl<'a> Many<'a> {
    /// Prepares a chip for many prompts.
    pub fn new(
        family: Family,
        model: Model<'a>,
        content: &'a Content,
        positions: &[f32],
        crew: Crew<'_>,
        threads: usize,
    ) -> Self {
        let sizes = Sizes { grid: family.grid(), tokens: 0 };
        let chunks: Vec<Mutex<ManyChunk>> = (0..sizes.chunks()).map(|_| Mutex::default()).collect();
        crew.each(&chunks, &mut vec![(); threads], |i, chunk: &mut ManyChunk, ()| {
            let (keys, positions) =
                (part(&content.keys, CHANNELS, sizes, i), part(positions, CHANNELS, sizes, i));
            let (weights, many) = (model.weights, model.many);
            model.processor.run(PrepareMany { sizes, weights, many, keys, positions, chunk });
        });
        let chunks =
            chunks.into_iter().map(|chunk| chunk.into_inner().unwrap_or_else(PoisonError::into_inner));
        let g_square = model.many.g.iter().map(|g| g * g).sum();
        Self { family, model, content, chunks: chunks.collect(), g_square }
    }

    /// Decodes a few prompts of few tokens, each `[n][256]`.
    pub fn decode(
        &self,
        prompts: &[&[f32]],
        own_tokens: usize,
        keep: Keep,
        worker: &mut Worker,
    ) -> Vec<Result<Option<Decoded>, DecoderError>> {
        let Worker { states, scratch, .. } = worker;
        let (model, processor) = (self.model, self.model.processor);
        let grid = self.family.grid();
        states.resize_with(states.len().max(prompts.len()), State::default);
        let mut most = Sizes { grid, tokens: 0 };
        for (state, prompt) in states.iter_mut().zip(prompts) {
            let sizes = Sizes { grid, tokens: own_tokens + prompt.len() / CHANNELS };
            state.begin(model, sizes, prompt);
            most.tokens = most.tokens.max(sizes.tokens);
        }
        scratch.reserve(most);
        let sizes = most;
        let states = &mut states[..prompts.len()];
        for i in 0..self.chunks.len() {
            let k = part(&self.content.k, CROSS_CHANNELS, sizes, i);
            let v = part(&self.content.v, CROSS_CHANNELS, sizes, i);
            for state in states.iter_mut() {
                processor.run(First { k, v, state, scratch });
            }
        }
        states.iter_mut().for_each(|state| state.after_first(model));
        for (index, chunk) in self.chunks.iter().enumerate() {
            let q = part(&self.content.q, CROSS_CHANNELS, sizes, index);
            for state in states.iter_mut() {
                processor.run(Second { chunk, q, index, state, scratch });
            }
        }
        states.iter_mut().for_each(|state| state.after_second(model));
        for (index, chunk) in self.chunks.iter().enumerate() {
            for state in states.iter_mut() {
                processor.run(Third { chunk, index, g_square: self.g_square, state, scratch });
            }
        }
        states.iter_mut().for_each(|state| state.after_third(model));
        (0..prompts.len()).map(|i| self.finish(i, keep, worker)).collect()
    }

    /// The answer of a prompt, if its scores please.
    fn finish(&self, index: usize, keep: Keep, worker: &mut Worker) -> Result<Option<Decoded>, DecoderError> {
        let Worker { states, upscaling: scratch, chunk, factor, .. } = worker;
        let state = &mut states[index];
        let scores = state.tokens.scores;
        finite(&scores, "scores")?;
        if !keep.wants(self.family, &scores) {
            return Ok(None);
        }
        state.upscaling(self.model, factor);
        let sizes = state.sizes;
        scratch.reserve();
        let side = 4 * sizes.grid;
        let strip = 4 * CHUNK_ROWS * side;
        room(&mut chunk.logits, MASKS * strip);
        let mut images = vec![0.0; MASKS * side * side];
        let (both, panels) = (2 * sizes.heads(), sizes.chunk_panels());
        for (i, prepared) in self.chunks.iter().enumerate() {
            let lanes = i * panels * PANEL..(i + 1) * panels * PANEL;
            let maps = self.content.maps.as_ref().map(|[half, quarter]| {
                [part(half, 4 * HALF_CHANNELS, sizes, i), part(quarter, 16 * QUARTER_CHANNELS, sizes, i)]
            });
            let first = FirstProduct::Added {
                chip: &prepared.ce,
                factor,
                weights: part(&state.weights, both, sizes, i),
                both,
                first_deviation: &state.first_deviation[lanes.clone()],
                second_deviation: &state.second_deviation[lanes],
                g: &self.model.many.upscaling_g,
                bias: &self.model.many.upscaling_bias,
            };
            self.model.processor.run(UpscalingPass {
                sizes,
                weights: &self.model.weights.upscaling,
                first,
                hyper: &state.tokens.hyper,
                maps,
                chunk,
                scratch,
            });
            for (image, strip) in images.chunks_exact_mut(side * side).zip(chunk.logits.chunks_exact(strip)) {
                image[i * strip.len()..][..strip.len()].copy_from_slice(strip);
            }
        }
        finite(&images, "logits")?;
        let logits = Array3::from_shape_vec((MASKS, side, side), images)
            .map_err(DecoderError::shape("shape the logits"))?;
        Ok(Some(Decoded { logits, scores }))
    }
}

impl ManyScratch {
    fn reserve(&mut self, sizes: Sizes) {
        let heads = sizes.padded() * HEADS;
        room(&mut self.scores, sizes.chunk_panels() * heads * PANEL);
        room(&mut self.keys, MOST_PANELS * CROSS_CHANNELS * PANEL);
        room(&mut self.crossed, MOST_PANELS * 2 * heads * PANEL);
        room(&mut self.by_token, sizes.chunk_panels() * PANEL * (2 * heads).next_multiple_of(PANEL));
    }
}

/// The part of chunk `i` in an array of `rows` rows a panel.
fn part(values: &[f32], rows: usize, sizes: Sizes, i: usize) -> &[f32] {
    let len = rows * PANEL * sizes.chunk_panels();
    &values[i * len..][..len]
}
