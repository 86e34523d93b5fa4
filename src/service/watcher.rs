//! Which feature folders there are: looks below the roots every second or two, opens what is new or has
//! changed, and tells what came and went.
//!
//! A look costs a directory listing and a few `stat`s, so the card is not kept busy, and no file of it
//! stays open. A folder that is gone is told from a card that is gone: a card takes its root with it, or
//! leaves an empty mount point on another file system.
//!
//! A folder whose model is not there is opened and not ready: it says so before anybody asks. The models are the
//! engine's; it looks at them at the same pace.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folders::{FolderProblem, FolderView, NotReady};
use crate::ErrorCode;
use crate::catalog::{
    CatalogError, Folder, FolderSource, Unnamed, each_directory_once, find_sources, served_names,
};
use crate::engine::{EngineError, ServedFolder};

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

/// A folder that was found and not opened.
#[derive(Debug)]
struct Candidate {
    seen: Vec<Seen>,
    /// The directory that is the folder, or should be.
    directory: PathBuf,
    source: Result<FolderSource, FolderProblem>,
}

/// An opened folder, or why there is none.
type FolderState = Result<Arc<ServedFolder>, FolderProblem>;

/// A folder as it was opened.
#[derive(Debug)]
struct Place {
    /// The files that make it one, as they were; empty after its card was gone.
    seen: Vec<Seen>,
    /// Device number of its root.
    device: u64,
    directory: PathBuf,
    name: String,
    state: FolderState,
    /// Why an opened folder does not answer prompts all the same: its model.
    model: Option<FolderProblem>,
}

/// What finds the folders at a root; tests put a failing card in its place.
type Find = fn(&Path) -> Result<Vec<Result<FolderSource, CatalogError>>, CatalogError>;

/// The watcher's memory between two looks.
#[derive(Debug)]
pub(super) struct Watcher {
    roots: Vec<PathBuf>,
    find: Find,
    /// By manifest.
    places: BTreeMap<PathBuf, Place>,
}

impl Watcher {
    /// Watches these directories; each holds folders, or is one.
    pub const fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, find: find_sources, places: BTreeMap::new() }
    }

    /// Looks once. Returns the new view and what has changed since the last look. `check` says whether a
    /// folder's model is there now.
    pub fn look(
        &mut self,
        check: impl Fn(&Folder) -> Result<(), EngineError>,
    ) -> (FolderView, Vec<FolderNews>) {
        let before = self.view();
        let mut there: BTreeMap<PathBuf, (Candidate, u64)> = BTreeMap::new();
        let mut devices = Vec::new();
        for root in &self.roots {
            let found = candidates(root, self.find);
            devices.push((root.clone(), found.as_ref().ok().map(|(device, _)| *device)));
            if let Ok((device, found)) = found {
                there.extend(found.into_iter().map(|(key, candidate)| (key, (candidate, device))));
            }
        }
        // One directory is one folder, also where it lies below several roots.
        let there = each_directory_once(there.into_iter().collect(), |(_, (candidate, _))| {
            candidate.directory.as_path()
        });
        let there: BTreeMap<PathBuf, (Candidate, u64)> = there.into_iter().collect();
        self.mark_missing(&there, &devices);
        for (key, (candidate, device)) in there {
            let known = self.places.get(&key);
            let same = known.is_some_and(|place| place.device == device && place.is_same(&candidate));
            if same {
                continue;
            }
            let directory = match &candidate.source {
                Ok(source) => source.directory().to_owned(),
                Err(_) => key.clone(),
            };
            let state = open(&candidate);
            // Named below, together with all others.
            let (seen, name) = (candidate.seen, String::new());
            self.places.insert(key, Place { seen, device, directory, name, state, model: None });
        }
        self.name_all();
        for place in self.places.values_mut() {
            let opened = place.state.as_ref().ok();
            place.model = opened.and_then(|folder| check(&folder.folder).err()).map(FolderProblem::from);
        }
        let view = self.view();
        let news = compare(&before, &view);
        (view, news)
    }

    /// Gives all folders their names, which depend on what folders there are and not on which came first.
    fn name_all(&mut self) {
        let all: Vec<Unnamed<'_>> = self
            .places
            .values()
            .map(|place| Unnamed {
                directory: &place.directory,
                folder: place.state.as_ref().ok().map(|served| &*served.folder),
            })
            .collect();
        let names = served_names(&all);
        for (place, name) in self.places.values_mut().zip(names) {
            if let Ok(folder) = &mut place.state
                && folder.name != name
            {
                *folder = Arc::new(folder.renamed(name.clone()));
            }
            place.name = name;
        }
    }

    /// Folders that are no longer there: gone from their card, or gone with it.
    fn mark_missing(
        &mut self,
        there: &BTreeMap<PathBuf, (Candidate, u64)>,
        devices: &[(PathBuf, Option<u64>)],
    ) {
        self.places.retain(|key, place| {
            if there.contains_key(key) {
                return true;
            }
            let root = devices.iter().find(|(root, _)| key.starts_with(root));
            let card_is_gone = root.is_some_and(|(_, device)| *device != Some(place.device));
            if card_is_gone {
                place.seen.clear();
                let message =
                    format!("{} is gone, or its card cannot be read; put the card back in", key.display());
                place.state = Err(FolderProblem { code: ErrorCode::CardError, message });
            }
            card_is_gone
        });
    }

    fn view(&self) -> FolderView {
        let mut view = FolderView { looked: true, ..FolderView::default() };
        for place in self.places.values() {
            let not_ready = match (&place.state, &place.model) {
                (Ok(folder), None) => {
                    view.ready.insert(place.name.clone(), Arc::clone(folder));
                    continue;
                }
                (Ok(folder), Some(problem)) => {
                    NotReady { problem: problem.clone(), folder: Some(Arc::clone(folder)) }
                }
                (Err(problem), _) => NotReady { problem: problem.clone(), folder: None },
            };
            view.problems.insert(place.name.clone(), not_ready);
        }
        view
    }
}

