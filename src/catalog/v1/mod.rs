//! Feature folders of Geo-SAM v1: GeoTIFFs of 256 bands beside a CSV index. Their pixels are read by
//! `features`.
//!
//! The index may be stale: it lists files that were deleted, or twice, and lacks others. v1 throws it
//! away when its length is not the number of files. Here the files beside it count, each with its row
//! where there is one, else with what its own header tells.
//!
//! Facts are read off Geo-SAM 1.x (`tools/torchgeo_sam.py`, `image_encoder.py`).

mod csv;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use self::csv::{CsvRow, open_csv, read_csv};
use super::CatalogError;
use super::chips::{ChipTable, ChipTableBuilder, MAX_NAME, NewChip, Place, Shapes};
use super::crs::{FolderCrs, GeoMetadata};
use crate::features::same_model;
use crate::features::v1::{V1Header, checkpoint_of, read_header};
use crate::geo::{Affine, Bounds};

/// Bands of a v1 feature file: the channels of SAM's embedding.
const BANDS: usize = 256;
/// Height and width of SAM's frame in pixels.
const FRAME: (usize, usize) = (1024, 1024);
/// The largest side of a chip in pixels.
const MAX_SIDE: usize = 32_768;
/// Tokens along a side of the embedding, the pixels of the feature file.
const TOKENS: f64 = 64.0;

/// A v1 folder, found but not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct V1Source {
    pub(super) directory: PathBuf,
    /// The index, where there is one.
    pub(super) index: Option<PathBuf>,
}

/// What a v1 folder tells.
#[derive(Debug)]
pub(super) struct V1Folder {
    pub(super) chips: ChipTable,
    /// Ultralytics' name of the checkpoint.
    pub(super) checkpoint: &'static str,
    pub(super) crs: FolderCrs,
    /// Files that the index lists and that are not there, or cannot be read.
    pub(super) absent: Vec<String>,
}

/// Whether a directory with these files is a v1 folder. Both lists are names, ascending.
pub(super) fn recognise(
    directory: &Path,
    tables: &[String],
    tiffs: &[String],
) -> Result<Option<V1Source>, CatalogError> {
    if tiffs.is_empty() {
        return Ok(None);
    }
    // The index is named as its directory, unless that was renamed.
    let named = directory.file_name().map(|name| format!("{}.csv", name.to_string_lossy()));
    let mut ordered: Vec<_> = tables.iter().collect();
    ordered.sort_by_key(|name| Some(*name) != named.as_ref());
    for name in ordered {
        let index = directory.join(name);
        if open_csv(&index)?.is_some() {
            return Ok(Some(V1Source { directory: directory.to_owned(), index: Some(index) }));
        }
    }
    // Without an index, a directory of other rasters must not be taken for features.
    let first = tiffs.iter().find(|name| checkpoint_of(name).is_some()).or_else(|| tiffs.first());
    let is_feature = first.is_some_and(|name| is_feature(read_header(&directory.join(name)).ok().as_ref()));
    Ok(is_feature.then(|| V1Source { directory: directory.to_owned(), index: None }))
}

fn is_feature(header: Option<&V1Header>) -> bool {
    header.is_some_and(|header| header.bands == BANDS)
}

/// Reads a v1 folder. `tiffs` are the names of the TIFFs in its directory, ascending.
pub(super) fn read_v1(source: &V1Source, tiffs: &[String]) -> Result<V1Folder, CatalogError> {
    let directory = &source.directory;
    let rows = match &source.index {
        None => Vec::new(),
        Some(path) => open_csv(path)?.map_or_else(|| Ok(Vec::new()), |opened| read_csv(opened, path))?,
    };
    let mut reader = V1Reader::new(source);
    let there: HashSet<&str> = tiffs.iter().map(String::as_str).collect();
    let mut listed = HashSet::new();
    let mut absent = Vec::new();
    for row in &rows {
        // The encoder appends: a file that was encoded again has two equal rows.
        if !listed.insert(row.file.as_str()) {
            continue;
        }
        if !there.contains(row.file.as_str()) || !reader.add_row(row)? {
            absent.push(row.file.clone());
        }
    }
    for file in tiffs.iter().filter(|file| !listed.contains(file.as_str())) {
        match read_header(&directory.join(file)) {
            Ok(header) if is_feature(Some(&header)) => reader.add_file(file, &header)?,
            // Another raster.
            Ok(_) => {}
            Err(_) => absent.push(file.clone()),
        }
    }
    reader.finish(absent)
}

/// Collects chips, and what they must agree in.
struct V1Reader<'a> {
    source: &'a V1Source,
    table: ChipTableBuilder,
    place: u32,
    crs: Option<(String, usize)>,
    model: Option<(&'static str, usize)>,
}

impl<'a> V1Reader<'a> {
    fn new(source: &'a V1Source) -> Self {
        let mut table = ChipTableBuilder::default();
        let place = table.place(Place::default());
        Self { source, table, place, crs: None, model: None }
    }

    fn path(&self) -> PathBuf {
        self.source.index.clone().unwrap_or_else(|| self.source.directory.clone())
    }

