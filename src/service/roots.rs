//! The feature roots, each looked at by a thread of its own: a card that hangs keeps nobody from seeing the folders of the
//! others. Here folders are found and opened, and models listed; what folders are called, and what came and went, is the
//! watcher's.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::folders::FolderProblem;
use crate::ErrorCode;
use crate::catalog::{CatalogError, Folder, FolderSource};
use crate::engine::ServedFolder;
use crate::models::ModelStore;

/// How long cards are waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// By a look.
    pub look: Duration,
    /// Until what is on a card is not counted on any more.
    pub hang: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        // Less than a start waits for the first look; and longer than a card takes to be spun up, or to repair itself.
        Self { look: Duration::from_secs(3), hang: Duration::from_secs(15) }
    }
}

/// What finds the folders at a root; tests put a failing card in its place.
pub(super) type Find = fn(&Path) -> Result<Vec<Result<FolderSource, CatalogError>>, CatalogError>;

/// An opened folder, or why there is none. Its name comes later.
pub(super) type Opened = Result<Arc<ServedFolder>, FolderProblem>;

/// A file as it was seen: enough to notice that it is another one.
type Stamp = (PathBuf, u64, u64, i64, u64);

/// What lies at a root.
#[derive(Debug)]
pub(super) struct Seen {
    /// The root's device number.
    pub device: u64,
    /// By manifest.
    pub folders: BTreeMap<PathBuf, Found>,
    /// In its directory `models`.
    models: Option<Arc<ModelStore>>,
}

/// A folder that a look has found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The directory that is the folder, or should be.
    pub directory: PathBuf,
    /// What it is named after: the directory, or what stands in the place of a folder.
    pub path: PathBuf,
    /// Device number of its root.
    pub device: u64,
    pub opened: Opened,
    /// The files that make it one, as they were.
    stamps: Vec<Stamp>,
}

/// What a look at a root has come to.
#[derive(Debug)]
pub(super) enum Sight {
    Found(Seen),
    /// The root is not there, or cannot be listed.
    Gone,
    /// No answer yet; what was there last may still be.
    Slow,
    /// No answer for so long that what is on it cannot be counted on.
    Hangs,
}

/// A root and who looks at it.
#[derive(Debug)]
pub(super) struct Root {
    pub path: PathBuf,
    find: Find,
    patience: Patience,
    /// Who looks; nobody before the first look.
    looker: Option<(Sender<()>, Receiver<Sight>)>,
    /// Since when a look is waited for.
    asked: Option<Instant>,
    /// The models that it carries, as of the last look.
    pub models: Option<Arc<ModelStore>>,
}

impl Root {
    pub const fn new(path: PathBuf, find: Find, patience: Patience) -> Self {
        Self { path, find, patience, looker: None, asked: None, models: None }
    }
}

/// Looks at all roots at once.
pub(super) fn look(roots: &mut [Root]) -> Vec<Sight> {
    let begin = Instant::now();
    for root in roots.iter_mut() {
        root.ask();
    }
    roots.iter_mut().map(|root| root.answer(begin)).collect()
}

impl Root {
    /// Asks for a look, where none is under way.
    fn ask(&mut self) {
        if self.asked.is_some() {
            return;
        }
        if self.looker.is_none() {
            let ((ask, asked), (tell, told)) = (channel(), channel());
            let (path, find) = (self.path.clone(), self.find);
            let look = move || look_when_asked(&path, find, &asked, &tell);
            // Without a thread nothing is seen of this root until there is one.
            match std::thread::Builder::new().name("card".to_owned()).spawn(look) {
                Ok(_) => self.looker = Some((ask, told)),
                Err(error) => tracing::error!(%error, "no thread can be started to look for folders"),
            }
        }
        if let Some((ask, _)) = &self.looker
            && ask.send(()).is_ok()
        {
            self.asked = Some(Instant::now());
        }
    }

