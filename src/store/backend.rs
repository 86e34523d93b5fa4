//! The database's file, with its syncs counted; tests make it fail on purpose.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// What the file has been through, shared with the store.
#[derive(Debug, Default)]
pub(super) struct Meter {
    syncs: AtomicU64,
    #[cfg(test)]
    pub fail: std::sync::Mutex<Option<io::ErrorKind>>,
    #[cfg(test)]
    pub fail_syncs: std::sync::atomic::AtomicBool,
    /// Held by a test, it makes a sync take as long as on a very slow card.
    #[cfg(test)]
    pub slow: std::sync::Mutex<()>,
}

impl Meter {
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    fn check(&self) -> io::Result<()> {
        self.fail.lock().unwrap().map_or(Ok(()), |kind| Err(kind.into()))
    }

    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "tests fail here")]
    const fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// redb's own file backend, metered.
#[derive(Debug)]
pub(super) struct Backend {
    inner: FileBackend,
    meter: Arc<Meter>,
}

impl Backend {
    pub fn new(file: File, meter: Arc<Meter>) -> Result<Self, redb::DatabaseError> {
        Ok(Self { inner: FileBackend::new(file)?, meter })
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.meter.check()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.meter.check()?;
        #[cfg(test)]
        if self.meter.fail_syncs.load(Ordering::Relaxed) {
            return Err(io::Error::other("the card does not sync"));
        }
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        let _slow = self.meter.slow.lock();
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.meter.check()?;
        self.inner.write(offset, data)
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
