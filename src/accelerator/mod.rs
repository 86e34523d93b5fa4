//! Engines in processes of their own: ONNX Runtime with TensorRT, each model's for as long as it serves; and the engines of
//! the processor, fused and tract, while they are compared ([`SelfCheck`]).
//!
//! The processor decodes from the first prompt on. Meanwhile a process (this program again, [`WORKER_COMMAND`]) loads the
//! library, builds or finds the engines, and decodes a probe on both engines. Only when the two agree does the model
//! move over. Whatever goes wrong, then or later (no library, a crash, a hang, an answer that differs), ends that
//! process, is told, and leaves the model to the processor until the service is started again: no GPU stops the appliance.
//!
//! Here: when an engine is used, its process and how to talk to it, the probe, the trial of fused and tract. Not here: how ONNX Runtime is called
//! (`decoder::onnxruntime`), and who is told (`service`).

mod error;
#[cfg(feature = "tensorrt")]
mod onnxruntime_worker;
mod probe;
mod remembered;
mod remote;
mod report;
mod self_check;
#[cfg(test)]
mod tests;
mod trial;
mod wire;
mod worker;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::AcceleratorError;
pub use remote::{Launch, RemoteDecoder};
pub use report::{Difference, Report};
pub use self_check::{SelfCheck, SelfCheckOptions};
pub use trial::{Performance, Subject, Trial, try_here, try_out};
pub use worker::work;

use crate::decoder::onnxruntime::OnnxRuntimeOptions;
use crate::models::ModelInfo;

/// The hidden command that is an engine's process.
pub const WORKER_COMMAND: &str = "engine-worker";

/// What is to be used beside the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorOptions {
    /// The library and what it is told.
    pub onnxruntime: OnnxRuntimeOptions,
    /// Whether it was asked for by name; otherwise it is no news that there is no library.
    pub required: bool,
    /// How processes are started.
    pub launch: Launch,
}

impl AcceleratorOptions {
    /// What makes it useless to try, found without loading anything.
    ///
    /// # Errors
    /// The program has no such engine, or there is no library.
    pub fn check(&self) -> Result<(), AcceleratorError> {
        if !cfg!(feature = "tensorrt") {
            return Err(AcceleratorError::NotBuiltIn);
        }
        let path = &self.onnxruntime.library;
        if path.is_file() { Ok(()) } else { Err(AcceleratorError::NoLibrary { path: path.clone() }) }
    }
}

/// What the rest of the program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineNews {
    /// A model is decoded by the engine from now on.
    Ready {
        /// The model's name.
        model: String,
        /// Versions and times.
        summary: String,
    },
    /// The fused executor agrees with tract on this processor, and decodes a model from now on.
    Agreed {
        /// The model's name.
        model: String,
    },
    /// The engine is not used, or no longer.
    Fallback {
        /// The model's name; `None` where no model can be decoded by it.
        model: Option<String>,
        /// Why.
        message: String,
    },
}

/// Hears news, from any thread.
pub type Listener = Arc<dyn Fn(EngineNews) + Send + Sync>;

/// The engines of the models.
#[derive(Clone)]
pub struct Accelerator(Arc<Inner>);

struct Inner {
    options: AcceleratorOptions,
    listener: Listener,
    models: Mutex<Models>,
    /// Held while a process starts: two builds at a time would take twice the memory.
    starting: Mutex<()>,
}

#[derive(Default)]
struct Models {
    /// Why nothing at all can be used, where that is so.
    useless: Option<String>,
    /// By directory; with the model as it was, since another may come to lie there.
    states: HashMap<PathBuf, (ModelInfo, State)>,
}

enum State {
    Starting,
    Ready(Arc<RemoteDecoder>),
    /// And why.
    Failed(String),
}

impl Models {
    /// The state of exactly this model.
    fn state(&self, model: &ModelInfo) -> Option<&State> {
        self.states.get(&model.dir).filter(|(of, _)| of == model).map(|(_, state)| state)
    }

    fn set(&mut self, model: &ModelInfo, state: State) {
        self.states.insert(model.dir.clone(), (model.clone(), state));
    }
}

