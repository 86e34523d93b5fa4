//! Tiles that have been made, as far as there is room; who was not asked for longest makes room first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use hyper::body::Bytes;

use crate::picture::TilePlace;

/// A tile of a raster's version.
pub(super) type Key = (String, String, TilePlace);

/// Bytes kept: some 60 tiles of imagery, two screens.
const MOST_BYTES: usize = 6 << 20;

#[derive(Debug, Default)]
struct Kept {
    tiles: HashMap<Key, (Bytes, u64)>,
    /// Keys by when they were last asked for.
    turns: BTreeMap<u64, Key>,
    turn: u64,
    bytes: usize,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct TileCache(Mutex<Kept>);

impl TileCache {
    /// A tile, if it is kept.
    pub(super) fn get(&self, key: &Key) -> Option<Bytes> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { tiles, turns, turn, .. } = &mut *kept;
        let (bytes, last) = tiles.get_mut(key)?;
        *turn += 1;
        if let Some(key) = turns.remove(last) {
            turns.insert(*turn, key);
        }
        *last = *turn;
        Some(bytes.clone())
    }

    /// Keeps a tile.
    pub(super) fn put(&self, key: Key, bytes: Bytes) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > MOST_BYTES || kept.tiles.contains_key(&key) {
            return;
        }
        kept.turn += 1;
        kept.bytes += bytes.len();
        let turn = kept.turn;
        kept.turns.insert(turn, key.clone());
        kept.tiles.insert(key, (bytes, turn));
        while kept.bytes > MOST_BYTES {
            let Some((_, oldest)) = kept.turns.pop_first() else { break };
            if let Some((bytes, _)) = kept.tiles.remove(&oldest) {
                kept.bytes -= bytes.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_asked_for_longest_makes_room() {
        let cache = TileCache::default();
        let key = |x| ("valley".to_owned(), "v".to_owned(), TilePlace { z: 0, x, y: 0 });
        let tile = || Bytes::from(vec![0; MOST_BYTES / 4]);
        for x in 0..4 {
            cache.put(key(x), tile());
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(4), tile());
        let there: Vec<u32> = (0..5).filter(|&x| cache.get(&key(x)).is_some()).collect();
        assert_eq!(there, [0, 2, 3, 4]);
        cache.put(key(5), Bytes::from(vec![0; MOST_BYTES + 1]));
        assert!(cache.get(&key(5)).is_none());
    }
}
