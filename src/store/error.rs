//! What can go wrong with the database, with the path and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::ErrorCode;

/// A failure of the store. Nothing of the batch that met it was told as done; it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, most likely a second service, works on the same state directory.
    #[error("{} is in use by another process; stop the other service or give this one its own --state directory", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The database was written by a newer version of this software.
    #[error(
        "{} has format {found}, but this version knows formats up to {supported}; install the newer version \
         again, or start with another --state directory", path.display()
    )]
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format known here.
        supported: u64,
    },
    /// The database was written by an early version of the database library.
    #[error(
        "{} is a database of an older kind ({found}) that this version cannot read; move it away, or start with another \
         --state directory", path.display()
    )]
    OlderDatabase {
        /// The database.
        path: PathBuf,
        /// Its kind, as redb counts them.
        found: u64,
    },
    /// No space is left.
    #[error("the card with {} is full; free some space, requests are taken again then", path.display())]
    CardFull {
        /// The file being written.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The directory may not be written to.
    #[error("{} cannot be written ({source}); mount the card read-write and give the service's user write access to the state directory", path.display())]
    ReadOnly {
        /// The file being written.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// Any other failure of the file system.
    #[error("cannot {doing} {}: {source}; check the card and its mount (dmesg shows failing cards)", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The database contradicts itself.
    #[error("{} is damaged: {problem}; at the next start it is moved aside and a new one begun", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
}

impl StoreError {
    /// The code that a response carries.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::CardFull { .. } | Self::ReadOnly { .. } | Self::Io { .. } => ErrorCode::CardError,
            Self::InUse { .. }
            | Self::NewerFormat { .. }
            | Self::OlderDatabase { .. }
            | Self::Damaged { .. } => ErrorCode::Internal,
        }
    }

    /// Whether another file in the place of this one would help.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::CardFull { path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    pub(super) fn redb(doing: &'static str, path: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path: path.to_owned() },
            // Not a redb file at all; the system itself never gives this kind for a plain file.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
                Self::Damaged { path: path.to_owned(), problem: source.to_string() }
            }
            // Shorter than its own header says.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged { path: path.to_owned(), problem: "it ends too early".to_owned() }
            }
            redb::Error::Io(source) => Self::io(doing, path, source),
            // What contradicts itself in the file, and nothing else: all else must leave the file in its place.
            error @ (redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_)) => {
                Self::Damaged { path: path.to_owned(), problem: error.to_string() }
            }
            redb::Error::UpgradeRequired(found) => {
                Self::OlderDatabase { path: path.to_owned(), found: u64::from(found) }
            }
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                let source = io::Error::other("an earlier write failed");
                Self::Io { doing, path: path.to_owned(), source }
            }
            // Misuse of the library, or something new in it: an error that the next try may not meet.
            other => Self::Io { doing, path: path.to_owned(), source: io::Error::other(other.to_string()) },
        }
    }
}
