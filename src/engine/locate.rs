//! From a prompt in the request's CRS to a chip and a prompt in its pixels.

use std::sync::Arc;

use super::leaning;
use super::refusals::Refusals;
use super::{EngineError, ServedFolder};
use crate::api::PromptItem;
use crate::catalog::{CatalogError, ChipRef, Lies, PromptGeometry};
use crate::decoder::{FramePoint, FramePrompt};
use crate::geo::{Bounds, Crs, Transform, Turn};
use crate::mask::letterbox_gain;

/// Points an edge when a box is reprojected (GDAL's `transform_bounds`).
pub(super) const EDGE_POINTS: usize = 21;

/// A prompt with the chip that answers it.
pub(super) struct Located {
    pub folder: Arc<ServedFolder>,
    pub chip: usize,
    /// Prompt in the folder's CRS.
    pub prompt: PromptGeometry,
}

/// Finds the chip. With a folder named, only that one is searched; else every folder. Where several have a chip, one that
/// covers the prompt goes before one of Geo-SAM v1 that only meets it, the finest pixels on the ground before coarser ones,
/// and among those of one size the chip whose centre is nearest on the ground wins.
pub(super) fn locate(folders: &[Arc<ServedFolder>], item: &PromptItem) -> Result<Located, EngineError> {
    if item.prompt.is_empty() {
        return Err(EngineError::EmptyPrompt);
    }
    let folders = candidates(folders, item)?;
    if let [only] = folders {
        return locate_in(only, item);
    }
    let mut found: Vec<Located> = Vec::new();
    let mut refusals = Refusals::default();
    for folder in folders {
        match locate_in(folder, item) {
            Ok(located) => found.push(located),
            Err(error) => refusals.add(folder, error),
        }
    }
    match (best(found), refusals.most_telling()) {
        (Some(found), _) => Ok(found),
        (None, Some(error)) => Err(error),
        (None, None) => Err(EngineError::NoFolder),
    }
}

/// The folders that a prompt may be answered from: the one that it names, else all.
pub(super) fn candidates<'a>(
    folders: &'a [Arc<ServedFolder>],
    item: &PromptItem,
) -> Result<&'a [Arc<ServedFolder>], EngineError> {
    item.folder.as_ref().map_or(Ok(folders), |name| named(folders, name).map(std::slice::from_ref))
}

/// Pixels whose sides differ by less are of one size: scales of neighbouring zones differ by some tenths of a percent.
const ONE_SIZE: f64 = 1.05;

/// Which of several chips answers.
fn best(mut found: Vec<Located>) -> Option<Located> {
    if found.iter().any(Located::covers) {
        found.retain(Located::covers);
    }
    let sizes: Vec<f64> = found.iter().map(pixel_on_ground).collect();
    let finest = sizes.iter().copied().fold(f64::INFINITY, f64::min);
    let fine = found.into_iter().zip(sizes).filter(|(_, size)| *size <= finest * ONE_SIZE);
    // The first of equally near ones.
    fine.map(|(located, _)| (distance_from_center(&located), located))
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, located)| located)
}

/// The folder of a served name; else the only one of a directory's name, or of a long name.
fn named<'a>(folders: &'a [Arc<ServedFolder>], name: &str) -> Result<&'a Arc<ServedFolder>, EngineError> {
    if let Some(folder) = folders.iter().find(|folder| folder.name == name) {
        return Ok(folder);
    }
    let called: Vec<_> = folders.iter().filter(|folder| folder.is_called(name)).collect();
    match called[..] {
        [] => Err(unknown_folder(name, folders)),
        [only] => Ok(only),
        _ => {
            let told =
                |folder: &&Arc<ServedFolder>| format!("{} ({})", folder.name, folder.folder.root().display());
            let served = called.iter().map(told).collect::<Vec<_>>().join(", ");
            Err(EngineError::SeveralFolders { name: name.to_owned(), served })
        }
    }
}

