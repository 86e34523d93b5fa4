//! Places: how many layers there may be, so that no client fills the card with names.
//!
//! A layer has a place while it has an object, while it is owed one that is not in its file yet, and while a request is under
//! way that may bring one. A file without a byte keeps none: it stays, for those who ask what is in the layer, until its
//! place is wanted by another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{MutexGuard, PoisonError};

use super::file::LayerFile;
use super::{LayerError, Layers, kept, layer_path};

/// Layers that requests under way may bring an object to, with the numbers of these requests.
pub(super) type Held = BTreeMap<String, BTreeSet<u64>>;

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBounds {
    /// Layers that objects may be saved to.
    pub layers: usize,
    /// Bytes of a layer beyond which nothing is added to it; the last request may have gone beyond them.
    pub bytes: u64,
}

impl Layers {
    fn held(&self) -> MutexGuard<'_, Held> {
        // It holds names and nothing that a panic could leave half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a layer that a request may bring objects to its place, where it has none yet and there are fewer than may be;
    /// it has it until [`Self::release`] at the least. `owed` are layers with objects that are not in their files.
    ///
    /// # Errors
    /// If there are as many other layers as may be, or the layer is as large as one may be, the name breaks the rules, or the directory cannot be read or changed.
    pub fn admit(
        &self,
        layer: &str,
        bounds: LayerBounds,
        request: u64,
        owed: &BTreeSet<String>,
    ) -> Result<(), LayerError> {
        super::op::check_layer(layer)?;
        let (bytes, most) = (self.bytes_of(layer)?, bounds.layers);
        if bytes >= bounds.bytes {
            return Err(LayerError::Full { layer: layer.to_owned(), bytes, most: bounds.bytes });
        }
        let mut held = self.held();
        let has_place = |name: &str| -> Result<bool, LayerError> {
            Ok(held.contains_key(name) || owed.contains(name) || self.bytes_of(name)? > 0)
        };
        if !has_place(layer)? {
            let mut taken: BTreeSet<String> = held.keys().chain(owed).cloned().collect();
            let mut empty = Vec::new();
            for name in self.names()? {
                match has_place(&name)? {
                    true => drop(taken.insert(name)),
                    false => empty.push(name),
                }
            }
            if taken.len() >= most {
                return Err(LayerError::TooMany { layer: layer.to_owned(), most });
            }
            empty.retain(|name| name != layer);
            while taken.len() + 1 + empty.len() > most
                && let Some(name) = empty.pop()
            {
                self.with(&name, LayerFile::discard_if_empty)?;
            }
        }
        held.entry(layer.to_owned()).or_default().insert(request);
        Ok(())
    }

    /// Keeps a layer's place for a request that was admitted before a restart.
    pub fn readmit(&self, layer: &str, request: u64) {
        self.held().entry(layer.to_owned()).or_default().insert(request);
    }

    /// A request is over: what it was admitted to has its place by what it holds, or has none.
    pub fn release(&self, request: u64) {
        self.held().retain(|_, requests| {
            requests.remove(&request);
            !requests.is_empty()
        });
    }

    /// Bytes in a layer's file; what is no file has somebody else's.
    fn bytes_of(&self, layer: &str) -> Result<u64, LayerError> {
        let path = layer_path(&self.dir, layer);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(if metadata.is_file() { metadata.len() } else { 1 }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(LayerError::io("look for", &path, error)),
        }
    }
}

impl LayerFile {
    /// Takes the file away, if there is nothing in it. A removal that emptied it was synced before this, so that a power cut
    /// leaves a file without a byte, or none.
    fn discard_if_empty(&mut self) -> Result<(), LayerError> {
        let is_empty =
            fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0);
        if !is_empty {
            return Ok(());
        }
        self.known = None;
        self.kept_len = 0;
        let failed = self.failed("remove");
        kept::discard(&self.disk, &self.path);
        self.disk.remove_file(&self.path).and_then(|()| self.sync_dir()).map_err(failed)
    }
}
