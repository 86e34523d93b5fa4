//! Opening files that others may have put there. Where a named pipe stands in the place of one, an ordinary open waits for
//! somebody to write into it, for ever. (Chips and manifests are opened in the ordinary way: on a card that is a card that hangs,
//! which the service and its tests know.)

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading, or one that a link leads to.
///
/// # Errors
/// What the system says, and `InvalidInput` for what is no regular file: a directory, a device, a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // It changes nothing for regular files (open(2)).
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(at_once).open(path)?;
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