impl Place {
    /// Whether a candidate is what was opened: the same files, or the same thing in the way.
    fn is_same(&self, candidate: &Candidate) -> bool {
        match (&candidate.source, &self.state) {
            (Err(now), Err(then)) => now == then,
            // A card that could not be read may recover without any file changing.
            (Ok(_), Err(problem)) if problem.code == ErrorCode::CardError => false,
            _ => !self.seen.is_empty() && self.seen == candidate.seen,
        }
    }
}

/// The folders below a root, each with the files that make it one, and the root's device number.
fn candidates(root: &Path, find: Find) -> std::io::Result<(u64, BTreeMap<PathBuf, Candidate>)> {
    let device = std::fs::metadata(root)?.dev();
    let sources = match find(root) {
        Ok(sources) => sources,
        // A root without a folder is an empty card slot, no error.
        Err(CatalogError::NothingFound { .. }) => Vec::new(),
        // A root that cannot be listed is a card that fails: nothing on it is known to be gone.
        Err(CatalogError::Io { source, .. }) => {
            tracing::warn!(root = %root.display(), error = %source, "the card cannot be read");
            return Err(source);
        }
        Err(error) => vec![Err(error)],
    };
    let mut found = BTreeMap::new();
    for source in sources {
        match source {
            Ok(source) => {
                let mut seen = vec![stamp(source.manifest()), stamp(&source.directory().join("features"))];
                seen.retain(|s| s.is_some());
                let (key, directory) = (source.manifest().to_owned(), source.directory().to_owned());
                let seen = seen.into_iter().flatten().collect();
                found.insert(key, Candidate { seen, directory, source: Ok(source) });
            }
            Err(error) => {
                let problem = FolderProblem { code: error.code(), message: error.to_string() };
                let key = error.path().map_or_else(|| root.to_owned(), Path::to_owned);
                let above = key.parent().filter(|_| !key.is_dir());
                let directory = above.unwrap_or(&key).to_owned();
                found.insert(key, Candidate { seen: Vec::new(), directory, source: Err(problem) });
            }
        }
    }
    Ok((device, found))
}

