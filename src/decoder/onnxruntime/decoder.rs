//! The decoder itself: `prepare` and `decode`, each a graph of ONNX Runtime.

use std::sync::{Mutex, PoisonError};

use ndarray::ArrayView3;
use prost::Message as _;

use super::engines::gpu_name;
use super::session::{Graph, Runner, TensorRt, Values, load_tensorrt};
use super::{EnginePlace, OnnxRuntimeOptions, Provider, facts, library};
use crate::decoder::blocks::answer;
use crate::decoder::chip::{CheckedChip, finite};
use crate::decoder::error::DecoderError;
use crate::decoder::graph::onnx::ModelProto;
use crate::decoder::graph::{self, Association, Audience, PREPARED, PromptTokens};
use crate::decoder::weights::{CHANNELS, WeightSource, Weights};
use crate::decoder::{Decoded, FramePrompt, MaskDecoder, PreparedChip, PromptEncoder};
use crate::family::Family;
use crate::features::ChipFeatures;

/// The fewest prompt tokens there are: a point and its padding, or a box.
const FEWEST_TOKENS: usize = 2;
/// The commonest prompts: a box or two points.
const USUAL_TOKENS: usize = 3;

/// The decoder of one checkpoint, run by ONNX Runtime.
///
/// One graph serves every ordinary prompt: its number of tokens is left open, for TensorRT within the bounds of an
/// optimization profile. Longer lists of points run on the CPU provider.
#[derive(Debug)]
pub struct OrtDecoder {
    weights: Weights<'static>,
    encoder: PromptEncoder,
    environment: ort::environment::Environment,
    threads: usize,
    prepare: Graph,
    decode: Graph,
    /// For prompts of more tokens than `decode` takes; made when the first one comes.
    long: Mutex<Option<Graph>>,
    /// For prompts with a mask, on the CPU provider: it is small work, and TensorRT would build engines for it. Made when
    /// the first one comes.
    mask: Mutex<Option<Graph>>,
    /// Tokens of the longest prompt that `decode` takes.
    most_tokens: usize,
    place: Option<EnginePlace>,
    /// Says of a prepared chip whether it was made with these weights.
    fingerprint: u64,
}

/// What is kept of a chip: the inputs of the decode graph that do not depend on the prompt, in its order.
struct Content {
    fingerprint: u64,
    arrays: Vec<Values>,
}

impl OrtDecoder {
    /// A decoder with the weights of a checkpoint. With TensorRT this builds engines, which takes minutes the first
    /// time; `stage` hears what is under way.
    ///
    /// # Errors
    /// Weights of another family or incomplete; a library that is missing, too old, or without the provider; engines
    /// that cannot be built or kept.
    pub fn new(
        source: &dyn WeightSource,
        family: Family,
        options: &OnnxRuntimeOptions,
        stage: &mut dyn FnMut(&'static str),
    ) -> Result<Self, DecoderError> {
        let weights = Weights::copied(source, family)?;
        let encoder = PromptEncoder::new(&weights)?;
        let prepare = graph::prepare(&weights, Audience::Runtime)?.encode_to_vec();
        let any = PromptTokens::Symbolic;
        let decode = graph::decode(&weights, any, Association::FewTokens, Audience::Engine)?.encode_to_vec();
        let most_tokens = most_tokens(family);

        stage("load ONNX Runtime");
        let environment = library::environment(&options.library)?;
        let cpu = Runner::Cpu { threads: options.threads };
        let (runners, place) = match options.provider {
            Provider::Cpu => ([cpu.clone(), cpu], None),
            Provider::TensorRt => {
                stage("load TensorRT");
                load_tensorrt(&environment)?;
                let place = place(options, [&prepare, &decode])?;
                let of = |dir| TensorRt::new(options, dir, &place.timings);
                let sparse = Some((
                    "sparse_embeddings",
                    CHANNELS,
                    [FEWEST_TOKENS, USUAL_TOKENS.min(most_tokens), most_tokens],
                ));
                let decode = TensorRt { profile: sparse, ..of(&place.decode) };
                ([Runner::TensorRt(of(&place.prepare)), Runner::TensorRt(decode)], Some(place))
            }
        };
        stage("load or build the engines");
        let prepare = Graph::load(&environment, &prepare, &runners[0])?;
        let decode = Graph::load(&environment, &decode, &runners[1])?;
        let fingerprint = weights.fingerprint();
        Ok(Self {
            weights,
            encoder,
            environment,
            threads: options.threads,
            prepare,
            decode,
            long: Mutex::new(None),
            mask: Mutex::new(None),
            most_tokens,
            place,
            fingerprint,
        })
    }

    /// Tokens of the longest prompt that the provider itself takes; longer ones run on the CPU provider.
    pub const fn most_tokens(&self) -> usize {
        self.most_tokens
    }

    /// Where TensorRT's engines are kept; `None` with another provider.
    pub const fn place(&self) -> Option<&EnginePlace> {
        self.place.as_ref()
    }

    fn run_decode(&self, n: usize, inputs: &[&Values]) -> Result<Vec<Values>, DecoderError> {
        if n <= self.most_tokens {
            return self.decode.run(inputs);
        }
        self.run_later(&self.long, inputs, || {
            graph::decode(&self.weights, PromptTokens::Symbolic, Association::ManyTokens, Audience::Engine)
        })
    }

    /// A chip's arrays with a mask, low-resolution logits row by row: those of [`PREPARED`].
    fn masked(&self, prepared: &[Values], mask: &[f32]) -> Result<Vec<Values>, DecoderError> {
        let side = self.family().low_resolution();
        let mask = Values { shape: vec![1, 1, side, side], values: mask.to_vec() };
        let inputs: Vec<&Values> = prepared.iter().chain([&mask]).collect();
        self.run_later(&self.mask, &inputs, || graph::mask(&self.weights))
    }

    /// Runs a graph that is made when it is first needed, on the CPU provider.
    fn run_later(
        &self,
        place: &Mutex<Option<Graph>>,
        inputs: &[&Values],
        make: impl FnOnce() -> Result<ModelProto, DecoderError>,
    ) -> Result<Vec<Values>, DecoderError> {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = &*place {
            return graph.run(inputs);
        }
        let runner = Runner::Cpu { threads: self.threads };
        let graph = Graph::load(&self.environment, &make()?.encode_to_vec(), &runner)?;
        place.insert(graph).run(inputs)
    }
}

impl MaskDecoder for OrtDecoder {
    fn family(&self) -> Family {
        self.weights.family()
    }

    fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
        let family = self.family();
        let CheckedChip { embedding, maps } = CheckedChip::new(chip, family)?;
        let mut inputs = vec![batch(embedding)];
        if let Some(maps) = maps {
            inputs.extend([batch(maps.quarter), batch(maps.half)]);
        }
        let arrays = self.prepare.run(&inputs.iter().collect::<Vec<_>>())?;
        for array in &arrays {
            finite(&array.values, "prepared tensors")?;
        }
        let bytes = arrays.iter().map(|array| array.values.len() * size_of::<f32>()).sum();
        Ok(PreparedChip::new(family, bytes, Content { fingerprint: self.fingerprint, arrays }))
    }

    fn decode(&self, chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
        let family = self.family();
        let content = chip
            .content::<Content>(family)
            .filter(|content| content.fingerprint == self.fingerprint)
            .ok_or(DecoderError::ForeignPreparedChip { decoder: family })?;
        let tokens = self.encoder.encode(prompt)?;
        let n = tokens.nrows();
        let tokens = Values { shape: vec![n, CHANNELS], values: tokens.into_raw_vec_and_offset().0 };
        let (prepared, maps) = content.arrays.split_at(PREPARED.len().min(content.arrays.len()));
        let masked = match prompt.mask_values(family)? {
            Some(mask) => Some(self.masked(prepared, &mask)?),
            None => None,
        };
        let prepared = masked.as_deref().unwrap_or(prepared);
        let inputs: Vec<&Values> = prepared.iter().chain(maps).chain([&tokens]).collect();
        let outputs = self.run_decode(n, &inputs)?;
        let [logits, scores] = outputs.as_slice() else {
            return Err(unexpected(format!("{} outputs instead of 2", outputs.len())));
        };
        answer(&logits.values, &scores.values, family.grid())
    }

    fn takes_masks(&self) -> bool {
        self.weights.takes_masks()
    }
}

/// Tokens of the longest prompt for which the graph of few tokens is the better one.
fn most_tokens(family: Family) -> usize {
    let few = |n: &usize| Association::for_prompt(family, *n) == Association::FewTokens;
    (FEWEST_TOKENS..).take_while(few).last().unwrap_or(FEWEST_TOKENS)
}

/// The place of a model's engines, after TensorRT has been loaded.
fn place(options: &OnnxRuntimeOptions, graphs: [&[u8]; 2]) -> Result<EnginePlace, DecoderError> {
    let gpu = gpu_name(options.device).unwrap_or_default();
    let tensorrt = facts().tensorrt.unwrap_or_default();
    let place = EnginePlace::new(&options.engines, &gpu, &tensorrt, graphs, options.fp16);
    place.create().map_err(|error| DecoderError::Engine {
        action: "make the directory of the engines",
        message: format!("{}: {error}", place.decode.display()),
    })?;
    Ok(place)
}

/// A chip's array with a batch of one before it.
fn batch(array: ArrayView3<'_, f32>) -> Values {
    let values = array.as_standard_layout().iter().copied().collect();
    Values { shape: [&[1], array.shape()].concat(), values }
}

fn unexpected(message: String) -> DecoderError {
    DecoderError::Engine { action: "run a decoder graph", message }
}
