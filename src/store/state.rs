//! The store itself: the open database, its index, and what happens when the card fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use redb::{Database, Durability};

use super::backend::Meter;
use super::change::{Change, Committed, Lookup};
use super::commit::{Batch, BatchError};
use super::error::StoreError;
use super::index::{Index, Known, Place};
use super::key::RequestKey;
use super::limits::{Depths, StoreLimits};
use super::open::{Opening, Problem, Ready, open};
use super::tables::Tables;
use crate::durable::Disk;

/// The store, and what must be told about how it was found.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was damaged, if anything was.
    pub problem: Option<Problem>,
}

/// The database. Shared by all threads; batches wait for each other.
pub struct Store {
    path: PathBuf,
    limits: StoreLimits,
    disk: Disk,
    pub(super) meter: Arc<Meter>,
    /// What was found wrong since [`Store::open`] and not told yet.
    problems: Mutex<Vec<Problem>>,
    writer: Mutex<Writer>,
    /// `None` while it is closed to be opened again.
    db: RwLock<Option<Database>>,
    depths: Mutex<Depths>,
    opened_at: Instant,
    opened_clock_ms: u64,
    #[cfg(test)]
    pub(super) skipped_ms: std::sync::atomic::AtomicU64,
}

struct Writer {
    index: Index,
    /// The last batch failed: what is on the card must be read again before anything is said about it.
    stale: bool,
    /// It failed for want of room.
    tight: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("depths", &self.depths())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `<state>/state.redb`, creating the directory and the database where there are none. The whole file is
    /// read and checked once (some seconds for a full one on a slow card).
    ///
    /// # Errors
    /// If another process has it open, it was written by a newer version, or the directory cannot be written.
    /// Damage is no error, see [`Opened::problem`].
    pub fn open(state: &Path, limits: StoreLimits) -> Result<Opened, StoreError> {
        Self::open_on(&Disk::default(), state, limits)
    }

