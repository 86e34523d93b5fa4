//! Finding the raster that a folder was encoded from: a GeoTIFF in the folder, or beside it.
//!
//! Manifests tell the path on the machine that encoded. Its directories are of no use here, but the file's name is: the
//! raster of that name comes first, then those with colours. What lies there and cannot be used is told.

use std::path::{Path, PathBuf};

use super::header::{RasterHeader, read_header};
use super::raster::RasterError;
use crate::catalog::ChipRef;
use crate::geo::{Crs, Transform};

/// Most directory entries looked at, and most headers read.
const ENTRIES: usize = 10_000;
const HEADERS: usize = 256;
/// A raster's pixels may be this much larger or smaller than the chip's: overviews stored as files.
const PIXEL_RATIO: f64 = 4.0;
/// Bands of a v1 chip, which is a GeoTIFF too.
const V1_BANDS: usize = 256;
/// A raster that lies under less of a chip is not preferred for its colours.
const MOST_OF_IT: f64 = 0.5;

/// A raster under a chip.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Where it lies.
    pub header: RasterHeader,
    /// How much of the chip it covers, in 0..=1.
    pub coverage: f64,
    /// Whether the manifest names it.
    pub is_named: bool,
}

/// What a folder says of its rasters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Code of the folder's CRS, where it is known.
    pub epsg: Option<u32>,
    /// File names of the rasters that were encoded.
    pub names: &'a [String],
}

/// The rasters found for a chip.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that lie under it, best first.
    pub candidates: Vec<Candidate>,
    /// Why others cannot be used.
    pub problems: Vec<RasterError>,
}

/// GeoTIFFs in a folder's directory and the one above that lie under a chip. Directories that cannot be read, and
/// rasters that lie elsewhere in the same CRS, are passed over; where none lies under it, one that the manifest names is a problem.
pub fn rasters_beside(root: &Path, chip: &ChipRef<'_>, wanted: Wanted<'_>) -> Found {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in [Some(root.as_path()), root.parent()].into_iter().flatten() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        let files = entries.take(ENTRIES).filter_map(|entry| Some(entry.ok()?.path()));
        let mut here: Vec<PathBuf> = files.filter(|path| is_tiff(path)).collect();
        here.sort();
        paths.extend(here);
    }
    // However many files are there, the one that is wanted is looked at.
    paths.sort_by_key(|path| !is_named(path, wanted));
    let mut found = Found::default();
    let mut elsewhere = Vec::new();
    for path in paths.into_iter().take(HEADERS) {
        match candidate(&path, chip, wanted) {
            Ok(Some(candidate)) => found.candidates.push(candidate),
            Ok(None) if is_named(&path, wanted) => elsewhere.push(lies_elsewhere(&path, chip)),
            Ok(None) => {}
            Err(problem) => found.problems.push(problem),
        }
    }
    if found.candidates.is_empty() {
        // Of several rasters that were encoded most lie under other chips.
        found.problems.append(&mut elsewhere);
    }
    // Stable: of equals the nearer directory and the first name.
    found.candidates.sort_by(|a, b| {
        let colours = |c: &Candidate| c.coverage >= MOST_OF_IT && c.header.bands >= 3;
        (b.is_named, colours(b)).cmp(&(a.is_named, colours(a))).then(b.coverage.total_cmp(&a.coverage))
    });
    found
}

/// A raster that the user names.
///
/// # Errors
/// Why it cannot lie under the chip.
pub fn raster_at(path: &Path, chip: &ChipRef<'_>, epsg: Option<u32>) -> Result<Candidate, RasterError> {
    let header = read_header(path)?;
    check_crs(path, &header, epsg)?;
    let coverage = coverage(&header, chip).ok_or_else(|| lies_elsewhere(path, chip))?;
    Ok(Candidate { path: path.to_owned(), header, coverage, is_named: true })
}

