//! Mask to polygons: what GDALPolygonize gives for the set pixels, 4-connected.
//!
//! One polygon a region, along the edges of its pixels, holes included. Where two pixels meet at a
//! corner only, the vertex there is shared by two rings and never passed twice by one, as in GDAL
//! (compared with `rasterio.features.shapes` in the tests):
//!
//! ```text
//! # .   two regions: each turns around its own pixel
//! . #   one region (joined elsewhere): each of the two holes, or the hole and the outside, turns
//!       around its own pixel, so that two rings touch
//! ```
//!
//! The method is a sweep over the lines between rows. On each line, the places where the row above
//! or the row below changes are merged from left to right; the corners of all rings fall out, two
//! for each horizontal edge, and vertical edges are carried down with the runs they belong to. Which
//! way the rings turn at a shared vertex is settled afterwards, when it is known which runs are of
//! one region. The time is linear in the number of words and corners.

use super::regions::Regions;
use super::{Mask, PixelBounds, PixelPolygon, PixelRings};

/// The 4-connected regions of set pixels as polygons, in the order of their first pixels (row by
/// row); holes in the order of their topmost, then leftmost corners.
///
/// The vertices are the same as GDAL's. See [`PixelRings`] for orientation and validity.
pub fn polygonize(mask: &Mask) -> Vec<PixelPolygon> {
    let mut sweep = Sweep::default();
    for row in 0..mask.height() {
        sweep.advance(|changes| mask.row_changes(row, changes));
    }
    sweep.advance(|_| {});
    sweep.part_regions_at_shared_vertices();
    sweep.collect(mask)
}

/// A horizontal edge of a ring; its ends are corners `2 * index` (left) and `2 * index + 1`.
struct Edge {
    /// Columns of the left and the right end.
    ends: [i32; 2],
    y: i32,
    /// The run of set pixels beside the edge at its left end, with [`BELOW`] if it lies below.
    run: u32,
}

/// Set in [`Edge::run`] when the set pixels are below the edge.
const BELOW: u32 = 1 << 31;

/// One row's runs and the vertical edges at their ends.
#[derive(Default)]
struct Row {
    /// Columns at which the row changes: starts at even places, ends at odd ones.
    changes: Vec<u32>,
    /// For each change, the corner at the top of the vertical edge there.
    tops: Vec<u32>,
    /// Number of the first run among all runs.
    first_run: u32,
}

#[derive(Default)]
struct Sweep {
    edges: Vec<Edge>,
    /// For each corner, the corner at the other end of its vertical edge.
    across: Vec<u32>,
    /// Corners that share a vertex with the next corner, and the two runs that meet there.
    shared: Vec<(u32, u32, u32)>,
    regions: Regions,
    /// The row above the line being swept, and the one below it.
    above: Row,
    below: Row,
    y: i32,
}

impl Sweep {
    /// Sweeps the line above the next row, whose changes `read` appends to a list.
    fn advance(&mut self, read: impl FnOnce(&mut Vec<u32>)) {
        std::mem::swap(&mut self.above, &mut self.below);
        self.below.changes.clear();
        read(&mut self.below.changes);
        self.below.tops.clear();
        self.below.tops.resize(self.below.changes.len(), 0);
        self.below.first_run = self.regions.len() as u32;
        for run in self.below.changes.chunks_exact(2) {
            self.regions.add(run[1] - run[0]);
        }
        self.merge();
        self.y += 1;
    }

    /// Walks the changes of both rows from left to right. `i` and `j` count those passed; odd means
    /// being inside a run.
    fn merge(&mut self) {
        let Self { edges, across, shared, regions, above, below, y } = self;
        let (mut i, mut j) = (0, 0);
        loop {
            let x_above = above.changes.get(i).copied().unwrap_or(u32::MAX);
            let x_below = below.changes.get(j).copied().unwrap_or(u32::MAX);
            let x = x_above.min(x_below);
            if x == u32::MAX {
                return;
            }
            let inside = (i & 1, j & 1);
            let corner = across.len() as u32;
            if x_above != x_below {
                // A corner: a vertical edge ends or begins.
                if x == x_above {
                    let top = above.tops[i];
                    across.push(top);
                    across[top as usize] = corner;
                    i += 1;
                } else {
                    across.push(corner);
                    below.tops[j] = corner;
                    j += 1;
                }
            } else {
                if inside.0 == inside.1 {
                    // Both start or both end: the vertical edge goes straight on.
                    below.tops[j] = above.tops[i];
                } else {
                    // One starts where the other ends: two corners on one vertex. For now each
                    // turns around its own set pixel, so that the left one, which belongs to the
                    // run that ends, is linked upwards if that run lies above.
                    let (up, down) = if inside.0 == 1 { (corner, corner + 1) } else { (corner + 1, corner) };
                    let top = above.tops[i];
                    across.extend([corner; 2]);
                    across[up as usize] = top;
                    across[top as usize] = up;
                    below.tops[j] = down;
                    let run_above = above.first_run + i as u32 / 2;
                    shared.push((corner, run_above, below.first_run + j as u32 / 2));
                }
                i += 1;
                j += 1;
            }
            let run_above = above.first_run + i as u32 / 2;
            let run_below = below.first_run + j as u32 / 2;
            if i & j & 1 == 1 {
                regions.unite(run_above, run_below);
            }
            if across.len() as u32 == corner {
                continue;
            }
            // Where exactly one of the rows is set there is an edge, up to the next corner.
            if inside.0 != inside.1
                && let Some(edge) = edges.last_mut()
            {
                edge.ends[1] = x as i32;
            }
            if (i ^ j) & 1 == 1 {
                let run = if j & 1 == 1 { run_below | BELOW } else { run_above };
                edges.push(Edge { ends: [x as i32; 2], y: *y, run });
            }
        }
    }

