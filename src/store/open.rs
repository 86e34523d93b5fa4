//! Opening the database: a new one where there is none, another one where it is damaged.

use std::fs::{self, File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _};

use super::backend::{Backend, Meter};
use super::error::StoreError;
use super::index::Index;
use super::limits::StoreLimits;
use super::load::{Loaded, load};
use super::tables::{MIGRATIONS, MigrateError, Tables, migrate};
use crate::durable;

/// Damaged databases kept aside for somebody to look at; older ones make room, the card is small.
const KEPT_ASIDE: usize = 3;

/// Something that must be told loudly: in the log, in an event, in `health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The database could not be read. It was moved aside and a new, empty one begun: requests that were
    /// acknowledged and not answered are lost, and so are stored answers and sessions. Layers are files of their
    /// own and not touched.
    Replaced {
        /// Where the damaged one is now.
        moved_to: PathBuf,
        /// What was wrong with it.
        cause: String,
    },
    /// Some rows could not be read and were taken out; all others are there.
    BadRows {
        /// How many.
        rows: usize,
        /// The first: its table, its place and what was wrong.
        first: String,
    },
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replaced { moved_to, cause } => write!(
                f,
                "the state database was damaged ({cause}) and is now {}; a new one was begun, requests that \
                 were waiting in it are lost: send them again, and check the card",
                moved_to.display()
            ),
            Self::BadRows { rows, first } => write!(
                f,
                "{rows} rows of the state database could not be read and were taken out (the first: {first}); \
                 check the card"
            ),
        }
    }
}

/// A database that can be worked with.
pub(super) struct Ready {
    pub db: Database,
    pub index: Index,
    pub problem: Option<Problem>,
}

/// Opens `path`; a damaged database is moved aside.
pub(super) fn open(path: &Path, limits: &StoreLimits, meter: &Arc<Meter>) -> Result<Ready, StoreError> {
    match open_as_it_is(path, limits, meter) {
        Err(error) if error.is_damage() => {
            let cause = error.to_string();
            let moved_to = move_aside(path)?;
            let ready = open_as_it_is(path, limits, meter)?;
            Ok(Ready { problem: Some(Problem::Replaced { moved_to, cause }), ..ready })
        }
        other => other,
    }
}

fn open_as_it_is(path: &Path, limits: &StoreLimits, meter: &Arc<Meter>) -> Result<Ready, StoreError> {
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|e| StoreError::io("open", path, e))?;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        // Nothing of what is in use outside is changed in here, so a panic leaves nothing half done. redb
        // promises errors for damaged files; this is for the damage that it has not met yet.
        read_all(path, file, limits, meter)
    }));
    let ready = opened.unwrap_or_else(|_| {
        Err(StoreError::Damaged { path: path.to_owned(), problem: "reading it failed".to_owned() })
    })?;
    if is_new {
        sync_dir(path)?;
    }
    Ok(ready)
}

fn read_all(path: &Path, file: File, limits: &StoreLimits, meter: &Arc<Meter>) -> Result<Ready, StoreError> {
    let failed = |e: redb::Error| StoreError::redb("open", path, e);
    let backend = Backend::new(file, Arc::clone(meter)).map_err(|e| failed(e.into()))?;
    let mut builder = Database::builder();
    // The check reads the file once, as the repair after a crash does anyway, and makes damage an error.
    builder.set_cache_size(limits.cache_bytes).set_check_integrity_on_open(true);
    let db = builder.create_with_backend(backend).map_err(|e| failed(e.into()))?;
    migrate(&db, &MIGRATIONS).map_err(|e| match e {
        MigrateError::Redb(error) => failed(error),
        MigrateError::Newer(found) => {
            StoreError::NewerFormat { path: path.to_owned(), found, supported: MIGRATIONS.len() as u64 }
        }
    })?;
    let loaded = db.begin_read().map_err(redb::Error::from).and_then(|txn| load(&txn)).map_err(failed)?;
    let Loaded { index, bad, unused_bodies } = loaded;
    if !bad.is_empty() || !unused_bodies.is_empty() {
        take_out(&db, &bad, &unused_bodies).map_err(failed)?;
    }
    let problem = bad.first().map(|first| Problem::BadRows {
        rows: bad.len(),
        first: format!("{} {}: {}", first.table, first.seq, first.problem),
    });
    Ok(Ready { db, index, problem })
}

fn take_out(db: &Database, bad: &[super::load::BadRow], bodies: &[u64]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut tables = Tables::open(&txn)?;
        for row in bad {
            let table = match row.table {
                "inbox" => &mut tables.inbox,
                "outbox" => &mut tables.outbox,
                "answers" => &mut tables.answers,
                "journal" => &mut tables.journal,
                _ => &mut tables.saved,
            };
            table.remove(row.seq)?;
        }
        for body in bodies {
            tables.bodies.remove(body)?;
        }
    }
    txn.commit()?;
    Ok(())
}

/// Renames `state.redb` to `state.redb.bad-<n>`, n one above the highest there is.
fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let mut aside = set_aside(path)?;
    while aside.len() >= KEPT_ASIDE {
        let (_, oldest) = aside.remove(0);
        fs::remove_file(&oldest).map_err(|e| StoreError::io("remove", &oldest, e))?;
    }
    let number = aside.last().map_or(1, |(number, _)| number + 1);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bad-{number}"));
    let moved_to = PathBuf::from(name);
    fs::rename(path, &moved_to).map_err(|e| StoreError::io("move aside", path, e))?;
    sync_dir(path)?;
    Ok(moved_to)
}

/// The databases that were set aside, in order of their numbers.
fn set_aside(path: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.bad-", name.to_string_lossy());
    let entries = fs::read_dir(dir).map_err(|e| StoreError::io("list", dir, e))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("list", dir, e))?;
        let number = entry.file_name().to_string_lossy().strip_prefix(&prefix).and_then(|n| n.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

fn sync_dir(path: &Path) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    durable::sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))
}
