//! The database's file, on the [`Disk`]; tests make it fail on purpose.

use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::durable::DiskFile;

/// What the file has been through, shared with the store.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// A sync has failed since the file was last [written anew](super::open::write_anew).
    sync_failed: AtomicBool,
    #[cfg(test)]
    pub fail: std::sync::Mutex<Option<io::ErrorKind>>,
    #[cfg(test)]
    pub fail_syncs: std::sync::atomic::AtomicBool,
    /// Held by a test, it makes a sync take as long as on a very slow card.
    #[cfg(test)]
    pub slow: std::sync::Mutex<()>,
    /// Syncs that have begun.
    #[cfg(test)]
    pub begun: std::sync::atomic::AtomicU64,
}

impl Meter {
    /// Whether a sync has failed; it is forgotten by this.
    pub fn take_failed_sync(&self) -> bool {
        self.sync_failed.swap(false, Ordering::Relaxed)
    }

    /// A sync has failed, or its failure is not mended yet.
    pub fn note_failed_sync(&self) {
        self.sync_failed.store(true, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn check(&self) -> io::Result<()> {
        self.fail.lock().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }

    #[cfg(test)]
    fn check_sync(&self) -> io::Result<()> {
        self.check()?;
        if self.fail_syncs.load(Ordering::Relaxed) {
            return Err(io::Error::other("the card does not sync"));
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests fail here")]
    const fn check_sync(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "tests fail here")]
    const fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// redb's own file backend for reads and locks; what changes the card goes by the disk.
#[derive(Debug)]
pub(super) struct Backend {
    inner: FileBackend,
    file: DiskFile,
    meter: Arc<Meter>,
}

impl Backend {
    pub fn new(file: DiskFile, meter: Arc<Meter>) -> Result<Self, redb::DatabaseError> {
        let shared = file.file().try_clone().map_err(redb::StorageError::from)?;
        Ok(Self { inner: FileBackend::new(shared)?, file, meter })
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        #[cfg(test)]
        self.file.check_read()?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.meter.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        self.meter.begun.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        let _slow = self.meter.slow.lock();
        let synced = self.meter.check_sync().and_then(|()| self.file.sync());
        if synced.is_err() {
            self.meter.note_failed_sync();
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.meter.check()?;
        self.file.write_at(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.inner.query_lock_range(start, end)
    }
}
