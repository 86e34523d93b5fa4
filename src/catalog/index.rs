//! The spatial index: which chips may cover a prompt, in microseconds among a million. Exact footprints
//! are in `footprint`.
//!
//! A static R-tree, packed along a Hilbert curve (Kamel and Faloutsos 1993): chips in the order of the
//! curve, bounds of every 16 of them, of every 16 of those, and so on. For a million chips it takes 6 MB,
//! where `rstar`, which owns a box and a pointer a chip, takes some 80 MB and several times as long to
//! build; that would break the budget of a folder on a small board.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::geo::Bounds;

/// Children of a node.
const FANOUT: usize = 16;

/// An R-tree over bounds that are kept elsewhere and handed to every call.
#[derive(Debug, Default)]
pub(super) struct SpatialIndex {
    /// Chips along the curve.
    order: Vec<u32>,
    /// Bounds of 16 chips each, then of 16 of those each, up to one.
    levels: Vec<Vec<Bounds>>,
}

impl SpatialIndex {
    /// Indexes bounds by their position in the slice.
    pub(super) fn new(all: &[Bounds]) -> Self {
        let Some(extent) = all.iter().copied().reduce(|a, b| a.union(&b)) else { return Self::default() };
        let (width, height) = extent.size();
        // A side of zero or without end gives a scale of zero: the order is then arbitrary, and still right.
        let scale = |side: f64| if side.is_normal() { f64::from(u16::MAX) / side } else { 0.0 };
        let (across, up) = (scale(width), scale(height));
        let mut keyed: Vec<u64> = (0_u32..)
            .zip(all)
            .map(|(chip, bounds)| {
                let (x, y) = bounds.center();
                // `as` saturates.
                let (col, row) = (((x - extent.min_x) * across) as u16, ((y - extent.min_y) * up) as u16);
                u64::from(hilbert_position(col, row)) << 32 | u64::from(chip)
            })
            .collect();
        keyed.sort_unstable();
        let order: Vec<u32> = keyed.into_iter().map(|key| key as u32).collect();
        let around = |group: &mut dyn Iterator<Item = Bounds>| group.reduce(|a, b| a.union(&b));
        let leaves = order
            .chunks(FANOUT)
            .filter_map(|chunk| around(&mut chunk.iter().map(|&chip| all[chip as usize])));
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            let above = last.chunks(FANOUT).filter_map(|chunk| around(&mut chunk.iter().copied())).collect();
            levels.push(above);
        }
        Self { order, levels }
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.order.capacity() * size_of::<u32>()
            + self.levels.iter().map(|level| level.capacity() * size_of::<Bounds>()).sum::<usize>()
    }

    /// Visits every chip in nodes for which `descend` holds, in no order. `descend` must hold for bounds
    /// around bounds for which it holds.
    pub(super) fn visit(&self, descend: impl Fn(&Bounds) -> bool, mut chip: impl FnMut(u32)) {
        let Some(top) = self.levels.len().checked_sub(1) else { return };
        let mut stack = vec![(top, 0_usize)];
        while let Some((level, node)) = stack.pop() {
            if !descend(&self.levels[level][node]) {
                continue;
            }
            if level == 0 {
                self.chips_of(node).for_each(&mut chip);
            } else {
                stack.extend(self.children_of(level, node).map(|child| (level - 1, child)));
            }
        }
    }

    fn chips_of(&self, leaf: usize) -> impl Iterator<Item = u32> + '_ {
        self.order[leaf * FANOUT..].iter().take(FANOUT).copied()
    }

    fn children_of(&self, level: usize, node: usize) -> std::ops::Range<usize> {
        node * FANOUT..((node + 1) * FANOUT).min(self.levels[level - 1].len())
    }

    /// The chip nearest to (x, y), and its distance. `distance` tells a chip's distance, which is at
    /// least that of its bounds, and what decides among equals: the smaller wins, then the first chip.
    pub(super) fn nearest(
        &self,
        (x, y): (f64, f64),
        distance: impl Fn(u32) -> (f64, f64),
    ) -> Option<(u32, f64)> {
        let top = self.levels.len().checked_sub(1)?;
        let mut best: Option<Found> = None;
        let mut waiting = BinaryHeap::from([Reverse(Waiting { distance: 0.0, level: top, node: 0 })]);
        while let Some(Reverse(Waiting { distance: least, level, node })) = waiting.pop() {
            if best.is_some_and(|best| least > best.distance) {
                break;
            }
            if level > 0 {
                waiting.extend(self.children_of(level, node).map(|child| {
                    let distance = self.levels[level - 1][child].distance_to(x, y);
                    Reverse(Waiting { distance, level: level - 1, node: child })
                }));
                continue;
            }
            for chip in self.chips_of(node) {
                let (distance, tie) = distance(chip);
                let found = Found { distance, tie, chip };
                if best.is_none_or(|best| found.is_before(&best)) {
                    best = Some(found);
                }
            }
        }
        best.map(|found| (found.chip, found.distance))
    }
}

