//! Thinning of rings within a tolerance: Douglas-Peucker that keeps the topology.
//!
//! The algorithm is the one published by Douglas and Peucker (1973), with the guards of the
//! topology-preserving simplifiers (Saalfeld 1999; behaviour as of GEOS's
//! `TopologyPreservingSimplifier`, which geosam calls through shapely): a section of a ring gives
//! way to its chord only if all its vertices lie within the tolerance of the chord, the chord meets
//! no standing segment of any ring but in common ends, and no ring is jumped over. At last, the
//! vertex at which a ring starts is dropped where the same holds for the two segments beside it.
//!
//! What differs from GEOS, on purpose: a ring is watched by a point of it as it stands now, not as
//! it once was, so that the result is valid whatever the tolerance; and the start of a ring is
//! dropped only if every original vertex stays within the tolerance of the result.

mod index;
mod predicates;

use super::{PixelBounds, PixelRings};
use index::{SegmentIndex, bounds_hold};
use predicates::{Point, SegmentDistance, doubled_midpoint, goes_around};

/// Vertices of the smallest ring, a triangle, with the closing one.
const TRIANGLE: usize = 4;

/// Simplifies a polygon within a tolerance in pixels.
///
/// The result has the same rings in the same order and orientation, each with a subset of its
/// vertices and at least three of them; it is valid wherever `rings` is (which all polygons of
/// [`polygonize`](super::polygonize) are), for any tolerance; and no point of either outline is
/// farther than the tolerance from the other. A tolerance of zero, below zero or NaN changes
/// nothing.
///
/// The tolerance is measured in pixels: on square pixels that is the same as measuring it in the
/// units of the grid's CRS, as geosam does. Where pixels are not square, or sheared, a tolerance of
/// one pixel is between the shorter and the longer side of a pixel, depending on direction; the
/// result is as valid there, as validity does not change under an affine map.
pub fn simplify(rings: &PixelRings, tolerance: f64) -> PixelRings {
    Simplifier::default().simplify(rings, tolerance)
}

/// [`simplify`] for many polygons: keeps its buffers from one to the next.
#[derive(Debug, Default)]
pub struct Simplifier {
    index: SegmentIndex,
    sections: Vec<Section>,
    kept: Vec<Kept>,
}

/// Part of a ring, from vertex `start` to vertex `end`, `depth` splits below the whole ring.
#[derive(Debug)]
struct Section {
    start: usize,
    end: usize,
    depth: u32,
}

/// A vertex of the result.
#[derive(Debug, Clone, Copy)]
struct Kept {
    vertex: usize,
    /// Number of the segment that leads to it.
    segment: u32,
}

impl Simplifier {
    /// See [`simplify`].
    pub fn simplify(&mut self, rings: &PixelRings, tolerance: f64) -> PixelRings {
        if tolerance.is_nan() || tolerance <= 0.0 {
            return rings.clone();
        }
        self.index.rebuild(rings, PixelBounds::of(rings.vertices()));
        let vertices = rings.vertices();
        let mut result = PixelRings::with_capacity(vertices.len() / 2, rings.ring_count() - 1);
        let mut ring_vertices = Vec::new();
        for ring in 0..rings.ring_count() {
            let range = rings.ring_range(ring);
            self.thin(vertices, ring, range.start, range.end - 1, tolerance);
            self.drop_start(vertices, ring, tolerance);
            ring_vertices.clear();
            ring_vertices.extend(self.kept.iter().map(|kept| vertices[kept.vertex]));
            self.index.move_witness(ring, ring_vertices[0], ring_vertices[1]);
            result.push_ring(&ring_vertices);
        }
        result
    }

    /// The polygons of one object, simplified as one geometry: as [`simplify`] keeps the rings of a polygon apart, so this
    /// keeps those of all polygons apart. They come back in their order.
    pub fn simplify_together(&mut self, polygons: &[&PixelRings], tolerance: f64) -> Vec<PixelRings> {
        if polygons.is_empty() {
            return Vec::new();
        }
        let simplified = self.simplify(&PixelRings::of_all(polygons), tolerance);
        simplified.split(polygons.iter().map(|rings| rings.ring_count()))
    }