    /// As [`Self::open`], on this disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: &Disk, state: &Path, limits: StoreLimits) -> Result<Opened, StoreError> {
        let disk = disk.counted_apart();
        disk.create_dir_all(state).map_err(|e| StoreError::io("create", state, e))?;
        let path = state.join(super::FILE_NAME);
        let meter = Arc::new(Meter::default());
        let opening = Opening { path: &path, disk: &disk, limits: &limits, meter: &meter };
        let Ready { db, index, problem } = open(opening)?;
        let limits = limits.within(free_bytes(state, &path), &index.depths());
        let store = Self {
            path,
            limits,
            disk,
            meter,
            problems: Mutex::new(problem.iter().cloned().collect()),
            depths: Mutex::new(index.depths()),
            opened_clock_ms: index.clock_ms,
            opened_at: Instant::now(),
            writer: Mutex::new(Writer { index, stale: false, tight: false }),
            db: RwLock::new(Some(db)),
            #[cfg(test)]
            skipped_ms: std::sync::atomic::AtomicU64::new(0),
        };
        Ok(Opened { store, problem })
    }

    /// Makes a batch of changes durable, with one sync; without one if it changes nothing.
    ///
    /// # Errors
    /// If the card is full or fails. Whether the batch is on the card is then not known; it may be given again as
    /// it is: requests with a key are recognised and a [`super::Finish`] takes place once.
    pub fn commit(&self, batch: Vec<Change>) -> Result<Committed, StoreError> {
        let mut writer = self.writer()?;
        let mut result = Ok(());
        if std::mem::take(&mut writer.tight) {
            // Stored answers go first. In a batch of its own: what it frees is there for the next one.
            result = self.write(&mut writer.index, |batch| batch.make_room_on_card()).map(drop);
        }
        let result = result.and_then(|()| self.write(&mut writer.index, |work| work.run(batch)));
        match &result {
            Ok(_) => *unpoisoned(self.depths.lock()) = writer.index.depths(),
            Err(error) => {
                writer.stale = true;
                writer.tight = matches!(error, StoreError::CardFull { .. });
            }
        }
        result
    }

    fn write(
        &self,
        index: &mut Index,
        work: impl FnOnce(Batch<'_, '_>) -> Result<(Committed, bool), BatchError>,
    ) -> Result<Committed, StoreError> {
        let db = self.database()?;
        let now_ms = self.clock_ms();
        let run = || -> Result<Committed, BatchError> {
            let mut txn = db.open_db()?.begin_write()?;
            txn.set_durability(Durability::Immediate)?;
            let (committed, changed) = work(Batch::new(Tables::open(&txn)?, index, &self.limits, now_ms))?;
            if changed {
                txn.commit()?;
            } else {
                txn.abort()?;
            }
            Ok(committed)
        };
        run().map_err(|error| match error {
            BatchError::Redb(error) => StoreError::redb("write", &self.path, error),
            BatchError::Record(problem) => StoreError::Damaged { path: self.path.clone(), problem },
        })
    }

    /// The writer, with an index that is true. After a failure the database is closed and opened again first, as
    /// redb asks for.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        let mut writer = match self.writer.lock() {
            Ok(writer) => writer,
            Err(poisoned) => {
                // A panic in the middle of a batch: as good as a failure.
                self.writer.clear_poison();
                let mut writer = poisoned.into_inner();
                writer.stale = true;
                writer
            }
        };
        if writer.stale {
            let mut db = unpoisoned(self.db.write());
            *db = None;
            let (path, limits, disk, meter) = (&self.path, &self.limits, &self.disk, &self.meter);
            let ready = open(Opening { path, disk, limits, meter })?;
            *db = Some(ready.db);
            *unpoisoned(self.depths.lock()) = ready.index.depths();
            let mut index = ready.index;
            // Where a new database had to be begun its places would start over, and requests that are under way
            // hold places of the old one.
            index.next_seq = index.next_seq.max(writer.index.next_seq);
            index.take_orphans(
                &mut writer.index,
                matches!(ready.problem, Some(Problem::Replaced { .. } | Problem::Missing)),
            );
            *writer = Writer { index, stale: false, tight: writer.tight };
            unpoisoned(self.problems.lock()).extend(ready.problem);
        }
        Ok(writer)
    }

    pub(super) fn database(&self) -> Result<OpenDatabase<'_>, StoreError> {
        let guard = unpoisoned(self.db.read());
        if guard.is_none() {
            let source = std::io::Error::other("it is closed since a write failed");
            return Err(StoreError::io("read", &self.path, source));
        }
        Ok(OpenDatabase { guard })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of a request that may have come before. [`Change::Receive`] does the same as part of a batch;
    /// this is for requests that live in memory only. Waits for a commit under way.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn lookup(&self, key: &RequestKey) -> Result<Lookup, StoreError> {
        let (known, body) = {
            let writer = self.writer()?;
            let known = writer.index.known(key);
            let body = match known {
                Known::Same(Place::Answer(seq)) => writer.index.answer_body(seq),
                _ => None,
            };
            (known, body)
        };
        Ok(match known {
            Known::No => Lookup::Unknown,
            Known::OtherPayload => Lookup::OtherPayload,
            Known::Same(Place::Inbox(seq)) => Lookup::Pending(seq),
            Known::Same(Place::Answer(_)) => match body {
                None => Lookup::AlreadyDone,
                // It may have been forgotten between the two looks.
                Some(body) => self.body(body)?.map_or(Lookup::AlreadyDone, Lookup::Same),
            },
        })
    }

    /// The saved object that `unsave` takes back next: the last of that layer, client and session that is still
    /// there. Waits for a commit under way.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn last_saved(&self, layer: &str, client: &str, session: &str) -> Result<Option<String>, StoreError> {
        let seq = self.writer()?.index.saved_last(layer, client, session);
        seq.map_or(Ok(None), |seq| self.saved_id(seq))
    }

    /// How much is waiting. Does not wait for a commit under way.
    pub fn depths(&self) -> Depths {
        *unpoisoned(self.depths.lock())
    }

    /// Syncs of the card by the database since it was opened, those of opening it among them.
    pub fn syncs(&self) -> u64 {
        self.disk.syncs()
    }

    /// What was found wrong since the last call, at first what [`Opened::problem`] says: to be told loudly, in the log, in an
    /// event, in health.
    pub fn take_problems(&self) -> Vec<Problem> {
        std::mem::take(&mut *unpoisoned(self.problems.lock()))
    }

    /// Lets all syncs of the card fail, though what was written before them can be read again.
    #[cfg(test)]
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.meter.fail_syncs.store(fail, std::sync::atomic::Ordering::Relaxed);
    }

    /// The caps.
    pub const fn limits(&self) -> &StoreLimits {
        &self.limits
    }

    /// Milliseconds that this database has been open in its life, to the last commit before each restart. It grows
    /// steadily where the wall clock of a board may jump by years, and stands still while the board is off.
    pub fn clock_ms(&self) -> u64 {
        let open = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let open = open + self.skipped_ms.load(std::sync::atomic::Ordering::Relaxed);
        self.opened_clock_ms.saturating_add(open)
    }

    /// The lasting counters, by name.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read_counters()
    }
}

/// Bytes that the database may take: those free for us, and its own.
fn free_bytes(state: &Path, path: &Path) -> u64 {
    let own = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    // A file system that does not tell does not bound us.
    rustix::fs::statvfs(state).map_or(u64::MAX, |stat| (stat.f_bavail * stat.f_frsize).saturating_add(own))
}

/// The database, held open.
pub(super) struct OpenDatabase<'a> {
    guard: RwLockReadGuard<'a, Option<Database>>,
}

impl OpenDatabase<'_> {
    pub fn open_db(&self) -> Result<&Database, redb::Error> {
        self.guard.as_ref().ok_or(redb::Error::DatabaseClosed)
    }
}

/// What a lock guards, also after a panic elsewhere: each use leaves it whole.
fn unpoisoned<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
