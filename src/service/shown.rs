//! What is served now, for others in this process to look at: the map page's server. A look takes a moment's lock and
//! keeps nobody from working.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::Context;
use super::folders::NotReady;
use crate::engine::ServedFolder;

/// A folder as it is at this moment.
#[derive(Debug, Clone)]
pub struct ShownFolder {
    /// The name it is served under.
    pub name: String,
    /// The folder, where it could be opened.
    pub folder: Option<Arc<ServedFolder>>,
    /// Whether prompts may start from a mask (`refine`): its model is there and takes masks.
    pub takes_masks: bool,
    /// Why it does not answer prompts, if it does not: `code` and `message`.
    pub problem: Option<Value>,
}

/// Looks at the folders of a running service.
#[derive(Clone)]
pub struct FoldersShown(Arc<Context>);

impl FoldersShown {
    pub(super) const fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// All folders, by name, as they are now.
    pub fn now(&self) -> Vec<ShownFolder> {
        let view = self.0.served.view();
        let decoders = self.0.engine.decoders();
        let takes_masks = |folder: &ServedFolder| decoders.takes_masks(&folder.folder);
        let ready = view.ready.iter().map(|(name, folder)| ShownFolder {
            name: name.clone(),
            folder: Some(Arc::clone(folder)),
            takes_masks: takes_masks(folder),
            problem: None,
        });
        let not_ready = view.problems.iter().map(|(name, NotReady { problem, folder })| ShownFolder {
            name: name.clone(),
            folder: folder.clone(),
            takes_masks: folder.as_deref().is_some_and(takes_masks),
            problem: Some(json!(problem)),
        });
        let mut all: Vec<ShownFolder> = ready.chain(not_ready).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl fmt::Debug for FoldersShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FoldersShown")
    }
}
