//! The decoder as one executor for the split decode: pure Rust, on any CPU, and the one that is used.
//!
//! It computes what the graphs of [`graph`](super::graph) compute, verified against them in the tests, but keeps
//! together what a runtime of single operations takes apart: three passes over the image tokens and the upscaling,
//! each on a few tokens at a time whose intermediate results never leave the cache; and between them the little that
//! happens on the tokens' side. Nothing has to be planned for a number of prompt tokens, and in the steady state
//! nothing is allocated but the answer.
//!
//! Here: the decoder as others see it. The parts: `passes` (the order of the work and its threads), `simd` (vectors of the
//! processor at hand), `lanes` (exp, GELU), `product` (matrix products), `weights` (parameters as they are read), `prepare`
//! (once per chip), `image` (the passes), `long` (the same for long lists of points), `mask` (a mask as a prompt), `tokens`
//! and `kernels` (the tokens' side), `upscaling`, `workspace` (memory).
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
mod long;
mod mask;
mod passes;
mod prepare;
mod product;
mod simd;
#[cfg(test)]
mod tests;
mod tokens;
mod upscaling;
mod weights;
mod workspace;

use std::sync::{Mutex, OnceLock, PoisonError};

use ndarray::Array3;

use self::lanes::{PANEL, Processor};
use self::long::LongWeights;
use self::mask::Mask;
use self::passes::{Crew, Passes, Prompt};
use self::prepare::{Content, PreparePass, panels};
use self::tokens::unlocked;
use self::weights::FusedWeights;
use self::workspace::{CHUNK_ROWS, Sizes, Workspace};
use super::chip::{CheckedChip, finite};
use super::error::DecoderError;
use super::weights::{CHANNELS, CROSS_CHANNELS, MASKS, WeightSource, Weights, output_token_count};
use super::{Decoded, FramePrompt, Keep, MaskDecoder, PreparedChip, PromptEncoder};
use crate::family::Family;
use crate::features::{ChipFeatures, HighRes};

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
    /// Made when the first long list of points comes.
    long: OnceLock<LongWeights>,
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
        let weights = Weights::of(source, family)?;
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
            long: OnceLock::new(),
            positions,
            processor,
            threads: threads.max(1),
            pool,
            idle: Mutex::default(),
            fingerprint: weights.fingerprint(),
        })
    }

    fn crew(&self) -> Crew<'_> {
        Crew(self.pool.as_ref())
    }

    /// What a chip was prepared to, if it was by this decoder or one like it.
    fn content<'c>(&self, chip: &'c PreparedChip) -> Result<&'c Content, DecoderError> {
        chip.content::<Content>(self.family)
            .filter(|content| content.fingerprint == self.fingerprint)
            .ok_or(DecoderError::ForeignPreparedChip { decoder: self.family })
    }

    /// One prompt, on `threads` threads of `crew`; `None` where its scores do not please.
    fn decode_one(
        &self,
        chip: &Content,
        prompt: &FramePrompt,
        keep: Option<Keep>,
        crew: Crew<'_>,
        threads: usize,
    ) -> Result<Option<Decoded>, DecoderError> {
        let family = self.family;
        let tokens = self.encoder.encode(prompt)?;
        let sizes = Sizes { grid: family.grid(), tokens: output_token_count(family) + tokens.nrows() };
        let mask = prompt.mask_values(family)?;
        let mask = match (&mask, &self.weights.mask) {
            (Some(values), Some(weights)) => Some(Mask { weights, values }),
            (Some(_), None) => return Err(DecoderError::NoMaskParameters { family }),
            (None, _) => None,
        };
        // The encoder makes a new array, which is in standard order.
        let prompt = Prompt { tokens: tokens.as_slice().unwrap_or_default(), mask };
        let block = self.processor.block();
        let long = sizes.is_long().then(|| self.long.get_or_init(|| LongWeights::new(&self.weights, block)));
        let passes = Passes {
            processor: self.processor,
            weights: &self.weights,
            long,
            positions: &self.positions,
            chip,
            sizes,
            crew,
        };

        let mut workspace =
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        workspace.reserve(sizes, threads, block, mask.is_some());
        passes.until_scores(prompt, &mut workspace);
        let decoded = match finite(&workspace.tokens.scores, "scores") {
            Err(error) => Err(error),
            Ok(_) if keep.is_some_and(|keep| !keep.wants(family, &workspace.tokens.scores)) => Ok(None),
            Ok(_) => {
                passes.until_logits(&mut workspace);
                decoded(sizes, &mut workspace).map(Some)
            }
        };
        if sizes.tokens <= KEPT_TOKENS {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        }
        decoded
    }

    /// What is computed of a chip whose arrays are panels already.
    ///
    /// # Errors
    /// Projections that are not finite.
    fn prepare_panels(
        &self,
        keys: Vec<f32>,
        maps: Option<[Vec<f32>; 2]>,
    ) -> Result<PreparedChip, DecoderError> {
        let grid = self.family.grid();
        let sizes = Sizes { grid, tokens: 0 };
        let cross = || vec![0.0; CROSS_CHANNELS * grid * grid];
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
        self.crew().each(&parts, &mut vec![(); self.threads], |_, pass, ()| {
            if let Some(pass) = pass.take() {
                self.processor.run(pass);
            }
        });
        drop(parts);
        if !content.finite() {
            return Err(DecoderError::NotFinite { output: "prepared tensors" });
        }
        Ok(PreparedChip::new(self.family, content.bytes(), content))
    }
}

