//! The decoder as one executor for the split decode: pure Rust, on any CPU, and the one that is used.
//!
//! It computes what the graphs of [`graph`](super::graph) compute, verified against them in the tests, but keeps
//! together what a runtime of single operations takes apart: three passes over the image tokens and the upscaling,
//! each on a few tokens at a time whose intermediate results never leave the cache; and between them the little that
//! happens on the tokens' side. Nothing has to be planned for a number of prompt tokens, and in the steady state
//! nothing is allocated but the answer.
//!
//! Here: the order of the work and its threads. The parts: `simd` (vectors of the processor at hand), `lanes` (exp, GELU),
//! `product` (matrix products), `weights` (parameters as they are read), `prepare` (once per chip), `image` (the
//! passes), `tokens` and `kernels` (the tokens' side), `upscaling`, `workspace` (memory).
//!
//! # Layout
//! The image tokens lie in panels of 16, one below the other by channel: `[panels][channels][16]`. So every vector
//! holds one channel of many tokens: norms, softmax over the tokens, GELU and the hypernetworks' product are
//! element-wise, and every panel is the right factor of a product as it lies there.

#![allow(
    clippy::needless_range_loop,
    reason = "loops go over several arrays at once, and adapters cost calls"
)]

#[cfg(debug_assertions)]
mod broken;
mod image;
mod kernels;
mod lanes;
mod prepare;
mod product;
mod simd;
#[cfg(test)]
mod tests;
mod tokens;
mod upscaling;
mod weights;
mod workspace;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::Array3;

use self::image::{FirstPass, ImageQueries, LayerPass};
use self::lanes::{PANEL, Processor};
use self::prepare::{Content, PreparePass, panels};
use self::tokens::{TokenSide, unlocked};
use self::upscaling::UpscalingPass;
use self::weights::FusedWeights;
use self::workspace::{CHUNK_ROWS, Chunk, Scratch, Sizes, Workspace};
use super::chip::{CheckedChip, finite};
use super::error::DecoderError;
use super::weights::{
    CHANNELS, CROSS_CHANNELS, HALF_CHANNELS, MASKS, QUARTER_CHANNELS, WeightSource, Weights,
    output_token_count,
};
use super::{Decoded, FramePrompt, MaskDecoder, PreparedChip, PromptEncoder};
use crate::family::Family;
use crate::features::ChipFeatures;

#[cfg(debug_assertions)]
pub use broken::{BREAK_A_KERNEL, break_a_kernel};

/// The instruction set that [`FusedDecoder`] computes with on this processor: `AVX-512`, `AVX2`, `NEON`, or `portable` for
/// vectors that the compiler makes of plain arithmetic.
pub fn instruction_set() -> &'static str {
    Processor::detect().name()
}

/// Tokens up to which a workspace is kept for the next prompt: each takes about 0.2 MB.
const KEPT_TOKENS: usize = 64;

/// The decoder of one checkpoint.
#[derive(Debug)]
pub struct FusedDecoder {
    family: Family,
    encoder: PromptEncoder,
    weights: FusedWeights,
    /// The dense positional encoding, `[panels][256][16]`.
    positions: Vec<f32>,
    processor: Processor,
    threads: usize,
    /// All threads but the caller's; `None` where there are no others.
    pool: Option<rayon::ThreadPool>,
    /// Workspaces that no decode is using: as many as there ever were decodes at a time.
    idle: Mutex<Vec<Workspace>>,
    /// Says of a prepared chip whether it was made with these weights.
    fingerprint: u64,
}

impl FusedDecoder {
    /// A decoder with the weights of a checkpoint that works on `threads` threads, the caller's included; 1 (or 0) means
    /// the thread that calls, and no other.
    ///
    /// # Errors
    /// Weights of another family or incomplete, or threads that cannot be started.
    pub fn new(source: &dyn WeightSource, family: Family, threads: usize) -> Result<Self, DecoderError> {
        Self::on(Processor::detect(), source, family, threads)
    }

