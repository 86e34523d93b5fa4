//! What can go wrong with layer files, with the path and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::ErrorCode;
use crate::api::NameError;

/// A failure of a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The name cannot be a layer's.
    #[error("the layer name {layer:?} {problem}")]
    BadName {
        /// The name.
        layer: String,
        /// The rule it breaks.
        problem: NameError,
    },
    /// No such layer.
    #[error(
        "there is no layer {layer}; save an object to it first, or ask with `list` which layers there are"
    )]
    Unknown {
        /// The layer.
        layer: String,
    },
    /// A new layer, where there are as many as may be.
    #[error(
        "the layer {layer} cannot be begun: there are {most} layers, as many as this board keeps; save to one of \
         them (see `list`), or raise `layers` in [limits]"
    )]
    TooMany {
        /// The layer.
        layer: String,
        /// Layers allowed.
        most: usize,
    },
    /// A layer that is as large as one may be: each search of it, and each change, reads it whole, and others wait for that.
    #[error(
        "the layer {layer} is full: it has {bytes} bytes, and this board keeps {most} in one; save to another layer, delete what \
         is no longer needed, or raise `layer_bytes` in [limits]"
    )]
    Full {
        /// The layer.
        layer: String,
        /// Bytes that it has.
        bytes: u64,
        /// Bytes allowed.
        most: u64,
    },
    /// What is to be saved is not a feature.
    #[error("the object to save in layer {layer} {problem}")]
    BadFeature {
        /// The layer.
        layer: String,
        /// What is wrong with it.
        problem: String,
    },
    /// One object alone is larger than the page may be.
    #[error(
        "object {index} of layer {layer} has {bytes} bytes, more than the {limit} that a page may have; \
         ask with a larger `output.max_bytes`, or take the layer with `geosam-edge export`"
    )]
    ObjectTooLarge {
        /// The layer.
        layer: String,
        /// Its place.
        index: u64,
        /// Its bytes.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The file was written anew in an encoding that JSON does not have.
    #[error(
        "{} is UTF-16 and is left alone; write it as UTF-8 without changing anything else, for example: iconv -f UTF-16 -t UTF-8 OLD > NEW; \
         what was saved is kept in the database until then",
        path.display()
    )]
    Utf16 {
        /// The layer's file.
        path: PathBuf,
    },
    /// No space is left.
    #[error("the card with {} is full; free some space, what was saved is kept in the database until then", path.display())]
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
}

impl LayerError {
    /// The code that a response carries.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::BadName { .. } => ErrorCode::BadRequest,
            Self::TooMany { .. } => ErrorCode::TooManyLayers,
            Self::Full { .. } => ErrorCode::LayerFull,
            Self::Unknown { .. } => ErrorCode::UnknownLayer,
            Self::ObjectTooLarge { .. } => ErrorCode::TooLarge,
            Self::BadFeature { .. } => ErrorCode::Internal,
            Self::Utf16 { .. } | Self::CardFull { .. } | Self::ReadOnly { .. } | Self::Io { .. } => {
                ErrorCode::CardError
            }
        }
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
}
