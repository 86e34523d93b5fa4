//! The decoders in memory: one a model, built when the first prompt needs it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::EngineError;
use crate::catalog::Folder;
use crate::decoder::{MaskDecoder, TractDecoder};
use crate::models::{ModelStore, load_weights};

/// Imported models and the decoders built from them.
pub struct Decoders {
    store: ModelStore,
    threads: usize,
    /// By model name. Held while one is built, so that two prompts do not build it twice.
    built: Mutex<HashMap<String, Arc<dyn MaskDecoder>>>,
}

impl Decoders {
    /// Decoders for the models below a directory, each using so many threads.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(models: &Path, threads: usize) -> Result<Self, EngineError> {
        Ok(Self { store: ModelStore::open(models)?, threads, built: Mutex::default() })
    }

    /// The imported models.
    pub const fn store(&self) -> &ModelStore {
        &self.store
    }

    /// The decoder for a folder's checkpoint.
    ///
    /// # Errors
    /// The model is not imported, is of another family, or its files are unreadable.
    pub fn for_folder(&self, folder: &Folder) -> Result<Arc<dyn MaskDecoder>, EngineError> {
        let model = self.store.find(folder.checkpoint(), folder.family())?;
        // A panic while building leaves the map as it was: nothing half-built is in it.
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = built.get(&model.name) {
            return Ok(Arc::clone(decoder));
        }
        let weights = load_weights(model)?;
        let decoder: Arc<dyn MaskDecoder> =
            Arc::new(TractDecoder::new(&weights, model.family, self.threads)?);
        built.insert(model.name.clone(), Arc::clone(&decoder));
        Ok(decoder)
    }
}
