//! What `info` finds out of a folder beyond its summary: strides, ground size, model, raster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::catalog::Folder;
use crate::engine::ServedFolder;
use crate::models::ModelStore;
use crate::picture::{Candidate, Wanted, check_pixels, chips_above, ground_distance, rasters_beside};

/// Whether a folder's model is there.
#[derive(Debug, Serialize)]
pub(super) struct ModelFact {
    /// Where it is.
    path: Option<PathBuf>,
    /// What is missing, and what to do.
    problem: Option<String>,
}

impl ModelFact {
    pub(super) fn of(folder: &Folder, store: &Result<ModelStore, String>) -> Self {
        let found = store.as_ref().map_err(Clone::clone).and_then(|store| {
            store.find(folder.checkpoint(), folder.family()).map_err(|error| error.to_string())
        });
        match found {
            Ok(model) => Self { path: Some(model.dir.clone()), problem: None },
            Err(problem) => Self { path: None, problem: Some(problem) },
        }
    }

    pub(super) fn as_text(&self) -> String {
        match (&self.path, &self.problem) {
            (Some(path), _) => format!("yes, {}", path.display()),
            (None, Some(problem)) => format!("no: {problem}"),
            (None, None) => "no".to_owned(),
        }
    }
}

/// Chips that a raster is looked for under, where there is none under the first.
const OTHER_CHIPS: usize = 8;
/// Chips that are counted, of a folder that has more.
const COUNTED: usize = 4096;

/// The first of so many things, and others evenly after it, `most` at the most.
fn spread(count: usize, most: usize) -> impl ExactSizeIterator<Item = usize> {
    (0..count).step_by(count.div_ceil(most).max(1))
}

/// The raster that `segment --overlay` shows.
#[derive(Debug, Serialize)]
pub(super) struct RasterFact {
    /// Where it is.
    path: Option<PathBuf>,
    /// How many chips it lies under, and of how many that were looked at, where not under all.
    #[serde(skip_serializing_if = "Option::is_none")]
    chips_above: Option<[usize; 2]>,
    /// Names of the rasters that were encoded.
    encoded: Vec<String>,
    /// Why those that lie there cannot be used.
    problems: Vec<String>,
}

impl RasterFact {
    /// Looks for the one under the first chip, or under others where none lies under that: rasters are cropped.
    pub(super) fn of(served: &ServedFolder) -> Self {
        let folder = &served.folder;
        let names = folder.raster_names();
        let wanted = Wanted { epsg: folder.crs().epsg, names };
        let mut problems = Vec::new();
        for chip in spread(folder.len(), OTHER_CHIPS).filter_map(|chip| folder.chip(chip)) {
            let found = rasters_beside(folder.root(), &chip, wanted);
            // As the overlay takes them: the best one whose pixels can be read.
            let mut unreadable = Vec::new();
            let shown = found.candidates.into_iter().find(|candidate| {
                let read = check_pixels(&candidate.path, &candidate.header);
                read.map_err(|problem| unreadable.push(problem)).is_ok()
            });
            if let Some(Candidate { path, header, .. }) = shown {
                let looked_at = spread(folder.len(), COUNTED);
                let of = looked_at.len();
                let above = chips_above(&header, looked_at.filter_map(|chip| folder.chip(chip)));
                let chips_above = (above < of).then_some([above, of]);
                return Self { path: Some(path), chips_above, encoded: names.to_vec(), problems: Vec::new() };
            }
            if problems.is_empty() {
                problems = unreadable;
                problems.extend(found.problems);
            }
        }
        let problems = problems.iter().take(5).map(ToString::to_string).collect();
        Self { path: None, chips_above: None, encoded: names.to_vec(), problems }
    }

    pub(super) fn as_text(&self) -> String {
        if let Some(path) = &self.path {
            let some = |[above, of]: [usize; 2]| format!(" (under {above} of {of} chips)");
            return format!("{}{}", path.display(), self.chips_above.map(some).unwrap_or_default());
        }
        if let Some(problem) = self.problems.first() {
            return format!("none that can be shown: {problem}");
        }
        let name = self
            .encoded
            .first()
            .map(|name| format!(" ({name} was encoded{})", as_tiff(name)))
            .unwrap_or_default();
        format!("none beside the folder{name}; only pictures need one")
    }
}

/// What is to be done with a raster that is no TIFF, as a clause.
fn as_tiff(name: &str) -> String {
    let path = std::path::Path::new(name);
    let is_tiff = path
        .extension()
        .is_some_and(|ending| ["tif", "tiff"].iter().any(|tiff| ending.eq_ignore_ascii_case(tiff)));
    if is_tiff {
        return String::new();
    }
    format!(", which is no TIFF: gdal_translate {name} {}", path.with_extension("tif").display())
}

/// Steps between neighbouring columns, and rows, of chip origins in the raster of the first chip, the most common one
/// first, with how often they occur.
pub(super) fn strides(folder: &Folder) -> [Vec<(u64, usize)>; 2] {
    let Some(first) = folder.chip(0) else { return [Vec::new(), Vec::new()] };
    let grid = |a: &crate::geo::Affine| [a.a, a.b, a.d, a.e].map(f64::to_bits);
    let same_raster = folder.chips().filter(|chip| grid(&chip.affine) == grid(&first.affine));
    let (columns, rows): (Vec<i64>, Vec<i64>) = same_raster
        .map(|chip| {
            let (column, row) = first.to_pixel(chip.affine.c, chip.affine.f);
            // `as` saturates.
            (column.round() as i64, row.round() as i64)
        })
        .unzip();
    [steps(columns), steps(rows)]
}

fn steps(mut positions: Vec<i64>) -> Vec<(u64, usize)> {
    positions.sort_unstable();
    positions.dedup();
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for pair in positions.windows(2) {
        *counts.entry(pair[1].abs_diff(pair[0])).or_default() += 1;
    }
    let mut steps: Vec<(u64, usize)> = counts.into_iter().collect();
    // Of equally common steps the larger is the stride: chips at an edge are moved inwards.
    steps.sort_by_key(|&(step, count)| std::cmp::Reverse((count, step)));
    steps
}

/// Width and height of a pixel in metres, in the middle of the first chip; `None` where the CRS is not supported.
pub(super) fn ground_pixel(served: &ServedFolder) -> Option<[f64; 2]> {
    let (crs, chip) = (served.crs().ok()?, served.folder.chip(0)?);
    let (row, column) = (chip.shape.0 as f64 / 2.0, chip.shape.1 as f64 / 2.0);
    let size = |dc: f64, dr: f64| {
        let (from, to) = (chip.affine.apply(column - dc, row - dr), chip.affine.apply(column + dc, row + dr));
        ground_distance(crs, from, to)
    };
    Some([size(0.5, 0.0)?, size(0.0, 0.5)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_are_told_the_most_common_first() {
        assert_eq!(steps(vec![0, 512, 1024, 1400, 0]), [(512, 2), (376, 1)]);
        assert_eq!(steps(vec![0, 10, 30]), [(20, 1), (10, 1)], "of equals the larger");
        assert_eq!(steps(vec![7]), []);
    }
}
