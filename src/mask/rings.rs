//! Rings on the corners of pixels, as polygonizing makes them and simplifying thins them; or on parts of a pixel, where
//! `outline` draws them.

/// A polygon's rings in pixel coordinates `[x, y]` = `[column, row]`; integers, because every
/// vertex is the corner of a pixel.
///
/// The first ring is the exterior, the others are holes; every ring is closed (its first vertex is
/// repeated at the end) and has no three vertices on one line unless simplifying put them there.
/// With y pointing down as rows do, the exterior runs counter-clockwise as seen on the screen and
/// the holes clockwise; on a north-up grid that is RFC 7946's orientation, counter-clockwise
/// exteriors. The rings are valid in the sense of OGC Simple Features: none touches or crosses
/// itself, and two of them meet in at most one vertex.
///
/// All vertices lie in one allocation, because a noisy mask has thousands of holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelRings {
    vertices: Vec<[i32; 2]>,
    /// Where each hole starts in `vertices`; the exterior starts at 0.
    hole_starts: Vec<u32>,
}

impl PixelRings {
    pub(crate) fn with_capacity(vertices: usize, holes: usize) -> Self {
        Self { vertices: Vec::with_capacity(vertices), hole_starts: Vec::with_capacity(holes) }
    }

    /// Appends a closed ring; the first one is the exterior.
    pub(crate) fn push_ring(&mut self, ring: &[[i32; 2]]) {
        if !self.vertices.is_empty() {
            self.hole_starts.push(self.vertices.len() as u32);
        }
        self.vertices.extend_from_slice(ring);
    }

    /// The rings of several polygons, one after another, as if they were one polygon's.
    pub(super) fn of_all(polygons: &[&Self]) -> Self {
        let mut all = Self { vertices: Vec::new(), hole_starts: Vec::new() };
        for ring in polygons.iter().flat_map(|polygon| polygon.rings()) {
            all.push_ring(ring);
        }
        all
    }

    /// The other way round: polygons of so many rings each.
    pub(super) fn split(&self, ring_counts: impl Iterator<Item = usize>) -> Vec<Self> {
        let mut rings = self.rings();
        let polygon = |count| {
            let mut polygon = Self { vertices: Vec::new(), hole_starts: Vec::new() };
            rings.by_ref().take(count).for_each(|ring| polygon.push_ring(ring));
            polygon
        };
        ring_counts.map(polygon).collect()
    }

    /// The same rings with each vertex moved.
    pub(crate) fn moved(&self, place: impl FnMut([i32; 2]) -> [i32; 2]) -> Self {
        let vertices = self.vertices.iter().copied().map(place).collect();
        Self { vertices, hole_starts: self.hole_starts.clone() }
    }

    /// The exterior ring, closed.
    pub fn exterior(&self) -> &[[i32; 2]] {
        self.ring(0)
    }

    /// The holes, each a closed ring.
    pub fn holes(&self) -> impl ExactSizeIterator<Item = &[[i32; 2]]> {
        (1..self.ring_count()).map(|index| self.ring(index))
    }

    /// The exterior and then the holes.
    pub fn rings(&self) -> impl ExactSizeIterator<Item = &[[i32; 2]]> {
        (0..self.ring_count()).map(|index| self.ring(index))
    }

    /// The exterior and the holes together.
    pub fn ring_count(&self) -> usize {
        1 + self.hole_starts.len()
    }

    /// Vertices of all rings, counted as GeoJSON writes them: with the closing ones.
    pub fn vertex_count(&self) -> usize {
        self.vertices.len()
    }

    /// Area in pixels: the exterior's less the holes'. Exact, in halves of a pixel.
    pub fn area(&self) -> f64 {
        // Rings of opposite orientation have areas of opposite sign: their sum is the answer.
        -(self.rings().map(doubled_area).sum::<i64>() as f64) / 2.0
    }

    /// All vertices, ring after ring; the exterior first.
    pub(super) fn vertices(&self) -> &[[i32; 2]] {
        &self.vertices
    }

    /// Where ring `index` lies in [`PixelRings::vertices`].
    pub(super) fn ring_range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.hole_starts[index - 1] as usize };
        start..self.hole_starts.get(index).map_or(self.vertices.len(), |&end| end as usize)
    }

    fn ring(&self, index: usize) -> &[[i32; 2]] {
        &self.vertices[self.ring_range(index)]
    }
}

/// Twice the signed area of a closed ring, positive where it runs clockwise on the screen (y down).
fn doubled_area(ring: &[[i32; 2]]) -> i64 {
    let cross =
        |a: [i32; 2], b: [i32; 2]| i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1]);
    ring.windows(2).map(|pair| cross(pair[0], pair[1])).sum()
}

/// Bounds in pixel corners: the region's pixels are the columns `min_x..max_x` and rows
/// `min_y..max_y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBounds {
    /// First column.
    pub min_x: i32,
    /// First row.
    pub min_y: i32,
    /// One past the last column.
    pub max_x: i32,
    /// One past the last row.
    pub max_y: i32,
}

impl PixelBounds {
    /// The bounds of some vertices; all zero for none.
    pub(crate) fn of(vertices: &[[i32; 2]]) -> Self {
        let first = vertices.first().copied().unwrap_or_default();
        vertices.iter().fold(
            Self { min_x: first[0], min_y: first[1], max_x: first[0], max_y: first[1] },
            |bounds, &[x, y]| Self {
                min_x: bounds.min_x.min(x),
                min_y: bounds.min_y.min(y),
                max_x: bounds.max_x.max(x),
                max_y: bounds.max_y.max(y),
            },
        )
    }
}

/// One 4-connected region of a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelPolygon {
    /// Its outline: along the edges of its pixels, without simplification.
    pub rings: PixelRings,
    /// How many pixels it has; equal to the area of `rings`.
    pub pixels: u64,
    /// Its bounds.
    pub bounds: PixelBounds,
    /// Whether it reaches the edge of the mask, so that the object may go on beyond the chip.
    pub touches_edge: bool,
}
