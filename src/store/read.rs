//! Reading. Each call sees one state of the database and does not wait for a commit under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::change::{OutboxEntry, OutboxMessage, Waiting};
use super::error::StoreError;
use super::record::decode;
use super::state::Store;
use super::tables::{
    BODIES, COUNTERS, INBOX, InboxHeader, JOURNAL, OUTBOX, OutboxHeader, PROGRESS, SAVED, SESSIONS,
    SavedHeader,
};
use crate::layers::{JournalEntry, LayerOp};

/// Why a read failed.
enum ReadError {
    Redb(redb::Error),
    Row(String),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

fn row<H: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<(H, &[u8]), ReadError> {
    decode(bytes).map_err(ReadError::Row)
}

impl Store {
    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let db = self.database()?;
        let run = || read(&db.open_db()?.begin_read()?);
        run().map_err(|error| match error {
            ReadError::Redb(error) => StoreError::redb("read", self.path(), error),
            ReadError::Row(problem) => StoreError::Damaged { path: self.path().to_owned(), problem },
        })
    }

    /// The requests received and not yet answered, in order of arrival; to be run at start.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn inbox(&self) -> Result<Vec<Waiting>, StoreError> {
        self.read(|txn| {
            let mut waiting = Vec::new();
            for entry in txn.open_table(INBOX)?.iter()? {
                let (seq, bytes) = entry?;
                let (header, payload) = row::<InboxHeader>(bytes.value())?;
                let mut entry = header.entry;
                entry.payload = payload.to_vec();
                waiting.push(Waiting { seq: seq.value(), received_clock_ms: header.clock_ms, entry });
            }
            Ok(waiting)
        })
    }

    /// The messages after a place in the order (0: from the first), at most `count`, and of at most `bytes` of
    /// payload unless the first alone has more.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn outbox_after(
        &self,
        after: u64,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        self.read(|txn| {
            let bodies = txn.open_table(BODIES)?;
            let outbox = txn.open_table(OUTBOX)?;
            let (mut found, mut total) = (Vec::new(), 0usize);
            for entry in outbox.range(after.saturating_add(1)..)?.take(count) {
                let (seq, value) = entry?;
                let (header, _) = row::<OutboxHeader>(value.value())?;
                total = total.saturating_add(header.bytes);
                if total > bytes && !found.is_empty() {
                    break;
                }
                let Some(payload) = redb::ReadableTable::get(&bodies, header.body)? else {
                    return Err(ReadError::Row(format!("outbox {}: its payload is not there", seq.value())));
                };
                let message = OutboxMessage {
                    topic: header.topic,
                    payload: Arc::from(payload.value()),
                    qos: header.qos,
                    retain: header.retain,
                    class: header.class,
                    correlation: header.correlation,
                    content_type: header.content_type,
                    plain_topic: header.plain_topic,
                };
                found.push(OutboxEntry { seq: seq.value(), message });
            }
            Ok(found)
        })
    }

    /// The sessions, by name, as they were put.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn sessions(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        self.read(|txn| {
            let mut sessions = BTreeMap::new();
            for entry in txn.open_table(SESSIONS)?.iter()? {
                let (name, state) = entry?;
                sessions.insert(name.value().to_owned(), state.value().to_vec());
            }
            Ok(sessions)
        })
    }

    /// What is known of a request that is answered step by step ([`super::Advance`]), in the order of its rows.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn progress(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.read(|txn| {
            let table = match txn.open_table(PROGRESS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut rows = Vec::new();
            for entry in table.range((seq, 0)..=(seq, u64::MAX))? {
                let (key, state) = entry?;
                rows.push((key.value().1, state.value().to_vec()));
            }
            Ok(rows)
        })
    }

    /// The layer changes that may not be in their files yet, in order; to be applied at start, and again after
    /// [`crate::layers::Layers::apply`] could not write them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn journal(&self) -> Result<Vec<JournalEntry>, StoreError> {
        self.read(|txn| {
            let mut journal = Vec::new();
            for entry in txn.open_table(JOURNAL)?.iter()? {
                let (seq, bytes) = entry?;
                let (op, body) = row::<LayerOp>(bytes.value())?;
                let line = String::from_utf8(body.to_vec()).map_err(|e| ReadError::Row(e.to_string()))?;
                journal.push(JournalEntry { seq: seq.value(), op: op.with_line(line) });
            }
            Ok(journal)
        })
    }

    pub(super) fn body(&self, body: u64) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.read(|txn| {
            let bodies = txn.open_table(BODIES)?;
            Ok(redb::ReadableTable::get(&bodies, body)?.map(|payload| Arc::from(payload.value())))
        })
    }

    pub(super) fn saved_id(&self, seq: u64) -> Result<Option<String>, StoreError> {
        self.read(|txn| {
            let saved = txn.open_table(SAVED)?;
            let found = redb::ReadableTable::get(&saved, seq)?;
            found.map(|value| Ok(row::<SavedHeader>(value.value())?.0.id)).transpose()
        })
    }

    pub(super) fn read_counters(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read(|txn| {
            let mut counters = BTreeMap::new();
            for entry in txn.open_table(COUNTERS)?.iter()? {
                let (name, number) = entry?;
                counters.insert(name.value().to_owned(), number.value());
            }
            Ok(counters)
        })
    }
}
