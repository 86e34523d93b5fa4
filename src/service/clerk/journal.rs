//! Layer files. Their changes are in the journal before they are written, so a file that cannot be written holds up
//! nothing but its own layer: what is owed to it is tried again, from the journal and in its order.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Clerk;
use crate::bus::BusClient;
use crate::layers::{Applied, JournalEntry};

/// What of the journal is not in the files yet, and what is there and not struck yet.
#[derive(Debug, Default)]
pub(in crate::service) struct Backlog {
    /// Layers with a change that could not be written. Later ones wait behind it: a removal that went before its
    /// append would find nothing, and the object would stay.
    behind: BTreeSet<String>,
    /// The journal may hold changes that nobody was told of: a commit that failed may be on the card.
    unread: bool,
    done: Vec<u64>,
}

impl Backlog {
    /// What is left of a journal that a start has applied.
    pub fn of(journal: &[JournalEntry], applied: Applied) -> Self {
        let mut backlog = Self::default();
        backlog.note(journal, applied);
        backlog
    }

    /// Whether changes are in their files that are not struck from the journal.
    pub const fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Changes that are in their files, to be struck from the journal.
    pub fn take_done(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.done)
    }

    /// A commit failed, and what it would have put into the journal may be there.
    pub const fn doubt(&mut self) {
        self.unread = true;
    }

    /// Layers that are owed something.
    pub const fn behind(&self) -> &BTreeSet<String> {
        &self.behind
    }

    /// Whether a layer is owed something that could not be written.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// Whether the files may lack something of the journal.
    pub fn owes(&self) -> bool {
        self.unread || self.is_behind()
    }

    fn note(&mut self, entries: &[JournalEntry], applied: Applied) {
        for error in &applied.failed {
            tracing::error!(%error, "a saved object is not in its layer yet; it is tried again");
        }
        let open = entries.iter().filter(|entry| applied.done.binary_search(&entry.seq).is_err());
        self.behind.extend(open.map(|entry| entry.op.layer().to_owned()));
        self.done.extend(applied.done);
    }
}

impl<C: BusClient> Clerk<C> {
    /// Writes what a commit has put into the journal, as far as nothing older of its layer waits.
    pub(super) fn write_layers(&mut self, mut committed: Vec<JournalEntry>) {
        if self.backlog.unread {
            self.apply_journal();
            return;
        }
        committed.retain(|entry| !self.backlog.behind.contains(entry.op.layer()));
        if !committed.is_empty() {
            self.apply(&committed);
        }
    }

    /// Tries again what could not be written, if it is time.
    pub(super) fn retry_layers(&mut self, now: Instant) {
        if self.deadlines.are_layers_due(now) {
            self.apply_journal();
        }
    }

    pub(super) fn apply_journal(&mut self) {
        self.deadlines.layers_begin();
        match self.context.store.journal() {
            Ok(journal) => {
                let done = self.backlog.take_done();
                self.backlog = Backlog { done, ..Backlog::default() };
                self.apply(&journal);
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the journal of layers");
                self.backlog.unread = true;
                self.deadlines.layers_failed(Instant::now());
            }
        }
    }

    fn apply(&mut self, entries: &[JournalEntry]) {
        let applied = self.context.layers.apply(entries);
        if !applied.failed.is_empty() || self.backlog.behind.is_empty() {
            self.layers_unwritable(&applied.failed);
        }
        let now = Instant::now();
        if !applied.failed.is_empty() {
            self.deadlines.layers_failed(now);
        }
        if let Some(cot) = &self.context.cot {
            let is_done = |entry: &&JournalEntry| applied.done.binary_search(&entry.seq).is_ok();
            cot.changed(entries.iter().filter(is_done).map(|entry| &entry.op));
        }
        self.backlog.note(entries, applied);
        self.context.behind().clone_from(&self.backlog.behind);
        if !self.backlog.done.is_empty() {
            self.deadlines.linger(now);
        }
    }
}