/// A file or directory as it is now; `None` where it is not there.
fn stamp(path: &Path) -> Option<Seen> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), metadata.dev(), metadata.ino(), metadata.mtime(), metadata.len()))
}

/// Opens a folder; its name comes later.
fn open(candidate: &Candidate) -> FolderState {
    let source = candidate.source.as_ref().map_err(FolderProblem::clone)?;
    let folder = Folder::open(source)
        .map_err(|error| FolderProblem { code: error.code(), message: error.to_string() })?;
    Ok(Arc::new(ServedFolder::new(folder.name().to_owned(), folder)))
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
    for (name, NotReady { problem, .. }) in &after.problems {
        if before.problems.get(name).map(|known| &known.problem) != Some(problem) {
            news.push(FolderNews::Problem(name.clone(), problem.clone()));
        }
    }
    for name in before.names() {
        if !after.ready.contains_key(name) && !after.problems.contains_key(name) {
            news.push(FolderNews::Removed(name.clone()));
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static FAILS: Cell<bool> = const { Cell::new(false) };
    }

    fn failing(root: &Path) -> Result<Vec<Result<FolderSource, CatalogError>>, CatalogError> {
        if FAILS.get() {
            let (path, source) = (root.to_owned(), std::io::Error::from_raw_os_error(5));
            return Err(CatalogError::Io { path, action: "list the directory", source });
        }
        find_sources(root)
    }

    #[test]
    fn a_directory_below_several_roots_is_one_folder() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let places = tempfile::tempdir().unwrap();
        let [card, links] = ["card", "a_links"].map(|name| places.path().join(name));
        std::fs::create_dir_all(card.join("valley/features")).unwrap();
        std::fs::create_dir(&links).unwrap();
        let manifest = fixtures.join("folder_sam/manifest.parquet");
        std::fs::copy(manifest, card.join("valley/manifest.parquet")).unwrap();
        std::os::unix::fs::symlink(card.join("valley"), links.join("hill")).unwrap();
        std::os::unix::fs::symlink(&card, places.path().join("also")).unwrap();
        let mut roots = vec![links, places.path().join("also"), card.clone(), card.join("valley")];
        for _ in 0..roots.len() {
            roots.rotate_left(1);
            let (view, _) = Watcher::new(roots.clone()).look(|_| Ok(()));
            assert_eq!(view.names().collect::<Vec<_>>(), ["valley"], "{roots:?}");
            assert_eq!(view.ready["valley"].folder.root(), card.join("valley"));
        }
        // What cannot be opened is told once, too.
        std::fs::write(card.join("valley/manifest.parquet"), "cut off").unwrap();
        let (view, news) = Watcher::new(roots.clone()).look(|_| Ok(()));
        assert_eq!((view.problems.len(), news.len()), (1, 1), "{news:?}");
        std::fs::remove_file(card.join("valley/manifest.parquet")).unwrap();
        std::fs::write(card.join("valley/manifest.pkl"), "pickled").unwrap();
        let (view, news) = Watcher::new(roots).look(|_| Ok(()));
        assert_eq!((view.problems.len(), news.len()), (1, 1), "{news:?}");
    }

    #[test]
    fn a_root_that_cannot_be_listed_is_a_card_that_fails_and_not_an_empty_one() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let card = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(fixtures.join("folder_sam"), card.path().join("valley")).unwrap();
        let mut watcher = Watcher { find: failing, ..Watcher::new(vec![card.path().to_owned()]) };
        let (view, _) = watcher.look(|_| Ok(()));
        assert!(view.ready.contains_key("valley"));
        FAILS.set(true);
        let (view, news) = watcher.look(|_| Ok(()));
        assert_eq!(view.problems["valley"].problem.code, ErrorCode::CardError);
        assert!(matches!(&news[..], [FolderNews::Problem(name, _)] if name == "valley"), "{news:?}");
        FAILS.set(false);
        let (view, news) = watcher.look(|_| Ok(()));
        assert!(view.ready.contains_key("valley"));
        assert_eq!(news, [FolderNews::Added("valley".to_owned())]);
    }
}
