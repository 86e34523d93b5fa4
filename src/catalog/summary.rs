//! What there is to say of a folder: `info` prints it, and the topic `folder/<name>` holds it.

use std::collections::HashMap;

use serde::Serialize;

use super::CatalogError;
use super::chips::ChipTable;
use super::crs::FolderCrs;
use super::files::size_on_disk;
use super::folder::Folder;
use crate::geo::Affine;

/// How many missing files are told by name.
const NAMED: usize = 20;
/// How many shapes are told.
const SHAPES: usize = 8;

/// What Geo-SAM shows after Load, and more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderSummary {
    /// The folder's name.
    pub name: String,
    /// The name with a fingerprint of what the folder holds, which it answers to wherever it lies.
    pub long_name: String,
    /// The directory that holds the manifest.
    pub path: String,
    /// Whether Geo-SAM v1 wrote it.
    pub v1: bool,
    /// How many chips the manifest lists.
    pub chips: usize,
    /// Chips without a file.
    pub missing: MissingChips,
    /// File name of the checkpoint.
    pub model: String,
    /// `sam`, `sam2` or `sam3`.
    pub model_type: String,
    /// The CRS.
    pub crs: FolderCrs,
    /// West, south, east, north of all footprints, in the folder's CRS.
    pub extent: [f64; 4],
    /// The same in WGS84 degrees, where the CRS is known; filled in by who can transform.
    pub extent_wgs84: Option<[f64; 4]>,
    /// Width and height of a source pixel of the first chip, in CRS units.
    pub pixel_size: [f64; 2],
    /// Those of all chips, where they differ, as where flights were merged: first that of the first chip; at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pixel_sizes: Vec<[f64; 2]>,
    /// Degrees by which the raster's columns are turned against the CRS's axes, where they are: geosam 0.1.3 misplaces such
    /// chips.
    pub rotation: Option<f64>,
    /// The most common step from chip to chip, in pixels along columns and rows of the first raster;
    /// `None` along an axis with one chip.
    pub stride: [Option<u64>; 2],
    /// The chips' shapes as [height, width], first those of the first chips; at most 8.
    pub chip_shapes: Vec<[usize; 2]>,
    /// That two chips which lie elsewhere have one file, where it is so: answers on them are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_file: Option<String>,
    /// Bytes of the chips' files.
    pub size_bytes: u64,
    /// Whether the bytes are an estimate from some of the files, as for large folders.
    pub size_is_estimate: bool,
}

/// Chips that the manifest lists and that have no file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MissingChips {
    /// How many.
    pub count: usize,
    /// Names of the first 20 files.
    pub first: Vec<String>,
}

impl Folder {
    /// What there is to say of the folder. Lists the directories of the features, and asks for the size of
    /// up to 4096 files.
    pub fn summary(&self) -> FolderSummary {
        let presence = self.presence();
        let absent = self.absent_v1_files();
        let missing_files = presence.missing().map(|chip| {
            let (stem, suffix) = self.chips.file(chip);
            format!("{stem}{suffix}")
        });
        let missing = MissingChips {
            count: presence.count_missing() + absent.len(),
            first: absent.iter().cloned().chain(missing_files).take(NAMED).collect(),
        };
        let size = size_on_disk(&self.chips, presence, self.root());
        let extent = self.chips.footprints.bounds().iter().copied().reduce(|a, b| a.union(&b));
        let pixel_sizes = pixel_sizes(&self.chips);
        let mut chip_shapes: Vec<[usize; 2]> = Vec::new();
        for shapes in self.chips.all_shapes() {
            let (height, width) = shapes.shape;
            if chip_shapes.len() < SHAPES && !chip_shapes.contains(&[height, width]) {
                chip_shapes.push([height, width]);
            }
        }
        FolderSummary {
            name: self.name().to_owned(),
            long_name: self.long_name(),
            path: self.root().display().to_string(),
            v1: self.is_v1(),
            chips: self.len(),
            missing,
            model: self.checkpoint().to_owned(),
            model_type: self.family().to_string(),
            crs: self.crs().clone(),
            // A folder has a chip.
            extent: extent.map_or([0.0; 4], Into::into),
            extent_wgs84: None,
            pixel_size: self.chips.affine(0).pixel_size().into(),
            pixel_sizes,
            rotation: self.rotation(),
            stride: stride(&self.chips),
            chip_shapes,
            shared_file: self.shared_file().map(|error| error.to_string()),
            size_bytes: size.bytes,
            size_is_estimate: size.is_estimate,
        }
    }
}

