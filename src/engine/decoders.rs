//! The decoders in memory: one a model, built when the first prompt needs it; and, where there is an accelerator,
//! the model's engine there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::EngineError;
use super::model_places::ModelPlaces;
use crate::accelerator::{Accelerator, RemoteDecoder, SelfCheck};
use crate::catalog::Folder;
use crate::decoder::{CpuEngine, MaskDecoder};
use crate::models::{ModelInfo, ModelStore, load_weights};

/// Imported models and the decoders built from them.
pub struct Decoders {
    places: RwLock<ModelPlaces>,
    threads: usize,
    /// Who decodes on the processor.
    cpu: CpuEngine,
    /// Who decides that for each model, where the engines are compared first.
    self_check: Option<SelfCheck>,
    /// By model directory and engine. Held while one is built, so that two prompts do not build it twice.
    built: Mutex<HashMap<(PathBuf, CpuEngine), Arc<dyn MaskDecoder>>>,
    accelerator: Option<Accelerator>,
}

/// Which decoder is to be used for a model.
#[derive(Clone)]
pub(super) struct Pick {
    pub model: ModelInfo,
    pub engine: Picked,
}

/// The engine that was picked.
#[derive(Clone)]
pub(super) enum Picked {
    /// The accelerator's, which may fail where the processor's does not.
    Accelerated(Arc<RemoteDecoder>),
    /// One of the processor's.
    Processor(CpuEngine),
}

impl Picked {
    /// The engine on the processor; `None` for the accelerator.
    pub const fn on_the_processor(&self) -> Option<CpuEngine> {
        match self {
            Self::Accelerated(_) => None,
            Self::Processor(engine) => Some(*engine),
        }
    }
}

