//! Opening files that others may have put there, on cards and in the state directory. Where a named pipe stands in the place of one,
//! an ordinary open waits for somebody to write into it, for ever.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens a regular file for reading, or one that a link leads to.
///
/// It is looked at first, and not opened without waiting (`O_NONBLOCK`): a file that a Samba client holds (a lease, fcntl(2)) is to be
/// waited for, which would be refused then.
///
/// # Errors
/// What the system says, and `InvalidInput` for what is no regular file: a directory, a device, a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(refusal());
    }
    let file = File::open(path)?;
    // It may have been replaced meanwhile.
    if !file.metadata()?.is_file() {
        return Err(refusal());
    }
    Ok(file)
}

/// Of what is no regular file.
pub(crate) fn refusal() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, file, link) = (dir.path().join("pipe"), dir.path().join("file"), dir.path().join("link"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for other in [pipe.as_path(), dir.path(), Path::new("/dev/zero")] {
            let error = open(other).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{}", other.display());
        }
        assert_eq!(open(&dir.path().join("gone")).unwrap_err().kind(), io::ErrorKind::NotFound);
        for path in [file, link] {
            assert_eq!(io::read_to_string(open(&path).unwrap()).unwrap(), "text");
        }
    }
}