fn lies_elsewhere(path: &Path, chip: &ChipRef<'_>) -> RasterError {
    let detail =
        format!("it does not lie under the chip {}; compare gdalinfo with geosam-edge footprint", chip.id);
    RasterError::Elsewhere { path: path.to_owned(), detail }
}

fn candidate(path: &Path, chip: &ChipRef<'_>, wanted: Wanted<'_>) -> Result<Option<Candidate>, RasterError> {
    let header = read_header(path)?;
    let is_named = is_named(path, wanted);
    let ratio = (header.affine.pixel_area() / chip.affine.pixel_area()).sqrt();
    let is_like = is_named || (1.0 / PIXEL_RATIO..=PIXEL_RATIO).contains(&ratio);
    if header.bands == V1_BANDS {
        return Ok(None);
    }
    if let Err(problem) = check_crs(path, &header, wanted.epsg) {
        // One of another place is nothing that the folder lacks.
        return if is_named || may_lie_under(&header, chip, wanted.epsg) { Err(problem) } else { Ok(None) };
    }
    let covered = coverage(&header, chip).filter(|_| is_like);
    Ok(covered.map(|coverage| Candidate { path: path.to_owned(), header, coverage, is_named }))
}

fn check_crs(path: &Path, header: &RasterHeader, epsg: Option<u32>) -> Result<(), RasterError> {
    match (header.epsg, epsg) {
        (Some(raster), Some(folder)) if raster != folder => Err(RasterError::Elsewhere {
            path: path.to_owned(),
            detail: format!(
                "it is in EPSG:{raster}, the folder in EPSG:{folder}; write it anew with: gdalwarp -t_srs \
                 EPSG:{folder} in.tif out.tif"
            ),
        }),
        _ => Ok(()),
    }
}

/// Whether a raster in another CRS lies under the chip all the same, or perhaps, where a CRS is not supported.
fn may_lie_under(header: &RasterHeader, chip: &ChipRef<'_>, epsg: Option<u32>) -> bool {
    let crs = |code: Option<u32>| code.and_then(|code| Crs::from_epsg(code).ok());
    let (Some(folder), Some(raster)) = (crs(epsg), crs(header.epsg)) else { return true };
    let Ok(way) = Transform::new(&folder, &raster) else { return true };
    coverage_by(header, chip, |(x, y)| way.point(x, y).ok()).is_some()
}

fn is_named(path: &Path, wanted: Wanted<'_>) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    wanted.names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
}

fn is_tiff(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && ["tif", "tiff"].iter().any(|known| extension.eq_ignore_ascii_case(known)) && path.is_file()
}

/// The share of a grid of places on the chip that lie on the raster; `None` where none does.
fn coverage(header: &RasterHeader, chip: &ChipRef<'_>) -> Option<f64> {
    coverage_by(header, chip, Some)
}

/// The same by a way from the chip's CRS to the raster's.
fn coverage_by(
    header: &RasterHeader,
    chip: &ChipRef<'_>,
    way: impl Fn((f64, f64)) -> Option<(f64, f64)>,
) -> Option<f64> {
    const STEPS: usize = 9;
    let inverse = header.affine.inverse()?;
    let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
    let place = |i: usize| (i as f64 + 0.5) / STEPS as f64;
    let inside = |i: usize| {
        let at = chip.affine.apply(place(i % STEPS) * width, place(i / STEPS) * height);
        way(at).is_some_and(|(x, y)| {
            let (column, row) = inverse.apply(x, y);
            (0.0..f64::from(header.width)).contains(&column) && (0.0..f64::from(header.height)).contains(&row)
        })
    };
    let covered = (0..STEPS * STEPS).filter(|&i| inside(i)).count();
    (covered > 0).then(|| covered as f64 / (STEPS * STEPS) as f64)
}

/// How many of these chips a raster lies under, in their CRS.
pub fn chips_above<'a>(header: &RasterHeader, chips: impl Iterator<Item = ChipRef<'a>>) -> usize {
    chips.filter(|chip| coverage(header, chip).is_some()).count()
}
