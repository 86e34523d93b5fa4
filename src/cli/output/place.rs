//! What the name of an output stands for.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::CliError;

/// Most symbolic links followed, as the kernel has it.
const MOST_LINKS: usize = 40;

/// What is at a path.
pub(super) enum Place {
    /// `-`, or a name of standard output.
    Stdout,
    /// A device, a pipe, a descriptor: opened with these options.
    Through(OpenOptions),
    /// A regular file or nothing, at a path that is no link.
    File(PathBuf),
}

impl Place {
    /// Looks, and opens nothing.
    pub(super) fn find(path: &Path) -> Result<Self, CliError> {
        let failed = |source| CliError::Output { path: path.to_owned(), source };
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let there = match path.metadata() {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if ends_in_no_name(path) {
                    return Err(directory(path));
                }
                return Ok(Self::File(end_of_links(path).map_err(failed)?.0));
            }
            Err(error) => return Err(failed(error)),
        };
        let kind = there.file_type();
        if kind.is_dir() {
            return Err(directory(path));
        }
        if kind.is_block_device() {
            let message = format!("{} is a disk: what is on it would be lost; name a file", path.display());
            return Err(CliError::Usage(message));
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if !kind.is_file() {
            return Ok(Self::Through(options));
        }
        let (target, is_descriptor) = end_of_links(path).map_err(failed)?;
        if !is_descriptor {
            return Ok(Self::File(target));
        }
        // A descriptor that was opened for us, on a file: `/dev/stdout` behind `>>`. What others have written
        // there stays.
        let stdout = fs::metadata("/proc/self/fd/1").ok();
        if stdout.is_some_and(|stdout| (stdout.dev(), stdout.ino()) == (there.dev(), there.ino())) {
            return Ok(Self::Stdout);
        }
        options.append(true);
        Ok(Self::Through(options))
    }
}

fn directory(path: &Path) -> CliError {
    let file = path.join("answer.geojson");
    let message = format!("{} is a directory; name a file in it, as {}", path.display(), file.display());
    CliError::Usage(message)
}

/// `dir/`, `dir/..`, the empty name.
fn ends_in_no_name(path: &Path) -> bool {
    path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// The absolute path that is written to under a name, of which the file need not be there.
pub(in crate::cli) fn written_at(path: &Path) -> io::Result<PathBuf> {
    let (end, _) = end_of_links(path)?;
    let directory = end.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(directory.unwrap_or(Path::new(".")).canonicalize()?.join(end.file_name().unwrap_or_default()))
}

/// Follows the links of the last component, which may lead to nothing yet, and says whether one of them is a
/// descriptor of a process.
fn end_of_links(path: &Path) -> io::Result<(PathBuf, bool)> {
    let mut path = path.to_owned();
    let mut is_descriptor = false;
    for _ in 0..MOST_LINKS {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).canonicalize()?;
        is_descriptor |= directory.starts_with("/proc") || directory.starts_with("/dev/fd");
        match fs::read_link(&path) {
            Ok(next) => path = directory.join(next),
            // No link, or nothing at all.
            Err(_) => return Ok((path, is_descriptor)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}
