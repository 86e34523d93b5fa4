//! What can go wrong between logits and rings.

use thiserror::Error;

use crate::ErrorCode;

/// Why no mask came out, or why it could not be written.
#[derive(Debug, Error)]
pub enum MaskError {
    /// A mask of this shape is refused before anything is allocated.
    #[error(
        "a mask of {height} x {width} pixels is larger than the {limit} pixels this program handles; \
         encode the raster in smaller chips"
    )]
    TooLarge {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
        /// The most pixels a mask may have.
        limit: usize,
    },
    /// A shape has a side of zero, so that nothing can be sampled.
    #[error("{what} has the shape {height} x {width}; both sides must be at least 1")]
    EmptyShape {
        /// Which shape: of the logits, of the chip, of the encoder's frame.
        what: &'static str,
        /// Its rows.
        height: usize,
        /// Its columns.
        width: usize,
    },
    /// The rows handed over do not fill a grid.
    #[error("{found} values do not fill a mask of {height} x {width} pixels")]
    Ragged {
        /// Rows of the mask.
        height: usize,
        /// Columns of the mask.
        width: usize,
        /// Values handed over.
        found: usize,
    },
    /// Run-length counts are those of another mask.
    #[error("the counts of {counted} pixels are not those of a mask of {height} x {width}")]
    Counts {
        /// Rows of the mask.
        height: usize,
        /// Columns of the mask.
        width: usize,
        /// The sum of the counts.
        counted: u64,
    },
    /// The PNG could not be written.
    #[error("cannot write the mask as PNG: {0}")]
    Png(#[from] png::EncodingError),
    /// The NPY could not be written.
    #[error("cannot write the logits as NPY: {0}")]
    Npy(#[from] std::io::Error),
}

impl MaskError {
    /// The stable code of a response that carries this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } | Self::EmptyShape { .. } => ErrorCode::ChipUnreadable,
            Self::Ragged { .. } | Self::Counts { .. } | Self::Png(_) | Self::Npy(_) => ErrorCode::Internal,
        }
    }
}