/// A node of the tree that may hold the nearest chip.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    distance: f64,
    level: usize,
    node: usize,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.level.cmp(&other.level))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

#[derive(Debug, Clone, Copy)]
struct Found {
    distance: f64,
    tie: f64,
    chip: u32,
}

impl Found {
    fn is_before(&self, other: &Self) -> bool {
        self.distance
            .total_cmp(&other.distance)
            .then(self.tie.total_cmp(&other.tie))
            .then(self.chip.cmp(&other.chip))
            .is_lt()
    }
}

/// Where a cell of a grid of 65536 x 65536 stands on the Hilbert curve.
///
/// Source: Warren, "Hacker's Delight", 16-1: the curve's four cases as a rotation a level.
fn hilbert_position(col: u16, row: u16) -> u32 {
    let (mut x, mut y) = (u32::from(col), u32::from(row));
    let mut position = 0;
    let mut side = 1_u32 << 15;
    while side > 0 {
        let (right, upper) = (u32::from(x & side > 0), u32::from(y & side > 0));
        position += side * side * ((3 * right) ^ upper);
        if upper == 0 {
            if right == 1 {
                x = u32::from(u16::MAX) - x;
                y = u32::from(u16::MAX) - y;
            }
            (x, y) = (y, x);
        }
        side /= 2;
    }
    position
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_curve_goes_through_every_cell_from_neighbour_to_neighbour() {
        let mut cells: Vec<_> =
            (0..32_u16).flat_map(|x| (0..32_u16).map(move |y| (hilbert_position(x, y), x, y))).collect();
        cells.sort_unstable();
        for pair in cells.windows(2) {
            let [(p, x0, y0), (q, x1, y1)] = pair else { unreachable!() };
            assert_eq!(p + 1, *q);
            assert_eq!(x0.abs_diff(*x1) + y0.abs_diff(*y1), 1);
        }
    }

    #[test]
    fn an_empty_index_has_nothing() {
        let index = SpatialIndex::new(&[]);
        index.visit(|_| true, |_| panic!("a chip"));
        assert_eq!(index.nearest((0.0, 0.0), |_| (0.0, 0.0)), None);
    }

    #[test]
    fn coordinates_at_the_end_of_the_numbers_do_no_harm() {
        let big = f64::MAX;
        let all = [Bounds::new(-big, -big, big, big), Bounds::new(0.0, 0.0, 0.0, 0.0)];
        let index = SpatialIndex::new(&all);
        let mut seen = vec![];
        index.visit(|b| b.covers_point(0.0, 0.0), |chip| seen.push(chip));
        seen.sort_unstable();
        assert_eq!(seen, [0, 1]);
    }

    fn some_bounds() -> impl Strategy<Value = Vec<Bounds>> {
        let side = prop_oneof![Just(0.0), Just(10.0), 0.0..50.0];
        let one = (-100.0..100.0, -100.0..100.0, side.clone(), side)
            .prop_map(|(x, y, w, h): (f64, f64, f64, f64)| Bounds::new(x, y, x + w, y + h));
        prop::collection::vec(one, 1..600)
    }

    proptest! {
        #[test]
        fn searches_find_what_a_scan_finds(all in some_bounds(), x in -120.0..120.0, y in -120.0..120.0) {
            let index = SpatialIndex::new(&all);
            let mut found = vec![];
            index.visit(|b| b.covers_point(x, y), |chip| {
                if all[chip as usize].covers_point(x, y) {
                    found.push(chip);
                }
            });
            found.sort_unstable();
            let scanned: Vec<u32> =
                (0..all.len() as u32).filter(|&i| all[i as usize].covers_point(x, y)).collect();
            prop_assert_eq!(found, scanned);

            let distance = |chip: u32| (all[chip as usize].distance_to(x, y), 0.0);
            let nearest = (0..all.len() as u32).min_by(|&a, &b| distance(a).0.total_cmp(&distance(b).0));
            prop_assert_eq!(index.nearest((x, y), distance).map(|(chip, _)| chip), nearest);
        }
    }
}
