//! Layers of saved objects: `<state>/layers/<layer>.geojsonl`, one GeoJSON Feature a line, which GDAL's GeoJSONSeq
//! driver and so QGIS read as they stand.
//!
//! Here is what a file holds and how it changes. What a saved object's properties are is the service's affair;
//! which object `unsave` takes back is the store's ([`crate::store::Store::last_saved`]).
//!
//! # Invariants
//!
//! 1. What [`Layers::apply`] reports as done is on the card: file synced, and its directory where the file is new.
//! 2. A feature is in its file once, however often its append is applied: in one run of the service by the
//!    journal's place and id; after a start or a failed write by looking for the id in the whole file.
//! 3. A removal is by truncation where the line is the last one; all other removals and replacements are by a new file
//!    renamed over the old: a reader sees the old file or the new one. Applied again they change nothing.
//! 4. A file that we have looked at ends in a newline. A last line without one is completed if it is a whole
//!    feature, else cut off.
//! 5. Lines that are not features (a file may be edited by hand) are skipped, reported and kept.
//! 6. A file without a byte may go when another layer wants its place ([`Layers::admit`]); what is owed to it begins it anew.
//! 7. Memory for a file: 8 bytes for 64 features. A page reads from the nearest of these marks.
//!
//! A layer name that differs from another only in case is another layer, except on a card with a file system that
//! does not tell case apart (FAT): do not rely on it.

mod changes;
mod error;
pub mod export;
mod file;
mod filter;
mod kept;
mod line;
mod lines;
mod op;
mod places;
mod problem;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

pub use error::LayerError;
pub use filter::Filter;
pub use line::{Line, MAX_LINE, classify};
pub use lines::{Scan, Span, scan};
pub use op::{JournalEntry, LayerOp};
pub use places::LayerBounds;
pub use problem::LayerProblem;

use crate::api::check_name;
use crate::durable::{self, Disk};
use file::{Belongings, LayerFile};
use problem::Problems;
use progress::Progress;

/// The directory of layers in the state directory.
pub const DIRECTORY: &str = "layers";

const EXTENSION: &str = "geojsonl";

/// Whether a name in the directory of layers is that of a layer's file.
pub(crate) fn is_layer_file(name: &std::ffi::OsStr) -> bool {
    let layer = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
    layer.is_some_and(|layer| check_name(layer).is_ok())
}

/// The id of the feature in a line, if it is one and has one.
pub fn id_of(line: &str) -> Option<String> {
    match classify(line.as_bytes()) {
        Line::Feature(id) => id,
        Line::Blank | Line::Bad(_) => None,
    }
}

/// The file of a layer in the directory of layers.
fn layer_path(dir: &Path, layer: &str) -> PathBuf {
    dir.join(format!("{layer}.{EXTENSION}"))
}

/// The layers of a state directory. Shared by all threads; calls for one layer wait for each other.
#[derive(Debug)]
pub struct Layers {
    dir: PathBuf,
    disk: Disk,
    belongings: Mutex<Belongings>,
    files: Mutex<BTreeMap<String, Arc<Mutex<LayerFile>>>>,
    held: Mutex<places::Held>,
}

/// A layer, as `list` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// Its name.
    pub name: String,
    /// Its features.
    pub features: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Why nothing is known of it, if its file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A page of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Place of the first feature.
    pub offset: u64,
    /// Features of the whole layer.
    pub total: u64,
    /// The features, each a JSON object as it stands in the file.
    pub lines: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
}

/// What came of changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Places in the journal of those on the card; tell them to the store with
    /// [`crate::store::Change::JournalDone`].
    pub done: Vec<u64>,
    /// What failed, one a layer. The others of these layers stay in the journal: apply
    /// [`crate::store::Store::journal`] again later.
    pub failed: Vec<LayerError>,
}

impl Layers {
    /// Opens `<state>/layers`, creating it where there is none. Files are read when they are first needed;
    /// [`Layers::list`] reads all.
    ///
    /// # Errors
    /// If the directory cannot be created or listed.
    pub fn open(state: &Path) -> Result<Self, LayerError> {
        Self::open_on(&Disk::default(), state)
    }

