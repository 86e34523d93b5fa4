//! The raster of each folder, looked for beside it and kept as long as both stay what they are; and previews of rasters
//! that have no overviews, made one after the other in a thread of its own.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::catalog::Folder;
use crate::engine::ServedFolder;
use crate::picture::{TiledRaster, Wanted, rasters_beside};

/// After which time a folder without a raster is looked at again, and one with a raster for whether that is still the same.
const AGAIN: Duration = Duration::from_secs(5);
/// Folders whose rasters are known; of more the one looked at longest ago is looked for again when it is asked for.
const MOST_KNOWN: usize = 64;
/// Of these, whose previews are kept in memory.
const MOST_PREVIEWS: usize = 2;

/// Device, number, time and size of a file: enough to notice that it is another one.
type Stamp = (u64, u64, i64, i64, u64);

#[derive(Debug)]
struct Known {
    folder: Weak<Folder>,
    looked: Instant,
    stamp: Option<Stamp>,
    /// Whether its preview has been begun.
    prepared: bool,
    raster: Result<Arc<TiledRaster>, String>,
}

/// What is known of the folders' rasters.
#[derive(Debug)]
pub(super) struct Rasters {
    known: Mutex<HashMap<String, Known>>,
    /// Held while a preview is made: one at a time.
    making: Arc<Mutex<()>>,
    ended: Arc<AtomicBool>,
}

impl Rasters {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { known: Mutex::default(), making: Arc::default(), ended: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // An entry is put in as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The raster of a folder.
    ///
    /// # Errors
    /// Says why there is none.
    pub(super) fn of(&self, name: &str, served: &ServedFolder) -> Result<Arc<TiledRaster>, String> {
        let folder = Arc::downgrade(&served.folder);
        if let Some(known) = self.known().get_mut(name)
            && known.folder.ptr_eq(&folder)
        {
            let fresh = known.looked.elapsed() < AGAIN;
            let same = || known.raster.as_ref().is_ok_and(|raster| stamp(raster.path()) == known.stamp);
            if fresh || same() {
                if !fresh {
                    known.looked = Instant::now();
                }
                return known.raster.clone();
            }
        }
        let raster = find(&served.folder).map(Arc::new);
        let of_file = raster.as_ref().ok().and_then(|raster| stamp(raster.path()));
        let mut all = self.known();
        forget_oldest(&mut all, MOST_KNOWN, name, |_| true);
        let (looked, raster_of) = (Instant::now(), raster.clone());
        let known = Known { folder, looked, stamp: of_file, prepared: false, raster: raster_of };
        all.insert(name.to_owned(), known);
        raster
    }

    /// Makes the preview of a folder's raster in the background, where it needs one and somebody looks at it.
    pub(super) fn prepare(&self, name: &str, raster: &Arc<TiledRaster>) {
        if raster.progress().is_none() {
            return;
        }
        {
            let mut all = self.known();
            match all.get_mut(name) {
                Some(known) if !known.prepared => known.prepared = true,
                _ => return,
            }
            forget_oldest(&mut all, MOST_PREVIEWS, name, |known| known.prepared);
        }
        // Nobody asks for it any more: it ends.
        let (raster, making, ended) =
            (Arc::downgrade(raster), Arc::clone(&self.making), Arc::clone(&self.ended));
        let make = move || {
            let _one_at_a_time = making.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(raster) = raster.upgrade() else { return };
            let go_on = || !ended.load(Ordering::Relaxed) && Arc::strong_count(&raster) > 1;
            if let Err(error) = raster.prepare(&go_on) {
                tracing::warn!(%error, "the map page has no overview of this raster");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("overview".to_owned()).spawn(make) {
            tracing::warn!(%error, "no thread for the overview of a raster");
        }
    }

    /// A text that changes when the raster does, or its preview has grown.
    pub(super) fn version(raster: &TiledRaster) -> String {
        let (device, number, seconds, nanoseconds, size) = stamp(raster.path()).unwrap_or_default();
        let grown = raster.progress().map_or(0, |progress| (progress * 20.0) as u32);
        let of_file = format!("{device}:{number}:{seconds}:{nanoseconds}:{size}");
        format!("{:08x}-{grown}", crc32fast::hash(of_file.as_bytes()))
    }
}

impl Drop for Rasters {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Makes room for `name`: of those that count there are fewer than `most` then.
fn forget_oldest(all: &mut HashMap<String, Known>, most: usize, name: &str, counts: impl Fn(&Known) -> bool) {
    let others = || all.iter().filter(|(other, known)| *other != name && counts(known));
    if others().count() < most {
        return;
    }
    let oldest = others().min_by_key(|(_, known)| known.looked).map(|(other, _)| other.clone());
    oldest.and_then(|other| all.remove(&other));
}

fn stamp(path: &Path) -> Option<Stamp> {
    let m = std::fs::metadata(path).ok()?;
    Some((m.dev(), m.ino(), m.mtime(), m.mtime_nsec(), m.len()))
}

/// The raster that lies under the folder's middle chip.
fn find(folder: &Folder) -> Result<TiledRaster, String> {
    let Some(chip) = folder.chip(folder.len() / 2) else { return Err(String::new()) };
    let wanted = Wanted { epsg: folder.crs().epsg, names: folder.raster_names() };
    let found = rasters_beside(folder.root(), &chip, wanted);
    let mut problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    for candidate in &found.candidates {
        match TiledRaster::open(&candidate.path) {
            Ok(raster) => return Ok(raster),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    Err(problems.first().cloned().unwrap_or_default())
}