impl MaskDecoder for FusedDecoder {
    fn family(&self) -> Family {
        self.family
    }

    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
        let CheckedChip { embedding, maps } = CheckedChip::new(chip, self.family)?;
        let sizes = Sizes { grid: self.family.grid(), tokens: 0 };
        let maps = maps.map(|maps| [panels(maps.half, sizes, 1), panels(maps.quarter, sizes, 2)]);
        self.prepare_panels(panels(embedding, sizes, 0), maps)
    }

    fn prepare_owned(&self, chip: ChipFeatures) -> Result<PreparedChip, DecoderError> {
        CheckedChip::new(&chip, self.family)?;
        let sizes = Sizes { grid: self.family.grid(), tokens: 0 };
        let ChipFeatures { embedding, high_res, .. } = chip;
        let taken_over = |array: Array3<f32>, levels: u32| panels(array.view(), sizes, levels);
        let maps =
            high_res.filter(|_| self.family.has_high_resolution_maps()).map(|HighRes { quarter, half }| {
                // The largest first, while the least is there beside it.
                let quarter = taken_over(quarter, 2);
                [taken_over(half, 1), quarter]
            });
        self.prepare_panels(taken_over(embedding, 0), maps)
    }

    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
        let decoded = self.decode_one(self.content(chip)?, prompt, None, self.crew(), self.threads)?;
        // Every answer pleases.
        decoded.ok_or(DecoderError::NotFinite { output: "scores" })
    }

    fn takes_masks(&self) -> bool {
        self.weights.mask.is_some()
    }

    fn at_once(&self) -> usize {
        2 * self.threads
    }

    /// Each thread decodes prompts of its own, so that none waits for another between two passes.
    fn decode_many(
        &self,
        chip: &PreparedChip,
        prompts: &[FramePrompt],
        keep: Keep,
    ) -> Result<Vec<Option<Decoded>>, DecoderError> {
        let content = self.content(chip)?;
        if let [prompt] = prompts {
            return Ok(vec![self.decode_one(content, prompt, Some(keep), self.crew(), self.threads)?]);
        }
        let answers: Vec<_> = prompts.iter().map(|prompt| Mutex::new((prompt, Ok(None)))).collect();
        let mut threads = vec![(); self.threads.min(prompts.len())];
        self.crew().each(&answers, &mut threads, |_, (prompt, answer), ()| {
            *answer = self.decode_one(content, prompt, Some(keep), Crew(None), 1);
        });
        let answers = answers.into_iter().map(|answer| answer.into_inner());
        answers.map(|answer| answer.unwrap_or_else(PoisonError::into_inner).1).collect()
    }
}

/// The answer in a workspace, if it is finite.
fn decoded(sizes: Sizes, workspace: &mut Workspace) -> Result<Decoded, DecoderError> {
    let side = 4 * sizes.grid;
    let mut images = Vec::with_capacity(MASKS * side * side);
    for mask in 0..MASKS {
        for chunk in &mut workspace.chunks {
            let len = 4 * CHUNK_ROWS * side;
            images.extend_from_slice(&unlocked(chunk).logits[mask * len..][..len]);
        }
    }
    let scores = workspace.tokens.scores;
    finite(&images, "logits")?;
    let logits = Array3::from_shape_vec((MASKS, side, side), images)
        .map_err(DecoderError::shape("shape the logits"))?;
    Ok(Decoded { logits, scores })
}
