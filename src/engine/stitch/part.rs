//! What one chip holds of an object, and what all chips together hold: the object as it grows. Which chip is asked
//! next is decided in `grow`, the pieces are joined in `join`.

use ndarray::Array2;

use super::window::Window;
use crate::mask::Mask;

/// A chip's share of an object.
#[derive(Debug)]
pub(super) struct Part {
    pub window: Window,
    /// Low-resolution logits `[L, L]` of the chip; of several answers the greatest.
    pub logits: Array2<f32>,
    /// The object's pixels in the chip's shape.
    pub mask: Mask,
    /// How often the chip was asked.
    pub asked: usize,
}

/// A side of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::engine) enum Side {
    Top,
    Left,
    Right,
    Bottom,
}

impl Side {
    pub const ALL: [Self; 4] = [Self::Top, Self::Left, Self::Right, Self::Bottom];

    /// One step outward, in columns and rows.
    pub const fn outward(self) -> (i64, i64) {
        match self {
            Self::Top => (0, -1),
            Self::Left => (-1, 0),
            Self::Right => (1, 0),
            Self::Bottom => (0, 1),
        }
    }
}

/// Neighbouring pixels of an object on the border of a chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct BorderRun {
    /// Which part.
    pub part: usize,
    pub side: Side,
    /// The first pixel, on the grid.
    pub col: i64,
    pub row: i64,
    pub length: i64,
}

impl BorderRun {
    /// The k-th pixel beyond the chip.
    pub const fn beyond(&self, k: i64) -> (i64, i64) {
        let (dc, dr) = self.side.outward();
        match self.side {
            Side::Top | Side::Bottom => (self.col + k, self.row + dr),
            Side::Left | Side::Right => (self.col + dc, self.row + k),
        }
    }

    /// The pixel beyond the chip in the middle of the run.
    pub const fn middle(&self) -> (i64, i64) {
        self.beyond(self.length / 2)
    }
}

/// The object so far.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub parts: Vec<Part>,
}

impl Object {
    /// Whether the object is within some pixels of a pixel of a chip's border, along that border.
    pub fn is_near(part: &Part, (col, row): (i64, i64), side: Side, reach: i64) -> bool {
        (-reach..=reach).any(|k| match side {
            Side::Top | Side::Bottom => part.contains(col + k, row),
            Side::Left | Side::Right => part.contains(col, row + k),
        })
    }

    /// The object's pixels within a chip that is no part yet, in its shape, and those of its pixels that any part covers.
    pub fn within(&self, window: &Window, mask: &mut Mask, covered: &mut Mask) {
        for part in self.parts.iter().filter(|part| part.window.chip != window.chip) {
            let Some((cols, rows)) = part.window.shared(window) else { continue };
            for row in rows[0]..rows[1] {
                for col in cols[0]..cols[1] {
                    let (r, c) = ((row - window.row) as usize, (col - window.col) as usize);
                    covered.set(r, c);
                    if part.contains(col, row) {
                        mask.set(r, c);
                    }
                }
            }
        }
    }

    /// Runs of the object on the border of a part.
    pub fn border_runs(&self, index: usize) -> Vec<BorderRun> {
        let part = &self.parts[index];
        border_runs(&part.window, index, |col, row| part.contains(col, row))
    }
}

/// Runs on the border of a chip of what `contains` says, by pixels of the grid; they are called part `part`'s.
pub(in crate::engine) fn border_runs(
    window: &Window,
    part: usize,
    contains: impl Fn(i64, i64) -> bool,
) -> Vec<BorderRun> {
    let mut runs = Vec::new();
    for side in Side::ALL {
        let (col, row) = match side {
            Side::Top | Side::Left => (window.col, window.row),
            Side::Right => (window.col + window.width - 1, window.row),
            Side::Bottom => (window.col, window.row + window.height - 1),
        };
        let along = matches!(side, Side::Top | Side::Bottom);
        let length = if along { window.width } else { window.height };
        let mut open: Option<BorderRun> = None;
        for k in 0..=length {
            let (c, r) = if along { (col + k, row) } else { (col, row + k) };
            let is_set = k < length && contains(c, r);
            match (&mut open, is_set) {
                (Some(run), true) => run.length += 1,
                (None, true) => open = Some(BorderRun { part, side, col: c, row: r, length: 1 }),
                (_, false) => runs.extend(open.take()),
            }
        }
    }
    runs
}

impl Part {
    /// Whether a pixel of the grid belongs to the object here.
    pub fn contains(&self, col: i64, row: i64) -> bool {
        self.window.contains(col, row)
            && self.mask.get((row - self.window.row) as usize, (col - self.window.col) as usize)
    }
}
