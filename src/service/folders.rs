//! The folders that are served now, and those that should be and cannot.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde_json::{Value, json};

use crate::ErrorCode;
use crate::catalog::CatalogError;
use crate::engine::{Engine, EngineError, ServedFolder};

/// Why a folder is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FolderProblem {
    pub code: ErrorCode,
    pub message: String,
}

impl From<EngineError> for FolderProblem {
    fn from(error: EngineError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

impl From<CatalogError> for FolderProblem {
    fn from(error: CatalogError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// A folder that does not answer prompts.
#[derive(Debug, Clone)]
pub(super) struct NotReady {
    pub problem: FolderProblem,
    /// The folder, where it could be opened: its model is what is missing.
    pub folder: Option<Arc<ServedFolder>>,
}

/// One moment's view of the feature roots.
#[derive(Debug, Default, Clone)]
pub(super) struct FolderView {
    /// Whether anybody has looked yet.
    pub looked: bool,
    /// Folders that answer prompts, by name.
    pub ready: BTreeMap<String, Arc<ServedFolder>>,
    /// Folders that do not, by name.
    pub problems: BTreeMap<String, NotReady>,
}

impl FolderView {
    /// The ready folders, in order of their names.
    pub fn folders(&self) -> Vec<Arc<ServedFolder>> {
        self.ready.values().cloned().collect()
    }

    /// Names of all folders, the ready ones first.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.ready.keys().chain(self.problems.keys())
    }

    /// What is told of a folder, by `list` and in its retained message; `None` of one that is not there.
    pub fn told(&self, name: &str) -> Option<Value> {
        let summary = |folder: &ServedFolder| serde_json::to_value(folder.summary()).unwrap_or_default();
        if let Some(folder) = self.ready.get(name) {
            let mut told = summary(folder);
            told["ready"] = true.into();
            return Some(told);
        }
        let NotReady { problem, folder } = self.problems.get(name)?;
        let mut told = folder.as_ref().map_or_else(|| json!({"name": name}), |folder| summary(folder));
        told["ready"] = false.into();
        told["problem"] = json!(problem);
        Some(told)
    }

    /// Starts the engines beside the processor's of the folders' models, where there are any, before the first prompt.
    pub fn warm_up(&self, engine: &Engine) {
        for folder in self.ready.values() {
            engine.decoders().warm_up(&folder.folder);
        }
    }
}

/// The current view, shared between the watcher and the workers.
#[derive(Debug, Default)]
pub(super) struct ServedFolders {
    view: RwLock<Arc<FolderView>>,
}

impl ServedFolders {
    /// The view of this moment.
    pub fn view(&self) -> Arc<FolderView> {
        // A view is replaced as a whole, so a poisoned lock still holds one.
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the view.
    pub fn replace(&self, view: FolderView) -> Arc<FolderView> {
        let view = Arc::new(view);
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&view);
        view
    }
}