impl Accelerator {
    /// Engines for models; none is started yet. What can be seen to be impossible is told at once.
    pub fn new(options: AcceleratorOptions, listener: Listener) -> Self {
        let mut models = Models::default();
        if let Err(error) = options.check() {
            models.useless = Some(error.to_string());
            if options.required {
                listener(EngineNews::Fallback { model: None, message: error.to_string() });
            } else {
                tracing::info!("prompts are decoded on the processor: {error}");
            }
        }
        let starting = Mutex::new(());
        Self(Arc::new(Inner { options, listener, models: Mutex::new(models), starting }))
    }

    /// The engine of a model, if it is ready. The first call for a model starts it in the background.
    pub fn decoder(&self, model: &ModelInfo) -> Option<Arc<RemoteDecoder>> {
        let mut models = self.0.models();
        if models.useless.is_some() {
            return None;
        }
        match models.state(model) {
            Some(State::Ready(decoder)) => return Some(Arc::clone(decoder)),
            Some(State::Starting | State::Failed(_)) => return None,
            None => {}
        }
        models.set(model, State::Starting);
        drop(models);
        let (inner, of) = (Arc::clone(&self.0), model.clone());
        let thread = std::thread::Builder::new().name("engine-start".to_owned());
        if let Err(error) = thread.spawn(move || inner.start(&of)) {
            self.give_up(model, &AcceleratorError::Spawn(error).to_string());
        }
        None
    }

    /// Ends a model's engine for good and says why.
    pub fn give_up(&self, model: &ModelInfo, why: &str) {
        self.0.give_up(model, why);
    }

    /// Ends the engines of models that are not in these directories any more.
    pub fn keep(&self, dirs: &[PathBuf]) {
        self.0.models().states.retain(|dir, _| dirs.contains(dir));
    }

    /// The name of the engine, where it decodes and has failed for no model; otherwise the processor's is in use.
    pub fn in_use(&self) -> Option<&'static str> {
        let models = self.0.models();
        let failed = models.states.values().any(|(_, state)| matches!(state, State::Failed(_)));
        let ready = models.states.values().any(|(_, state)| matches!(state, State::Ready(_)));
        (ready && !failed).then(|| self.0.options.onnxruntime.provider.engine_name())
    }
}

impl Accelerator {
    /// Why the processor decodes, where the engine was asked for by name or has failed.
    pub fn reason(&self) -> Option<String> {
        let models = self.0.models();
        let failed = models.states.values().find_map(|(_, state)| match state {
            State::Failed(why) => Some(why.clone()),
            State::Starting | State::Ready(_) => None,
        });
        failed.or_else(|| models.useless.clone().filter(|_| self.0.options.required))
    }
}

impl Inner {
    /// States change in one step each, so a poisoned lock holds a whole one.
    fn models(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, model: &ModelInfo) {
        let _turn = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        let AcceleratorOptions { launch, onnxruntime, .. } = &self.options;
        match RemoteDecoder::start(launch, onnxruntime, model.family, &model.dir) {
            Ok(decoder) => {
                let summary = decoder.report().summary();
                let mut models = self.models();
                // The model may have been replaced or taken away meanwhile.
                if !matches!(models.state(model), Some(State::Starting)) {
                    return;
                }
                models.set(model, State::Ready(Arc::new(decoder)));
                drop(models);
                (self.listener)(EngineNews::Ready { model: model.name.clone(), summary });
            }
            Err(error) => self.give_up(model, &error.to_string()),
        }
    }

    fn give_up(&self, model: &ModelInfo, why: &str) {
        let mut models = self.models();
        // Two requests may find out at the same time; and a model that is gone is no news.
        if matches!(models.state(model), None | Some(State::Failed(_))) {
            return;
        }
        let message = format!("{} is decoded on the processor: {why}", model.name);
        models.set(model, State::Failed(message.clone()));
        drop(models);
        (self.listener)(EngineNews::Fallback { model: Some(model.name.clone()), message });
    }
}

impl std::fmt::Debug for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accelerator").field("options", &self.0.options).finish_non_exhaustive()
    }
}
