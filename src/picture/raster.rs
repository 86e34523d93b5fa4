//! The pixels of a raster under a picture: gray, RGB (of more bands the first three), YCbCr or a palette; integers of up
//! to 64 bits and floats; strips or tiles, whatever compression the `tiff` crate reads. What is nothing (nodata, alpha,
//! masks) is left out, of the stretch too.
//!
//! Rasters are not ours and may be damaged. Only the strips or tiles under the picture are decoded, one at a
//! time, and their sizes are bounded before (`samples`).

use std::path::{Path, PathBuf};

use super::canvas::Rgb;
use super::header::RasterHeader;
use super::samples::{Samples, samples};

/// Of samples that are no bytes this share at either end is cut off before they are stretched.
const CUT: f64 = 0.02;

/// Why a raster gives no picture.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    /// The system cannot read it.
    #[error("{path}: {source}")]
    Io {
        /// The raster.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is damaged, or of a kind that is not read here.
    #[error("{path}: no backdrop of this raster: {detail}; {advice}")]
    Unreadable {
        /// The raster.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What helps.
        advice: &'static str,
    },
    /// It lies somewhere else.
    #[error("{path}: no backdrop of this raster: {detail}")]
    Elsewhere {
        /// The raster.
        path: PathBuf,
        /// Where it lies, and what to do.
        detail: String,
    },
}

/// Which pixels are wanted.
pub struct RasterWindow<'a> {
    /// Columns of the picture.
    pub width: usize,
    /// Rows of the picture.
    pub height: usize,
    /// From a (column, row) of the picture to world coordinates.
    pub to_world: &'a dyn Fn(f64, f64) -> (f64, f64),
}

/// The nearest raster pixel of each pixel of a picture, row by row; `None` beyond the raster, and where it is nothing.
///
/// # Errors
/// Files that cannot be read, are damaged, or hold what is not read here.
pub fn read_window(
    path: &Path,
    header: &RasterHeader,
    window: &RasterWindow<'_>,
) -> Result<Vec<Option<Rgb>>, RasterError> {
    let samples = read_samples(path, header, window)?;
    let stretch = Stretch::of(&samples);
    Ok(stretch.apply(samples))
}

/// Whether pixels of a raster can be read for a picture: the strip or tile in its middle is.
///
/// # Errors
/// As [`read_window`].
pub fn check_pixels(path: &Path, header: &RasterHeader) -> Result<(), RasterError> {
    let middle = header.affine.apply(f64::from(header.width) / 2.0, f64::from(header.height) / 2.0);
    let window = RasterWindow { width: 1, height: 1, to_world: &|_, _| middle };
    read_samples(path, header, &window).map(drop)
}

/// The same before it is stretched to 8 bits.
pub(super) fn read_samples(
    path: &Path,
    header: &RasterHeader,
    window: &RasterWindow<'_>,
) -> Result<Samples, RasterError> {
    samples(path, header, window).map_err(|problem| match problem {
        Problem::Io(source) => RasterError::Io { path: path.to_owned(), source },
        Problem::Kind(detail, advice) => RasterError::Unreadable { path: path.to_owned(), detail, advice },
    })
}

/// Why samples cannot be had.
pub(super) enum Problem {
    Io(std::io::Error),
    /// What is wrong, and what helps.
    Kind(String, &'static str),
}

/// How samples become 8 bits: bytes as they are, others stretched between the 2nd and 98th percentile of all bands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    low: f64,
    high: f64,
}

impl Stretch {
    /// What suits these samples.
    pub(super) fn of(samples: &Samples) -> Self {
        if samples.are_bytes {
            return Self { low: 0.0, high: 255.0 };
        }
        let mut sorted: Vec<f32> = samples.values.iter().flatten().flatten().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| {
            let last = sorted.len().saturating_sub(1);
            f64::from(sorted.get((share * last as f64) as usize).copied().unwrap_or(0.0))
        };
        Self { low: at(CUT), high: at(1.0 - CUT) }
    }

    /// The samples in 8 bits.
    pub(super) fn apply(self, samples: Samples) -> Vec<Option<Rgb>> {
        let values = samples.values;
        if samples.are_bytes {
            // Read from bytes.
            return values.into_iter().map(|v| v.map(|rgb| rgb.map(|c| c as u8))).collect();
        }
        let range = if self.high > self.low { self.high - self.low } else { 1.0 };
        // The conversion saturates.
        let byte = |c: f32| ((f64::from(c) - self.low) / range * 255.0).round() as u8;
        values.into_iter().map(|v| v.map(|rgb| rgb.map(byte))).collect()
    }
}
