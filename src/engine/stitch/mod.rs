//! Whole objects: a prompt's object followed beyond its chip into the neighbours.
//!
//! ```text
//! prompt -> first chip(s) -> mask touches a border -> neighbour asked from inside what is known -> believed? -> ... -> one mask
//! ```
//!
//! The pieces: `window` (chips on one grid of pixels), `part` (the object as it grows), `seeds` (where to point), `grow` (whom to
//! ask and whom to believe), `join` (one mask of all). An object that its first chip holds whole is answered as without
//! stitching, to the last bit. Not here: how polygons are written, which is `engine::answer`.
//!
//! Memory: low-resolution logits and a mask for each chip that takes part, 0.4 MB for chips of 1024 x 1024, and one mask over all,
//! one bit a pixel, 32 MB at the most ([`Mask::MAX_PIXELS`](crate::mask::Mask::MAX_PIXELS)). Prepared chips are in the engine's cache,
//! within its bound.

mod grow;
mod join;
mod part;
mod seeds;
#[cfg(test)]
mod tests;
mod window;

pub(super) use self::grow::{SLIP, agrees, hangs_together, is_enough};
pub(super) use self::part::{BorderRun, Side, border_runs};
pub(super) use self::seeds::seeds;
pub(super) use self::window::{Grid, Window};

use std::sync::Arc;
use std::time::Instant;

use ndarray::{Array2, Axis};

use self::grow::{Chips, Ends, grow};
use self::join::Joined;
use self::part::{Object, Part};
use super::answer::{DrawnMask, Writer};
use super::locate::{candidates, locate, prompt_in};
use super::refine::MaskInput;
use super::segment::{milliseconds, selected};
use super::{Engine, EngineError, Segmentation, ServedFolder};
use crate::api::{Incomplete, Multimask, PromptItem, RefineReport, StitchReport, Timing};
use crate::catalog::{CatalogError, Lies, PromptGeometry};
use crate::decoder::{FramePoint, FramePrompt};
use crate::geo::{Affine, Bounds};
use crate::mask::{Mask, letterbox_gain, polygonize, upscale};

/// What a chip is asked first.
struct Start {
    window: Window,
    /// Its part of the box, in its own pixels.
    bbox: Option<[f64; 4]>,
}

impl Engine {
    /// Segments one whole object: over `max_chips` chips at the most.
    ///
    /// # Errors
    /// As [`Engine::segment`].
    pub(super) fn segment_whole(
        &self,
        folders: &[Arc<ServedFolder>],
        item: &PromptItem,
        input: MaskInput<'_>,
        max_chips: usize,
    ) -> Result<Segmentation, EngineError> {
        let (folder, prompt, first) = match locate(folders, item) {
            Ok(mut found) => {
                found.stay_with(input);
                (found.folder, found.prompt, Some(found.chip))
            }
            Err(EngineError::Catalog(CatalogError::NoChipCovers(nearest)))
                if nearest.lies != Lies::Outside =>
            {
                let Some((folder, prompt)) = meeting(folders, item)? else {
                    return Err(CatalogError::NoChipCovers(nearest).into());
                };
                (folder, prompt, None)
            }
            Err(error) => return Err(error),
        };
        // An output CRS that we refuse should not cost a decode.
        Writer::new(&folder, first.unwrap_or(0), item.output.crs, None)?;
        let begin = first.or_else(|| folder.folder.meeting(&bounds(&prompt)).first().copied()).unwrap_or(0);
        let grid = Grid::of(&folder.folder, folder.chip(begin)?.affine);
        let mut asker = Asker {
            engine: self,
            folder: &folder,
            grid,
            foreground: &item.prompt.foreground,
            multimask: item.output.multimask,
            points: prompt.points.iter().map(|&point| to_pixel(grid.affine, point)).collect(),
            load: 0.0,
            decode: 0.0,
            scores: Vec::new(),
        };
        let (starts, skipped) = asker.starts(&prompt, first, max_chips)?;
        let source = first.map(|chip| self.mask_source(&folder, chip)).transpose()?;
        // A mask is of one chip; where none covers the prompt, each starts from its own at the most.
        let (input, mut refine) = if first.is_some() { (input, None) } else { input.on_several_chips()? };
        let mut begun = None;
        let mut object = Object::default();
        for start in &starts {
            let (logits, report) = asker.begin(start, input)?;
            refine = refine.or(report);
            if source.is_some() {
                begun = Some(logits.clone());
            }
            let mask = asker.enlarge(&start.window, &logits)?;
            if first.is_some() || !mask.is_blank() {
                object.parts.push(Part { window: start.window, logits, mask, asked: 1 });
            }
        }
        let mut ends =
            if object.parts.is_empty() { Ends::default() } else { grow(&mut asker, &mut object, max_chips)? };
        if skipped {
            ends.because.insert(Incomplete::MaxChips);
        }
        let (load, decode) = (asker.load, asker.decode);
        let score = asker.scores.first().copied().unwrap_or_default();
        let start = Instant::now();
        let Drawn { mask, polygons, affine } = draw(&folder, &grid, &object, &ends, &|| self.breathe())?;
        let drawn = match &object.parts[..] {
            [_] => DrawnMask::of(score, &mask, polygons),
            _ => DrawnMask { score, pixels: mask.count(), polygons, cut_at: Vec::new() },
        };
        let main = object.parts.first().map_or(begin, |part| part.window.chip);
        let mut writer = Writer::over(&folder, main, affine, item.output.crs)?;
        let collection = writer.write(std::slice::from_ref(&drawn), &item.output)?;
        let mut chips = Vec::with_capacity(object.parts.len());
        for part in &object.parts {
            chips.push(folder.chip(part.window.chip)?.id.to_owned());
        }
        let report = StitchReport {
            chips,
            complete: ends.because.is_empty(),
            incomplete_because: ends.because.into_iter().collect(),
        };
        let logits =
            object.parts.into_iter().next().map_or_else(|| Array2::zeros((0, 0)), |part| part.logits);
        let timing = Timing { queue: 0.0, load, decode, vectorize: milliseconds(start) };
        Ok(Segmentation::stitched(
            folder,
            main,
            affine,
            drawn,
            collection,
            report,
            timing,
            (logits, mask),
            prompt,
            (source, begun),
            refine,
        ))
    }
}

