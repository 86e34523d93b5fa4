//! Which feature folders there are: looks below the roots every second or two, opens what is new or has
//! changed, and tells what came and went.
//!
//! A look costs a directory listing and a few `stat`s, so the card is not kept busy, and no file of it
//! stays open. A folder that is gone is told from a card that is gone: a card takes its root with it, or
//! leaves an empty mount point on another file system.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::served::{FolderProblem, FolderView};
use crate::ErrorCode;
use crate::catalog::{CatalogError, Folder};
use crate::engine::ServedFolder;

/// What a look found changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FolderNews {
    /// A folder answers prompts now.
    Added(String),
    /// A folder was replaced by another one of the same name.
    Changed(String),
    /// A folder is gone from its card.
    Removed(String),
    /// A folder is there, or should be, and cannot be served.
    Problem(String, FolderProblem),
}

/// A file as it was seen: enough to notice that it is another one.
type Seen = (PathBuf, u64, u64, i64, u64);

/// What a directory with a manifest held when it was opened.
#[derive(Debug)]
struct Place {
    /// Files that make it a folder.
    seen: Vec<Seen>,
    /// Device number of its root.
    device: u64,
    found: Vec<(String, Result<Arc<ServedFolder>, FolderProblem>)>,
}

/// The watcher's memory between two looks.
#[derive(Debug)]
pub(super) struct Watcher {
    roots: Vec<PathBuf>,
    /// By directory.
    places: BTreeMap<PathBuf, Place>,
}

impl Watcher {
    /// Watches these directories; each holds folders, or is one.
    pub const fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, places: BTreeMap::new() }
    }

    /// Looks once. Returns the new view and what has changed since the last look.
    pub fn look(&mut self) -> (FolderView, Vec<FolderNews>) {
        let before = self.view();
        let mut there: BTreeMap<PathBuf, (Vec<Seen>, u64)> = BTreeMap::new();
        let mut lost_roots = Vec::new();
        for root in &self.roots {
            match candidates(root) {
                Ok((device, found)) => {
                    there.extend(found.into_iter().map(|(dir, seen)| (dir, (seen, device))));
                    lost_roots.push((root.clone(), Some(device)));
                }
                Err(_) => lost_roots.push((root.clone(), None)),
            }
        }
        self.mark_missing(&there, &lost_roots);
        for (directory, (seen, device)) in there {
            if self.places.get(&directory).is_some_and(|p| p.seen == seen && p.device == device && p.is_whole()) {
                continue;
            }
            let found = open(&directory, &self.names_elsewhere(&directory));
            self.places.insert(directory, Place { seen, device, found });
        }
        let view = self.view();
        let news = compare(&before, &view);
        (view, news)
    }

    /// Places that are no longer there: gone, or their card is.
    fn mark_missing(
        &mut self,
        there: &BTreeMap<PathBuf, (Vec<Seen>, u64)>,
        roots: &[(PathBuf, Option<u64>)],
    ) {
        self.places.retain(|directory, place| {
            if there.contains_key(directory) {
                return true;
            }
            let root = roots.iter().find(|(root, _)| directory.starts_with(root));
            let card_is_gone = root.is_some_and(|(_, device)| *device != Some(place.device));
            if card_is_gone {
                place.seen.clear();
                let problem = FolderProblem {
                    code: ErrorCode::CardError,
                    message: format!("{} is gone; put the card back in", directory.display()),
                };
                for (_, state) in &mut place.found {
                    *state = Err(problem.clone());
                }
            }
            card_is_gone
        });
    }

    fn names_elsewhere(&self, directory: &Path) -> Vec<String> {
        let others = self.places.iter().filter(|(dir, _)| dir.as_path() != directory);
        others.flat_map(|(_, place)| place.found.iter().map(|(name, _)| name.clone())).collect()
    }

    fn view(&self) -> FolderView {
        let mut view = FolderView::default();
        for (name, state) in self.places.values().flat_map(|place| &place.found) {
            match state {
                Ok(folder) => {
                    view.ready.insert(name.clone(), Arc::clone(folder));
                }
                Err(problem) => {
                    view.problems.insert(name.clone(), problem.clone());
                }
            }
        }
        view
    }
}

impl Place {
    /// Whether everything in it was opened. A folder with a problem is opened again only when its files
    /// have changed, except after its card was gone.
    fn is_whole(&self) -> bool {
        !self.seen.is_empty()
    }
}

/// The directories below a root that may be folders, each with the files that make it one, and the root's
/// device number.
fn candidates(root: &Path) -> std::io::Result<(u64, BTreeMap<PathBuf, Vec<Seen>>)> {
    let device = std::fs::metadata(root)?.dev();
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        // Links are followed: a card is often mounted elsewhere.
        if std::fs::metadata(entry.path()).is_ok_and(|m| m.is_dir()) {
            directories.push(entry.path());
        }
    }
    for directory in directories {
        // One unreadable directory must not hide the others.
        let seen = manifests(&directory).unwrap_or_default();
        if !seen.is_empty() {
            found.insert(directory, seen);
        }
    }
    Ok((device, found))
}

fn manifests(directory: &Path) -> std::io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if ["parquet", "csv", "pkl"].iter().any(|known| extension.eq_ignore_ascii_case(known)) {
            let metadata = std::fs::metadata(&path)?;
            seen.push((path, metadata.dev(), metadata.ino(), metadata.mtime(), metadata.len()));
        }
    }
    // Chips that come later must be noticed too: their directory changes with them.
    if let Ok(metadata) = std::fs::metadata(directory.join("features")) {
        let path = directory.join("features");
        seen.extend((!seen.is_empty()).then(|| {
            (path, metadata.dev(), metadata.ino(), metadata.mtime(), metadata.len())
        }));
    }
    seen.sort();
    Ok(seen)
}

/// Opens what a directory holds; names that are taken get a suffix.
fn open(
    directory: &Path,
    taken: &[String],
) -> Vec<(String, Result<Arc<ServedFolder>, FolderProblem>)> {
    let own_name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let own_name = crate::api::escape_name(&own_name);
    let problem = |error: &CatalogError| FolderProblem { code: error.code(), message: error.to_string() };
    let opened = match Folder::open_directory(directory) {
        Ok(folder) => vec![(folder.name().to_owned(), Ok(folder))],
        Err(error) => vec![(own_name, Err(problem(&error)))],
    };
    opened
        .into_iter()
        .map(|(name, state)| {
            let name = crate::catalog::free_name(&name, taken);
            let state = state.map(|folder| Arc::new(ServedFolder::new(name.clone(), folder)));
            (name, state)
        })
        .collect()
}

fn compare(before: &FolderView, after: &FolderView) -> Vec<FolderNews> {
    let mut news = Vec::new();
    for (name, folder) in &after.ready {
        match before.ready.get(name) {
            None => news.push(FolderNews::Added(name.clone())),
            Some(old) if !Arc::ptr_eq(old, folder) => news.push(FolderNews::Changed(name.clone())),
            Some(_) => {}
        }
    }
    for (name, problem) in &after.problems {
        if before.problems.get(name) != Some(problem) {
            news.push(FolderNews::Problem(name.clone(), problem.clone()));
        }
    }
    for name in before.ready.keys().chain(before.problems.keys()) {
        if !after.ready.contains_key(name) && !after.problems.contains_key(name) {
            news.push(FolderNews::Removed(name.clone()));
        }
    }
    news
}
