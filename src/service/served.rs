//! The folders that are served now, and those that should be and cannot.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

use crate::ErrorCode;
use crate::engine::ServedFolder;

/// Why a folder is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FolderProblem {
    pub code: ErrorCode,
    pub message: String,
}

/// One moment's view of the feature roots.
#[derive(Debug, Default, Clone)]
pub(super) struct FolderView {
    /// Folders that answer prompts, by name.
    pub ready: BTreeMap<String, Arc<ServedFolder>>,
    /// Folders that do not, by name.
    pub problems: BTreeMap<String, FolderProblem>,
}

impl FolderView {
    /// The ready folders, in order of their names.
    pub fn folders(&self) -> Vec<Arc<ServedFolder>> {
        self.ready.values().cloned().collect()
    }
}

/// The current view, shared between the watcher and the workers.
#[derive(Debug, Default)]
pub(super) struct Served {
    view: RwLock<Arc<FolderView>>,
}

impl Served {
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
