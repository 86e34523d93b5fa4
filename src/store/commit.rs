//! One batch of changes in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::ReadableTable as _;

use super::change::{
    Advance, Change, Committed, DropCause, Dropped, Finish, InboxEntry, LayerChange, OutboxMessage, Outcome,
    SessionChange,
};
use super::index::{Index, Known, Place, inbox_weight};
use super::limits::StoreLimits;
use super::record::encode;
use super::tables::{InboxHeader, META_CLOCK, META_NEXT_SEQ, OutboxHeader, SavedHeader, Tables};
use crate::layers::{JournalEntry, LayerOp};

/// Why a batch failed.
pub(super) enum BatchError {
    Redb(redb::Error),
    Record(String),
}

impl<E: Into<redb::Error>> From<E> for BatchError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

pub(super) type Done<T = ()> = Result<T, BatchError>;

/// A batch under way. The index is changed as it goes; if the batch fails, the index is to be read anew.
pub(super) struct Batch<'a, 'txn> {
    pub(super) tables: Tables<'txn>,
    pub(super) index: &'a mut Index,
    pub(super) limits: &'a StoreLimits,
    pub(super) now_ms: u64,
    /// Messages of this batch; written at its end, when it is known which are dropped.
    staged: BTreeMap<u64, (OutboxMessage, u64)>,
    /// Payloads of this batch, written at its end if something still uses them.
    new_bodies: HashMap<u64, Arc<[u8]>>,
    pub(super) changed: bool,
    committed: Committed,
}

impl<'a, 'txn> Batch<'a, 'txn> {
    pub fn new(tables: Tables<'txn>, index: &'a mut Index, limits: &'a StoreLimits, now_ms: u64) -> Self {
        Self {
            tables,
            index,
            limits,
            now_ms,
            staged: BTreeMap::new(),
            new_bodies: HashMap::new(),
            changed: false,
            committed: Committed::default(),
        }
    }

    /// Makes the changes; `None` if there is nothing to write, and so nothing to sync.
    pub fn run(mut self, changes: Vec<Change>) -> Done<(Committed, bool)> {
        for change in changes {
            let outcome = self.apply(change)?;
            self.committed.outcomes.push(outcome);
        }
        self.forget_old_answers()?;
        self.forget_old_saves()?;
        self.make_room()?;
        self.write_staged()?;
        if self.changed {
            self.tables.meta.insert(META_NEXT_SEQ, self.index.next_seq)?;
            self.tables.meta.insert(META_CLOCK, self.now_ms)?;
        }
        Ok((self.committed, self.changed))
    }

    /// Lets stored answers make room on a full card: half of them each time.
    pub fn make_room_on_card(mut self) -> Done<(Committed, bool)> {
        let half = self.index.depths().answer_bytes / 2;
        self.shrink_answers_to(half)?;
        Ok((self.committed, self.changed))
    }

    fn apply(&mut self, change: Change) -> Done<Outcome> {
        match change {
            Change::Receive(entry) => return self.receive(*entry),
            Change::Finish(finish) => return self.finish(*finish),
            Change::Advance(advance) => return self.advance(*advance),
            Change::Publish(message) => {
                let outbox = self.stage(message, &mut Vec::new())?.into_iter().collect();
                return Ok(Outcome::Finished { outbox });
            }
            Change::Acked(seqs) => {
                for seq in seqs {
                    self.remove_message(seq)?;
                }
            }
            Change::Discard(seqs) => {
                for seq in seqs {
                    self.drop_message(seq, DropCause::Discarded)?;
                }
            }
            Change::Session(change) => self.session(change)?,
            Change::JournalDone(seqs) => {
                for seq in seqs {
                    if self.index.journal_remove(seq) {
                        self.tables.journal.remove(seq)?;
                        self.changed = true;
                    }
                }
            }
            Change::Count { name, by } => self.count(&name, by)?,
        }
        Ok(Outcome::Done)
    }

    fn receive(&mut self, entry: InboxEntry) -> Done<Outcome> {
        if let Some(key) = &entry.key {
            match self.index.known(key) {
                Known::Same(Place::Inbox(seq)) => return Ok(Outcome::Pending(seq)),
                Known::Same(Place::Answer(seq)) => {
                    return Ok(self.answer(seq)?.map_or(Outcome::AlreadyDone, Outcome::Answered));
                }
                Known::OtherPayload if entry.changes_state => return Ok(Outcome::IdReused),
                Known::OtherPayload | Known::No => {}
            }
        }
        let bytes = inbox_weight(&entry);
        if self.index.inbox_bytes_of(&entry.client) + bytes > self.limits.inbox_bytes_per_client {
            return Ok(Outcome::InboxFull { by_client: true });
        }
        if self.index.inbox_bytes() + bytes > self.limits.inbox_bytes {
            return Ok(Outcome::InboxFull { by_client: false });
        }
        let seq = self.index.take_seq();
        self.index.inbox_add(seq, &entry);
        let payload = entry.payload.clone();
        let row = InboxHeader { clock_ms: self.now_ms, entry };
        self.tables.inbox.insert(seq, record(&row, &payload)?.as_slice())?;
        self.changed = true;
        Ok(Outcome::Received(seq))
    }

