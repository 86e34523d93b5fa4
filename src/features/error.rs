//! What can be wrong with a chip or a checkpoint, with the path and what to do about it.

use std::io;
use std::path::PathBuf;

use super::torch::PickleError;
use crate::error_code::ErrorCode;
use crate::family::Family;

/// Why a chip or checkpoint cannot be read. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// The operating system could not read the file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a sound torch archive: truncated, damaged, or something else.
    #[error("{} is not a sound torch archive: {detail}; copy it again", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file is something else altogether, which is known by how it begins.
    #[error("{} is {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        what: String,
    },
    /// The file was written by torch before 1.6, without a zip container.
    #[error(
        "{} is in torch's format from before version 1.6, which is not read here; convert it on a workstation: \
         import torch; torch.save(torch.load(\"in.pt\", map_location=\"cpu\"), \"out.pt\")",
        path.display()
    )]
    Legacy {
        /// The file.
        path: PathBuf,
    },
    /// The pickle inside does not hold plain tensors and values.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What the unpickler refused.
        source: PickleError,
    },
    /// The bytes of an entry differ from what was written.
    #[error(
        "{} is damaged: entry {entry} has CRC {actual:08x}, but {expected:08x} was written; copy the file again",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The entry of the archive.
        entry: String,
        /// The checksum in the archive's directory.
        expected: u32,
        /// The checksum of the bytes that are there.
        actual: u32,
    },
    /// A tensor cannot be read as floats of its shape.
    #[error("{}: tensor {name} cannot be read: {detail}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name or key.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The file is no chip of geosam's: a key is missing or does not fit its family.
    #[error("{} is not a chip that geosam wrote: {detail}; encode it again with geosam 0.1.3 or later", path.display())]
    Chip {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The chip was encoded in a frame that its family's decoder does not have. geosam itself cannot query
    /// such a chip: SAM 3 without `imgsz=1008` gives a grid of 74.
    #[error(
        "{} has a grid of {grid} tokens and a frame of {frame:?} pixels, but the decoder of {family} needs {} and {}; \
         encode the folder again with imgsz={}",
        path.display(),
        family.grid(),
        family.frame(),
        family.frame()
    )]
    Frame {
        /// The file.
        path: PathBuf,
        /// The chip's family.
        family: Family,
        /// Side of the chip's grid of tokens.
        grid: usize,
        /// The chip's `dst_shape`, height and width in pixels.
        frame: (usize, usize),
    },
    /// A TIFF chip of Geo-SAM v1 cannot be read.
    #[error("{} is not a Geo-SAM v1 chip that can be read: {detail}", path.display())]
    V1 {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        detail: String,
    },
}

impl FeaturesError {
    /// The code for a response: a file that is missing or wrong is a chip problem, any other failure of
    /// the operating system is taken for a failing card.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::UnexpectedEof
                // Not a regular file.
                | io::ErrorKind::InvalidInput => ErrorCode::ChipUnreadable,
                _ => ErrorCode::CardError,
            },
            _ => ErrorCode::ChipUnreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_card_is_told_apart_from_a_missing_file() {
        let io = |kind: io::ErrorKind| FeaturesError::Io { path: "a.pt".into(), source: kind.into() }.code();
        assert_eq!(io(io::ErrorKind::NotFound), ErrorCode::ChipUnreadable);
        assert_eq!(io(io::ErrorKind::UnexpectedEof), ErrorCode::ChipUnreadable);
        assert_eq!(io(io::ErrorKind::Other), ErrorCode::CardError);
    }
}
