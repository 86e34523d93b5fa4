//! Finding the raster that a folder was encoded from: a GeoTIFF in the folder, or beside it.
//!
//! Manifests tell the path on the machine that encoded, which is of no use here, so a raster is known by where
//! it lies.

use std::path::{Path, PathBuf};

use crate::catalog::ChipRef;
use crate::features::v1::{V1Header, read_header};

/// Most directory entries looked at, and most headers read.
const ENTRIES: usize = 10_000;
const HEADERS: usize = 256;
/// A raster's pixels may be this much larger or smaller than the chip's: overviews stored as files.
const PIXEL_RATIO: f64 = 4.0;
/// Bands of a v1 chip, which is a GeoTIFF too.
const V1_BANDS: usize = 256;

/// A raster under a chip.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Where it lies.
    pub header: V1Header,
    /// How much of the chip it covers, in 0..=1.
    pub coverage: f64,
}

/// GeoTIFFs in a folder's directory and the one above that lie under a chip, best first. `epsg` is the code of
/// the folder's CRS. Files that are no GeoTIFF, and directories that cannot be read, are passed over.
pub fn rasters_beside(root: &Path, chip: &ChipRef<'_>, epsg: Option<u32>) -> Vec<Candidate> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in [Some(root.as_path()), root.parent()].into_iter().flatten() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        let files = entries.take(ENTRIES).filter_map(|entry| Some(entry.ok()?.path()));
        let mut here: Vec<PathBuf> = files.filter(|path| is_tiff(path)).collect();
        here.sort();
        paths.extend(here);
    }
    let under = |path: PathBuf| {
        let header = read_header(&path).ok()?;
        let coverage = coverage(&header, chip, epsg)?;
        Some(Candidate { path, header, coverage })
    };
    let mut found: Vec<Candidate> = paths.into_iter().take(HEADERS).filter_map(under).collect();
    // Stable: of equals the nearer directory and the first name.
    found.sort_by(|a, b| b.coverage.total_cmp(&a.coverage));
    found
}

fn is_tiff(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["tif", "tiff"].iter().any(|known| extension.eq_ignore_ascii_case(known)) && path.is_file()
}

/// The share of a grid of places on the chip that lie on the raster; `None` where it is another one.
fn coverage(header: &V1Header, chip: &ChipRef<'_>, epsg: Option<u32>) -> Option<f64> {
    const STEPS: usize = 9;
    let other_crs = matches!((header.epsg, epsg), (Some(a), Some(b)) if a != b);
    let ratio = (header.affine.pixel_area() / chip.affine.pixel_area()).sqrt();
    if other_crs || header.bands == V1_BANDS || !(1.0 / PIXEL_RATIO..=PIXEL_RATIO).contains(&ratio) {
        return None;
    }
    let inverse = header.affine.inverse()?;
    let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
    let place = |i: usize| (i as f64 + 0.5) / STEPS as f64;
    let inside = |i: usize| {
        let (x, y) = chip.affine.apply(place(i % STEPS) * width, place(i / STEPS) * height);
        let (column, row) = inverse.apply(x, y);
        (0.0..header.width as f64).contains(&column) && (0.0..header.height as f64).contains(&row)
    };
    let covered = (0..STEPS * STEPS).filter(|&i| inside(i)).count();
    (covered > 0).then(|| covered as f64 / (STEPS * STEPS) as f64)
}