/// The sizes of source pixels, where there are several. Rounding does not make two of one.
fn pixel_sizes(chips: &ChipTable) -> Vec<[f64; 2]> {
    let mut sizes: Vec<[f64; 2]> = Vec::new();
    for chip in 0..chips.len() {
        let size: [f64; 2] = chips.affine(chip).pixel_size().into();
        let is_known =
            |known: &[f64; 2]| known.iter().zip(size).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
        if sizes.len() < SHAPES && !sizes.iter().any(is_known) {
            sizes.push(size);
        }
    }
    if sizes.len() > 1 { sizes } else { Vec::new() }
}

impl Folder {
    /// The first of the chips that have their file with another that lies elsewhere. Looks at some of those whose names come again in
    /// another directory, if there are many.
    fn shared_file(&self) -> Option<CatalogError> {
        const LOOKED_AT: usize = 64;
        if self.chips.places().len() < 2 {
            return None;
        }
        let mut first = HashMap::new();
        let again = (0..self.chips.len()).filter(|&chip| {
            let known = *first.entry(self.chips.file(chip)).or_insert(chip);
            self.chips.place(known) != self.chips.place(chip)
        });
        again.take(LOOKED_AT).filter_map(|chip| self.chip(chip)).find_map(|chip| {
            chip.file().err().filter(|error| matches!(error, CatalogError::FileOfTwo { .. }))
        })
    }

    /// Degrees by which columns or rows of a raster are turned against the CRS's axes (b or d of its transform is not 0); of
    /// several rasters the most.
    pub fn rotation(&self) -> Option<f64> {
        self.chips.grids().filter_map(turned).max_by(f64::total_cmp)
    }
}

/// How far a grid `[a, b, d, e]` is turned from its axes, in degrees, where it is more than rounding makes it.
fn turned([a, b, d, e]: [f64; 4]) -> Option<f64> {
    /// The sine of an angle that is 1/50 of a pixel over a chip of 1024.
    const LEAST: f64 = 2e-5;
    let sine = (d.abs() / a.hypot(d)).max(b.abs() / b.hypot(e));
    (sine > LEAST).then(|| sine.asin().to_degrees())
}

/// The most common distance between neighbouring columns, and rows, of chip origins in the raster of the
/// first chip. Chips at the edge are moved inwards, so that among equally common distances the larger one
/// is the stride.
fn stride(chips: &ChipTable) -> [Option<u64>; 2] {
    let first = chips.affine(0);
    let Affine { a, b, d, e, .. } = first;
    let det = first.determinant();
    let (grid, place) = (chips.grid(0), chips.place(0));
    let same_raster = (0..chips.len()).filter(|&i| chips.grid(i) == grid && chips.place(i) == place);
    let (mut columns, mut rows): (Vec<i64>, Vec<i64>) = same_raster
        .map(|i| {
            let origin = chips.affine(i);
            let (dx, dy) = (origin.c - first.c, origin.f - first.f);
            // `as` saturates.
            (((e * dx - b * dy) / det).round() as i64, ((a * dy - d * dx) / det).round() as i64)
        })
        .unzip();
    [most_common_step(&mut columns), most_common_step(&mut rows)]
}

fn most_common_step(positions: &mut Vec<i64>) -> Option<u64> {
    positions.sort_unstable();
    positions.dedup();
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for pair in positions.windows(2) {
        *counts.entry(pair[1].abs_diff(pair[0])).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(step, count)| (count, step)).map(|(step, _)| step)
}