    fn answer(&self, seq: u64) -> Done<Option<Arc<[u8]>>> {
        let Some(body) = self.index.answer_body(seq) else { return Ok(None) };
        if let Some(payload) = self.new_bodies.get(&body) {
            return Ok(Some(Arc::clone(payload)));
        }
        Ok(self.tables.bodies.get(body)?.map(|payload| Arc::from(payload.value())))
    }

    fn finish(&mut self, finish: Finish) -> Done<Outcome> {
        if let Some(seq) = finish.inbox {
            if self.index.inbox_remove(seq) {
                self.tables.inbox.remove(seq)?;
                self.forget_progress(seq)?;
            } else if !self.is_orphan(seq, &finish) {
                return Ok(Outcome::NotInInbox);
            }
            self.changed = true;
        }
        // Payloads of this answer, so that equal ones are kept once.
        let mut shared = Vec::new();
        if let Some(answer) = finish.answer {
            self.keep_answer(answer, &mut shared)?;
        }
        let mut outbox = Vec::new();
        for message in finish.messages {
            outbox.extend(self.stage(message, &mut shared)?);
        }
        for change in finish.sessions {
            self.session(change)?;
        }
        for change in finish.layers {
            self.layer(change)?;
        }
        Ok(Outcome::Finished { outbox })
    }

    fn advance(&mut self, advance: Advance) -> Done<Outcome> {
        let Advance { inbox: seq, rows, messages, layers } = advance;
        let is_waiting = self.index.is_in_inbox(seq);
        // Of one that was lost with its database nothing can be kept, but what it has done counts.
        if !is_waiting && !self.index.is_orphan(seq) {
            return Ok(Outcome::NotInInbox);
        }
        self.changed = true;
        for (row, state) in rows.into_iter().filter(|_| is_waiting) {
            match state {
                Some(state) => drop(self.tables.progress.insert((seq, row), state.as_slice())?),
                None => drop(self.tables.progress.remove((seq, row))?),
            }
        }
        for message in messages {
            self.stage(message, &mut Vec::new())?;
        }
        for change in layers {
            self.layer(change)?;
        }
        Ok(Outcome::Done)
    }

    fn forget_progress(&mut self, seq: u64) -> Done {
        let range = (seq, 0)..=(seq, u64::MAX);
        if self.tables.progress.range(range.clone())?.next().is_some() {
            self.tables.progress.retain_in(range, |_, _| false)?;
        }
        Ok(())
    }

    /// Whether a request was lost with its database and not answered since.
    fn is_orphan(&mut self, seq: u64, finish: &Finish) -> bool {
        let is_answered = finish
            .answer
            .as_ref()
            .is_some_and(|answer| matches!(self.index.known(&answer.key), Known::Same(_)));
        self.index.orphan_remove(seq) && !is_answered
    }

    /// A place for a payload; the one of an equal payload of the same answer, if there is one.
    pub(super) fn body(&mut self, payload: Arc<[u8]>, shared: &mut Vec<u64>) -> u64 {
        let same = shared.iter().find(|body| self.new_bodies.get(body).is_some_and(|p| *p == payload));
        if let Some(body) = same {
            return *body;
        }
        let body = self.index.take_seq();
        self.new_bodies.insert(body, payload);
        shared.push(body);
        body
    }

    fn stage(&mut self, message: OutboxMessage, shared: &mut Vec<u64>) -> Done<Option<u64>> {
        let seq = self.index.take_seq();
        let body = self.body(Arc::clone(&message.payload), shared);
        let header = OutboxHeader::of(&message, body);
        if header.weight() as u64 > self.limits.outbox_bytes {
            // Alone it is larger than the outbox: it must not push out all others first.
            if !self.index.body_is_used(body) {
                self.new_bodies.remove(&body);
                shared.retain(|other| *other != body);
            }
            self.tell_drop(seq, &header, DropCause::Full)?;
            return Ok(None);
        }
        self.index.outbox_add(seq, &header);
        self.staged.insert(seq, (message, body));
        self.changed = true;
        Ok(Some(seq))
    }

