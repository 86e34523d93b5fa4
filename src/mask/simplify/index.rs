//! The segments of a polygon under simplification, found by place: a uniform grid.
//!
//! Segments that the polygon came with lie in one sorted list, cell by cell; those that replace
//! them are few and are chained to their cells. A segment is listed in every cell it passes through.

use super::super::{PixelBounds, PixelRings};
use super::predicates::{Point, conflict, doubled_midpoint, goes_around};

/// No further entry in a chain.
const END: u32 = u32::MAX;

/// What happens at a glance: which segments stand now, and on which side each ring lies.
///
/// A segment's number is that of its first vertex, or, for one that was put in later, the number of
/// vertices plus its place among those. Buffers are kept from polygon to polygon.
#[derive(Debug, Default)]
pub(super) struct SegmentIndex {
    cells: Cells,
    /// Where each cell's share of `listed` begins and ends; one entry more than cells.
    starts: Vec<u32>,
    ends: Vec<u32>,
    listed: Vec<u32>,
    /// For each cell the first of its chained entries.
    chains: Vec<u32>,
    links: Vec<Link>,
    /// Vertices the polygon came with.
    vertices: Vec<Point>,
    replacements: Vec<[Point; 2]>,
    /// Segments that stand no more.
    gone: Vec<bool>,
    /// For each ring a point on it (doubled), chained to the cell it lies in.
    witnesses: Vec<Point>,
    witness_chains: Vec<u32>,
    witness_next: Vec<u32>,
}

#[derive(Debug)]
struct Link {
    segment: u32,
    next: u32,
}

/// The geometry of the grid.
#[derive(Debug, Default, Clone, Copy)]
struct Cells {
    origin: Point,
    /// Logarithm of the cells' side.
    shift: u32,
    columns: usize,
    rows: usize,
}

impl Cells {
    /// Cells for so many segments: about one cell each.
    fn new(bounds: PixelBounds, segments: usize) -> Self {
        let (width, height) = (bounds.max_x - bounds.min_x, bounds.max_y - bounds.min_y);
        let side = |length: i32, shift: u32| (length >> shift) as usize + 1;
        let mut shift = 0;
        while side(width, shift) * side(height, shift) > segments.max(1) && shift < 30 {
            shift += 1;
        }
        Self {
            origin: [bounds.min_x, bounds.min_y],
            shift,
            columns: side(width, shift),
            rows: side(height, shift),
        }
    }

    fn count(&self) -> usize {
        self.columns * self.rows
    }

    fn column(&self, x: i32) -> usize {
        ((x - self.origin[0]) >> self.shift) as usize
    }

    fn row(&self, y: i32) -> usize {
        ((y - self.origin[1]) >> self.shift) as usize
    }

    /// Calls `visit` with the cells that a segment passes through (and perhaps a neighbour of
    /// them) until it returns true, and returns whether it did.
    #[inline]
    fn any(&self, a: Point, b: Point, mut visit: impl FnMut(usize) -> bool) -> bool {
        let (top, bottom) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        let (first_row, last_row) = (self.row(top[1]), self.row(bottom[1]));
        let slope = f64::from(bottom[0] - top[0]) / f64::from((bottom[1] - top[1]).max(1));
        let x_at = |y: i32| f64::from(top[0]) + slope * f64::from(y - top[1]);
        for row in first_row..=last_row {
            // The part of the segment within this row of cells; outward, so that rounding loses
            // no cell.
            let enter = if row == first_row {
                top[0]
            } else {
                let x = x_at(self.origin[1] + ((row as i32) << self.shift));
                if slope < 0.0 { (x + 1e-3).ceil() as i32 } else { (x - 1e-3).floor() as i32 }
            };
            let leave = if row == last_row {
                bottom[0]
            } else {
                let x = x_at(self.origin[1] + ((row as i32 + 1) << self.shift));
                if slope < 0.0 { (x - 1e-3).floor() as i32 } else { (x + 1e-3).ceil() as i32 }
            };
            let (low, high) = (a[0].min(b[0]), a[0].max(b[0]));
            let first = self.column(enter.min(leave).clamp(low, high));
            let last = self.column(enter.max(leave).clamp(low, high));
            for column in first..=last {
                if visit(row * self.columns + column) {
                    return true;
                }
            }
        }
        false
    }
}

impl SegmentIndex {
    /// Takes the place of what was indexed before.
    pub(super) fn rebuild(&mut self, rings: &PixelRings, bounds: PixelBounds) {
        self.vertices.clear();
        self.vertices.extend_from_slice(rings.vertices());
        self.replacements.clear();
        self.links.clear();
        self.gone.clear();
        self.gone.resize(self.vertices.len(), false);
        self.cells = Cells::new(bounds, self.vertices.len());
        let count = self.cells.count();
        self.chains.clear();
        self.chains.resize(count, END);

        // Count, sum up, fill: the usual way to a list sorted by cell. `ends` counts first, and is
        // where the next entry goes while the list is filled.
        self.starts.clear();
        self.ends.clear();
        self.ends.resize(count, 0);
        let Self { cells, vertices, ends, .. } = self;
        for_each_segment(rings, |segment| {
            let segment = segment as usize;
            cells.any(vertices[segment], vertices[segment + 1], |cell| {
                ends[cell] += 1;
                false
            });
        });
        let mut total = 0;
        for end in ends.iter_mut() {
            let entries = *end;
            self.starts.push(total);
            *end = total;
            total += entries;
        }
        self.listed.clear();
        self.listed.resize(total as usize, 0);
        let listed = &mut self.listed;
        for_each_segment(rings, |segment| {
            let first = segment as usize;
            cells.any(vertices[first], vertices[first + 1], |cell| {
                listed[ends[cell] as usize] = segment;
                ends[cell] += 1;
                false
            });
        });

        self.witnesses.clear();
        self.witness_next.clear();
        self.witness_chains.clear();
        self.witness_chains.resize(count, END);
        for ring in 0..rings.ring_count() {
            let start = rings.ring_range(ring).start;
            let witness = doubled_midpoint(self.vertices[start], self.vertices[start + 1]);
            self.witnesses.push(witness);
            let chain = &mut self.witness_chains[Self::witness_cell(&self.cells, witness)];
            self.witness_next.push(std::mem::replace(chain, ring as u32));
        }
    }

