//! Which chips are asked, in which order, and which points on each. Pure, but for the folder's manifest.

use std::collections::HashMap;

use super::super::stitch::{Grid, Window};
use crate::catalog::Folder;
use crate::geo::{Affine, Bounds};

/// Grids that are told apart; chips between all of them are asked by themselves.
const MOST_GRIDS: usize = 64;

/// The chips of a survey.
#[derive(Debug)]
pub(super) struct Plan {
    /// Pixels of each grid to the folder's CRS.
    grids: Vec<Affine>,
    chips: Vec<Planned>,
    /// For each chip that is asked its place in the order.
    places: HashMap<usize, usize>,
    /// What is to be asked, in the folder's CRS; `None` for all.
    area: Option<Bounds>,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    window: Window,
    grid: usize,
}

impl Plan {
    /// The chips that meet an area, grid by grid; along the longer way of each grid, so that few of them border on what
    /// is still to come.
    pub fn of(folder: &Folder, area: Option<Bounds>) -> Self {
        let wanted: Vec<usize> = match &area {
            Some(area) => folder.meeting(area),
            None => (0..folder.chips().len()).collect(),
        };
        let mut grids: Vec<Affine> = Vec::new();
        let mut chips: Vec<Planned> = Vec::new();
        for chip in wanted.into_iter().filter_map(|index| folder.chip(index)) {
            let found = grids.iter().take(MOST_GRIDS).enumerate();
            let found = found.map(|(grid, &affine)| (grid, Grid::of(folder, affine).window(&chip)));
            let known = found.into_iter().find_map(|(grid, window)| Some((grid, window?)));
            let (grid, window) = known.unwrap_or_else(|| {
                grids.push(chip.affine);
                let (height, width) = (chip.shape.0 as i64, chip.shape.1 as i64);
                (grids.len() - 1, Window { chip: chip.index, col: 0, row: 0, width, height })
            });
            chips.push(Planned { window, grid });
        }
        let mut extents = vec![[i64::MAX, i64::MAX, i64::MIN, i64::MIN]; grids.len()];
        for Planned { window, grid } in &chips {
            if let Some([left, top, right, bottom]) = extents.get_mut(*grid) {
                (*left, *top) = ((*left).min(window.col), (*top).min(window.row));
                (*right, *bottom) = ((*right).max(window.col), (*bottom).max(window.row));
            }
        }
        let is_wide = |grid: usize| extents.get(grid).is_some_and(|e| e[2] - e[0] > e[3] - e[1]);
        chips.sort_by_key(|Planned { window: w, grid }| {
            let (first, second) = if is_wide(*grid) { (w.col, w.row) } else { (w.row, w.col) };
            (*grid, first, second, w.height, w.width, w.chip)
        });
        // Of several at one place the first of the manifest, as everywhere.
        chips.dedup_by_key(|Planned { window: w, grid }| (*grid, w.row, w.col, w.height, w.width));
        let places = chips.iter().enumerate().map(|(place, planned)| (planned.window.chip, place)).collect();
        Self { grids, chips, places, area }
    }

    /// How many chips are asked.
    pub const fn len(&self) -> usize {
        self.chips.len()
    }

    /// The chip in a place.
    pub fn window(&self, place: usize) -> Option<Window> {
        self.chips.get(place).map(|planned| planned.window)
    }

    /// Pixels of the grid of the chip in a place to the folder's CRS.
    pub fn affine(&self, place: usize) -> Option<Affine> {
        self.grids.get(self.chips.get(place)?.grid).copied()
    }

    /// The grid of the chip in a place.
    pub fn grid<'a>(&self, folder: &'a Folder, place: usize) -> Option<Grid<'a>> {
        Some(Grid::of(folder, self.affine(place)?))
    }

    /// The place of a chip; `None` for one that is not asked.
    pub fn place(&self, window: &Window) -> Option<usize> {
        self.places.get(&window.chip).copied()
    }

    /// The places of the chips that overlap one or abut on it, in order.
    pub fn neighbours(&self, folder: &Folder, place: usize) -> Vec<usize> {
        let (Some(own), Some(grid)) = (self.window(place), self.grid(folder, place)) else {
            return Vec::new();
        };
        let corner = |col: i64, row: i64| grid.affine.apply(col as f64, row as f64);
        let (left, top) = (own.col - 2, own.row - 2);
        let (right, bottom) = (own.col + own.width + 2, own.row + own.height + 2);
        let corners = [corner(left, top), corner(right, top), corner(left, bottom), corner(right, bottom)];
        let Some(around) = Bounds::around(corners) else { return Vec::new() };
        let near = grid
            .meeting(&around)
            .into_iter()
            .filter(|other| other.chip != own.chip && own.grown(1).shared(other).is_some());
        let mut places: Vec<usize> = near.filter_map(|other| self.place(&other)).collect();
        places.sort_unstable();
        places
    }

    /// Whether any point is asked at all: none is where the area lies between them.
    pub fn has_a_point(&self, folder: &Folder, per_side: u16) -> bool {
        (0..self.len()).any(|place| !self.points(folder, place, per_side).is_empty())
    }

    /// How far the points of the first chip lie apart along its rows and columns, in units of the folder's CRS.
    pub fn spacing(&self, per_side: u16) -> Option<(f64, f64)> {
        let (width, height) = self.affine(0)?.pixel_size();
        let window = self.window(0)?;
        let per_side = f64::from(per_side.max(1));
        Some((width * window.width as f64 / per_side, height * window.height as f64 / per_side))
    }

    /// The points of the chip in a place, in its pixels: so many a side, of these the ones that lie in the area, and in
    /// the middle of no other chip more than of this.
    pub fn points(&self, folder: &Folder, place: usize, per_side: u16) -> Vec<(f64, f64)> {
        let (Some(own), Some(grid)) = (self.window(place), self.grid(folder, place)) else {
            return Vec::new();
        };
        let per_side = i64::from(per_side.max(1));
        let at = |k: i64, length: i64| (k as f64 + 0.5) * length as f64 / per_side as f64;
        let all = (0..per_side).flat_map(|row| (0..per_side).map(move |col| (col, row)));
        let all = all.map(|(col, row)| (at(col, own.width), at(row, own.height)));
        let is_ours = |&(x, y): &(f64, f64)| {
            let (world_x, world_y) = grid.affine.apply(own.col as f64 + x, own.row as f64 + y);
            if self.area.is_some_and(|area| !area.covers_point(world_x, world_y)) {
                return false;
            }
            let (col, row) = (own.col + x as i64, own.row + y as i64);
            let asked = grid.holding(col, row).into_iter().filter(|window| self.place(window).is_some());
            let nearest = asked.min_by(|a, b| a.eccentricity(col, row).total_cmp(&b.eccentricity(col, row)));
            nearest.is_none_or(|window| window.chip == own.chip)
        };
        all.filter(is_ours).collect()
    }
}