    /// As [`Self::open`], on this disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: &Disk, state: &Path) -> Result<Self, LayerError> {
        let disk = disk.counted_apart();
        let dir = state.join(DIRECTORY);
        disk.create_dir_all(&dir).map_err(|e| LayerError::io("create", &dir, e))?;
        for entry in fs::read_dir(&dir).map_err(|e| LayerError::io("list", &dir, e))? {
            let entry = entry.map_err(|e| LayerError::io("list", &dir, e))?;
            if durable::is_leftover(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                disk.remove_file(&path).map_err(|e| LayerError::io("remove", &path, e))?;
            }
        }
        // A layer that is found may have been begun just before the start before this one was cut short.
        disk.sync_dir(&dir).map_err(|e| LayerError::io("sync", &dir, e))?;
        let (problems, progress) = (Problems::default(), Progress::default());
        let belongings =
            Belongings { dir: dir.clone(), disk: disk.clone(), problems, progress, unsure: true };
        let (files, held) = (Mutex::default(), Mutex::default());
        Ok(Self { dir, disk, belongings: Mutex::new(belongings), files, held })
    }

    /// Tells somebody of each piece of a file that is read, some 64 KiB: reading a large layer takes its time.
    #[must_use]
    pub fn with_progress(self, listener: impl Fn() + Send + Sync + 'static) -> Self {
        self.belongings().progress = Progress::told_to(listener);
        self
    }

    fn belongings(&self) -> MutexGuard<'_, Belongings> {
        // Each use leaves it whole.
        self.belongings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the journal that a start has found, as [`Self::apply`]. Layers that are not in it owe nothing to what was
    /// before the start, so their first change need not look for what may be there.
    pub fn recover(&self, journal: &[JournalEntry]) -> Applied {
        let applied = self.apply(journal);
        self.belongings().unsure = false;
        applied
    }

    fn file(&self, layer: &str) -> Arc<Mutex<LayerFile>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(layer) {
            return Arc::clone(file);
        }
        let file = Arc::new(Mutex::new(LayerFile::new(&self.belongings(), layer)));
        files.insert(layer.to_owned(), Arc::clone(&file));
        file
    }

    fn with<T>(&self, layer: &str, work: impl FnOnce(&mut LayerFile) -> T) -> T {
        let file = self.file(layer);
        // After a panic elsewhere: what is known of the file is taken out before it is changed, so it is true.
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut file)
    }

    /// Makes changes that are durable in the store's journal, with one sync a layer for any number of appends.
    /// Changes may be given again. All appends of a layer between two removals are written or none.
    ///
    /// The first change of a layer after a failure, or after a start if it is not known to owe nothing
    /// ([`Self::recover`]), reads its whole file. A removal of another object than the last writes the file anew.
    pub fn apply(&self, journal: &[JournalEntry]) -> Applied {
        let mut by_layer: BTreeMap<&str, Vec<&JournalEntry>> = BTreeMap::new();
        for entry in journal {
            by_layer.entry(entry.op.layer()).or_default().push(entry);
        }
        let mut applied = Applied::default();
        // An object that moves is in its new layer before it leaves the old one, where nothing else changes in both.
        let only_appends =
            |entries: &Vec<&JournalEntry>| entries.iter().all(|e| matches!(e.op, LayerOp::Append { .. }));
        let mut by_layer: Vec<_> = by_layer.into_iter().collect();
        by_layer.sort_by_key(|(_, entries)| !only_appends(entries));
        for (layer, entries) in by_layer {
            let result = op::check_layer(layer)
                .and_then(|()| self.with(layer, |file| file.apply(&entries, &mut applied.done)));
            applied.failed.extend(result.err());
        }
        applied.done.sort_unstable();
        applied
    }

    /// The features from place `offset` on: at most `limit`, and of at most `max_bytes` together. Bad and blank
    /// lines do not count.
    ///
    /// # Errors
    /// If there is no such layer, the first feature alone has more than `max_bytes`, or the file cannot be read.
    pub fn fetch(&self, layer: &str, offset: u64, limit: u64, max_bytes: usize) -> Result<Page, LayerError> {
        self.fetch_where(layer, offset, limit, max_bytes, &Filter::default())
    }

    /// As [`Self::fetch`], of those features that fit. `offset` and [`Page::next`] are places in the whole layer, so that
    /// pages go on where they ended whatever was left out; with ids `next` is `None` as soon as all of them were met.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn fetch_where(
        &self,
        layer: &str,
        offset: u64,
        limit: u64,
        max_bytes: usize,
        filter: &Filter,
    ) -> Result<Page, LayerError> {
        if !self.exists(layer)? {
            return Err(LayerError::Unknown { layer: layer.to_owned() });
        }
        self.with(layer, |file| file.page(offset, limit, max_bytes, filter))
    }

    /// Which of these objects a layer has.
    ///
    /// # Errors
    /// If there is no such layer, or its file cannot be read.
    pub fn which_of(&self, layer: &str, ids: &[String]) -> Result<BTreeSet<String>, LayerError> {
        if !self.exists(layer)? {
            return Err(LayerError::Unknown { layer: layer.to_owned() });
        }
        let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let found = self.with(layer, |file| file.refresh(&wanted))?;
        Ok(found.into_keys().collect())
    }

    /// Whether there is such a layer.
    ///
    /// # Errors
    /// If the name breaks the rules or the directory cannot be read.
    pub fn exists(&self, layer: &str) -> Result<bool, LayerError> {
        op::check_layer(layer)?;
        let path = layer_path(&self.dir, layer);
        path.try_exists().map_err(|e| LayerError::io("look for", &path, e))
    }

    /// All layers, by name.
    ///
    /// # Errors
    /// If the directory cannot be listed; a file that cannot be read is a [`LayerSummary::problem`].
    pub fn list(&self) -> Result<Vec<LayerSummary>, LayerError> {
        let summary = |name: String| match self
            .with(&name, |file| file.scan().map(|scan| (scan.features, scan.bytes)))
        {
            Ok((features, bytes)) => LayerSummary { name, features, bytes, problem: None },
            Err(error) => LayerSummary { name, features: 0, bytes: 0, problem: Some(error.to_string()) },
        };
        Ok(self.names()?.into_iter().map(summary).collect())
    }

    /// Names of the layers that have a file, in order.
    fn names(&self) -> Result<Vec<String>, LayerError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|e| LayerError::io("list", &self.dir, e))? {
            let entry = entry.map_err(|e| LayerError::io("list", &self.dir, e))?;
            let file_name = entry.file_name();
            let name = file_name.to_str().and_then(|name| name.strip_suffix(EXTENSION)?.strip_suffix('.'));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What was found wrong since the last call.
    pub fn take_problems(&self) -> Vec<LayerProblem> {
        self.belongings().problems.take()
    }

    /// Syncs of the card by layer files and their directory, those of opening it among them.
    pub fn syncs(&self) -> u64 {
        self.disk.syncs()
    }
}