impl Decoders {
    /// Decoders for the models below a directory; on the processor, each using so many threads.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(models: &Path, cpu: CpuEngine, threads: usize) -> Result<Self, EngineError> {
        let places = ModelPlaces::open(models)?;
        for problem in places.problems() {
            tracing::warn!(problem, "a model cannot be used");
        }
        Ok(Self {
            places: RwLock::new(places),
            threads,
            cpu,
            self_check: None,
            built: Mutex::default(),
            accelerator: None,
        })
    }

    /// The same, with engines beside the processor's.
    pub(super) fn accelerated(self, accelerator: Accelerator) -> Self {
        Self { accelerator: Some(accelerator), ..self }
    }

    /// The same, with the processor's engines compared first.
    pub(super) fn checked(self, check: SelfCheck) -> Self {
        Self { self_check: Some(check), ..self }
    }

    /// The name of the engine in use.
    pub fn engine_in_use(&self) -> &'static str {
        let cpu = self.self_check.as_ref().map_or(self.cpu, SelfCheck::in_use);
        self.accelerator.as_ref().and_then(Accelerator::in_use).unwrap_or(cpu.as_str())
    }

    /// Why another engine is in use than the one that was asked for, or than the best.
    pub fn engine_reason(&self) -> Option<String> {
        let of_the_processor = || self.self_check.as_ref().and_then(SelfCheck::reason);
        self.accelerator.as_ref().and_then(Accelerator::reason).or_else(of_the_processor)
    }

    /// Starts the engine of a folder's model in the background, where there is an accelerator and a model; and the
    /// comparison of the processor's engines.
    pub fn warm_up(&self, folder: &Folder) {
        if self.accelerator.is_none() && self.self_check.is_none() {
            return;
        }
        if let Ok(model) = self.find(folder) {
            // Not ready yet: this starts it.
            let _ = self.accelerator.as_ref().map(|accelerator| accelerator.decoder(&model));
            let _ = self.processor_engine(&model);
        }
    }

    /// Which engine of the processor decodes a model.
    fn processor_engine(&self, model: &ModelInfo) -> CpuEngine {
        self.self_check.as_ref().map_or(self.cpu, |check| check.engine(model))
    }

    /// The decoder of a model on the processor, whatever the accelerator does.
    pub(super) fn pick_processor(&self, model: ModelInfo) -> Pick {
        let engine = Picked::Processor(self.processor_engine(&model));
        Pick { model, engine }
    }

    /// Lets go of the decoders on tract; who needs one builds it again.
    pub(super) fn forget_tract(&self) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.retain(|(_, engine), _| *engine != CpuEngine::Tract);
    }

    /// Leaves a model to the processor.
    pub(super) fn give_up(&self, model: &ModelInfo, why: &str) {
        if let Some(accelerator) = &self.accelerator {
            accelerator.give_up(model, why);
        }
    }

    /// The imported models.
    pub fn models(&self) -> Vec<ModelInfo> {
        // They are replaced as a whole, so a poisoned lock still holds all.
        self.places.read().unwrap_or_else(PoisonError::into_inner).list()
    }

    /// The checksum of the model of a checkpoint; empty where it is not there (any more).
    pub fn sha256_of(&self, checkpoint: &str) -> String {
        let model = self.models().into_iter().find(|m| m.source_file.eq_ignore_ascii_case(checkpoint));
        model.map(|model| model.sha256).unwrap_or_default()
    }

    /// Looks at the appliance's own models again, takes those that others have seen on cards, and says whether any have
    /// changed. What was built from a model that is gone or has been replaced is forgotten. An own directory that cannot be
    /// listed leaves all as it was.
    pub fn look(&self, on_cards: &[Arc<ModelStore>]) -> bool {
        let again = self.places.read().unwrap_or_else(PoisonError::into_inner).again();
        let now = match again {
            Ok(now) => now.with_cards(on_cards),
            Err(error) => {
                tracing::debug!(%error, "the models are not looked at");
                return false;
            }
        };
        let (listed, problems) = (now.list(), now.problems());
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let before = places.list();
        let changed = before != listed;
        if !changed && places.problems() == problems {
            return false;
        }
        for problem in problems {
            tracing::warn!(problem, "a model cannot be used");
        }
        *places = now;
        // Nobody shall wait for a decoder that is being built only to be told what models there are.
        drop(places);
        let unchanged: Vec<PathBuf> =
            before.into_iter().filter(|model| listed.contains(model)).map(|model| model.dir).collect();
        self.built
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(dir, _), _| unchanged.contains(dir));
        if let Some(accelerator) = &self.accelerator {
            accelerator.keep(&unchanged);
        }
        if let Some(check) = &self.self_check {
            check.keep(&unchanged);
        }
        changed
    }

    /// Whether a folder's model was there at the last look.
    ///
    /// # Errors
    /// The model is not imported, or is of another family: [`crate::ErrorCode::ModelMissing`] and
    /// [`crate::ErrorCode::ModelMismatch`], with what to do.
    pub fn check(&self, folder: &Folder) -> Result<(), EngineError> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        Ok(places.find(folder.checkpoint(), folder.family()).map(drop)?)
    }

    /// The model of a folder; one that was imported since the last look is found too.
    fn find(&self, folder: &Folder) -> Result<ModelInfo, EngineError> {
        let (checkpoint, family) = (folder.checkpoint(), folder.family());
        let known =
            self.places.read().unwrap_or_else(PoisonError::into_inner).find(checkpoint, family).cloned();
        if let Ok(model) = known {
            return Ok(model);
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        *places = places.again()?;
        Ok(places.find(checkpoint, family).cloned()?)
    }

    /// Whether `refine` works with a folder's model, as far as it was there at the last look.
    pub fn takes_masks(&self, folder: &Folder) -> bool {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.find(folder.checkpoint(), folder.family()).is_ok_and(|model| model.takes_masks)
    }

    /// Checksum of the checkpoint that a folder's model was imported from.
    ///
    /// # Errors
    /// As [`Decoders::check`].
    pub(super) fn checksum(&self, folder: &Folder) -> Result<String, EngineError> {
        Ok(self.find(folder)?.sha256)
    }

    /// Whose decoder is for a folder's checkpoint: the accelerator's, once it is ready. Builds nothing.
    ///
    /// # Errors
    /// The model is not imported, or is of another family.
    pub(super) fn pick(&self, folder: &Folder) -> Result<Pick, EngineError> {
        let model = self.find(folder)?;
        match self.accelerator.as_ref().and_then(|accelerator| accelerator.decoder(&model)) {
            Some(decoder) => Ok(Pick { model, engine: Picked::Accelerated(decoder) }),
            None => Ok(self.pick_processor(model)),
        }
    }

    /// The decoder for a folder's checkpoint: the accelerator where it is in use, otherwise the processor's.
    ///
    /// # Errors
    /// The model is not imported, is of another family, or its files are unreadable.
    pub fn for_folder(&self, folder: &Folder) -> Result<Arc<dyn MaskDecoder>, EngineError> {
        self.decoder(&self.pick(folder)?)
    }

    /// The decoder that was picked; the processor's is built if need be.
    ///
    /// # Errors
    /// The model's files are unreadable.
    pub(super) fn decoder(&self, pick: &Pick) -> Result<Arc<dyn MaskDecoder>, EngineError> {
        let engine = match &pick.engine {
            Picked::Accelerated(decoder) => return Ok(Arc::clone(decoder) as Arc<dyn MaskDecoder>),
            Picked::Processor(engine) => *engine,
        };
        let key = (pick.model.dir.clone(), engine);
        // A panic while building leaves the map as it was: nothing half-built is in it.
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = built.get(&key) {
            return Ok(Arc::clone(decoder));
        }
        let weights = load_weights(&pick.model)?;
        let decoder = engine.decoder(&weights, pick.model.family, self.threads);
        // What could not be read looked as if it were missing.
        let decoder = decoder.map_err(|error| weights.unread().map_or(error.into(), EngineError::from))?;
        built.insert(key, Arc::clone(&decoder));
        Ok(decoder)
    }
}