    fn remove_message(&mut self, seq: u64) -> Done {
        let Some(row) = self.index.outbox_remove(seq) else { return Ok(()) };
        if self.staged.remove(&seq).is_none() {
            self.tables.outbox.remove(seq)?;
        }
        self.release_body(row.body)?;
        self.changed = true;
        Ok(())
    }

    pub(super) fn release_body(&mut self, body: u64) -> Done {
        if self.index.body_release(body) && self.new_bodies.remove(&body).is_none() {
            self.tables.bodies.remove(body)?;
        }
        Ok(())
    }

    fn drop_message(&mut self, seq: u64, cause: DropCause) -> Done {
        let header = match self.staged.get(&seq) {
            Some((message, body)) => Some(OutboxHeader::of(message, *body)),
            None => match self.tables.outbox.get(seq)? {
                Some(row) => super::record::decode::<OutboxHeader>(row.value()).ok().map(|(h, _)| h),
                None => None,
            },
        };
        if let Some(header) = header {
            self.tell_drop(seq, &header, cause)?;
        }
        self.remove_message(seq)
    }

    fn tell_drop(&mut self, seq: u64, header: &OutboxHeader, cause: DropCause) -> Done {
        let (class, topic, bytes) = (header.class, header.topic.clone(), header.bytes);
        self.committed.dropped.push(Dropped { seq, class, topic, bytes, cause });
        for finished in &mut self.committed.outcomes {
            if let Outcome::Finished { outbox } = finished {
                outbox.retain(|kept| *kept != seq);
            }
        }
        self.count(&super::drop_counter(class), 1)
    }

    fn make_room(&mut self) -> Done {
        while self.index.outbox_bytes() > self.limits.outbox_bytes {
            let Some(seq) = self.index.outbox_victim() else { break };
            self.drop_message(seq, DropCause::Full)?;
        }
        Ok(())
    }

    fn write_staged(&mut self) -> Done {
        for (seq, (message, body)) in &self.staged {
            let row = record(&OutboxHeader::of(message, *body), &[])?;
            self.tables.outbox.insert(*seq, row.as_slice())?;
        }
        for (body, payload) in &self.new_bodies {
            self.tables.bodies.insert(*body, &payload[..])?;
        }
        Ok(())
    }

    fn session(&mut self, change: SessionChange) -> Done {
        let changed = match change {
            SessionChange::Put { name, state } => {
                self.tables.sessions.insert(name.as_str(), state.as_slice())?;
                true
            }
            SessionChange::Delete { name } => self.tables.sessions.remove(name.as_str())?.is_some(),
        };
        self.changed |= changed;
        Ok(())
    }

    fn layer(&mut self, change: LayerChange) -> Done {
        let LayerChange { op, client, session } = change;
        match &op {
            LayerOp::Append { layer, id, .. } => {
                // What no session has saved is not taken back by `unsave`.
                if !session.is_empty() {
                    let (layer, id) = (layer.clone(), id.clone());
                    let header = SavedHeader { layer, client, session, id };
                    let seq = self.index.take_seq();
                    self.index.saved_add(seq, &header);
                    self.tables.saved.insert(seq, record(&header, &[])?.as_slice())?;
                }
            }
            LayerOp::Replace { .. } => {}
            LayerOp::Remove { layer, id } => {
                if let Some(seq) = self.index.saved_of(layer, id) {
                    self.index.saved_remove(seq);
                    self.tables.saved.remove(seq)?;
                }
            }
        }
        let line = op.line();
        let seq = self.index.take_seq();
        self.index.journal_add(seq, line.len());
        self.tables.journal.insert(seq, record(&op, line.as_bytes())?.as_slice())?;
        self.changed = true;
        self.committed.journal.push(JournalEntry { seq, op });
        Ok(())
    }

    fn forget_old_saves(&mut self) -> Done {
        while let Some(seq) = self.index.saved_beyond(self.limits.unsave_objects) {
            self.index.saved_remove(seq);
            self.tables.saved.remove(seq)?;
            self.changed = true;
        }
        Ok(())
    }

    fn count(&mut self, name: &str, by: u64) -> Done {
        let before = self.tables.counters.get(name)?.map_or(0, |guard| guard.value());
        self.tables.counters.insert(name, before.saturating_add(by))?;
        self.changed = true;
        Ok(())
    }
}

fn record(header: &impl serde::Serialize, body: &[u8]) -> Done<Vec<u8>> {
    encode(header, body).map_err(BatchError::Record)
}
