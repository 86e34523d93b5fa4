//! The decoder's graphs on tract: the plain way, against which the fused executor is verified.
//!
//! Here: plans, one per number of prompt tokens, and the way of a chip and of a prompt through them. Not here: what the
//! graphs compute (`graph`).

mod blocks;
mod layer_norm;
mod operators;
mod plan;
mod plans;

use std::sync::{Arc, Mutex, PoisonError};

use tract_linalg::multithread::Executor;
use tract_onnx::prelude::Tensor;

use plans::Plans;

pub(in crate::decoder) use plan::{Plan, tensor, values};

use super::blocks::answer;
use super::chip::{CheckedChip, finite};
use super::error::DecoderError;
use super::graph::{self, Association, Audience, PREPARED, PromptTokens};
use super::weights::{CHANNELS, HALF_CHANNELS, QUARTER_CHANNELS, WeightSource, Weights};
use super::{Decoded, FramePrompt, MaskDecoder, PreparedChip, PromptEncoder};
use crate::family::Family;
use crate::features::ChipFeatures;

/// Plans kept at a time: each holds the weights once more, packed for the processor (about 20 MB).
const PLANS: usize = 4;
/// Prompt tokens of the commonest prompts: a point (2), a box or two points (2 or 3).
const COMMON: [usize; 2] = [2, 3];

/// The decoder of one checkpoint, run by tract.
///
/// A plan is made for every number of prompt tokens when it is first needed (about 0.1 s on a desktop, more on a
/// board); see [`warm_up`](Self::warm_up). The last few are kept.
#[derive(Debug)]
pub struct TractDecoder {
    weights: Weights<'static>,
    encoder: PromptEncoder,
    prepare: Plan,
    plans: Plans,
    /// For prompts with a mask, made when the first one comes.
    mask: Mutex<Option<Arc<Plan>>>,
    executor: Executor,
    /// Says of a prepared chip whether it was made with these weights.
    fingerprint: u64,
}

/// What tract keeps of a chip: the inputs of the decode graph that do not depend on the prompt, in its order.
struct Content {
    fingerprint: u64,
    tensors: Vec<Arc<Tensor>>,
}

impl TractDecoder {
    /// A decoder with the weights of a checkpoint, whose larger products run on `threads` threads; 1 (or 0) means the
    /// thread that calls, and no other.
    ///
    /// # Errors
    /// Weights of another family or incomplete, or threads that cannot be started.
    pub fn new(source: &dyn WeightSource, family: Family, threads: usize) -> Result<Self, DecoderError> {
        let weights = Weights::copied(source, family)?;
        let executor = executor(threads)?;
        let prepare = Plan::load(&graph::prepare(&weights, Audience::Engine)?, &executor)?;
        let encoder = PromptEncoder::new(&weights)?;
        let fingerprint = weights.fingerprint();
        let (plans, mask) = (Plans::new(PLANS), Mutex::default());
        Ok(Self { weights, encoder, prepare, plans, mask, executor, fingerprint })
    }

    /// Makes the plans of the commonest prompts, so that the first prompt need not wait for them.
    ///
    /// # Errors
    /// None with weights that [`new`](Self::new) has accepted.
    pub fn warm_up(&self) -> Result<(), DecoderError> {
        COMMON.into_iter().try_for_each(|n| self.plan(n).map(drop))
    }

    #[cfg(test)]
    pub(in crate::decoder) fn kept_plans(&self) -> Vec<usize> {
        self.plans.kept()
    }

    /// A chip's tensors with a mask, low-resolution logits row by row.
    fn masked(&self, tensors: &[Arc<Tensor>], mask: &[f32]) -> Result<Vec<Arc<Tensor>>, DecoderError> {
        // A panic while it is made leaves no plan, which is a valid state.
        let mut plan = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = match &*plan {
            Some(plan) => Arc::clone(plan),
            None => {
                let made = Arc::new(Plan::load(&graph::mask(&self.weights)?, &self.executor)?);
                Arc::clone(plan.insert(made))
            }
        };
        let side = self.family().low_resolution();
        let mask = tensor(&[1, 1, side, side], mask)?;
        let (prepared, maps) = tensors.split_at(PREPARED.len().min(tensors.len()));
        let mut tensors = plan.run(prepared.iter().cloned().chain([mask]))?;
        tensors.extend(maps.iter().cloned());
        Ok(tensors)
    }

    fn plan(&self, n: usize) -> Result<Arc<Plan>, DecoderError> {
        self.plans.get(n, || {
            let association = Association::for_prompt(self.family(), n);
            let model = graph::decode(&self.weights, PromptTokens::Fixed(n), association, Audience::Engine)?;
            Plan::load(&model, &self.executor)
        })
    }
}

impl MaskDecoder for TractDecoder {
    fn family(&self) -> Family {
        self.weights.family()
    }

    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
        let family = self.family();
        let CheckedChip { embedding, maps } = CheckedChip::new(chip, family)?;
        let grid = family.grid();
        let tokens = tensor(&[grid * grid, CHANNELS], &blocks::tokens(embedding))?;

        let mut tensors = self.prepare.run([tokens])?;
        for prepared in &tensors {
            finite(values(prepared)?, "prepared tensors")?;
        }
        if let Some(maps) = maps {
            let (half, quarter) = (blocks::half_blocks(maps.half), blocks::quarter_blocks(maps.quarter));
            tensors.push(tensor(&[4 * grid * grid, HALF_CHANNELS], &half)?);
            tensors.push(tensor(&[16 * grid * grid, QUARTER_CHANNELS], &quarter)?);
        }
        let bytes = tensors.iter().map(|t| t.len() * size_of::<f32>()).sum();
        Ok(PreparedChip::new(family, bytes, Content { fingerprint: self.fingerprint, tensors }))
    }

    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
        let family = self.family();
        let content = chip
            .content::<Content>(family)
            .filter(|content| content.fingerprint == self.fingerprint)
            .ok_or(DecoderError::ForeignPreparedChip { decoder: family })?;
        let tokens = self.encoder.encode(prompt)?;
        let n = tokens.nrows();
        let plan = self.plan(n)?;
        let tokens = tensor(&[n, CHANNELS], &tokens.into_raw_vec_and_offset().0)?;
        let masked = match prompt.mask_values(family)? {
            Some(mask) => Some(self.masked(&content.tensors, &mask)?),
            None => None,
        };

        let tensors = masked.as_ref().unwrap_or(&content.tensors);
        let outputs = plan.run(tensors.iter().cloned().chain([tokens]))?;
        let [logits, scores] = outputs.as_slice() else {
            let message = format!("{} outputs instead of 2", outputs.len());
            return Err(DecoderError::Engine { action: "run a decoder graph", message });
        };
        answer(values(logits)?, values(scores)?, family.grid())
    }

    fn takes_masks(&self) -> bool {
        self.weights.takes_masks()
    }
}

/// Where tract runs its larger products.
fn executor(threads: usize) -> Result<Executor, DecoderError> {
    if threads <= 1 {
        return Ok(Executor::SingleThread);
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("decoder-{i}"))
        .build()
        .map(|pool| Executor::MultiThread(Arc::new(pool)))
        .map_err(|error| DecoderError::Threads { threads, message: error.to_string() })
}
