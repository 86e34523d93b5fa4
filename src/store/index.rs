//! What is in the database, in short and in memory: order, sizes and keys, no payloads.
//!
//! It is read from the tables at open and kept in step by each batch. It answers without touching the card what
//! is known of a request, what a cap leaves room for and what to drop.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::change::{Class, InboxEntry};
use super::key::{RequestKey, digest};
use super::limits::{Depths, ROW_OVERHEAD};
use super::tables::{OutboxHeader, SavedHeader};

pub(super) struct InboxRow {
    pub client: String,
    pub bytes: u64,
    pub key: Option<RequestKey>,
}

pub(super) struct OutboxRow {
    pub class: Class,
    pub bytes: u64,
    pub body: u64,
}

/// An answer; body 0 where only its key is kept.
#[derive(Debug, Clone)]
pub(super) struct AnswerRow {
    pub key: RequestKey,
    pub bytes: u64,
    pub body: u64,
    pub clock_ms: u64,
    pub client: String,
    pub changes_state: bool,
}

struct SavedRow {
    session: [u8; 16],
    feature: [u8; 16],
}

/// Where a request is known from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Inbox(u64),
    Answer(u64),
}

/// What is known of a key.
pub(super) enum Known {
    No,
    Same(Place),
    OtherPayload,
}

#[derive(Default)]
pub(super) struct Index {
    pub next_seq: u64,
    pub clock_ms: u64,
    /// Requests of a database that was lost under way. They were acknowledged and may be running: their answers
    /// take place all the same.
    orphans: BTreeSet<u64>,
    inbox: BTreeMap<u64, InboxRow>,
    inbox_bytes: u64,
    client_bytes: HashMap<String, u64>,
    outbox: BTreeMap<u64, OutboxRow>,
    outbox_bytes: u64,
    by_class: BTreeMap<Class, BTreeSet<u64>>,
    pub(super) answers: BTreeMap<u64, AnswerRow>,
    pub(super) answer_bytes: u64,
    /// Of `answers`, those of requests that changed nothing.
    pub(super) passing: BTreeSet<u64>,
    /// Of `answers`, those of requests that changed something, by client.
    pub(super) lasting: BTreeMap<String, BTreeSet<u64>>,
    /// Of the latter, those with a body.
    pub(super) lasting_bodies: BTreeSet<u64>,
    known: HashMap<[u8; 16], Vec<([u8; 16], Place)>>,
    pub(super) bodies: HashMap<u64, u32>,
    journal: BTreeMap<u64, u64>,
    journal_bytes: u64,
    saved: BTreeMap<u64, SavedRow>,
    by_session: HashMap<[u8; 16], Vec<u64>>,
    by_feature: HashMap<[u8; 16], u64>,
}

pub(super) fn inbox_weight(entry: &InboxEntry) -> u64 {
    let extra = entry.response_topic.as_ref().map_or(0, String::len);
    let extra = extra + entry.correlation.as_ref().map_or(0, Vec::len);
    (entry.payload.len() + extra) as u64 + ROW_OVERHEAD
}

fn session_key(layer: &str, client: &str, session: &str) -> [u8; 16] {
    digest([layer.as_bytes(), client.as_bytes(), session.as_bytes()])
}

fn feature_key(layer: &str, id: &str) -> [u8; 16] {
    digest([layer.as_bytes(), id.as_bytes()])
}

impl Index {
    /// A new place in the order.
    pub fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    pub fn depths(&self) -> Depths {
        Depths {
            inbox: self.inbox.len(),
            inbox_bytes: self.inbox_bytes,
            outbox: self.outbox.len(),
            outbox_bytes: self.outbox_bytes,
            answers: self.answers.len(),
            answer_bytes: self.answer_bytes,
            journal: self.journal.len(),
            journal_bytes: self.journal_bytes,
        }
    }

    pub fn known(&self, key: &RequestKey) -> Known {
        let Some(entries) = self.known.get(&key.asked) else { return Known::No };
        let same = entries.iter().find(|(payload, _)| *payload == key.payload);
        same.map_or(Known::OtherPayload, |(_, place)| Known::Same(*place))
    }

    pub(super) fn learn(&mut self, key: &RequestKey, place: Place) {
        self.known.entry(key.asked).or_default().push((key.payload, place));
    }

    pub(super) fn forget(&mut self, key: &RequestKey, place: Place) {
        if let Some(entries) = self.known.get_mut(&key.asked) {
            entries.retain(|entry| *entry != (key.payload, place));
            if entries.is_empty() {
                self.known.remove(&key.asked);
            }
        }
    }

    // Inbox.

    pub const fn inbox_bytes(&self) -> u64 {
        self.inbox_bytes
    }

    pub fn inbox_bytes_of(&self, client: &str) -> u64 {
        self.client_bytes.get(client).copied().unwrap_or(0)
    }