    /// Whether a new segment would conflict with a standing one, those with numbers in `except`
    /// not counted.
    pub(super) fn is_blocked(&mut self, a: Point, b: Point, except: impl Fn(u32) -> bool) -> bool {
        let Self { cells, starts, ends, listed, chains, links, vertices, replacements, gone, .. } = self;
        cells.any(a, b, |cell| {
            let mut place = starts[cell] as usize;
            while place < ends[cell] as usize {
                let segment = listed[place];
                let first = segment as usize;
                if gone[first] {
                    // Will never be back: take it off the list.
                    ends[cell] -= 1;
                    listed[place] = listed[ends[cell] as usize];
                    continue;
                }
                if !except(segment) && conflict(a, b, vertices[first], vertices[first + 1]) {
                    return true;
                }
                place += 1;
            }
            let mut link = chains[cell];
            while let Some(Link { segment, next }) = links.get(link as usize) {
                let [p, q] = replacements[*segment as usize - vertices.len()];
                if !gone[*segment as usize] && !except(*segment) && conflict(a, b, p, q) {
                    return true;
                }
                link = *next;
            }
            false
        })
    }

    /// Puts a segment in and returns its number.
    pub(super) fn insert(&mut self, a: Point, b: Point) -> u32 {
        let segment = (self.vertices.len() + self.replacements.len()) as u32;
        self.replacements.push([a, b]);
        self.gone.push(false);
        let Self { cells, chains, links, .. } = self;
        cells.any(a, b, |cell| {
            let next = std::mem::replace(&mut chains[cell], links.len() as u32);
            links.push(Link { segment, next });
            false
        });
        segment
    }

    /// Takes a segment out.
    pub(super) fn remove(&mut self, segment: u32) {
        self.gone[segment as usize] = true;
    }

    /// Whether another ring than `ring` lies between a path and the segment from its end to its
    /// start, given that neither crosses it.
    pub(super) fn another_ring_within(&self, ring: usize, path: &[Point]) -> bool {
        if self.witnesses.len() == 1 {
            return false;
        }
        let bounds = PixelBounds::of(path);
        let (first, last) = (self.cells.column(bounds.min_x), self.cells.column(bounds.max_x));
        for row in self.cells.row(bounds.min_y)..=self.cells.row(bounds.max_y) {
            for &chain in &self.witness_chains[row * self.cells.columns..][first..=last] {
                let mut other = chain;
                while let Some(&witness) = self.witnesses.get(other as usize) {
                    if other as usize != ring && bounds_hold(bounds, witness) && goes_around(path, witness) {
                        return true;
                    }
                    other = self.witness_next[other as usize];
                }
            }
        }
        false
    }

    /// Moves the point that stands for a ring to the middle of one of its segments.
    pub(super) fn move_witness(&mut self, ring: usize, a: Point, b: Point) {
        let witness = doubled_midpoint(a, b);
        let from = Self::witness_cell(&self.cells, self.witnesses[ring]);
        let to = Self::witness_cell(&self.cells, witness);
        self.witnesses[ring] = witness;
        if from == to {
            return;
        }
        let after = self.witness_next[ring];
        if self.witness_chains[from] == ring as u32 {
            self.witness_chains[from] = after;
        } else {
            let mut before = self.witness_chains[from] as usize;
            while self.witness_next[before] != ring as u32 {
                before = self.witness_next[before] as usize;
            }
            self.witness_next[before] = after;
        }
        self.witness_next[ring] = std::mem::replace(&mut self.witness_chains[to], ring as u32);
    }

    fn witness_cell(cells: &Cells, doubled: Point) -> usize {
        cells.row(doubled[1] >> 1) * cells.columns + cells.column(doubled[0] >> 1)
    }
}

/// Whether a doubled point lies within bounds.
pub(super) fn bounds_hold(bounds: PixelBounds, doubled: Point) -> bool {
    let [x, y] = doubled;
    x >= 2 * bounds.min_x && x <= 2 * bounds.max_x && y >= 2 * bounds.min_y && y <= 2 * bounds.max_y
}

/// Calls `visit` with the number of every segment: all vertices but the last one of each ring.
fn for_each_segment(rings: &PixelRings, mut visit: impl FnMut(u32)) {
    for ring in 0..rings.ring_count() {
        let range = rings.ring_range(ring);
        for segment in range.start..range.end.saturating_sub(1) {
            visit(segment as u32);
        }
    }
}
