//! The tables, what their rows look like, and how an older format becomes the present one.

use redb::{ReadableDatabase as _, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::change::{Class, InboxEntry, OutboxMessage};
use super::key::RequestKey;
use super::record::hex_option;

/// The format that this version writes.
pub(super) const FORMAT: u64 = 1;

type Rows = TableDefinition<'static, u64, &'static [u8]>;

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
pub(super) const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
pub(super) const SESSIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("sessions");
pub(super) const INBOX: Rows = TableDefinition::new("inbox");
pub(super) const OUTBOX: Rows = TableDefinition::new("outbox");
pub(super) const BODIES: Rows = TableDefinition::new("bodies");
pub(super) const ANSWERS: Rows = TableDefinition::new("answers");
pub(super) const JOURNAL: Rows = TableDefinition::new("journal");
pub(super) const SAVED: Rows = TableDefinition::new("saved");

/// What is known of requests that are answered step by step: their place, and a number of their own. Databases of older versions are
/// without it until something is written.
pub(super) const PROGRESS: TableDefinition<(u64, u64), &[u8]> = TableDefinition::new("progress");

/// Tables whose rows stand under a place in the order.
pub(super) const ROW_TABLES: [Rows; 6] = [INBOX, OUTBOX, BODIES, ANSWERS, JOURNAL, SAVED];

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_NEXT_SEQ: &str = "next_seq";
pub(super) const META_CLOCK: &str = "clock_ms";

#[derive(Serialize, Deserialize)]
pub(super) struct InboxHeader {
    pub clock_ms: u64,
    #[serde(flatten)]
    pub entry: InboxEntry,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OutboxHeader {
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub class: Class,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_option")]
    pub correlation: Option<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain_topic: Option<String>,
    /// Where its payload stands in `bodies`.
    pub body: u64,
    /// The payload's bytes.
    pub bytes: usize,
}

impl OutboxHeader {
    pub fn of(message: &OutboxMessage, body: u64) -> Self {
        Self {
            topic: message.topic.clone(),
            qos: message.qos,
            retain: message.retain,
            class: message.class,
            correlation: message.correlation.clone(),
            content_type: message.content_type.clone(),
            plain_topic: message.plain_topic.clone(),
            body,
            bytes: message.payload.len(),
        }
    }

    /// The message's bytes as the cap counts them, without the overhead of a row.
    pub fn weight(&self) -> usize {
        self.bytes + self.topic.len() + self.correlation.as_ref().map_or(0, Vec::len)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AnswerHeader {
    pub key: RequestKey,
    pub clock_ms: u64,
    /// Where the answer stands in `bodies`; 0 where only the key is kept.
    pub body: u64,
    /// The answer's bytes.
    pub bytes: usize,
    /// Who asked; empty in rows of older versions.
    #[serde(default)]
    pub client: String,
    /// Whether the request changed something; not known, so assumed, of rows of older versions.
    #[serde(default = "assumed")]
    pub changes_state: bool,
}

const fn assumed() -> bool {
    true
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedHeader {
    pub layer: String,
    pub client: String,
    pub session: String,
    pub id: String,
}

/// All tables, open for one transaction.
pub(super) struct Tables<'txn> {
    pub meta: Table<'txn, &'static str, u64>,
    pub counters: Table<'txn, &'static str, u64>,
    pub sessions: Table<'txn, &'static str, &'static [u8]>,
    pub inbox: Table<'txn, u64, &'static [u8]>,
    pub outbox: Table<'txn, u64, &'static [u8]>,
    pub bodies: Table<'txn, u64, &'static [u8]>,
    pub answers: Table<'txn, u64, &'static [u8]>,
    pub journal: Table<'txn, u64, &'static [u8]>,
    pub saved: Table<'txn, u64, &'static [u8]>,
    pub progress: Table<'txn, (u64, u64), &'static [u8]>,
}

impl<'txn> Tables<'txn> {
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            meta: txn.open_table(META)?,
            counters: txn.open_table(COUNTERS)?,
            sessions: txn.open_table(SESSIONS)?,
            inbox: txn.open_table(INBOX)?,
            outbox: txn.open_table(OUTBOX)?,
            bodies: txn.open_table(BODIES)?,
            answers: txn.open_table(ANSWERS)?,
            journal: txn.open_table(JOURNAL)?,
            saved: txn.open_table(SAVED)?,
            progress: txn.open_table(PROGRESS)?,
        })
    }
}

/// A step from one format to the next.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// Step `n` leads from format `n` to `n + 1`; format 0 is a new, empty database.
pub(super) const MIGRATIONS: [Migration; FORMAT as usize] = [create_tables];

fn create_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    Tables::open(txn).map(drop)
}

/// Why a database cannot be brought to the present format.
pub(super) enum MigrateError {
    Newer(u64),
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for MigrateError {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// Brings a database to the present format, in one transaction; a database that has it is not written to.
pub(super) fn migrate(db: &redb::Database, steps: &[Migration]) -> Result<(), MigrateError> {
    let found = match db.begin_read()?.open_table(META) {
        Ok(meta) => meta.get(META_FORMAT)?.map_or(0, |guard| guard.value()),
        Err(redb::TableError::TableDoesNotExist(_)) => 0,
        Err(error) => return Err(error.into()),
    };
    let supported = steps.len() as u64;
    if found > supported {
        return Err(MigrateError::Newer(found));
    }
    if found == supported {
        return Ok(());
    }
    let txn = db.begin_write()?;
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        step(&txn)?;
    }
    txn.open_table(META)?.insert(META_FORMAT, supported)?;
    Ok(txn.commit()?)
}
