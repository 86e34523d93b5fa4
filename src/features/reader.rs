//! Positioned reads of a file on a card that may fail or vanish.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rawzip::ReaderAt;

use crate::regular_file;

/// An open file that is read with `pread`: no shared cursor, no memory map.
#[derive(Debug)]
pub struct CardFile {
    file: File,
    size: u64,
}

impl CardFile {
    /// Opens a file for reading and takes its size.
    ///
    /// # Errors
    /// What the system says, and `InvalidInput` for a path that is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = regular_file::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }

    /// The size in bytes when the file was opened.
    pub const fn size(&self) -> u64 {
        self.size
    }
}

impl ReaderAt for CardFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // The system refuses offsets beyond i64 with EINVAL, which would look like a failing card.
        if offset >= self.size {
            return Ok(0);
        }
        loop {
            match self.file.read_at(buf, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
