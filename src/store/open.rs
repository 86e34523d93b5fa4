//! Opening the database: a new one where there is none, another one where it is damaged.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
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
use crate::durable::{Disk, DiskFile};
use crate::layers;

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
    /// The database has no bytes, or there is none beside layers of saved objects: it was there once, and is lost
    /// (file systems leave files empty after a power cut). A new one was begun.
    Missing,
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
            Self::Missing => f.write_str(
                "the state database was damaged: it is empty, or gone from beside the layers that were saved with it; a \
                 new one was begun, requests that were waiting in it are lost: send them again, and check the card",
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

/// What a database is opened with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    pub path: &'a Path,
    pub disk: &'a Disk,
    pub limits: &'a StoreLimits,
    pub meter: &'a Arc<Meter>,
}

/// Opens the database; a damaged one is moved aside.
pub(super) fn open(opening: Opening<'_>) -> Result<Ready, StoreError> {
    match open_as_it_is(opening) {
        Err(error) if error.is_damage() => {
            let cause = error.to_string();
            let moved_to = move_aside(opening.disk, opening.path)?;
            let ready = open_as_it_is(opening)?;
            Ok(Ready { problem: Some(Problem::Replaced { moved_to, cause }), ..ready })
        }
        other => other,
    }
}

fn open_as_it_is(opening: Opening<'_>) -> Result<Ready, StoreError> {
    let Opening { path, disk, meter, .. } = opening;
    let is_lost = match fs::metadata(path) {
        // A new one gets its name when it is whole (`begin_new`), so this had bytes once.
        Ok(metadata) => metadata.len() == 0,
        // One that was moved aside has been told of.
        Err(_) => has_layers(path) && set_aside(path)?.is_empty(),
    };
    if fs::metadata(path).map_or(true, |metadata| metadata.len() == 0) {
        begin_new(opening)?;
    }
    let file = disk.create(path, false).map_err(|e| StoreError::io("open", path, e))?;
    refuse_other_formats(path, file.file())?;
    if meter.take_failed_sync()
        && let Err(error) = write_anew(&file)
    {
        meter.note_failed_sync();
        return Err(StoreError::io("write", path, error));
    }
    let opened = catch_unwind(AssertUnwindSafe(|| {
        // Nothing of what is in use outside is changed in here, so a panic leaves nothing half done. redb
        // promises errors for damaged files; this is for the damage that it has not met yet.
        read_all(opening, file)
    }));
    let mut ready = opened.unwrap_or_else(|_| {
        Err(StoreError::Damaged { path: path.to_owned(), problem: "reading it failed".to_owned() })
    })?;
    // At each start: the one that created the file may have been cut short before this.
    sync_dir(disk, path)?;
    if is_lost {
        ready.problem = Some(Problem::Missing);
    }
    Ok(ready)
}

/// Makes a new, empty database. It takes its name when it is whole, so that a power cut in the middle leaves nothing that
/// looks like damage.
fn begin_new(opening: Opening<'_>) -> Result<(), StoreError> {
    let Opening { path, disk, .. } = opening;
    let begun = path.with_extension("redb.new");
    let failed = |e| StoreError::io("create", &begun, e);
    let file = disk.create(&begun, true).map_err(failed)?;
    let ready = read_all(Opening { path: &begun, ..opening }, file)?;
    drop(ready);
    disk.rename(&begun, path).map_err(failed)?;
    sync_dir(disk, path)
}

/// Whether the state directory holds layers: then there was a database, since it journals what goes into them.
fn has_layers(path: &Path) -> bool {
    let layers = path.parent().map(|state| state.join(layers::DIRECTORY));
    let entries = layers.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let mut metadata =
        entries.filter(|entry| layers::is_layer_file(&entry.file_name())).filter_map(|e| e.metadata().ok());
    metadata.any(|metadata| metadata.is_file() && metadata.len() > 0)
}

/// redb's magic number, where its header has the versions of its two commit slots, and the version that we read and
/// write (redb 4, `src/tree_store/page_store/header.rs`; all versions so far have the versions there).
const REDB_MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
const REDB_VERSIONS: [usize; 2] = [64, 192];
const REDB_VERSION: u64 = 3;

/// A database of another version of redb is whole, and somebody's: it must not pass for damage. redb itself says of a
/// newer one that it is corrupt.
fn refuse_other_formats(path: &Path, mut file: &fs::File) -> Result<(), StoreError> {
    let mut header = [0u8; 320];
    let failed = |e| StoreError::io("read", path, e);
    let len = file.metadata().map_err(failed)?.len();
    if len < header.len() as u64 {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut header)).map_err(failed)?;
    if !header.starts_with(REDB_MAGIC) {
        return Ok(());
    }
    let versions = REDB_VERSIONS.map(|slot| u64::from(header[slot]));
    // The next three versions. None of them is ours with one bit flipped; what is larger is taken for spoiled.
    if let Some(found) = versions.into_iter().find(|version| (4..=6).contains(version)) {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found, supported: REDB_VERSION });
    }
    // redb would ask for an upgrade; a file that is older as a whole says so twice.
    if versions[0] != versions[1] && versions.contains(&REDB_VERSION) {
        let problem = "its two headers are of different versions".to_owned();
        return Err(StoreError::Damaged { path: path.to_owned(), problem });
    }
    Ok(())
}

/// Writes each byte of the file again, and syncs it. After a sync that failed the system counts what it could not write
/// as written: reads see it, later syncs leave it out, and a power cut takes it from below what was built on it since.
fn write_anew(file: &DiskFile) -> io::Result<()> {
    let (len, mut at) = (file.metadata()?.len(), 0);
    let mut piece = vec![0; 1 << 18];
    let mut reader = file.file();
    while at < len {
        let size = usize::try_from(len - at).map_or(piece.len(), |left| left.min(piece.len()));
        let piece = &mut piece[..size];
        reader.seek(SeekFrom::Start(at))?;
        reader.read_exact(piece)?;
        file.write_at(at, piece)?;
        at += size as u64;
    }
    file.sync()
}

fn read_all(opening: Opening<'_>, file: DiskFile) -> Result<Ready, StoreError> {
    let Opening { path, limits, meter, .. } = opening;
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
fn move_aside(disk: &Disk, path: &Path) -> Result<PathBuf, StoreError> {
    let mut aside = set_aside(path)?;
    while aside.len() >= KEPT_ASIDE {
        let (_, oldest) = aside.remove(0);
        disk.remove_file(&oldest).map_err(|e| StoreError::io("remove", &oldest, e))?;
    }
    let number = aside.last().map_or(1, |(number, _)| number + 1);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bad-{number}"));
    let moved_to = PathBuf::from(name);
    disk.rename(path, &moved_to).map_err(|e| StoreError::io("move aside", path, e))?;
    sync_dir(disk, path)?;
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

fn sync_dir(disk: &Disk, path: &Path) -> Result<(), StoreError> {
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).map_err(|e| StoreError::io("sync", dir, e))
}
