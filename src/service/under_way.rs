//! Requests that are worked on piece by piece and are under way: what is in memory of them between their turns, and
//! whether their clients have taken them back. What of a search must outlast a restart is in the store, as rows of its
//! request; a batch, the search of one chip, and what is followed over chips change nothing before their end, and begin anew after a
//! restart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::admission::Cancellation;
use super::aside::Aside;
use super::job::Job;
use super::verbs::Batch;
use crate::api::RequestId;
use crate::engine::Survey;

/// What is in memory of a request between two turns.
pub(super) enum Work {
    Survey(Run),
    Batch(Box<Batch>),
    /// One chip of a search.
    Chip(Box<Survey>),
    /// An object that is followed over chips.
    Aside(Aside),
}

/// A search between two steps.
pub(super) struct Run {
    pub survey: Box<Survey>,
    /// Objects that are in the layer.
    pub found: u64,
}

/// The requests under way, by the numbers of their jobs.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<HashMap<u64, Entry>>);

struct Entry {
    client: String,
    id: Option<RequestId>,
    cancelled: Arc<AtomicBool>,
    /// Absent while a worker has it, and after a step that failed.
    work: Option<Work>,
}

impl UnderWay {
    /// Each use leaves the map whole.
    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what is in memory of a request, and what tells whether it has been taken back.
    pub fn take(&self, job: &Job) -> (Option<Work>, Arc<AtomicBool>) {
        let mut entries = self.entries();
        let entry = entries.entry(job.number).or_insert_with(|| Entry {
            client: job.address.client.clone(),
            id: job.id(),
            cancelled: Arc::default(),
            work: None,
        });
        (entry.work.take(), Arc::clone(&entry.cancelled))
    }

    /// Keeps a request for its next turn; not one that is forgotten meanwhile.
    pub fn keep(&self, job: &Job, work: Work) {
        if let Some(entry) = self.entries().get_mut(&job.number) {
            entry.work = Some(work);
        }
    }

    /// How many threads wait for their next turn.
    pub fn asides(&self) -> usize {
        self.entries().values().filter(|entry| matches!(entry.work, Some(Work::Aside(_)))).count()
    }

    /// Lets go of all that is in memory: the service ends.
    pub fn let_go(&self) {
        self.entries().values_mut().for_each(|entry| entry.work = None);
    }

    /// Forgets a request that is over; says whether its client has taken it back, which it cannot any more from now on.
    pub fn forget(&self, job: &Job) -> bool {
        self.entries().remove(&job.number).is_some_and(|entry| entry.cancelled.load(Ordering::Relaxed))
    }

    /// Takes back what its client wants, all but those that were taken back while they waited; says how many.
    pub fn cancel(&self, cancellation: &Cancellation, but: &[u64]) -> usize {
        let entries = self.entries();
        let wanted = entries.iter().filter(|(number, entry)| {
            !but.contains(number)
                && entry.client == cancellation.client
                && cancellation.wants_id(entry.id.as_ref())
        });
        wanted.filter(|(_, entry)| !entry.cancelled.swap(true, Ordering::Relaxed)).count()
    }
}