    pub fn inbox_add(&mut self, seq: u64, entry: &InboxEntry) {
        let bytes = inbox_weight(entry);
        self.inbox_bytes += bytes;
        *self.client_bytes.entry(entry.client.clone()).or_default() += bytes;
        if let Some(key) = &entry.key {
            self.learn(key, Place::Inbox(seq));
        }
        self.inbox.insert(seq, InboxRow { client: entry.client.clone(), bytes, key: entry.key });
    }

    pub fn inbox_remove(&mut self, seq: u64) -> bool {
        let Some(row) = self.inbox.remove(&seq) else { return false };
        self.inbox_bytes -= row.bytes;
        if let Some(bytes) = self.client_bytes.get_mut(&row.client) {
            *bytes -= row.bytes;
            if *bytes == 0 {
                self.client_bytes.remove(&row.client);
            }
        }
        if let Some(key) = row.key {
            self.forget(&key, Place::Inbox(seq));
        }
        true
    }

    /// Whether a request waits for its answer.
    pub fn is_in_inbox(&self, seq: u64) -> bool {
        self.inbox.contains_key(&seq)
    }

    /// Whether a request was waiting in a database that was lost.
    pub fn is_orphan(&self, seq: u64) -> bool {
        self.orphans.contains(&seq)
    }

    /// Takes over what is known of requests that are under way from the index before this one; its inbox too, if the
    /// database was lost.
    pub fn take_orphans(&mut self, before: &mut Self, lost: bool) {
        self.orphans = std::mem::take(&mut before.orphans);
        if lost {
            self.orphans.extend(before.inbox.keys());
        }
    }

    /// Whether the request was waiting in a database that was lost; it is forgotten by this.
    pub fn orphan_remove(&mut self, seq: u64) -> bool {
        self.orphans.remove(&seq)
    }

    // Outbox.

    pub const fn outbox_bytes(&self) -> u64 {
        self.outbox_bytes
    }

    pub fn outbox_add(&mut self, seq: u64, header: &OutboxHeader) {
        let bytes = header.weight() as u64 + ROW_OVERHEAD;
        self.outbox_bytes += bytes;
        self.by_class.entry(header.class).or_default().insert(seq);
        *self.bodies.entry(header.body).or_default() += 1;
        self.outbox.insert(seq, OutboxRow { class: header.class, bytes, body: header.body });
    }

    pub fn outbox_remove(&mut self, seq: u64) -> Option<OutboxRow> {
        let row = self.outbox.remove(&seq)?;
        self.outbox_bytes -= row.bytes;
        if let Some(class) = self.by_class.get_mut(&row.class) {
            class.remove(&seq);
        }
        Some(row)
    }

    /// The message to drop next: the oldest of the class that is dropped first.
    pub fn outbox_victim(&self) -> Option<u64> {
        Class::ALL.iter().find_map(|class| self.by_class.get(class)?.first().copied())
    }

    // Bodies.

    pub fn body_is_used(&self, body: u64) -> bool {
        self.bodies.contains_key(&body)
    }

    /// Gives up one use of a body; says whether it was the last.
    pub fn body_release(&mut self, body: u64) -> bool {
        let Some(uses) = self.bodies.get_mut(&body) else { return false };
        *uses -= 1;
        let last = *uses == 0;
        if last {
            self.bodies.remove(&body);
        }
        last
    }

    // Journal.

    pub fn journal_add(&mut self, seq: u64, line: usize) {
        let bytes = line as u64 + ROW_OVERHEAD;
        self.journal_bytes += bytes;
        self.journal.insert(seq, bytes);
    }

    pub fn journal_remove(&mut self, seq: u64) -> bool {
        let Some(bytes) = self.journal.remove(&seq) else { return false };
        self.journal_bytes -= bytes;
        true
    }

    // Saved objects.

    pub fn saved_add(&mut self, seq: u64, header: &SavedHeader) {
        let session = session_key(&header.layer, &header.client, &header.session);
        let feature = feature_key(&header.layer, &header.id);
        self.by_session.entry(session).or_default().push(seq);
        self.by_feature.insert(feature, seq);
        self.saved.insert(seq, SavedRow { session, feature });
    }

    pub fn saved_remove(&mut self, seq: u64) -> bool {
        let Some(row) = self.saved.remove(&seq) else { return false };
        if let Some(rows) = self.by_session.get_mut(&row.session) {
            rows.retain(|r| *r != seq);
            if rows.is_empty() {
                self.by_session.remove(&row.session);
            }
        }
        if self.by_feature.get(&row.feature) == Some(&seq) {
            self.by_feature.remove(&row.feature);
        }
        true
    }

    pub fn saved_of(&self, layer: &str, id: &str) -> Option<u64> {
        self.by_feature.get(&feature_key(layer, id)).copied()
    }

    pub fn saved_last(&self, layer: &str, client: &str, session: &str) -> Option<u64> {
        self.by_session.get(&session_key(layer, client, session))?.last().copied()
    }

    /// The oldest saved object that can be taken back, if there are more than this.
    pub fn saved_beyond(&self, limit: usize) -> Option<u64> {
        if self.saved.len() > limit { self.saved.keys().next().copied() } else { None }
    }
}
