//! What can go wrong between a CRS text and a written geometry.

use thiserror::Error;

use super::told::Told;
use crate::error_code::ErrorCode;

/// Errors of the geography module. Each says what to do about it.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum GeoError {
    /// The CRS is well named but not one that this program transforms exactly.
    ///
    /// What to do depends on whose CRS it is, a folder's or a prompt's: who knows that says it.
    #[error("the CRS {name} is not supported: {problem}")]
    UnknownCrs {
        /// The CRS as its text names it, for example `EPSG:5514`.
        name: String,
        /// What stands in the way.
        problem: String,
    },
    /// The text is not a CRS at all.
    #[error("\"{text}\" is not a CRS: {problem}; write it like EPSG:4326")]
    NotACrs {
        /// The beginning of the text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A coordinate is not a number or lies outside what its own CRS can express.
    #[error("({}, {}) is not a position in {crs}: {problem}", Told(*x), Told(*y))]
    BadPosition {
        /// Easting or longitude as given.
        x: f64,
        /// Northing or latitude as given.
        y: f64,
        /// The CRS it was given in.
        crs: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The position exists, but the target CRS cannot express it.
    #[error("({}, {}) in {from} lies outside the area where {to} is defined", Told(*x), Told(*y))]
    OutOfDomain {
        /// Easting or longitude as given.
        x: f64,
        /// Northing or latitude as given.
        y: f64,
        /// The CRS it was given in.
        from: String,
        /// The CRS that cannot express it.
        to: String,
    },
    /// The affine grid maps every pixel onto a line or a point, or is not finite.
    #[error("the raster's affine grid {grid} is degenerate; encode the raster again")]
    DegenerateGrid {
        /// The six numbers.
        grid: String,
    },
    /// A ring has fewer than three distinct corners.
    #[error("a ring of {corners} corners encloses no area")]
    DegenerateRing {
        /// Distinct corners seen.
        corners: usize,
    },
}

impl GeoError {
    /// The stable code this error has in a response.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownCrs { .. } => ErrorCode::UnknownCrs,
            Self::NotACrs { .. } | Self::BadPosition { .. } => ErrorCode::BadRequest,
            // No chip can cover a place that the folder's CRS cannot express.
            Self::OutOfDomain { .. } => ErrorCode::NoChipCovers,
            Self::DegenerateGrid { .. } => ErrorCode::FolderNotReady,
            Self::DegenerateRing { .. } => ErrorCode::Internal,
        }
    }

    pub(super) fn not_a_crs(text: &str, problem: impl Into<String>) -> Self {
        Self::NotACrs { text: shortened(text), problem: problem.into() }
    }

    pub(super) fn unknown_crs(name: &str, problem: impl Into<String>) -> Self {
        let name = if name.trim().is_empty() { NAMELESS } else { name };
        Self::UnknownCrs { name: shortened(name), problem: problem.into() }
    }
}

/// What stands in a message where a definition has no name.
pub(super) const NAMELESS: &str = "(a definition without a name)";

/// At most 60 characters of a text, for a message.
fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
