//! Files that are whole on the card: replaced at once, with file and directory synced.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::{Disk, DiskFile};

/// Whether a file name is that of a [`Replacement`] that was never finished.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with('.') && name.contains(".tmp-")
}

/// Bytes of a file name that every file system takes: one that is no longer is cut only where its last name is shorter.
const SHORT: usize = 64;

/// The hidden name under which something is written that will be called `name`. It is not longer than that name, so that what
/// may be called so may be written: most file systems take 255 bytes, encrypted ones fewer.
pub fn unfinished_name(name: &OsStr) -> OsString {
    let mut ending = format!(".tmp-{}", std::process::id());
    let most = name.len().max(SHORT);
    let mut kept = name.as_bytes();
    if kept.len() + ending.len() >= most {
        // Two long names may differ in what is cut off.
        let mut digest = DefaultHasher::new();
        name.hash(&mut digest);
        ending = format!("-{:08x}{ending}", digest.finish() as u32);
        let mut length = most.saturating_sub(ending.len() + 1).min(kept.len());
        // Between characters: some file systems take no others.
        while length > 0 && kept.get(length).is_some_and(|byte| byte & 0xC0 == 0x80) {
            length -= 1;
        }
        kept = &kept[..length];
    }
    let mut hidden = vec![b'.'];
    hidden.extend(kept);
    hidden.extend(ending.bytes());
    OsString::from_vec(hidden)
}

/// A file written beside the one that it replaces. Nobody sees it before [`Replacement::finish`]; dropped without
/// it, it is removed again and the old file stays.
#[derive(Debug)]
pub struct Replacement {
    disk: Disk,
    target: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<DiskFile>>,
}

impl Replacement {
    /// Begins a file in the directory of the one it replaces; that one need not exist.
    ///
    /// # Errors
    /// Those of the file system; `target` without a file name is invalid input.
    pub fn begin(target: &Path) -> io::Result<Self> {
        Self::begin_on(&Disk::default(), target)
    }

    /// As [`Self::begin`], on this disk.
    ///
    /// # Errors
    /// As there.
    pub fn begin_on(disk: &Disk, target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let temporary = target.with_file_name(unfinished_name(name));
        let file = disk.create(&temporary, true)?;
        // Large pieces: each is one write, and layers are copied through here.
        let file = Some(BufWriter::with_capacity(1 << 18, file));
        Ok(Self { disk: disk.clone(), target: target.to_owned(), temporary, file })
    }

    /// Where the file is until it is finished.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Puts the file in the place of the old one, both it and its directory synced.
    ///
    /// # Errors
    /// Those of the file system; the old file is then still there.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(writer) = self.file.take() else { return Ok(()) };
        let file = match writer.into_inner() {
            Ok(file) => file,
            Err(error) => {
                // Best effort: the error that counts is the first one.
                let _ = self.disk.remove_file(&self.temporary);
                return Err(error.into_error());
            }
        };
        let renamed = file.sync().and_then(|()| self.disk.rename(&self.temporary, &self.target));
        if renamed.is_err() {
            let _ = self.disk.remove_file(&self.temporary);
            return renamed;
        }
        self.disk.sync_dir(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            let _ = self.disk.remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_name_of_something_unfinished_is_no_longer_than_its_last_one() {
        let short = unfinished_name(OsStr::new("answer.geojson")).into_string().unwrap();
        assert!(short.starts_with(".answer.geojson.tmp-") && is_leftover(&short), "{short}");
        for name in
            ["x".repeat(255), "\u{e9}".repeat(127), "\u{6e56}".repeat(85), "x".repeat(140), "x".repeat(60)]
        {
            let hidden =
                unfinished_name(OsStr::new(&name)).into_string().expect("it is cut between characters");
            assert!(hidden.len() <= name.len().max(SHORT) && is_leftover(&hidden), "{hidden}");
            let other =
                unfinished_name(OsStr::new(&format!("{}y", &name[..name.len() - name.len() % 2 - 2])));
            assert_ne!(other.into_string().unwrap(), hidden, "another file has another one");
        }
        // Bytes that are no characters.
        let odd = OsString::from_vec(vec![0xFF; 255]);
        assert!(unfinished_name(&odd).len() <= 255);
    }

    #[test]
    fn a_file_with_the_longest_name_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("\u{e9}".repeat(127));
        for text in ["new", "newer"] {
            let mut replacement = Replacement::begin(&path).unwrap();
            replacement.write_all(text.as_bytes()).unwrap();
            replacement.finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replacement_is_seen_only_when_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut replacement = Replacement::begin(&path).unwrap();
        replacement.write_all(b"new").unwrap();
        replacement.flush().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let names = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| is_leftover(name)).count(), 1);
        replacement.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replacement_dropped_leaves_the_old_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut replacement = Replacement::begin(&path).unwrap();
        replacement.write_all(b"new").unwrap();
        drop(replacement);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
