//! One geometry of all pieces of an object, and whether it ends within them.
//!
//! Where several chips see a pixel, each says yes or no by its distance from its own edge, where a chip sees least: no
//! step stays at a seam. That is how `engine::stitch` joins, but for the logits, which nobody keeps for so many
//! objects.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

use super::Survey;
use super::ask::{Shares, open_runs, reaches_border};
use super::sheet::Piece;
use crate::api::{Incomplete, StitchReport};
use crate::catalog::Folder;
use crate::engine::answer::{DrawnMask, MaskObject, Writer};
use crate::engine::fit::written_bytes;
use crate::engine::stitch::{BorderRun, Window};
use crate::engine::{EngineError, ServedFolder};
use crate::geo::Affine;
use crate::mask::{Mask, polygonize};

/// Shorter stretches of a border that another chip sees otherwise are a matter of outlines.
const UNMET: i64 = 6;
/// Where two chips overlap by so much the other has the say near this one's border.
const NARROW: i64 = 12;

/// One object of an area.
#[derive(Debug, Clone)]
pub struct FoundObject {
    /// Its geometry, with the predicted IoU of its largest piece.
    pub object: MaskObject,
    /// Stability score of its largest piece.
    pub stability_score: f32,
    /// The chips that it lies on, and whether it ends within them.
    pub report: StitchReport,
}

impl FoundObject {
    /// The properties of its Feature.
    pub fn properties(&self, folder: &ServedFolder) -> Map<String, Value> {
        let MaskObject { score, area_m2, pixels, touches_chip_edge, tolerance, report, .. } = &self.object;
        let mut properties = Map::new();
        let told = json!({
            "folder": folder.name,
            "model": folder.folder.checkpoint(),
            "model_type": folder.folder.family(),
            "score": score,
            "stability_score": self.stability_score,
            "pixels": pixels,
            "touches_chip_edge": touches_chip_edge,
        });
        for part in [told, json!(self.report)] {
            if let Value::Object(part) = part {
                properties.extend(part);
            }
        }
        if let Some(area) = area_m2 {
            properties.insert("area_m2".to_owned(), json!(area));
        }
        if let Some(tolerance) = tolerance {
            properties.insert("tolerance".to_owned(), json!(tolerance));
        }
        properties.extend(report.properties());
        properties
    }
}

impl Survey {
    /// The objects that no chip which is still to come can add to, in order.
    pub(super) fn finished_objects(&self) -> VecDeque<u64> {
        let mut last: BTreeMap<usize, bool> = BTreeMap::new();
        for place in self.sheet.places() {
            let farthest = self.plan.neighbours(&self.folder.folder, place).last().copied();
            last.insert(place, farthest.is_none_or(|farthest| farthest < self.place));
        }
        self.sheet.finished(|place| last.get(&place).copied().unwrap_or(true)).into()
    }

    /// The geometry of an object; `None` where nothing of it is left.
    pub(super) fn write(&self, pieces: &[Piece]) -> Result<Option<FoundObject>, EngineError> {
        let Some(largest) =
            pieces.iter().max_by_key(|piece| (piece.runs.pixels(), std::cmp::Reverse(piece.id)))
        else {
            return Ok(None);
        };
        let Some(grid) = self.plan.affine(largest.place) else { return Ok(None) };
        let because = self.ends(pieces);
        let (mask, (col, row)) = join(pieces)?;
        let mut polygons = polygonize(&mask);
        polygons.retain(|polygon| polygon.pixels >= self.options.min_mask_region_area);
        for polygon in &mut polygons {
            polygon.touches_edge = !because.is_empty();
        }
        if polygons.is_empty() {
            return Ok(None);
        }
        let (c, f) = grid.apply(col as f64, row as f64);
        let affine = Affine { c, f, ..grid };
        let pixels = polygons.iter().map(|polygon| polygon.pixels).sum();
        let drawn = DrawnMask { score: largest.score, pixels, polygons, cut_at: Vec::new() };
        let mut writer = Writer::over(&self.folder, largest.window.chip, affine, self.output.crs)?;
        let object =
            writer.write_object(&drawn, &self.output, |object| written_bytes(&object.geometry) + ENVELOPE)?;
        let Some(object) = object else { return Ok(None) };
        let mut chips: Vec<usize> = pieces.iter().map(|piece| piece.place).collect();
        chips.sort_unstable();
        chips.dedup();
        let id = |place: usize| {
            let window = self.plan.window(place)?;
            self.folder.chip(window.chip).ok().map(|chip| chip.id.to_owned())
        };
        let report = StitchReport {
            chips: chips.into_iter().filter_map(id).collect(),
            complete: because.is_empty(),
            incomplete_because: because.into_iter().collect(),
        };
        Ok(Some(FoundObject { object, stability_score: largest.stability, report }))
    }

