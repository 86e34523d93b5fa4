//! An engine of the processor tried out on the probe, in a process of its own: what it answers, how long it takes, and
//! how much memory. A kernel that is wrong for the processor at hand may end that process, and nothing else.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::error::AcceleratorError;
use super::probe;
use super::remote::{Launch, Line};
use super::report::Difference;
use super::wire::{Ask, Tell};
use crate::decoder::{CpuEngine, Decoded, DecoderError, WeightSource, Weights, instruction_set};
use crate::family::Family;
use crate::models::{ModelInfo, ModelStore, load_weights};

/// Whose weights are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A model's, by its directory.
    Model(PathBuf),
    /// Made by a formula, where no model is at hand.
    Formula(Family),
}

impl From<&ModelInfo> for Subject {
    fn from(model: &ModelInfo) -> Self {
        Self::Model(model.dir.clone())
    }
}

/// How an engine does, apart from its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Milliseconds until the engine could decode.
    pub start_ms: f64,
    /// Milliseconds of preparing a chip.
    pub prepare_ms: f64,
    /// Milliseconds of a prompt of a point, the chip prepared.
    pub decode_ms: f64,
    /// Most memory that the process has had resident, in MB, where the system tells.
    pub peak_memory_mb: Option<f64>,
    /// The vectors that the fused executor computes with.
    pub instruction_set: String,
}

/// What an engine has made of the probe.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The engine.
    pub engine: CpuEngine,
    /// How it did.
    pub performance: Performance,
    /// Its answers to the probe's prompts.
    answers: Vec<Decoded>,
}

impl Trial {
    /// The worst difference of the answers from another engine's.
    pub fn difference(&self, reference: &Self) -> Difference {
        if self.answers.len() != reference.answers.len() {
            let none = f32::NAN;
            return Difference { logits: none, scores: none, pixels: none };
        }
        let pairs = self.answers.iter().zip(&reference.answers);
        pairs.map(|(a, b)| probe::difference(a, b)).fold(Difference::default(), probe::worst)
    }
}

/// Tries an engine out in a process of its own.
///
/// # Errors
/// The process cannot be started, crashes, takes too long, or cannot do it; it is gone afterwards in any case.
pub fn try_out(
    launch: &Launch,
    engine: CpuEngine,
    subject: &Subject,
    threads: usize,
) -> Result<Trial, AcceleratorError> {
    let mut line = Line::open(launch, true).map_err(AcceleratorError::Spawn)?;
    line.begin("start");
    let deadline = Instant::now() + launch.start;
    line.say(&Ask::Try { engine, subject: subject.clone(), threads }, &[], deadline, launch.start)?;
    loop {
        match line.hear(deadline, launch.start)? {
            (Tell::Stage(stage), _) => line.begin(&stage),
            (Tell::Tried { side, scores, performance }, logits) => {
                let answers = scores.into_iter().zip(logits).map(|(scores, logits)| {
                    let logits = Array3::from_shape_vec((4, side, side), logits).ok()?;
                    Some(Decoded { logits, scores })
                });
                let answers: Option<Vec<Decoded>> = answers.collect();
                let answers = answers.filter(|answers| answers.len() == probe::COUNTS.len());
                let answers = answers.ok_or(AcceleratorError::Confused)?;
                return Ok(Trial { engine, performance, answers });
            }
            (Tell::Failed(message), _) => return Err(AcceleratorError::Refused(message)),
            _ => return Err(AcceleratorError::Confused),
        }
    }
}

/// Tries an engine out in this process, which a kernel that is wrong for the processor may end. `stage` hears what is
/// done next.
///
/// # Errors
/// A model that is not there or unreadable, or an engine that cannot do it; in words.
pub fn try_here(
    engine: CpuEngine,
    subject: &Subject,
    threads: usize,
    mut stage: impl FnMut(&str),
) -> Result<Trial, String> {
    stage("read the weights");
    let told = |error: DecoderError| error.to_string();
    let (weights, family) = weights_of(subject)?;
    stage("build the decoder");
    let start = Instant::now();
    let decoder = engine.decoder(weights.as_ref(), family, threads).map_err(told)?;
    let start_ms = start.elapsed().as_secs_f64() * 1e3;
    drop(weights);
    stage("decode the probe");
    let chip = probe::chip(family);
    let prepared = decoder.prepare(&chip).map_err(told)?;
    let prompts = probe::COUNTS.map(|n| probe::prompt(family, n));
    let answers = prompts.iter().map(|prompt| decoder.decode(&prepared, prompt));
    let answers = answers.collect::<Result<Vec<Decoded>, _>>().map_err(told)?;
    let decode_ms = probe::milliseconds(|| decoder.decode(&prepared, &prompts[0]).map(drop)).map_err(told)?;
    drop(prepared);
    let prepare_ms = probe::milliseconds(|| decoder.prepare(&chip).map(drop)).map_err(told)?;
    let performance = Performance {
        start_ms,
        prepare_ms,
        decode_ms,
        peak_memory_mb: crate::machine::peak_memory_mb(),
        instruction_set: instruction_set().to_owned(),
    };
    Ok(Trial { engine, performance, answers })
}

/// What the process of a trial tells of it: a message, and its arrays.
pub(super) fn told(trial: Trial) -> (Tell, Vec<Vec<f32>>) {
    let side = trial.answers.first().map_or(0, |answer| answer.logits.dim().1);
    let scores = trial.answers.iter().map(|answer| answer.scores).collect();
    let logits = trial.answers.into_iter().map(|answer| answer.logits.into_raw_vec_and_offset().0);
    (Tell::Tried { side, scores, performance: trial.performance }, logits.collect())
}

/// The weights, and their family.
fn weights_of(subject: &Subject) -> Result<(Box<dyn WeightSource>, Family), String> {
    match subject {
        Subject::Model(dir) => {
            let model = model_in(dir)?;
            let weights = load_weights(&model).map_err(|error| error.to_string())?;
            Ok((Box::new(weights), model.family))
        }
        Subject::Formula(family) => Ok((Box::new(Weights::random(*family, 1)), *family)),
    }
}

/// The model of a directory.
pub(super) fn model_in(dir: &Path) -> Result<ModelInfo, String> {
    let store = ModelStore::open(dir.parent().unwrap_or(dir)).map_err(|error| error.to_string())?;
    let model = store.list().iter().find(|model| model.dir == dir).cloned();
    model.ok_or_else(|| format!("{}: there is no model here any more", dir.display()))
}