/// The mask of an object, its polygons, and the pixels of both to the folder's CRS.
struct Drawn {
    mask: Mask,
    polygons: Vec<crate::mask::PixelPolygon>,
    affine: Affine,
}

fn draw(
    folder: &ServedFolder,
    grid: &Grid<'_>,
    object: &Object,
    ends: &Ends,
    breathe: &dyn Fn(),
) -> Result<Drawn, EngineError> {
    if let [only] = &object.parts[..] {
        // In the chip's own pixels, so that the answer is that of a request without stitching.
        let affine = folder.chip(only.window.chip)?.affine;
        return Ok(Drawn { polygons: polygonize(&only.mask), mask: only.mask.clone(), affine });
    }
    let shapes = |window: &Window| {
        // Windows are made of chips.
        folder.chip(window.chip).map_or(((1, 1), (1, 1)), |chip| (chip.shape, chip.dst_shape))
    };
    let Joined { mask, origin, open } = object.join(&ends.runs, shapes, breathe)?;
    let mut polygons = polygonize(&mask);
    for polygon in &mut polygons {
        // The first corner of a region is that of its first pixel in reading order.
        let first = polygon.rings.exterior().iter().min_by_key(|corner| (corner[1], corner[0]));
        polygon.touches_edge = first.is_some_and(|&[x, y]| open.get(y as usize, x as usize));
    }
    let (c, f) = grid.affine.apply(origin.0 as f64, origin.1 as f64);
    Ok(Drawn { mask, polygons, affine: Affine { c, f, ..grid.affine } })
}

/// The folder that a prompt meets which no chip covers: of several the one with the smallest pixels.
fn meeting(
    folders: &[Arc<ServedFolder>],
    item: &PromptItem,
) -> Result<Option<(Arc<ServedFolder>, PromptGeometry)>, EngineError> {
    let mut best: Option<(f64, Arc<ServedFolder>, PromptGeometry)> = None;
    for folder in candidates(folders, item)? {
        let Ok(prompt) = prompt_in(folder, item) else { continue };
        let meets = folder.folder.meeting(&bounds(&prompt));
        let Some(chip) = meets.first().and_then(|&index| folder.folder.chip(index)) else { continue };
        let size = chip.affine.pixel_area();
        if best.as_ref().is_none_or(|(least, ..)| size < *least) {
            best = Some((size, Arc::clone(folder), prompt));
        }
    }
    Ok(best.map(|(_, folder, prompt)| (folder, prompt)))
}

/// Bounds of all of a prompt.
fn bounds(prompt: &PromptGeometry) -> Bounds {
    let corners = prompt.bbox.iter().flat_map(|b| b.corners());
    Bounds::around(prompt.points.iter().copied().chain(corners)).unwrap_or(Bounds::new(0.0, 0.0, 0.0, 0.0))
}

fn to_pixel(affine: Affine, (x, y): (f64, f64)) -> (f64, f64) {
    let Affine { a, b, c, d, e, f } = affine;
    let (dx, dy, det) = (x - c, y - f, affine.determinant());
    ((e * dx - b * dy) / det, (a * dy - d * dx) / det)
}

/// Asks the engine for chips of one folder.
struct Asker<'a> {
    engine: &'a Engine,
    folder: &'a ServedFolder,
    grid: Grid<'a>,
    foreground: &'a [bool],
    /// The single mask, or the best of the three.
    multimask: Multimask,
    /// The request's points in pixels of the grid.
    points: Vec<(f64, f64)>,
    load: f64,
    decode: f64,
    /// Predicted IoU of each answer.
    scores: Vec<f32>,
}