    /// Why an object may go on.
    fn ends(&self, pieces: &[Piece]) -> BTreeSet<Incomplete> {
        let folder = &self.folder.folder;
        let mut because = BTreeSet::new();
        let mut on_borders: BTreeMap<usize, Vec<&Piece>> = BTreeMap::new();
        for piece in pieces.iter().filter(|piece| reaches_border(piece)) {
            on_borders.entry(piece.place).or_default().push(piece);
        }
        for own in on_borders.into_values() {
            let Some(first) = own.first() else { continue };
            // Chip by chip: an object may lie on hundreds.
            let shares = Shares::beside(first, pieces.iter());
            for piece in own {
                for run in open_runs(piece, &shares) {
                    because.extend(self.end(folder, piece, pieces, &run));
                }
            }
        }
        because
    }

    fn end(&self, folder: &Folder, piece: &Piece, pieces: &[Piece], run: &BorderRun) -> Option<Incomplete> {
        let (col, row) = run.middle();
        let grid = self.plan.grid(folder, piece.place)?;
        let beyond: Vec<Window> =
            grid.holding(col, row).into_iter().filter(|window| window.chip != piece.window.chip).collect();
        if beyond.is_empty() {
            return Some(Incomplete::RasterEdge);
        }
        if beyond.iter().all(|window| self.plan.place(window).is_none()) {
            return Some(Incomplete::Area);
        }
        let (dc, dr) = run.side.outward();
        let overlaps = |other: &Piece| {
            other.id != piece.id
                && other.window.contains(col, row)
                && other.window.contains(col - NARROW * dc, row - NARROW * dr)
        };
        let is_seen_otherwise = pieces.iter().any(overlaps);
        (run.length >= UNMET && !is_seen_otherwise).then_some(Incomplete::Disagreement)
    }
}

/// Bytes of the properties and the frame of a Feature.
const ENVELOPE: usize = 1024;

/// One mask of all pieces, with a border of unset pixels, and the grid's column and row of its first pixel.
pub(super) fn join(pieces: &[Piece]) -> Result<(Mask, (i64, i64)), EngineError> {
    let bounds = pieces.iter().filter(|piece| piece.runs.pixels() > 0).map(|piece| {
        let (b, w) = (piece.runs.bounds(), &piece.window);
        let at = |v: i32, start: i64| i64::from(v) + start;
        [at(b.min_x, w.col), at(b.min_y, w.row), at(b.max_x, w.col), at(b.max_y, w.row)]
    });
    let around = bounds.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    let [left, top, right, bottom] = around.unwrap_or([0; 4]);
    let origin = (left - 1, top - 1);
    let mut whole = Mask::blank((bottom - top + 2) as usize, (right - left + 2) as usize)?;
    let mut chips: BTreeMap<usize, (Window, Vec<&Piece>)> = BTreeMap::new();
    for piece in pieces {
        chips.entry(piece.place).or_insert_with(|| (piece.window, Vec::new())).1.push(piece);
    }
    let windows: Vec<Window> = chips.values().map(|(window, _)| *window).collect();
    let is_alone =
        |own: &Window| windows.iter().all(|other| other.chip == own.chip || own.shared(other).is_none());
    let mut masks = Vec::new();
    for (window, pieces) in chips.into_values() {
        let shift = (window.col - origin.0, window.row - origin.1);
        if is_alone(&window) {
            pieces.iter().for_each(|piece| piece.runs.draw_at(&mut whole, shift));
            continue;
        }
        let mut mask = Mask::blank(window.height as usize, window.width as usize)?;
        pieces.iter().for_each(|piece| piece.runs.draw(&mut mask));
        masks.push((window, mask));
    }
    for (index, (own, mask)) in masks.iter().enumerate() {
        let others: Vec<&(Window, Mask)> = masks
            .iter()
            .enumerate()
            .filter(|(other, (window, _))| *other != index && own.shared(window).is_some())
            .map(|(_, other)| other)
            .collect();
        for row in 0..mask.height() {
            for col in mask.set_columns(row) {
                let (c, r) = (own.col + col as i64, own.row + row as i64);
                let said = |(window, mask): &(Window, Mask)| {
                    let is_set = mask.get((r - window.row) as usize, (c - window.col) as usize);
                    if is_set { window.edge_distance(c, r) } else { -window.edge_distance(c, r) }
                };
                let voices =
                    others.iter().filter(|(window, _)| window.contains(c, r)).map(|other| said(other));
                if own.edge_distance(c, r) + voices.sum::<i64>() > 0 {
                    whole.set((r - origin.1) as usize, (c - origin.0) as usize);
                }
            }
        }
    }
    Ok((whole, origin))
}
