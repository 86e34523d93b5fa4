//! Where to point in a chip so that it goes on with an object: well inside what its neighbours already know.

use crate::mask::{Mask, connected_to};

use super::part::BorderRun;
use super::window::Window;

/// Points for one chip at the most: SAM was trained with up to nine points.
pub(super) const MOST: usize = 6;
/// An overlap narrower than this shows too little of an object: beyond its border is pointed at instead.
const NARROW: i64 = 12;

/// Points in pixels of the chip (column, row; centres of pixels) that continue the runs.
///
/// `known` and `covered`: the object's pixels in the chip as its neighbours have them, and those that they cover at all. Where those
/// tell too little, a pixel beyond the border is pointed at: half as far as what crosses is wide, `most` pixels at the most.
pub(in crate::engine) fn seeds(
    window: &Window,
    runs: &[BorderRun],
    known: &Mask,
    covered: &Mask,
    most: i64,
) -> Vec<(f64, f64)> {
    let mut runs = runs.to_vec();
    runs.sort_by_key(|run| (-run.length, run.row, run.col, run.side));
    let mut points = Vec::new();
    let mut inner: Option<Vec<u16>> = None;
    for run in runs.iter().take(MOST) {
        let (dc, dr) = run.side.outward();
        let (col, row) = run.middle();
        // The last pixel of the part, in the chip's own pixels: inside it where the two overlap.
        let (c, r) = (col - dc - window.col, row - dr - window.row);
        let is_inside = c >= 0 && r >= 0 && c < window.width && r < window.height;
        let reach = window.edge_distance(col - dc, row - dr);
        if is_inside && reach >= NARROW {
            let inner = inner.get_or_insert_with(|| depths(known, covered));
            let near = connected_to(known, |at, cols| on_run(run, window, at as i64, &cols));
            if let Some(point) = deepest(window, &near, inner) {
                points.push(point);
                continue;
            }
        }
        let depth = (run.length / 2).clamp(1, most);
        let at = |v: i64, length: i64| (v as f64 + 0.5).clamp(0.5, length as f64 - 0.5);
        points.push((
            at(col + dc * (depth - 1) - window.col, window.width),
            at(row + dr * (depth - 1) - window.row, window.height),
        ));
    }
    points.dedup();
    points
}

/// Whether a row of the chip, between two columns, holds a pixel of the run.
fn on_run(run: &BorderRun, window: &Window, row: i64, cols: &std::ops::Range<usize>) -> bool {
    let (dc, dr) = run.side.outward();
    let (first, last) = (run.beyond(0), run.beyond(run.length - 1));
    let rows = first.1 - dr - window.row..=last.1 - dr - window.row;
    let (from, to) = (first.0 - dc - window.col, last.0 - dc - window.col);
    rows.contains(&row) && (cols.start as i64) <= to && from < cols.end as i64
}

/// Of the object's pixels the one deepest inside, and of equals the one farthest from the chip's edge; the first of those.
fn deepest(window: &Window, near: &Mask, depths: &[u16]) -> Option<(f64, f64)> {
    let mut best: Option<((u16, i64), (usize, usize))> = None;
    for row in 0..near.height() {
        for col in 0..near.width() {
            if !near.get(row, col) {
                continue;
            }
            let edge = window.edge_distance(window.col + col as i64, window.row + row as i64);
            // Beyond the chip's edge nobody knows how far the object goes on: no deeper than that.
            let depth = depths[row * near.width() + col].min(edge.min(i64::from(u16::MAX)) as u16);
            if best.is_none_or(|(most, _)| (depth, edge) > most) {
                best = Some(((depth, edge), (row, col)));
            }
        }
    }
    best.map(|(_, (row, col))| (col as f64 + 0.5, row as f64 + 0.5))
}

/// Steps from each pixel of the object to the nearest pixel that is covered and not the object's; pixels that nobody covers are no
/// border.
fn depths(known: &Mask, covered: &Mask) -> Vec<u16> {
    let (height, width) = (known.height(), known.width());
    let mut depths = vec![u16::MAX; height * width];
    for row in 0..height {
        for col in 0..width {
            if covered.get(row, col) && !known.get(row, col) {
                depths[row * width + col] = 0;
            }
        }
    }
    let step = |depths: &mut [u16], at: usize, from: usize| {
        depths[at] = depths[at].min(depths[from].saturating_add(1));
    };
    for row in 0..height {
        for col in 0..width {
            let at = row * width + col;
            if row > 0 {
                step(&mut depths, at, at - width);
            }
            if col > 0 {
                step(&mut depths, at, at - 1);
            }
        }
    }
    for row in (0..height).rev() {
        for col in (0..width).rev() {
            let at = row * width + col;
            if row + 1 < height {
                step(&mut depths, at, at + width);
            }
            if col + 1 < width {
                step(&mut depths, at, at + 1);
            }
        }
    }
    depths
}