/// The folder and the chip that a prompt goes to, by their positions: for asking many prompts chip by chip.
///
/// # Errors
/// As segmenting it, as far as that is known without reading a chip.
pub fn chip_of(folders: &[Arc<ServedFolder>], item: &PromptItem) -> Result<(usize, usize), EngineError> {
    let located = super::swapped::locate_or_advise(folders, item)?;
    let folder = folders.iter().position(|folder| Arc::ptr_eq(folder, &located.folder)).unwrap_or(0);
    Ok((folder, located.chip))
}

fn unknown_folder(name: &str, folders: &[Arc<ServedFolder>]) -> EngineError {
    let names: Vec<&str> = folders.iter().map(|f| f.name.as_str()).collect();
    let served = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    EngineError::UnknownFolder { name: name.to_owned(), served }
}

fn locate_in(folder: &Arc<ServedFolder>, item: &PromptItem) -> Result<Located, EngineError> {
    let prompt = prompt_in(folder, item)?;
    let (prompt, chip) = match folder.folder.choose(&prompt) {
        Ok(chip) => (prompt, chip),
        // With `stitch` the box is asked on all chips that it reaches.
        Err(CatalogError::NoChipCovers(refusal))
            if item.stitch.is_none() && refusal.lies != Lies::Outside =>
        {
            match leaning(folder, item, &prompt) {
                Some(found) => found,
                None => return Err(CatalogError::NoChipCovers(refusal).into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Located { folder: Arc::clone(folder), chip, prompt })
}

/// The chip of a prompt whose box only leans out of it, being drawn in another CRS, and the prompt with the box cut off there.
fn leaning(
    folder: &ServedFolder,
    item: &PromptItem,
    prompt: &PromptGeometry,
) -> Option<(PromptGeometry, usize)> {
    let (drawn, outer) = (item.prompt.bbox?, prompt.bbox?);
    let transform = folder.transform_from(item.crs).ok().flatten()?;
    let kept =
        leaning::upright(drawn, transform.bounds(drawn, EDGE_POINTS).ok()?, &transform).ok().flatten()?;
    let mut upright = PromptGeometry { points: prompt.points.clone(), bbox: Some(kept) };
    if let Some(turn) = folder.crs().ok().and_then(Crs::turn) {
        bring_home(&mut upright, &folder.folder.extent(), turn);
    }
    let chip = folder.folder.choose(&upright).ok()?;
    let footprint = folder.chip(chip).ok()?.footprint;
    let cut = leaning::clipped(outer, upright.bbox?, footprint.bounds);
    let clipped = PromptGeometry { bbox: Some(cut), ..upright.clone() };
    // Of a turned chip the bounds are more than the chip.
    Some((if footprint.covers(&clipped) { clipped } else { upright }, chip))
}

/// The prompt in the folder's CRS.
pub(super) fn prompt_in(folder: &ServedFolder, item: &PromptItem) -> Result<PromptGeometry, EngineError> {
    let transform = folder.transform_from(item.crs)?;
    let mut prompt = to_folder_crs(item, transform.as_ref())?;
    if let Some(turn) = folder.crs().ok().and_then(Crs::turn) {
        bring_home(&mut prompt, &folder.folder.extent(), turn);
    }
    Ok(prompt)
}

/// Rasters in degrees may go on beyond 180, or count from 0 to 360, and those in Web Mercator beyond the end of its map, and so may
/// prompts, while answers and other CRSs do not: an x is taken to be that which lies in the raster, or else, for a raster that goes
/// on beyond the end, that nearest to it. A box keeps its width: west may be greater than east before, and is not after.
fn bring_home(prompt: &mut PromptGeometry, extent: &Bounds, turn: Turn) {
    let middle = extent.center().0;
    let goes_beyond = turn.is_left_by(extent);
    let turn = turn.width;
    let shift = |west: f64, east: f64| {
        let nearest = ((middle - (west + east) / 2.0) / turn).round() * turn;
        let is_home = |shift: &f64| extent.min_x <= west + shift && east + shift <= extent.max_x;
        let home = [0.0, nearest, nearest - turn, nearest + turn].into_iter().find(is_home);
        home.unwrap_or(if goes_beyond { nearest } else { 0.0 })
    };
    for (x, _) in &mut prompt.points {
        *x += shift(*x, *x);
    }
    if let Some(b) = &mut prompt.bbox {
        if b.min_x > b.max_x {
            b.max_x += turn;
        }
        let shift = shift(b.min_x, b.max_x);
        (b.min_x, b.max_x) = (b.min_x + shift, b.max_x + shift);
    }
}

fn to_folder_crs(item: &PromptItem, transform: Option<&Transform>) -> Result<PromptGeometry, EngineError> {
    let Some(transform) = transform else {
        let points = item.prompt.points.iter().map(|&[x, y]| (x, y)).collect();
        return Ok(PromptGeometry { points, bbox: item.prompt.bbox });
    };
    let points =
        item.prompt.points.iter().map(|&[x, y]| transform.point(x, y)).collect::<Result<Vec<_>, _>>()?;
    let bbox = item.prompt.bbox.map(|b| transform.bounds(b, EDGE_POINTS)).transpose()?;
    Ok(PromptGeometry { points, bbox })
}

/// Metres in a degree of a great circle.
const METRES_PER_DEGREE: f64 = 111_195.0;

/// The side of a chip's pixel on the ground at its centre, in metres; in CRS units where the CRS is not supported.
fn pixel_on_ground(found: &Located) -> f64 {
    let Ok(chip) = found.folder.chip(found.chip) else { return f64::INFINITY };
    let (row, column) = (chip.shape.0 as f64 / 2.0, chip.shape.1 as f64 / 2.0);
    let place = |column: f64, row: f64| chip.affine.apply(column, row);
    let to_wgs84 = found.folder.crs().ok().and_then(|crs| Transform::new(crs, &Crs::wgs84()).ok());
    let side = |(x, y): (f64, f64), (other_x, other_y): (f64, f64)| match &to_wgs84 {
        Some(transform) => match (transform.point(x, y), transform.point(other_x, other_y)) {
            (Ok(a), Ok(b)) => metres_between(a, b),
            _ => f64::INFINITY,
        },
        None => (x - other_x).hypot(y - other_y),
    };
    let middle = place(column, row);
    (side(middle, place(column + 1.0, row)) * side(middle, place(column, row + 1.0))).sqrt()
}

/// The distance of two near places in longitude and latitude.
pub(super) fn metres_between(a: (f64, f64), b: (f64, f64)) -> f64 {
    let shrink = ((a.1 + b.1) / 2.0).to_radians().cos();
    // The shorter way round.
    let across = (a.0 - b.0 + 180.0).rem_euclid(360.0) - 180.0;
    (across * shrink).hypot(a.1 - b.1) * METRES_PER_DEGREE
}

/// Ground distance in metres from the prompt's centre to the chip's, to compare folders of different
/// CRSs; in CRS units where the folder's CRS is not supported.
fn distance_from_center(found: &Located) -> f64 {
    let (Ok(chip), Some(prompt)) = (found.folder.chip(found.chip), found.prompt.center()) else {
        return f64::INFINITY;
    };
    let chip = chip.center;
    let to_wgs84 = || {
        let transform = Transform::new(found.folder.crs().ok()?, &Crs::wgs84()).ok()?;
        Some((transform.point(chip.0, chip.1).ok()?, transform.point(prompt.0, prompt.1).ok()?))
    };
    match to_wgs84() {
        Some((a, b)) => metres_between(a, b),
        None => (chip.0 - prompt.0).hypot(chip.1 - prompt.1),
    }
}

impl Located {
    /// Whether the chip covers the prompt; one of Geo-SAM v1 may only meet it.
    fn covers(&self) -> bool {
        self.folder.chip(self.chip).is_ok_and(|chip| !chip.is_v1() || chip.footprint.covers(&self.prompt))
    }

    /// The prompt in pixels of the encoder frame (letterbox at top-left, formats.md steps 2 and 3).
    pub(super) fn frame_prompt(
        &self,
        chip: &ChipRef<'_>,
        foreground: &[bool],
    ) -> Result<FramePrompt, EngineError> {
        // Chip pixels to frame pixels. That the features were made of this very shape is checked when they
        // are read.
        let gain = letterbox_gain(chip.shape, chip.dst_shape);
        let mut points = Vec::with_capacity(self.prompt.points.len());
        for (number, (&point, &foreground)) in self.prompt.points.iter().zip(foreground).enumerate() {
            let (col, row) = chip.point_to_pixel(number, point)?;
            points.push(FramePoint { x: col * gain, y: row * gain, foreground });
        }
        let pixel_box = self.prompt.bbox.as_ref().map(|bounds| chip.box_to_pixel(bounds)).transpose()?;
        Ok(FramePrompt { points, bbox: pixel_box.map(|sides| sides.map(|v| v * gain)), mask: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought_home(x: f64, west_east: [f64; 2], extent: [f64; 2]) -> (f64, [f64; 2]) {
        let mut prompt = PromptGeometry {
            points: vec![(x, 1.0)],
            bbox: Some(Bounds::new(west_east[0], 0.0, west_east[1], 2.0)),
        };
        let turn = Crs::wgs84().turn().unwrap();
        bring_home(&mut prompt, &Bounds::new(extent[0], 0.0, extent[1], 2.0), turn);
        let bbox = prompt.bbox.unwrap();
        (prompt.points[0].0, [bbox.min_x, bbox.max_x])
    }

    #[test]
    fn longitudes_are_those_of_rasters_that_go_beyond_180() {
        // As answers tell them, for a raster of 0 to 360.
        let (x, [west, east]) = brought_home(-90.0, [-90.25, -89.75], [0.0, 360.0]);
        assert_eq!((x, west, east), (270.0, 269.75, 270.25));
        // As another CRS gives a box across the antimeridian.
        let (x, [west, east]) = brought_home(-179.75, [179.75, -179.75], [179.5, 180.5]);
        assert_eq!((x, west, east), (180.25, 179.75, 180.25));
        let (x, _) = brought_home(179.75, [0.0, 1.0], [-180.5, -179.5]);
        assert_eq!(x, -180.25);
    }

    #[test]
    fn longitudes_of_ordinary_rasters_stay_as_they_are() {
        assert_eq!(brought_home(200.0, [-170.0, 170.0], [9.0, 10.0]), (200.0, [-170.0, 170.0]));
        // Within the raster already.
        assert_eq!(brought_home(270.5, [0.0, 359.0], [0.0, 360.0]), (270.5, [0.0, 359.0]));
    }

    #[test]
    fn a_prompt_beyond_180_is_found_on_the_other_side() {
        assert_eq!(brought_home(190.5, [190.0, 191.0], [-171.0, -168.0]), (-169.5, [-170.0, -169.0]));
        assert_eq!(brought_home(-190.5, [-191.0, -190.0], [168.0, 171.0]), (169.5, [169.0, 170.0]));
    }

    #[test]
    fn a_box_keeps_its_width_wherever_its_raster_ends() {
        // Across the end of a raster of 0 to 360: no chip covers it, and its sides are not confused.
        let (_, [west, east]) = brought_home(1.0, [-0.25, 0.25], [0.0, 360.0]);
        assert_eq!(east - west, 0.5);
        let (_, [west, east]) = brought_home(1.0, [179.75, -179.75], [-180.0, 180.0]);
        assert_eq!(east - west, 0.5);
    }
}
