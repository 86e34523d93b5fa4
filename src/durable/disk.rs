//! Changes of files and directories, one by one, with the real syncs counted.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
use super::simulated::Card;

/// Bytes by which a file is made longer at a time. A file system that writes zeros into what is new (FAT, exFAT) then
/// fails after few of them where there is no room, and they are given back.
const GROW: u64 = 4 * 1024 * 1024;

/// Makes entries of a directory (files created, renamed, removed) durable.
///
/// # Errors
/// Those of the file system; one that cannot sync a directory (FAT through FUSE, for one) is taken as it is.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    Disk::default().sync_dir(dir)
}

/// One change of what a card holds.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "what is changed is the simulated card's to know"))]
pub(crate) enum Act<'a> {
    /// A file comes to be, or is emptied, under this name.
    Create { path: &'a Path, truncate: bool },
    /// Bytes of a file.
    Write { path: &'a Path, offset: u64, bytes: &'a [u8] },
    /// A file's length.
    SetLen { path: &'a Path, len: u64 },
    /// What was written to a file is on the card.
    Sync { path: &'a Path },
    /// Names in a directory are on the card.
    SyncDir { dir: &'a Path },
    /// A file has another name, in the place of the file that had it.
    Rename { from: &'a Path, to: &'a Path },
    /// A name is gone.
    Remove { path: &'a Path },
    /// A directory comes to be.
    CreateDir { path: &'a Path },
}

/// The card below the state directory. A clone counts together with the one it was cloned from.
///
/// A test's disk stands on a simulated card, which fails at the n-th change and plays power cuts. Writes by anything
/// else than this type escape it, and so does what was not synced: use nothing else in `store` and `layers`.
#[derive(Clone, Default)]
pub struct Disk {
    syncs: Arc<AtomicU64>,
    #[cfg(test)]
    card: Option<Arc<Card>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("syncs", &self.syncs()).finish_non_exhaustive()
    }
}

impl Disk {
    /// The same card, with a count of its own.
    #[must_use]
    pub fn counted_apart(&self) -> Self {
        let mut apart = self.clone();
        apart.syncs = Arc::default();
        apart
    }

    /// A disk on a simulated card.
    #[cfg(test)]
    pub(crate) fn on(card: &Arc<Card>) -> Self {
        Self { syncs: Arc::default(), card: Some(Arc::clone(card)) }
    }

    /// Syncs of files and directories that the system has reported as done.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Makes a change. Everything that changes the card comes through here, or through [`Self::sync`].
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "a test's card is asked first"))]
    pub(crate) fn act<T>(&self, act: &Act<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        #[cfg(test)]
        if let Some(card) = &self.card {
            return card.act(act, work);
        }
        let _ = act;
        work()
    }

    /// Waits for the card, and counts it.
    pub(crate) fn sync(&self, act: &Act<'_>, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        #[cfg(test)]
        if let Some(card) = &self.card {
            card.sync(act)?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let _ = act;
        work()?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes entries of a directory durable, as [`sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        self.sync(&Act::SyncDir { dir }, || match File::open(dir).and_then(|dir| dir.sync_all()) {
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            other => other,
        })
    }

    /// Creates a directory and those above it that are missing, each durable in the one above it. The entries of those
    /// that are there are synced all the same: a start before this one may have been cut short before it did that.
    ///
    /// # Errors
    /// Those of the file system. A directory that we may not read is not synced: whoever set the board up made its
    /// entries.
    pub fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir_all(parent)?;
        }
        if !dir.is_dir() {
            match self.act(&Act::CreateDir { path: dir }, || fs::create_dir(dir)) {
                // Somebody else was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                other => other?,
            }
        }
        match self.sync_dir(parent.unwrap_or(Path::new("."))) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other,
        }
    }

    /// Opens a file to write to, or creates it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(&self, path: &Path, how: &OpenOptions) -> io::Result<DiskFile> {
        let file = how.open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), disk: self.clone() })
    }

    /// Opens a file to write to, creating it where there is none; emptied, if it is to be.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(&self, path: &Path, truncate: bool) -> io::Result<DiskFile> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(truncate);
        let file = if truncate || !path.exists() {
            self.act(&Act::Create { path, truncate }, || how.open(path))?
        } else {
            how.open(path)?
        };
        Ok(DiskFile { file, path: path.to_owned(), disk: self.clone() })
    }

    /// Gives a file another name. Durable with the next [`Self::sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(&Act::Rename { from, to }, || fs::rename(from, to))
    }

    /// Removes a file. Durable with the next [`Self::sync_dir`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.act(&Act::Remove { path }, || fs::remove_file(path))
    }
}

/// A file open for writing.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    /// The file for reading.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Asks the simulated card of a test whether it can be read.
    #[cfg(test)]
    pub(crate) fn check_read(&self) -> io::Result<()> {
        self.disk.card.as_ref().map_or(Ok(()), |card| card.read())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length and times.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// Those of the file system; a part may be written then.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let offset = self.file.metadata()?.len();
        self.write_at(offset, bytes)
    }

    /// Writes at a place.
    ///
    /// # Errors
    /// Those of the file system; a part may be written then.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk
            .act(&Act::Write { path: &self.path, offset, bytes }, || write_all_at(&self.file, bytes, offset))
    }

    /// Cuts the file, or makes it longer, so that what it then holds has its place on the card where the file system can
    /// reserve one. A file that cannot be made longer keeps its length.
    ///
    /// # Errors
    /// Those of the file system; no room is [`io::ErrorKind::StorageFull`].
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        self.disk.act(&Act::SetLen { path: &self.path, len }, || {
            if len <= before {
                return self.file.set_len(len);
            }
            let grown = grow(&self.file, before, len);
            if grown.is_err() {
                // What was added in vain would keep the card full. The error that counts is the first one.
                let _ = self.file.set_len(before);
            }
            grown
        })
    }

    /// Waits until all that was written is on the card.
    ///
    /// # Errors
    /// Those of the file system. What was written before may then be lost, also if a later sync succeeds.
    pub fn sync(&self) -> io::Result<()> {
        // The length is synced with it (fdatasync(2): metadata needed to read the data).
        self.disk.sync(&Act::Sync { path: &self.path }, || self.file.sync_data())
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn grow(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    while from < to {
        let step = GROW.min(to - from);
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), from, step) {
            Ok(()) => {}
            // FAT and exFAT write zeros instead, others leave a hole. A filter of system calls refuses it as not permitted.
            Err(
                rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::INVAL
                | rustix::io::Errno::PERM,
            ) => {
                file.set_len(from + step)?;
            }
            Err(error) => return Err(error.into()),
        }
        from += step;
    }
    Ok(())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_syncs_that_were_made_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut file = disk.create(&dir.path().join("file"), false).unwrap();
        file.append(b"text").unwrap();
        assert_eq!(disk.syncs(), 0);
        file.sync().unwrap();
        disk.sync_dir(dir.path()).unwrap();
        assert!(disk.sync_dir(&dir.path().join("absent")).is_err());
        assert_eq!((disk.syncs(), disk.clone().syncs(), disk.counted_apart().syncs()), (2, 2, 0));
    }

    #[test]
    fn a_file_made_longer_reads_as_zeros_and_has_its_place_on_the_card() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Disk::default().create(&dir.path().join("file"), false).unwrap();
        file.append(b"text").unwrap();
        file.set_len(2 * GROW + 5).unwrap();
        let bytes = fs::read(dir.path().join("file")).unwrap();
        assert_eq!((bytes.len() as u64, &bytes[..4]), (2 * GROW + 5, &b"text"[..]));
        assert!(bytes[4..].iter().all(|byte| *byte == 0));
        file.set_len(2).unwrap();
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"te");
    }

    #[test]
    fn directories_that_are_there_are_synced_like_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Disk::default(), Disk::default());
        first.create_dir_all(&dir.path().join("a/b")).unwrap();
        second.create_dir_all(&dir.path().join("a/b")).unwrap();
        assert_eq!(first.syncs(), second.syncs());
        assert!(first.syncs() >= 3, "each in the one above it");
    }
}
