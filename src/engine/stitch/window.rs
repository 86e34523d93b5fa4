//! Where chips lie on one common grid of pixels. Nothing of masks here.

use crate::catalog::{ChipRef, Folder};
use crate::geo::{Affine, Bounds};

/// How far from a whole pixel a chip's corner may lie: chips of one raster are cut at whole pixels, coordinates are
/// rounded.
const OFF_GRID: f64 = 0.05;

/// The pixels of a chip on the common grid, that of the chip which a prompt met first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::engine) struct Window {
    /// Position of the chip in the manifest.
    pub chip: usize,
    /// Column of its first pixel.
    pub col: i64,
    /// Row of its first pixel.
    pub row: i64,
    pub width: i64,
    pub height: i64,
}

impl Window {
    /// Whether a pixel of the grid is one of the chip's.
    pub const fn contains(&self, col: i64, row: i64) -> bool {
        col >= self.col && row >= self.row && col < self.col + self.width && row < self.row + self.height
    }

    /// The same with so many more pixels on each side.
    pub const fn grown(&self, by: i64) -> Self {
        let Self { chip, col, row, width, height } = *self;
        Self { chip, col: col - by, row: row - by, width: width + 2 * by, height: height + 2 * by }
    }

    /// The pixels shared with another chip: columns and rows, each first and one past the last; `None` where there are none.
    pub fn shared(&self, other: &Self) -> Option<([i64; 2], [i64; 2])> {
        let cols = [self.col.max(other.col), (self.col + self.width).min(other.col + other.width)];
        let rows = [self.row.max(other.row), (self.row + self.height).min(other.row + other.height)];
        (cols[0] < cols[1] && rows[0] < rows[1]).then_some((cols, rows))
    }

    /// How far a pixel lies from the middle, 0 there and 1 on the nearest edge.
    pub fn eccentricity(&self, col: i64, row: i64) -> f64 {
        let off = |at: i64, start: i64, length: i64| {
            ((at - start) as f64 + 0.5 - length as f64 / 2.0).abs() / (length as f64 / 2.0)
        };
        off(col, self.col, self.width).max(off(row, self.row, self.height))
    }

    /// Pixels from a pixel of the chip to its nearest edge; 1 for those of the border.
    pub fn edge_distance(&self, col: i64, row: i64) -> i64 {
        let (left, top) = (col - self.col + 1, row - self.row + 1);
        let (right, bottom) = (self.col + self.width - col, self.row + self.height - row);
        left.min(right).min(top).min(bottom)
    }
}

/// The common grid: that of one chip of a folder.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Grid<'a> {
    folder: &'a Folder,
    /// Pixels of the grid to the folder's CRS.
    pub affine: Affine,
}

impl<'a> Grid<'a> {
    /// The grid whose pixel (0, 0) is the first of a chip.
    pub const fn of(folder: &'a Folder, affine: Affine) -> Self {
        Self { folder, affine }
    }

    /// Where a chip lies; `None` for one with pixels of another size or direction, or between ours.
    pub fn window(&self, chip: &ChipRef<'_>) -> Option<Window> {
        let (own, other) = (self.affine, chip.affine);
        let size = own.a.abs().max(own.b.abs()).max(own.d.abs()).max(own.e.abs());
        let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
        // What a difference of the linear part makes over the whole chip, in pixels.
        let drift = [
            (own.a, other.a, width),
            (own.b, other.b, height),
            (own.d, other.d, width),
            (own.e, other.e, height),
        ]
        .iter()
        .map(|(x, y, length)| (x - y).abs() * length / size)
        .fold(0.0, f64::max);
        let det = own.determinant();
        let (dx, dy) = (other.c - own.c, other.f - own.f);
        let (col, row) = ((own.e * dx - own.b * dy) / det, (own.a * dy - own.d * dx) / det);
        let off = (col - col.round()).abs().max((row - row.round()).abs());
        // Beyond 2^40 pixels no two chips are neighbours.
        let is_near = col.abs().max(row.abs()) < 1e12;
        (drift <= OFF_GRID && off <= OFF_GRID && is_near).then(|| Window {
            chip: chip.index,
            col: col.round() as i64,
            row: row.round() as i64,
            width: chip.shape.1 as i64,
            height: chip.shape.0 as i64,
        })
    }

    /// The chips of the grid that hold a pixel, by place: rows first. One of several at the same place.
    pub fn holding(&self, col: i64, row: i64) -> Vec<Window> {
        let (x, y) = self.affine.apply(col as f64 + 0.5, row as f64 + 0.5);
        let mut windows = self.meeting(&Bounds::new(x, y, x, y));
        windows.retain(|window| window.contains(col, row));
        windows
    }

    /// The chips of the grid whose footprints meet bounds in the folder's CRS, by place; of several at one place the first of the
    /// manifest.
    pub fn meeting(&self, bounds: &Bounds) -> Vec<Window> {
        let chips = self.folder.meeting(bounds).into_iter().filter_map(|index| self.folder.chip(index));
        let mut windows: Vec<Window> = chips.filter_map(|chip| self.window(&chip)).collect();
        windows.sort_by_key(|w| (w.row, w.col, w.height, w.width, w.chip));
        windows.dedup_by_key(|w| (w.row, w.col, w.height, w.width));
        windows
    }
}