    /// What it has come to, in the time that is left of a look.
    fn answer(&mut self, begin: Instant) -> Sight {
        let (Some((_, told)), Some(asked)) = (&self.looker, self.asked) else { return Sight::Slow };
        // One that was waited for in the look before has what comes at once.
        let left = match asked < begin {
            true => Duration::ZERO,
            false => self.patience.look.saturating_sub(begin.elapsed()),
        };
        let sight = match told.recv_timeout(left) {
            Ok(sight) => {
                self.asked = None;
                sight
            }
            Err(_) if asked.elapsed() >= self.patience.hang => Sight::Hangs,
            Err(_) => return Sight::Slow,
        };
        self.models = if let Sight::Found(seen) = &sight { seen.models.clone() } else { None };
        sight
    }
}

/// Looks whenever it is asked, until nobody is there to ask.
fn look_when_asked(root: &Path, find: Find, asked: &Receiver<()>, tell: &Sender<Sight>) {
    let mut known = BTreeMap::new();
    while asked.recv().is_ok() {
        // A fault of ours at one card is not the end of the appliance.
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| look_at(root, find, &mut known)));
        let sight = looked.unwrap_or_else(|_| {
            tracing::error!(root = %root.display(), "looking at the card failed inside the program; please report it with its log");
            Sight::Gone
        });
        if tell.send(sight).is_err() {
            return;
        }
    }
}

/// Looks at a root, and opens what is not known as it is.
fn look_at(root: &Path, find: Find, known: &mut BTreeMap<PathBuf, Found>) -> Sight {
    let mut before = std::mem::take(known);
    let Ok((device, candidates)) = candidates(root, find) else { return Sight::Gone };
    for (key, candidate) in candidates {
        let same = before.remove(&key).filter(|found| found.device == device && found.is_still(&candidate));
        let found = same.unwrap_or_else(|| candidate.open(device, &key));
        known.insert(key, found);
    }
    Sight::Found(Seen { device, folders: known.clone(), models: models_of(root) })
}

/// The models that a card carries. Where they cannot be listed there are none: cards come and go.
fn models_of(root: &Path) -> Option<Arc<ModelStore>> {
    match ModelStore::open(&root.join("models")) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) => {
            tracing::debug!(%error, "the models of a card are not looked at");
            None
        }
    }
}

/// A folder that was found and not opened.
#[derive(Debug)]
struct Candidate {
    stamps: Vec<Stamp>,
    /// The directory that is the folder, or should be.
    directory: PathBuf,
    source: Result<FolderSource, FolderProblem>,
}

impl Found {
    /// Whether a candidate is what was opened: the same files, or the same thing in the way.
    fn is_still(&self, candidate: &Candidate) -> bool {
        match (&candidate.source, &self.opened) {
            (Err(now), Err(then)) => now == then,
            // A card that could not be read may recover without any file changing.
            (Ok(_), Err(problem)) if problem.code == ErrorCode::CardError => false,
            _ => !self.stamps.is_empty() && self.stamps == candidate.stamps,
        }
    }
}

impl Candidate {
    fn open(self, device: u64, key: &Path) -> Found {
        let path = match &self.source {
            Ok(source) => source.directory().to_owned(),
            Err(_) => key.to_owned(),
        };
        let folder = self.source.and_then(|source| Ok(Folder::open(&source)?));
        let opened = folder.map(|folder| Arc::new(ServedFolder::new(folder.name().to_owned(), folder)));
        Found { directory: self.directory, path, device, opened, stamps: self.stamps }
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
                let (key, directory) = (source.manifest().to_owned(), source.directory().to_owned());
                let stamps =
                    [stamp(&key), stamp(&directory.join("features"))].into_iter().flatten().collect();
                found.insert(key, Candidate { stamps, directory, source: Ok(source) });
            }
            Err(error) => {
                let key = error.path().map_or_else(|| root.to_owned(), Path::to_owned);
                let above = key.parent().filter(|_| !key.is_dir());
                let directory = above.unwrap_or(&key).to_owned();
                found.insert(key, Candidate { stamps: Vec::new(), directory, source: Err(error.into()) });
            }
        }
    }
    Ok((device, found))
}

/// A file or directory as it is now; `None` where it is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), metadata.dev(), metadata.ino(), metadata.mtime(), metadata.len()))
}