    /// Where the two pixels that meet at a vertex turn out to be of one region, lets the rings turn
    /// around the two unset pixels instead, so that they touch and do not pass the vertex twice.
    fn part_regions_at_shared_vertices(&mut self) {
        for &(corner, run_above, run_below) in &self.shared {
            if self.regions.root(run_above) == self.regions.root(run_below) {
                let (left, right) = (corner as usize, corner as usize + 1);
                self.across.swap(left, right);
                let (far_left, far_right) = (self.across[left] as usize, self.across[right] as usize);
                self.across[far_left] = corner;
                self.across[far_right] = corner + 1;
            }
        }
    }

    /// Follows every ring from its topmost, leftmost corner and gives it to its region's polygon.
    fn collect(mut self, mask: &Mask) -> Vec<PixelPolygon> {
        const NONE: u32 = u32::MAX;
        struct Ring {
            polygon: u32,
            start: usize,
            end: usize,
        }
        struct Outline {
            root: u32,
            vertices: usize,
            holes: usize,
        }
        let mut vertices: Vec<[i32; 2]> = Vec::with_capacity(self.across.len() * 5 / 4);
        let mut rings: Vec<Ring> = Vec::new();
        let mut outlines: Vec<Outline> = Vec::new();
        let mut polygon_of_root = vec![NONE; self.regions.len()];
        let mut done = vec![false; self.edges.len()];

        for first in 0..self.edges.len() {
            if done[first] {
                continue;
            }
            let run = self.edges[first].run;
            let root = self.regions.root(run & !BELOW);
            // The region lies below the topmost edge of its exterior, and above that of a hole. An
            // exterior is followed down its left side first, a hole along its top.
            let exterior = run & BELOW != 0;
            let first_corner = 2 * first as u32;
            let at = |corner: u32| {
                let edge = &self.edges[corner as usize / 2];
                [edge.ends[corner as usize & 1], edge.y]
            };
            let start = vertices.len();
            let mut corner = first_corner;
            loop {
                let next = if exterior { self.across[corner as usize] } else { corner ^ 1 };
                vertices.extend([at(corner), at(next)]);
                done[next as usize / 2] = true;
                corner = if exterior { next ^ 1 } else { self.across[next as usize] };
                if corner == first_corner {
                    break;
                }
            }
            vertices.push(vertices[start]);
            if exterior {
                polygon_of_root[root as usize] = outlines.len() as u32;
                outlines.push(Outline { root, vertices: 0, holes: 0 });
            } else {
                // Known by now: a region's exterior begins above all of its holes.
                outlines[polygon_of_root[root as usize] as usize].holes += 1;
            }
            let polygon = polygon_of_root[root as usize];
            outlines[polygon as usize].vertices += vertices.len() - start;
            rings.push(Ring { polygon, start, end: vertices.len() });
        }

        let mut polygons: Vec<PixelPolygon> = outlines
            .iter()
            .map(|outline| PixelPolygon {
                rings: PixelRings::with_capacity(outline.vertices, outline.holes),
                pixels: self.regions.pixels(outline.root),
                bounds: PixelBounds { min_x: 0, min_y: 0, max_x: 0, max_y: 0 },
                touches_edge: false,
            })
            .collect();
        for ring in &rings {
            polygons[ring.polygon as usize].rings.push_ring(&vertices[ring.start..ring.end]);
        }
        let (width, height) = (mask.width() as i32, mask.height() as i32);
        for polygon in &mut polygons {
            polygon.bounds = PixelBounds::of(polygon.rings.exterior());
            let PixelBounds { min_x, min_y, max_x, max_y } = polygon.bounds;
            polygon.touches_edge = min_x == 0 || min_y == 0 || max_x == width || max_y == height;
        }
        polygons
    }
}
