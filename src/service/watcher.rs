//! Which feature folders there are: looks below the roots every second or two, opens what is new or has
//! changed, and tells what came and went.
//!
//! A look costs a directory listing and a few `stat`s, so the card is not kept busy, and no file of it
//! stays open. A folder that is gone is told from a card that is gone: a card takes its root with it, or
//! leaves an empty mount point on another file system. A card that hangs takes its own folders out of service, so that no
//! worker hangs on it, too, and those of no other.
//!
//! A folder whose model is not there is opened and not ready: it says so before anybody asks. The models are the
//! engine's; it is given those that cards carry, and looks at its own at the same pace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folders::{FolderProblem, FolderView, NotReady};
use super::roots::{self, Find, Found, Opened, Patience, Root, Sight};
use crate::ErrorCode;
use crate::catalog::{Folder, Unnamed, each_directory_once, find_sources, served_names};
use crate::engine::{EngineError, ServedFolder};
use crate::models::ModelStore;

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

/// A folder, or what stands in the place of one.
#[derive(Debug)]
struct Place {
    /// What it is named after.
    path: PathBuf,
    /// Device number of its root.
    device: u64,
    /// As it was opened.
    opened: Opened,
    /// The same under its name.
    served: Option<Arc<ServedFolder>>,
    name: String,
    /// What is wrong with its card.
    card: Option<FolderProblem>,
    /// Why an opened folder does not answer prompts all the same: its model.
    model: Option<FolderProblem>,
}

/// The watcher's memory between two looks.
#[derive(Debug)]
pub(super) struct Watcher {
    roots: Vec<Root>,
    /// By manifest; of a card that has never answered by its root.
    places: BTreeMap<PathBuf, Place>,
}

impl Watcher {
    /// Watches these directories; each holds folders, or is one.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self::finding(roots, find_sources, Patience::default())
    }

    fn finding(roots: Vec<PathBuf>, find: Find, patience: Patience) -> Self {
        let roots = roots.into_iter().map(|path| Root::new(path, find, patience)).collect();
        Self { roots, places: BTreeMap::new() }
    }

    /// Looks once. Returns the new view and what has changed since the last look. `models` is given the models that the
    /// cards carry; `check` says then whether a folder's model is there.
    pub fn look(
        &mut self,
        models: impl FnOnce(&[Arc<ModelStore>]),
        check: impl Fn(&Folder) -> Result<(), EngineError>,
    ) -> (FolderView, Vec<FolderNews>) {
        let before = self.view();
        let sights = roots::look(&mut self.roots);
        let on_cards: Vec<Arc<ModelStore>> =
            self.roots.iter().filter_map(|root| root.models.clone()).collect();
        models(&on_cards);
        let mut there: Vec<(PathBuf, Found)> = Vec::new();
        let mut cards = Vec::new();
        for (root, sight) in self.roots.iter().zip(sights) {
            let card = match sight {
                Sight::Found(seen) => {
                    there.extend(seen.folders);
                    Card::Is(seen.device)
                }
                Sight::Gone => Card::Gone,
                Sight::Slow => Card::Slow,
                Sight::Hangs => Card::Hangs,
            };
            cards.push((root.path.clone(), card));
        }
        // One manifest is one folder, and one directory, also where it lies below several roots.
        let there: BTreeMap<PathBuf, Found> = there.into_iter().collect();
        let there = each_directory_once(there.into_iter().collect(), |(_, found)| found.directory.as_path());
        let there: BTreeMap<PathBuf, Found> = there.into_iter().collect();
        self.mark_missing(&there, &cards);
        for (key, found) in there {
            let known = self.places.get(&key);
            if known.is_none_or(|place| place.card.is_some() || !place.is(&found)) {
                self.places.insert(key, Place::of(found));
            }
        }
        self.tell_silent(&cards);
        self.name_all();
        for place in self.places.values_mut() {
            let served = place.served.as_ref();
            place.model = served.and_then(|folder| check(&folder.folder).err()).map(FolderProblem::from);
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
                directory: &place.path,
                folder: place.opened.as_ref().ok().map(|opened| &*opened.folder),
            })
            .collect();
        let names = served_names(&all);
        for (place, name) in self.places.values_mut().zip(names) {
            if let Ok(opened) = &place.opened
                && place.served.as_ref().is_none_or(|served| served.name != name)
            {
                place.served = Some(Arc::new(opened.renamed(name.clone())));
            }
            place.name = name;
        }
    }

    /// Folders that are no longer there: gone from their card, gone with it, or on one that hangs.
    fn mark_missing(&mut self, there: &BTreeMap<PathBuf, Found>, cards: &[(PathBuf, Card)]) {
        self.places.retain(|key, place| {
            if there.contains_key(key) {
                return true;
            }
            let card = cards.iter().find(|(root, _)| key.starts_with(root));
            let (is_there, trouble) = match card {
                Some((_, Card::Slow)) => return true,
                Some((root, Card::Hangs)) => (false, silent(root)),
                Some((_, Card::Is(device))) => (*device == place.device, gone(key)),
                Some((_, Card::Gone)) => (false, gone(key)),
                None => return false,
            };
            if !is_there {
                place.card = Some(trouble);
            }
            !is_there
        });
    }

    /// A card of which nothing is known because it does not answer is told as itself.
    fn tell_silent(&mut self, cards: &[(PathBuf, Card)]) {
        for (root, card) in cards {
            let is_silent = matches!(card, Card::Slow | Card::Hangs);
            if is_silent && !self.places.keys().any(|key| key.starts_with(root)) {
                self.places.insert(root.clone(), Place::silent(root));
            } else if !is_silent && self.places.get(root).is_some_and(|place| place.device == NO_DEVICE) {
                self.places.remove(root);
            }
        }
    }

    fn view(&self) -> FolderView {
        let mut view = FolderView { looked: true, ..FolderView::default() };
        for place in self.places.values() {
            let opened = place.served.clone();
            let not_ready = match (&place.card, &place.opened, &place.model, opened) {
                (None, Ok(_), None, Some(folder)) => {
                    view.ready.insert(place.name.clone(), folder);
                    continue;
                }
                (Some(problem), ..) | (None, Err(problem), ..) => {
                    NotReady { problem: problem.clone(), folder: None }
                }
                (None, Ok(_), Some(problem), folder) => NotReady { problem: problem.clone(), folder },
                // It has its name in the same look.
                (None, Ok(_), None, None) => continue,
            };
            view.problems.insert(place.name.clone(), not_ready);
        }
        view
    }
}