    /// Leaves in `kept` the vertices of the ring from vertex `first` to its repetition `last`, both
    /// included.
    fn thin(&mut self, vertices: &[Point], ring: usize, first: usize, last: usize, tolerance: f64) {
        self.kept.clear();
        self.kept.push(Kept { vertex: first, segment: u32::MAX });
        self.sections.clear();
        self.sections.push(Section { start: first, end: last, depth: 1 });
        while let Some(Section { start, end, depth }) = self.sections.pop() {
            if end == start + 1 {
                self.kept.push(Kept { vertex: end, segment: start as u32 });
                continue;
            }
            let (farthest, within) = farthest(vertices, start, end, tolerance);
            // Two chords are no ring: while there are not enough vertices, split twice at least.
            let ring_is_safe = depth >= 3 || self.kept.len() >= TRIANGLE;
            if within && ring_is_safe && self.may_replace(vertices, ring, start, end, last) {
                for segment in start..end {
                    self.index.remove(segment as u32);
                }
                let segment = self.index.insert(vertices[start], vertices[end]);
                self.kept.push(Kept { vertex: end, segment });
            } else {
                self.sections.push(Section { start: farthest, end, depth: depth + 1 });
                self.sections.push(Section { start, end: farthest, depth: depth + 1 });
            }
        }
    }

    /// Whether the polygon stays valid when a section gives way to its chord.
    fn may_replace(
        &mut self,
        vertices: &[Point],
        ring: usize,
        start: usize,
        end: usize,
        last: usize,
    ) -> bool {
        let except = |segment: u32| (start..end).contains(&(segment as usize));
        if self.index.is_blocked(vertices[start], vertices[end], except) {
            return false;
        }
        let path = &vertices[start..=end];
        // The rest of the ring is represented by the segment before the section; that of the first
        // section is the ring's last one, which nothing has touched yet.
        let before = match self.kept.as_slice() {
            [.., before, _] => vertices[before.vertex],
            _ => vertices[last - 1],
        };
        let rest = doubled_midpoint(before, vertices[start]);
        let turns_over = bounds_hold(PixelBounds::of(path), rest) && goes_around(path, rest);
        !turns_over && !self.index.another_ring_within(ring, path)
    }

    /// Drops the vertex at which the ring in `kept` starts and ends, where that is allowed.
    fn drop_start(&mut self, vertices: &[Point], ring: usize, tolerance: f64) {
        let &[start, second, third, .., before, end] = self.kept.as_slice() else { return };
        if self.kept.len() <= TRIANGLE {
            return;
        }
        let (a, b) = (vertices[before.vertex], vertices[second.vertex]);
        let distance = SegmentDistance::new(a, b);
        let bound = distance.scaled_tolerance(tolerance);
        let near = |vertex: &Point| distance.scaled(*vertex) <= bound;
        if !vertices[before.vertex..end.vertex].iter().all(near)
            || !vertices[start.vertex..second.vertex].iter().all(near)
        {
            return;
        }
        let except = |segment: u32| segment == second.segment || segment == end.segment;
        if self.index.is_blocked(a, b, except) {
            return;
        }
        let path = [a, vertices[start.vertex], b];
        let rest = doubled_midpoint(b, vertices[third.vertex]);
        if goes_around(&path, rest) || self.index.another_ring_within(ring, &path) {
            return;
        }
        self.index.remove(second.segment);
        self.index.remove(end.segment);
        let segment = self.index.insert(a, b);
        self.kept.pop();
        self.kept[0] = Kept { vertex: before.vertex, segment };
    }
}

/// The vertex between two others that is farthest from their chord, the first of them where several
/// are, and whether it is within the tolerance.
fn farthest(vertices: &[Point], start: usize, end: usize, tolerance: f64) -> (usize, bool) {
    let distance = SegmentDistance::new(vertices[start], vertices[end]);
    let mut farthest = (start + 1, -1.0);
    for (vertex, &point) in vertices[..end].iter().enumerate().skip(start + 1) {
        let scaled = distance.scaled(point);
        if scaled > farthest.1 {
            farthest = (vertex, scaled);
        }
    }
    (farthest.0, farthest.1 <= distance.scaled_tolerance(tolerance))
}