    fn on(
        processor: Processor,
        source: &dyn WeightSource,
        family: Family,
        threads: usize,
    ) -> Result<Self, DecoderError> {
        let weights = Weights::copied(source, family)?;
        let encoder = PromptEncoder::new(&weights)?;
        let grid = family.grid();
        let dense = encoder
            .dense()
            .into_shape_with_order((grid, grid, CHANNELS))
            .map_err(DecoderError::shape("shape the positional encoding"))?;
        let sizes = Sizes { grid, tokens: 0 };
        let positions = panels(dense.view().permuted_axes([2, 0, 1]), sizes, 0);
        let pool = (threads > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads - 1)
                    .thread_name(|i| format!("decoder-{}", i + 1))
                    .build()
                    .map_err(|error| DecoderError::Threads { threads, message: error.to_string() })
            })
            .transpose()?;
        Ok(Self {
            family,
            encoder,
            weights: FusedWeights::new(&weights, processor.block())?,
            positions,
            processor,
            threads: threads.max(1),
            pool,
            idle: Mutex::default(),
            fingerprint: weights.fingerprint(),
        })
    }

    /// Does `work` for every item: `threads` threads take the next as they become free, each with its own scratch.
    fn each<T: Send, U: Send>(
        &self,
        items: &[Mutex<T>],
        scratch: &mut [U],
        work: impl Fn(usize, &mut T, &mut U) + Sync,
    ) {
        let next = AtomicUsize::new(0);
        let take = |scratch: &mut U| {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { break };
                // Nobody else ever wants this item; a panic elsewhere does not make its content wrong.
                work(i, &mut item.lock().unwrap_or_else(PoisonError::into_inner), scratch);
            }
        };
        match (&self.pool, scratch) {
            (Some(pool), [own, others @ ..]) => pool.in_place_scope(|scope| {
                for scratch in others {
                    let take = &take;
                    scope.spawn(move |_| take(scratch));
                }
                take(own);
            }),
            (None, [own, ..]) => take(own),
            (_, []) => {}
        }
    }

    /// The three passes and the upscaling; the answer is left in the workspace.
    fn passes(&self, chip: &Content, prompt: &[f32], sizes: Sizes, workspace: &mut Workspace) {
        let Workspace { tokens, chunks, scratch } = workspace;
        let (processor, weights) = (self.processor, &self.weights);
        let panels = sizes.chunk_panels();
        let part = |values, rows: usize, i: usize| part(values, rows * PANEL * panels, i);

        let mut side = TokenSide { processor, weights, sizes, tokens };
        side.before_first_pass(prompt);
        let t = &*side.tokens;
        self.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            let queries = &t.by_head;
            let keys = part(&chip.k, CROSS_CHANNELS, i);
            let values = part(&chip.v, CROSS_CHANNELS, i);
            processor.run(FirstPass { sizes, queries, keys, values, chunk, scratch });
        });

        side.after_first_pass(chunks);
        let t = &*side.tokens;
        let [first, second, ..] = weights.layers.as_slice() else { return };
        self.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            let queries = part(&chip.q, CROSS_CHANNELS, i);
            processor.run(LayerPass {
                sizes,
                image_queries: ImageQueries::Prepared { queries, keys: &t.by_head },
                values: &t.values_out,
                bias: &first.image_to_token.out_bias,
                norm: &first.norms[3],
                before: Some(part(&chip.keys, CHANNELS, i)),
                positions: part(&self.positions, CHANNELS, i),
                queries: &t.through_keys,
                chunk,
                scratch,
            });
        });

        side.after_second_pass(chunks);
        let t = &*side.tokens;
        self.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            processor.run(LayerPass {
                sizes,
                image_queries: ImageQueries::Projected { keys: &t.keys_through, bias: &t.keys_bias },
                values: &t.values_out,
                bias: &second.image_to_token.out_bias,
                norm: &second.norms[3],
                before: None,
                positions: part(&self.positions, CHANNELS, i),
                queries: &t.through_keys,
                chunk,
                scratch,
            });
        });

        side.after_third_pass(chunks);
        let t = &*side.tokens;
        self.each(chunks, scratch, |i, chunk: &mut Chunk, scratch: &mut Scratch| {
            let maps = chip.maps.as_ref().map(|[half, quarter]| {
                [part(half, 4 * HALF_CHANNELS, i), part(quarter, 16 * QUARTER_CHANNELS, i)]
            });
            let (weights, hyper) = (&weights.upscaling, &t.hyper);
            processor.run(UpscalingPass { sizes, weights, hyper, maps, chunk, scratch });
        });
    }
}