/// Of what no card tells.
const NO_DEVICE: u64 = u64::MAX;

/// What is known of a root's card.
#[derive(Debug, Clone, Copy)]
enum Card {
    Is(u64),
    Gone,
    Slow,
    Hangs,
}

fn gone(key: &Path) -> FolderProblem {
    let message = format!("{} is gone, or its card cannot be read; put the card back in", key.display());
    FolderProblem { code: ErrorCode::CardError, message }
}

fn silent(root: &Path) -> FolderProblem {
    let message = format!(
        "the card at {} does not answer; its folders are served when it does; if it stays so, take it out and put it in again",
        root.display()
    );
    FolderProblem { code: ErrorCode::CardError, message }
}

impl Place {
    fn of(found: Found) -> Self {
        let Found { path, device, opened, .. } = found;
        Self { path, device, opened, served: None, name: String::new(), card: None, model: None }
    }

    fn silent(root: &Path) -> Self {
        Self {
            path: root.to_owned(),
            device: NO_DEVICE,
            opened: Err(silent(root)),
            served: None,
            name: String::new(),
            card: None,
            model: None,
        }
    }

    /// Whether it is what a look has found: the same opening of a folder, or the same thing in the way.
    fn is(&self, found: &Found) -> bool {
        match (&self.opened, &found.opened) {
            (Ok(known), Ok(now)) => Arc::ptr_eq(known, now),
            (Err(known), Err(now)) => known == now && self.device == found.device,
            _ => false,
        }
    }
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::catalog::{CatalogError, FolderSource};
    use crate::service::stuck::Stuck;

    static FAILS: AtomicBool = AtomicBool::new(false);

    fn failing(root: &Path) -> Result<Vec<Result<FolderSource, CatalogError>>, CatalogError> {
        if FAILS.load(Ordering::SeqCst) {
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
            let (view, _) = Watcher::new(roots.clone()).look(|_| {}, |_| Ok(()));
            assert_eq!(view.names().collect::<Vec<_>>(), ["valley"], "{roots:?}");
            assert_eq!(view.ready["valley"].folder.root(), card.join("valley"));
        }
        // What cannot be opened is told once, too.
        std::fs::write(card.join("valley/manifest.parquet"), "cut off").unwrap();
        let (view, news) = Watcher::new(roots.clone()).look(|_| {}, |_| Ok(()));
        assert_eq!((view.problems.len(), news.len()), (1, 1), "{news:?}");
        std::fs::remove_file(card.join("valley/manifest.parquet")).unwrap();
        std::fs::write(card.join("valley/manifest.pkl"), "pickled").unwrap();
        let (view, news) = Watcher::new(roots).look(|_| {}, |_| Ok(()));
        assert_eq!((view.problems.len(), news.len()), (1, 1), "{news:?}");
    }

