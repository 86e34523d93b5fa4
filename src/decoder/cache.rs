//! Prepared chips kept in memory, bounded in bytes, the least recently used given up first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::PreparedChip;

/// A cache of prepared chips that threads may share. `K` says which chip: its folder and its index in it.
///
/// A prepared chip takes 10 to 25 MB. One that is larger than the whole cache is not kept; its user holds it anyway.
#[derive(Debug)]
pub struct PreparedCache<K> {
    capacity: usize,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    chips: HashMap<K, Entry>,
    /// Keys by the time of their last use.
    by_age: BTreeMap<u64, K>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    chip: Arc<PreparedChip>,
    /// When it was used last; the key in `by_age`.
    used: u64,
}

impl<K: Eq + Hash + Clone> PreparedCache<K> {
    /// An empty cache for at most `capacity` bytes of prepared chips.
    pub fn new(capacity: usize) -> Self {
        let state = State { chips: HashMap::new(), by_age: BTreeMap::new(), bytes: 0, clock: 0 };
        Self { capacity, state: Mutex::new(state) }
    }

    /// The chip, if it is kept; it counts as used now.
    pub fn get(&self, key: &K) -> Option<Arc<PreparedChip>> {
        let mut state = self.lock();
        let now = state.tick();
        let State { chips, by_age, .. } = &mut *state;
        let entry = chips.get_mut(key)?;
        if let Some(key) = by_age.remove(&entry.used) {
            by_age.insert(now, key);
        }
        entry.used = now;
        Some(Arc::clone(&entry.chip))
    }

    /// Keeps the chip, in place of one of the same key; others are given up until it fits.
    pub fn insert(&self, key: K, chip: Arc<PreparedChip>) {
        let mut state = self.lock();
        state.remove(&key);
        let bytes = chip.bytes();
        if bytes > self.capacity {
            return;
        }
        while state.bytes > self.capacity - bytes {
            let Some((_, oldest)) = state.by_age.pop_first() else { break };
            state.remove(&oldest);
        }
        let used = state.tick();
        state.by_age.insert(used, key.clone());
        state.chips.insert(key, Entry { chip, used });
        state.bytes += bytes;
    }

    /// Gives up every chip whose key does not please, for example those of a folder that is gone.
    pub fn retain(&self, mut keep: impl FnMut(&K) -> bool) {
        let mut state = self.lock();
        let gone: Vec<K> = state.chips.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            state.remove(&key);
        }
    }

    /// Whether the chip is kept; this does not count as a use.
    pub fn contains(&self, key: &K) -> bool {
        self.lock().chips.contains_key(key)
    }

    /// How many chips are kept.
    pub fn len(&self) -> usize {
        self.lock().chips.len()
    }

    /// Whether no chip is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the chips that are kept.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The bound in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // Only a panic of `K`'s own `Hash`, `Eq` or `Clone` can poison the lock, or of a closure given to `retain`,
        // before anything has been changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> State<K> {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.chips.remove(key) {
            self.by_age.remove(&entry.used);
            self.bytes -= entry.chip.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;

    type Key = (&'static str, usize);

    fn chip(bytes: usize) -> Arc<PreparedChip> {
        Arc::new(PreparedChip::new(Family::Sam, bytes, ()))
    }

    fn cache(capacity: usize, chips: &[(Key, usize)]) -> PreparedCache<Key> {
        let cache = PreparedCache::new(capacity);
        for &(key, bytes) in chips {
            cache.insert(key, chip(bytes));
        }
        cache
    }

    #[test]
    fn the_least_recently_used_chip_is_given_up_first() {
        let cache = cache(30, &[(("a", 0), 10), (("a", 1), 10), (("a", 2), 10)]);
        assert!(cache.get(&("a", 0)).is_some());
        cache.insert(("a", 3), chip(10));
        assert!(!cache.contains(&("a", 1)));
        assert!(cache.contains(&("a", 0)) && cache.contains(&("a", 2)) && cache.contains(&("a", 3)));
        assert_eq!((cache.len(), cache.bytes()), (3, 30));
    }

    #[test]
    fn as_many_chips_are_given_up_as_the_new_one_needs() {
        let cache = cache(30, &[(("a", 0), 10), (("a", 1), 10), (("a", 2), 10), (("b", 0), 25)]);
        assert_eq!((cache.len(), cache.bytes()), (1, 25));
        assert!(cache.contains(&("b", 0)));
    }

    #[test]
    fn a_chip_larger_than_the_cache_is_not_kept_and_drives_out_nobody() {
        let cache = cache(30, &[(("a", 0), 10), (("a", 1), 31)]);
        assert!(cache.contains(&("a", 0)) && !cache.contains(&("a", 1)));
        assert_eq!(cache.bytes(), 10);
    }

    #[test]
    fn a_second_chip_of_the_same_key_replaces_the_first() {
        let cache = cache(30, &[(("a", 0), 10), (("a", 0), 20)]);
        assert_eq!((cache.len(), cache.bytes()), (1, 20));
        assert_eq!(cache.get(&("a", 0)).unwrap().bytes(), 20);
        cache.insert(("a", 0), chip(31));
        assert!(cache.is_empty(), "the outdated chip must not stay");
    }

    #[test]
    fn a_folder_is_evicted_whole_and_alone() {
        let cache = cache(100, &[(("a", 0), 10), (("b", 0), 10), (("a", 1), 10)]);
        cache.retain(|(folder, _)| *folder != "a");
        assert!(cache.contains(&("b", 0)));
        assert_eq!((cache.len(), cache.bytes()), (1, 10));
    }

    #[test]
    fn a_chip_in_use_outlives_its_eviction() {
        let cache = cache(10, &[(("a", 0), 10)]);
        let held = cache.get(&("a", 0)).unwrap();
        cache.insert(("a", 1), chip(10));
        assert!(!cache.contains(&("a", 0)));
        assert_eq!(held.bytes(), 10);
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        assert!(cache(0, &[(("a", 0), 10)]).is_empty());
    }
}