impl Asker<'_> {
    /// The chips to begin with, and whether there would have been more.
    ///
    /// The chip that covers the prompt; or for each foreground point the chip in whose middle it lies most, and for a box each chip
    /// that it meets, with its part of it.
    fn starts(
        &self,
        prompt: &PromptGeometry,
        first: Option<usize>,
        max_chips: usize,
    ) -> Result<(Vec<Start>, bool), EngineError> {
        let bbox = prompt.bbox.map(|bounds| {
            let corners = bounds.corners().map(|corner| to_pixel(self.grid.affine, corner));
            let side = |of: fn(f64, f64) -> f64, start: f64, x: bool| {
                corners.iter().map(|c| if x { c.0 } else { c.1 }).fold(start, of)
            };
            [
                side(f64::min, f64::INFINITY, true),
                side(f64::min, f64::INFINITY, false),
                side(f64::max, f64::NEG_INFINITY, true),
                side(f64::max, f64::NEG_INFINITY, false),
            ]
        });
        if let Some(first) = first {
            let chip = self.folder.chip(first)?;
            let window = self.grid.window(&chip);
            let bbox = prompt.bbox.as_ref().map(|bounds| chip.box_to_pixel(bounds)).transpose()?;
            return Ok((window.map(|window| Start { window, bbox }).into_iter().collect(), false));
        }
        let mut windows = Vec::new();
        if let Some([left, top, right, bottom]) = bbox {
            let around = prompt.bbox.unwrap_or(Bounds::new(0.0, 0.0, 0.0, 0.0));
            for window in self.grid.meeting(&around) {
                let (x, y) = (window.col as f64, window.row as f64);
                let (width, height) = (window.width as f64, window.height as f64);
                let part = [
                    (left - x).max(0.0),
                    (top - y).max(0.0),
                    (right - x).min(width),
                    (bottom - y).min(height),
                ];
                // Less than a pixel of a box is no prompt.
                if part[2] - part[0] >= 1.0 && part[3] - part[1] >= 1.0 {
                    windows.push(Start { window, bbox: Some(part) });
                }
            }
        }
        for (&(col, row), _) in self.points.iter().zip(self.foreground).filter(|(_, foreground)| **foreground)
        {
            let (col, row) = (col.floor() as i64, row.floor() as i64);
            if bbox.is_some() || windows.iter().any(|start| start.window.contains(col, row)) {
                continue;
            }
            let nearer =
                |a: &Window, b: &Window| a.eccentricity(col, row).total_cmp(&b.eccentricity(col, row));
            let window = self.grid.holding(col, row).into_iter().min_by(nearer);
            windows.extend(window.map(|window| Start { window, bbox: None }));
        }
        let skipped = windows.len() > max_chips;
        windows.truncate(max_chips);
        Ok((windows, skipped))
    }

    fn begin(
        &mut self,
        start: &Start,
        input: MaskInput<'_>,
    ) -> Result<(Array2<f32>, Option<RefineReport>), EngineError> {
        self.decode(&start.window, &[], start.bbox, input)
    }

    /// A chip's logits for the request's points that lie in it, foreground points in its own pixels, and a box there.
    fn decode(
        &mut self,
        window: &Window,
        seeds: &[(f64, f64)],
        bbox: Option<[f64; 4]>,
        input: MaskInput<'_>,
    ) -> Result<(Array2<f32>, Option<RefineReport>), EngineError> {
        let chip = self.folder.chip(window.chip)?;
        let (height, width) = chip.shape;
        let gain = letterbox_gain(chip.shape, chip.dst_shape);
        let (x, y) = (window.col as f64, window.row as f64);
        let within = |v: f64, length: usize| v >= 0.0 && v <= length as f64;
        let asked = self.points.iter().zip(self.foreground).filter_map(|(&(col, row), &foreground)| {
            let (col, row) = (col - x, row - y);
            (within(col, width) && within(row, height)).then_some(FramePoint {
                x: col * gain,
                y: row * gain,
                foreground,
            })
        });
        let seeds =
            seeds.iter().map(|&(col, row)| FramePoint { x: col * gain, y: row * gain, foreground: true });
        let prompt = FramePrompt {
            points: asked.chain(seeds).collect(),
            bbox: bbox.map(|sides| sides.map(|v| v * gain)),
            mask: None,
        };
        let (answer, report) =
            self.engine.decode_from(self.folder, window.chip, prompt, input, self.multimask)?;
        let (decoded, family, [load, decode]) = answer;
        self.load += load;
        self.decode += decode;
        let selected = selected(&decoded, family, self.multimask);
        // One mask at least.
        let (index, score) = selected.first().map_or((0, 0.0), |mask| (mask.index, mask.score));
        self.scores.push(score);
        Ok((decoded.logits.index_axis(Axis(0), index).to_owned(), report))
    }
}

impl Chips for Asker<'_> {
    fn holding(&self, col: i64, row: i64) -> Vec<Window> {
        self.grid.holding(col, row)
    }

    fn ask(&mut self, window: &Window, seeds: &[(f64, f64)]) -> Result<Array2<f32>, EngineError> {
        Ok(self.decode(window, seeds, None, MaskInput::None)?.0)
    }

    fn enlarge(&self, window: &Window, logits: &Array2<f32>) -> Result<Mask, EngineError> {
        let chip = self.folder.chip(window.chip)?;
        Ok(upscale(logits.view(), chip.shape, chip.dst_shape, chip.shape)?)
    }
}