    #[test]
    fn a_root_that_cannot_be_listed_is_a_card_that_fails_and_not_an_empty_one() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let card = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(fixtures.join("folder_sam"), card.path().join("valley")).unwrap();
        let mut watcher = Watcher::finding(vec![card.path().to_owned()], failing, Patience::default());
        let (view, _) = watcher.look(|_| {}, |_| Ok(()));
        assert!(view.ready.contains_key("valley"));
        FAILS.store(true, Ordering::SeqCst);
        let (view, news) = watcher.look(|_| {}, |_| Ok(()));
        assert_eq!(view.problems["valley"].problem.code, ErrorCode::CardError);
        assert!(matches!(&news[..], [FolderNews::Problem(name, _)] if name == "valley"), "{news:?}");
        FAILS.store(false, Ordering::SeqCst);
        let (view, news) = watcher.look(|_| {}, |_| Ok(()));
        assert!(view.ready.contains_key("valley"));
        assert_eq!(news, [FolderNews::Added("valley".to_owned())]);
    }

    #[test]
    fn a_card_that_hangs_takes_its_own_folders_out_of_service_and_those_of_no_other() {
        let manifest =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/folder_sam/manifest.parquet");
        let cards = tempfile::tempdir().unwrap();
        let [sound, hanging] = ["sound", "hanging"].map(|name| cards.path().join(name));
        let put = |card: &Path, name: &str| {
            std::fs::create_dir_all(card.join(name)).unwrap();
            std::fs::copy(&manifest, card.join(name).join("manifest.parquet")).unwrap();
        };
        put(&sound, "valley");
        put(&hanging, "hill");
        let patience = Patience { look: Duration::from_secs(5), hang: Duration::from_millis(1) };
        let roots = vec![hanging.clone(), sound.clone()];
        let mut watcher = Watcher::finding(roots.clone(), find_sources, patience);
        let mut look = || watcher.look(|_| {}, |_| Ok(()));
        let (view, _) = look();
        assert_eq!(view.ready.keys().collect::<Vec<_>>(), ["hill", "valley"]);

        std::fs::create_dir(hanging.join("lake")).unwrap();
        let lake = hanging.join("lake/manifest.parquet");
        let stuck = Stuck::at(&lake);
        put(&sound, "field");
        let (view, news) = look();
        assert_eq!(view.ready.keys().collect::<Vec<_>>(), ["field", "valley"], "{news:?}");
        let told = &view.problems["hill"].problem;
        assert_eq!(told.code, ErrorCode::CardError);
        assert!(
            told.message.contains(&format!("the card at {} does not answer", hanging.display())),
            "{told:?}"
        );
        // Nobody waits for it again.
        let begin = Instant::now();
        put(&sound, "road");
        assert_eq!(look().1, [FolderNews::Added("road".to_owned())]);
        assert!(begin.elapsed() < patience.look);

        // One that hangs from the start is told as itself.
        let mut second =
            Watcher::finding(roots, find_sources, Patience { look: Duration::from_millis(300), ..patience });
        let mut look_too = || second.look(|_| {}, |_| Ok(()));
        let view = until(|| Some(look_too().0).filter(|view| view.ready.contains_key("valley")));
        assert_eq!(view.problems["hanging"].problem.code, ErrorCode::CardError);

        // It answers, though not with a folder.
        stuck.let_go();
        std::fs::remove_file(&lake).unwrap();
        let view = until(|| Some(look().0).filter(|view| view.ready.contains_key("hill")));
        assert_eq!(view.ready.len(), 4);
        let view = until(|| Some(look_too().0).filter(|view| view.ready.contains_key("hill")));
        assert!(!view.problems.contains_key("hanging"), "{:?}", view.problems);
    }

    fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "it does not come about");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn the_models_that_cards_carry_are_told_before_the_folders_are_looked_at() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let card = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(fixtures.join("models"), card.path().join("models")).unwrap();
        let mut watcher = Watcher::new(vec![card.path().to_owned(), card.path().join("none")]);
        let mut seen = Vec::new();
        watcher.look(
            |on_cards| {
                seen = on_cards.iter().flat_map(|store| store.list()).map(|m| m.name.clone()).collect()
            },
            |_| Ok(()),
        );
        assert!(seen.contains(&"mobile_sam".to_owned()), "{seen:?}");
        card.close().unwrap();
        watcher.look(|on_cards| assert!(on_cards.is_empty()), |_| Ok(()));
    }
}
