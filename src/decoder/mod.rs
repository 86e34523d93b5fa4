//! From a chip's features and a prompt to low-resolution logits and scores.
//!
//! Here: the [`MaskDecoder`] trait, the prompt encoder, the executor of our own ([`FusedDecoder`]), the decoder's
//! graphs (ONNX, built in Rust), their run on tract (`TractDecoder`: what the executor is verified against; with the
//! default feature `tract`) and on ONNX Runtime, the cache of prepared chips, and the choice among the four masks. Not
//! here: reading chips (`features`) and checkpoints (`models`), where on the earth a chip lies (`geo`), and what becomes
//! of the logits (`mask`).
//!
//! The work is split in two. [`MaskDecoder::prepare`] does once per chip what no prompt changes;
//! [`MaskDecoder::decode`] does the rest for every prompt.

#[cfg(any(test, feature = "tensorrt", feature = "tract"))]
mod blocks;
mod cache;
mod chip;
mod cpu_engine;
mod error;
mod fused;
pub mod graph;
mod keep;
mod mask_products;
pub mod onnxruntime;
mod prompt;
mod select;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
#[cfg(any(test, feature = "tract"))]
mod tract;
mod weights;

use std::any::Any;

pub use cache::PreparedCache;
pub use cpu_engine::CpuEngine;
pub use error::DecoderError;
#[cfg(debug_assertions)]
pub use fused::{BREAK_A_KERNEL, break_a_kernel};
pub use fused::{FusedDecoder, instruction_set};
pub use keep::Keep;
pub use prompt::{FramePoint, FramePrompt, PromptEncoder};
pub use select::{Decoded, SelectedMask};
#[cfg(any(test, feature = "tract"))]
pub use tract::TractDecoder;
pub use weights::{WeightSource, Weights, XorShift};

use crate::family::Family;
use crate::features::ChipFeatures;

/// An engine that decodes prompts with the weights of one checkpoint. Threads may share it.
pub trait MaskDecoder: Send + Sync {
    /// The family of the checkpoint.
    fn family(&self) -> Family;

    /// Computes what does not depend on the prompt. Worth keeping: see [`PreparedCache`].
    ///
    /// # Errors
    /// A chip of another family, of wrong shapes, or with values that are not finite.
    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError>;

    /// As [`prepare`](Self::prepare), from a chip that nobody else needs: its arrays go as soon as they have been taken over, so that
    /// they do not stand in memory beside all that was made of them (17 MB for SAM 2).
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    fn prepare_owned(&self, chip: ChipFeatures) -> Result<PreparedChip, DecoderError> {
        self.prepare(&chip)
    }

    /// All four masks of one prompt on a chip that this decoder, or another of the same family and engine with the
    /// same weights, has prepared.
    ///
    /// # Errors
    /// An empty prompt or one that is not finite, a mask prompt of another size or for weights that cannot take one, a
    /// chip prepared by another engine, or an answer that is not finite.
    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError>;

    /// Whether a prompt may hold a mask: not with a model that was imported before its parameters were kept.
    fn takes_masks(&self) -> bool {
        false
    }

    /// How many prompts [`decode_many`](Self::decode_many) works on at a time: of fewer some of its threads are idle, of more
    /// it only takes longer.
    fn at_once(&self) -> usize {
        1
    }

    /// The masks of many prompts on one chip, in their order; `None` where the scores say that none is of use.
    ///
    /// Scores and logits are those of [`decode`](Self::decode) but for rounding. An answer takes 1 MB (four masks):
    /// who has thousands of prompts asks for some dozens at a time, for every thread a few.
    ///
    /// # Errors
    /// As [`decode`](Self::decode), for the first prompt that fails; then there is no answer to any.
    fn decode_many(
        &self,
        chip: &PreparedChip,
        prompts: &[FramePrompt],
        keep: Keep,
    ) -> Result<Vec<Option<Decoded>>, DecoderError> {
        let family = self.family();
        let one = |prompt| -> Result<Option<Decoded>, DecoderError> {
            let decoded = self.decode(chip, prompt)?;
            Ok(keep.wants(family, &decoded.scores).then_some(decoded))
        };
        prompts.iter().map(one).collect()
    }
}

/// A chip as one engine has prepared it; what is in it is that engine's own affair.
pub struct PreparedChip {
    family: Family,
    bytes: usize,
    content: Box<dyn Any + Send + Sync>,
}

impl PreparedChip {
    /// Wraps what an engine has prepared; `bytes` is what it occupies in memory.
    pub fn new(family: Family, bytes: usize, content: impl Any + Send + Sync) -> Self {
        Self { family, bytes, content: Box::new(content) }
    }

    /// Bytes of memory that the chip occupies.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The content, for the engine that put it in; `None` for any other, and for a decoder of another family.
    pub fn content<T: Any>(&self, family: Family) -> Option<&T> {
        if self.family == family { self.content.downcast_ref() } else { None }
    }
}

impl std::fmt::Debug for PreparedChip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedChip")
            .field("family", &self.family)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
