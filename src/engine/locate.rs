//! From a prompt in the request's CRS to a chip and a prompt in its pixels.

use std::sync::Arc;

use super::{EngineError, ServedFolder};
use crate::api::{CrsChoice, PromptItem};
use crate::catalog::{CatalogError, PromptGeometry};
use crate::decoder::{FramePoint, FramePrompt};
use crate::geo::{Bounds, Crs, Transform};

/// Points an edge when a box is reprojected (GDAL's `transform_bounds`).
const EDGE_POINTS: usize = 21;

/// How far outside the chip, in pixels, rounding may take a prompt that lies on its edge.
const EDGE_SLACK: f64 = 1e-3;

/// A prompt with the chip that answers it.
pub(super) struct Located {
    pub folder: Arc<ServedFolder>,
    pub chip: usize,
    /// Prompt in the folder's CRS.
    pub prompt: PromptGeometry,
}

/// Finds the chip. With a folder named, only that one is searched; else every folder, and where several
/// have a chip, the chip whose centre is nearest on the ground wins.
pub(super) fn locate(folders: &[Arc<ServedFolder>], item: &PromptItem) -> Result<Located, EngineError> {
    if item.prompt.is_empty() {
        return Err(EngineError::EmptyPrompt);
    }
    if let Some(name) = &item.folder {
        let folder = folders.iter().find(|f| &f.name == name).ok_or_else(|| unknown_folder(name, folders))?;
        return locate_in(folder, item);
    }
    if let [only] = folders {
        return locate_in(only, item);
    }
    let mut best: Option<(f64, Located)> = None;
    let mut refusal: Option<EngineError> = None;
    for folder in folders {
        match locate_in(folder, item) {
            Ok(found) => {
                let distance = distance_from_center(&found);
                if best.as_ref().is_none_or(|(least, _)| distance < *least) {
                    best = Some((distance, found));
                }
            }
            Err(error) => refusal = Some(more_telling(refusal, error)),
        }
    }
    match (best, refusal) {
        (Some((_, found)), _) => Ok(found),
        (None, Some(error)) => Err(error),
        (None, None) => Err(EngineError::NoFolder),
    }
}

fn unknown_folder(name: &str, folders: &[Arc<ServedFolder>]) -> EngineError {
    let names: Vec<&str> = folders.iter().map(|f| f.name.as_str()).collect();
    let served = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    EngineError::UnknownFolder { name: name.to_owned(), served }
}

fn locate_in(folder: &Arc<ServedFolder>, item: &PromptItem) -> Result<Located, EngineError> {
    let transform = folder.from_request(item.crs)?;
    let prompt = to_folder_crs(item, transform.as_ref())?;
    let chip = folder.folder.choose(&prompt)?;
    Ok(Located { folder: Arc::clone(folder), chip, prompt })
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

/// Of two folders that cannot answer: one without a chip there tells less than one that fails otherwise,
/// and the nearer chip tells more than the farther.
fn more_telling(before: Option<EngineError>, now: EngineError) -> EngineError {
    const fn distance(error: &EngineError) -> Option<f64> {
        match error {
            EngineError::Catalog(CatalogError::NoChipCovers { distance_m, .. }) => Some(*distance_m),
            _ => None,
        }
    }
    match before {
        None => now,
        Some(before) => match (distance(&before), distance(&now)) {
            (Some(far), Some(near)) if near < far => now,
            (Some(_), None) => now,
            _ => before,
        },
    }
}

/// Ground distance in metres from the prompt's centre to the chip's, to compare folders of different
/// CRSs; in CRS units where the folder's CRS is not supported.
fn distance_from_center(found: &Located) -> f64 {
    let chip = found.folder.folder.chip(found.chip).center;
    let prompt = found.prompt.center();
    let to_wgs84 = || {
        let transform = Transform::new(found.folder.crs().ok()?, &Crs::from_epsg(4326).ok()?).ok()?;
        Some((transform.point(chip.0, chip.1).ok()?, transform.point(prompt.0, prompt.1).ok()?))
    };
    match to_wgs84() {
        Some((a, b)) => {
            let metres_per_degree = 111_195.0;
            let shrink = ((a.1 + b.1) / 2.0).to_radians().cos();
            ((a.0 - b.0) * shrink).hypot(a.1 - b.1) * metres_per_degree
        }
        None => (chip.0 - prompt.0).hypot(chip.1 - prompt.1),
    }
}

impl Located {
    /// The prompt in pixels of the encoder frame (letterbox at top-left, formats.md steps 2 and 3).
    pub(super) fn frame_prompt(
        &self,
        foreground: &[bool],
        src_shape: (usize, usize),
        dst_shape: (usize, usize),
    ) -> Result<FramePrompt, EngineError> {
        let chip = self.folder.folder.chip(self.chip);
        let (height, width) = chip.shape;
        let to_pixel = chip.world_to_pixel();
        // v1 chips are chosen by intersection: there a prompt may reach out of the chip.
        let strict = !self.folder.folder.is_v1();
        let check = |what: &dyn Fn() -> String, (col, row): (f64, f64)| {
            let inside = (-EDGE_SLACK..=width as f64 + EDGE_SLACK).contains(&col)
                && (-EDGE_SLACK..=height as f64 + EDGE_SLACK).contains(&row);
            if strict && !inside {
                let chip = chip.id.to_string();
                return Err(EngineError::OutsideChip { what: what(), chip, col, row, width, height });
            }
            Ok((col, row))
        };
        // Chip pixels to frame pixels. The features' own shape and the manifest's agree (catalogue).
        let gain = (dst_shape.0 as f64 / src_shape.0 as f64).min(dst_shape.1 as f64 / src_shape.1 as f64);
        let mut points = Vec::with_capacity(self.prompt.points.len());
        for (index, (&(x, y), &foreground)) in self.prompt.points.iter().zip(foreground).enumerate() {
            let (col, row) = check(&|| format!("point {index}"), to_pixel.apply(x, y))?;
            points.push(FramePoint { x: col * gain, y: row * gain, foreground });
        }
        let bbox = match self.prompt.bbox {
            None => None,
            Some(bounds) => {
                let corners = bounds.corners().map(|(x, y)| to_pixel.apply(x, y));
                // A box is the pixel bounds of its four corners, as in geosam.
                let pixel_box = Bounds::around(corners).unwrap_or(bounds);
                check(&|| "the box".to_owned(), (pixel_box.min_x, pixel_box.min_y))?;
                check(&|| "the box".to_owned(), (pixel_box.max_x, pixel_box.max_y))?;
                Some(<[f64; 4]>::from(pixel_box).map(|v| v * gain))
            }
        };
        Ok(FramePrompt { points, bbox })
    }
}

/// The CRS of the output for a folder.
pub(super) fn output_crs(folder: &ServedFolder, choice: CrsChoice) -> Result<OutputCrs, EngineError> {
    match choice {
        CrsChoice::Source => Ok(OutputCrs::Same),
        CrsChoice::Epsg(code) if folder.folder.crs().epsg == Some(code) && folder.crs().is_err() => {
            Ok(OutputCrs::Same)
        }
        CrsChoice::Epsg(code) => Ok(OutputCrs::Other(Crs::from_epsg(code)?)),
    }
}

/// Where the output's coordinates live.
pub(super) enum OutputCrs {
    /// In the folder's own CRS, supported or not.
    Same,
    /// In another one.
    Other(Crs),
}