    /// Adds the chip of a row whose file is there; `false` where the file cannot be read.
    fn add_row(&mut self, row: &CsvRow) -> Result<bool, CatalogError> {
        let (width, height) = row.bounds.size();
        let shape = row.resolution.map(|res| ((height / res).round(), (width / res).round()));
        let shape = match shape {
            // A chip is larger than its tokens; where it is not, the row tells the size of a token.
            Some((h, w)) if h.max(w) > TOKENS && h.min(w) >= 1.0 && h.max(w) <= MAX_SIDE as f64 => {
                (h as usize, w as usize)
            }
            _ => match read_header(&self.source.directory.join(&row.file)) {
                Ok(header) => header.src_shape(),
                Err(_) => return Ok(false),
            },
        };
        self.agree_model(row.row, row.model_type.as_deref().unwrap_or(&row.file))?;
        self.agree_crs(row.row, &row.crs)?;
        self.push(&row.file, row.bounds, shape)?;
        Ok(true)
    }

    /// Adds a file that has no row.
    fn add_file(&mut self, file: &str, header: &V1Header) -> Result<(), CatalogError> {
        let row = self.table.len();
        let refused = |problem: &str| {
            let path = self.source.directory.join(file);
            Err(CatalogError::V1File { path, problem: problem.to_owned() })
        };
        let corners = [(0.0, 0.0), (header.width as f64, header.height as f64)];
        let bounds = Bounds::around(corners.map(|(col, row)| header.affine.apply(col, row)));
        let Some(bounds) = bounds.filter(Bounds::is_valid) else { return refused("it has no bounds") };
        let (width, height) = bounds.size();
        if !(width > 0.0 && height > 0.0) || header.affine.b != 0.0 || header.affine.d != 0.0 {
            return refused("its grid is rotated or empty");
        }
        let Some(epsg) = header.epsg else { return refused("its CRS has no EPSG code, and no CSV tells it") };
        self.agree_model(row, header.model_type.as_deref().unwrap_or(file))?;
        self.agree_crs(row, &format!("EPSG:{epsg}"))?;
        self.push(file, bounds, header.src_shape())
    }

    fn push(&mut self, file: &str, bounds: Bounds, shape: (usize, usize)) -> Result<(), CatalogError> {
        let (height, width) = shape;
        let refused = |problem: String| {
            let path = self.source.directory.join(file);
            CatalogError::V1File { path, problem }
        };
        if ![height, width].iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            return Err(refused(format!("it says that its chip has {height} x {width} pixels")));
        }
        let (across, up) = bounds.size();
        // As rasterio's `from_bounds`, with which v1 places its masks.
        let affine = Affine {
            a: across / width as f64,
            b: 0.0,
            c: bounds.min_x,
            d: 0.0,
            e: -up / height as f64,
            f: bounds.max_y,
        };
        let id = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let shapes = Shapes { shape, dst_shape: FRAME };
        let chip = NewChip { id, file, place: self.place, affine, shapes, center: bounds.center() };
        if affine.inverse().is_none() {
            return Err(refused("its pixels have no area".to_owned()));
        }
        self.table.push_box(&chip, bounds).map_err(|error| refused(format!("its footprint {error}")))
    }

    /// Checks the model of a chip, told by `model_type` or the file's name.
    fn agree_model(&mut self, row: usize, text: &str) -> Result<(), CatalogError> {
        match (self.model, checkpoint_of(text)) {
            (None, Some(model)) => self.model = Some((model, row)),
            (Some((first, first_row)), Some(other)) if !same_model(first, other) => {
                return Err(CatalogError::Mixed {
                    path: self.path(),
                    column: "model_type",
                    first: first.to_owned(),
                    first_row,
                    other: other.to_owned(),
                    other_row: row,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn agree_crs(&mut self, row: usize, crs: &str) -> Result<(), CatalogError> {
        match &self.crs {
            None => self.crs = Some((crs.to_owned(), row)),
            Some((first, first_row)) if first != crs => {
                return Err(CatalogError::Mixed {
                    path: self.path(),
                    column: "crs",
                    first: first.chars().take(80).collect(),
                    first_row: *first_row,
                    other: crs.chars().take(80).collect(),
                    other_row: row,
                });
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn finish(self, absent: Vec<String>) -> Result<V1Folder, CatalogError> {
        let path = self.path();
        let (Some((crs, _)), true) = (self.crs, self.table.len() > 0) else {
            return Err(CatalogError::ChipCount { path, rows: 0, limit: super::chips::MAX_CHIPS });
        };
        let chips = self.table.finish();
        let in_file = || {
            let (stem, suffix) = chips.file(0);
            let header = read_header(&self.source.directory.join(format!("{stem}{suffix}"))).ok()?;
            checkpoint_of(&header.model_type?)
        };
        let checkpoint = self.model.map(|(checkpoint, _)| checkpoint).or_else(in_file);
        let checkpoint = checkpoint.ok_or(CatalogError::V1ModelUnknown { path })?;
        let crs = FolderCrs::new(&crs, &GeoMetadata::default());
        Ok(V1Folder { chips, checkpoint, crs, absent })
    }
}

/// Whether a file name can be a chip's.
pub(super) fn is_tiff(name: &str) -> bool {
    let is_suffix = |suffix: &str| suffix.eq_ignore_ascii_case("tif") || suffix.eq_ignore_ascii_case("tiff");
    name.len() <= MAX_NAME && name.rsplit_once('.').is_some_and(|(_, suffix)| is_suffix(suffix))
}

#[cfg(test)]
mod tests;
