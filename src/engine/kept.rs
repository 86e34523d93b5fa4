//! What drawing on a chip has learnt, kept for the next prompt on it: a user drags a point about on one chip. What
//! decoders prepare of a chip is kept in their own cache.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::ServedFolder;
use super::ways::Ways;
use crate::api::CrsChoice;

/// Chips whose ways are kept; those of a rough mask over a whole chip of 1024 x 1024 take 100 KB.
const CHIPS: usize = 16;
/// Ways over more blocks, of masks larger than 2000 x 2000, are not kept: half a megabyte.
const MAX_BLOCKS: usize = 1024;

struct Entry {
    /// The very folder: one that was read again may have other grids.
    folder: Weak<ServedFolder>,
    chip: usize,
    crs: CrsChoice,
    ways: Ways,
}

impl Entry {
    fn is_of(&self, folder: &Arc<ServedFolder>, chip: usize, crs: CrsChoice) -> bool {
        self.chip == chip && self.crs == crs && std::ptr::eq(self.folder.as_ptr(), Arc::as_ptr(folder))
    }
}

/// The ways of the chips last drawn on, the latest first.
#[derive(Default)]
pub(super) struct Kept(Mutex<VecDeque<Entry>>);

impl Kept {
    /// The list is whole between any two of its calls, so a poisoned lock still holds one.
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the ways of a chip; who draws at the same time starts anew.
    pub fn take(&self, folder: &Arc<ServedFolder>, chip: usize, crs: CrsChoice) -> Option<Ways> {
        let mut entries = self.entries();
        let at = entries.iter().position(|entry| entry.is_of(folder, chip, crs))?;
        Some(entries.remove(at)?.ways)
    }

    /// Keeps the ways of a chip, in place of the one that was drawn on longest ago.
    pub fn put(&self, folder: &Arc<ServedFolder>, chip: usize, crs: CrsChoice, ways: Ways) {
        let mut entries = self.entries();
        entries.retain(|entry| !entry.is_of(folder, chip, crs) && entry.folder.strong_count() > 0);
        if ways.blocks() > MAX_BLOCKS {
            return;
        }
        entries.truncate(CHIPS - 1);
        entries.push_front(Entry { folder: Arc::downgrade(folder), chip, crs, ways });
    }
}