/// Part `i` of an array that is cut into parts of `len`.
fn part(values: &[f32], len: usize, i: usize) -> &[f32] {
    &values[i * len..][..len]
}

impl MaskDecoder for FusedDecoder {
    fn family(&self) -> Family {
        self.family
    }

    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
        let family = self.family;
        let CheckedChip { embedding, maps } = CheckedChip::new(chip, family)?;
        let grid = family.grid();
        let sizes = Sizes { grid, tokens: 0 };
        let maps = maps.map(|maps| [panels(maps.half, sizes, 1), panels(maps.quarter, sizes, 2)]);

        let cross = || vec![0.0; CROSS_CHANNELS * grid * grid];
        let keys = panels(embedding, sizes, 0);
        let mut content =
            Content { fingerprint: self.fingerprint, keys, k: cross(), q: cross(), v: cross(), maps };
        let chunk = sizes.chunk_panels() * PANEL;
        let (whole, cross) = (chunk * CHANNELS, chunk * CROSS_CHANNELS);
        let parts: Vec<_> = content
            .keys
            .chunks_mut(whole)
            .zip(self.positions.chunks(whole))
            .zip(content.k.chunks_mut(cross))
            .zip(content.q.chunks_mut(cross))
            .zip(content.v.chunks_mut(cross))
            .map(|((((keys, positions), k), q), v)| {
                Mutex::new(Some(PreparePass { weights: &self.weights, keys, positions, k, q, v }))
            })
            .collect();
        self.each(&parts, &mut vec![(); self.threads], |_, pass, ()| {
            if let Some(pass) = pass.take() {
                self.processor.run(pass);
            }
        });
        drop(parts);
        if !content.finite() {
            return Err(DecoderError::NotFinite { output: "prepared tensors" });
        }
        Ok(PreparedChip::new(family, content.bytes(), content))
    }

    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
        let family = self.family;
        let content = chip
            .content::<Content>(family)
            .filter(|content| content.fingerprint == self.fingerprint)
            .ok_or(DecoderError::ForeignPreparedChip { decoder: family })?;
        let prompt = self.encoder.encode(prompt)?;
        let sizes = Sizes { grid: family.grid(), tokens: output_token_count(family) + prompt.nrows() };
        // The encoder makes a new array, which is in standard order.
        let prompt = prompt.as_slice().unwrap_or_default();

        let mut workspace =
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        workspace.reserve(sizes, self.threads, self.processor.block());
        self.passes(content, prompt, sizes, &mut workspace);
        let decoded = decoded(sizes, &mut workspace);
        if sizes.tokens <= KEPT_TOKENS {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        }
        decoded
    }
}

/// The answer in a workspace, if it is finite.
fn decoded(sizes: Sizes, workspace: &mut Workspace) -> Result<Decoded, DecoderError> {
    let side = 4 * sizes.grid;
    let mut images = Vec::with_capacity(MASKS * side * side);
    for mask in 0..MASKS {
        for chunk in &mut workspace.chunks {
            images.extend_from_slice(part(&unlocked(chunk).logits, 4 * CHUNK_ROWS * side, mask));
        }
    }
    let scores = workspace.tokens.scores;
    finite(&images, "logits")?;
    finite(&scores, "scores")?;
    let logits = Array3::from_shape_vec((MASKS, side, side), images)
        .map_err(DecoderError::shape("shape the logits"))?;
    Ok(Decoded { logits, scores })
}
