//! Searches for everything that are under way: what is in memory of them between their steps. What must outlast a
//! restart is in the store, as rows of their requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::admission::Cancellation;
use crate::api::RequestId;
use crate::engine::Survey;

/// A search between two steps.
pub(super) struct Run {
    pub survey: Box<Survey>,
    /// Objects that are in the layer.
    pub found: u64,
}

/// The searches under way, by the places of their requests in the inbox.
#[derive(Default)]
pub(super) struct Surveys(Mutex<HashMap<u64, Entry>>);

struct Entry {
    client: String,
    id: Option<RequestId>,
    cancelled: Arc<AtomicBool>,
    /// Absent while a worker has it, and after a step that failed.
    run: Option<Run>,
}

impl Surveys {
    /// Each use leaves the map whole.
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is in memory of a search, and what tells whether it has been taken back.
    pub fn take(&self, seq: u64, client: &str, id: Option<&RequestId>) -> (Option<Run>, Arc<AtomicBool>) {
        let mut entries = self.entries();
        let entry = entries.entry(seq).or_insert_with(|| Entry {
            client: client.to_owned(),
            id: id.cloned(),
            cancelled: Arc::default(),
            run: None,
        });
        (entry.run.take(), Arc::clone(&entry.cancelled))
    }

    /// Keeps a search for its next step; not one that is forgotten meanwhile.
    pub fn keep(&self, seq: u64, run: Run) {
        if let Some(entry) = self.entries().get_mut(&seq) {
            entry.run = Some(run);
        }
    }

    /// Forgets a search that is over.
    pub fn forget(&self, seq: u64) {
        self.entries().remove(&seq);
    }

    /// Takes back what its client wants, all but those that were taken back while they waited; says how many.
    pub fn cancel(&self, cancellation: &Cancellation, but: &[u64]) -> usize {
        let entries = self.entries();
        let wanted = entries.iter().filter(|(seq, entry)| {
            !but.contains(seq)
                && entry.client == cancellation.client
                && cancellation.wants_id(entry.id.as_ref())
        });
        wanted.filter(|(_, entry)| !entry.cancelled.swap(true, Ordering::Relaxed)).count()
    }
}
