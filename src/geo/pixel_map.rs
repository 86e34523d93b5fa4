//! Pixel corners to output coordinates, many at once.
//!
//! The exact way costs some 0.4 µs a corner, most of it in trigonometry. A rough mask has tens of thousands of
//! corners within one chip, where the way from pixels to coordinates is all but a polynomial: as GDAL's
//! approximating transformer does, blocks of the chip in which many corners lie are interpolated between exact
//! positions, each block checked first. What is written is the same as the exact way gives: a corner so near the
//! middle of two decimals that the interpolation might round it otherwise goes the exact way.

use std::collections::HashMap;

use super::affine::Affine;
use super::error::GeoError;
use super::transform::Transform;

/// Corners of a block that go the exact way before the block is interpolated: about what its nodes cost.
const FEW: u32 = 24;
/// Side of a block in pixels.
const BLOCK: i32 = 64;
/// Nodes along a side of a block: a polynomial of the fourth degree.
const NODES: usize = 5;
/// Largest deviation at the places of a block that are checked, in units of the last decimal that is written.
const TOLERANCE: f64 = 2e-4;
/// Corners nearer than this to the middle of two decimals go the exact way.
const GUARD: f64 = 5.0 * TOLERANCE;
/// Where an interpolation of the fourth degree deviates most from its function, as a share of the side.
const WORST: f64 = 0.09;

/// Exact positions at the nodes of a block, less the first, row by row.
#[derive(Debug, Clone)]
struct Nodes {
    base: [f64; 2],
    offsets: [[f64; 2]; NODES * NODES],
}

#[derive(Debug, Clone)]
enum Block {
    /// So many corners have gone the exact way.
    New(u32),
    /// Not to be represented by nodes: a jump, an edge of the projection, very large pixels.
    Rough,
    Smooth(Box<Nodes>),
}

/// The way from the pixel corners of one chip to coordinates of one CRS. It learns blocks as they are asked for.
#[derive(Debug, Clone)]
pub(super) struct PixelMap {
    affine: Affine,
    /// `None` where the output is in the source's own CRS.
    transform: Option<Transform>,
    /// Units of the last decimal in a unit of the output CRS.
    scale: f64,
    blocks: HashMap<[i32; 2], Block>,
    /// Shares of the nodes in each corner along a side of a block.
    weights: Vec<[f64; NODES]>,
}

impl PixelMap {
    pub fn new(affine: Affine, transform: Option<Transform>, scale: f64) -> Self {
        let weights = match transform {
            Some(_) => (0..BLOCK).map(|offset| weights(f64::from(offset) / f64::from(BLOCK))).collect(),
            None => Vec::new(),
        };
        Self { affine, transform, scale, blocks: HashMap::new(), weights }
    }

    pub const fn is_transformed(&self) -> bool {
        self.transform.is_some()
    }

    /// Units of the last decimal in a unit of the output CRS.
    pub const fn scale(&self) -> f64 {
        self.scale
    }

    /// How many blocks it has learnt of, each half a kilobyte at the most.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Output coordinates of any place, in pixels, the exact way.
    ///
    /// # Errors
    /// As [`Transform::point`].
    pub fn exact(&self, col: f64, row: f64) -> Result<[f64; 2], GeoError> {
        let (x, y) = self.affine.apply(col, row);
        match &self.transform {
            Some(transform) => transform.point(x, y).map(Into::into),
            None => Ok([x, y]),
        }
    }

    /// Output coordinates of any place, in pixels, as near as a block gives them that has been learnt: a fraction of the
    /// last decimal.
    ///
    /// # Errors
    /// As [`Transform::point`].
    pub fn near(&self, col: f64, row: f64) -> Result<[f64; 2], GeoError> {
        let side = f64::from(BLOCK);
        // Saturating: no block lies at the ends of the range.
        match self.blocks.get(&[col, row].map(|v| (v / side).floor() as i32)) {
            Some(Block::Smooth(nodes)) => {
                let [u, v] = [col, row].map(|v| weights((v / side).rem_euclid(1.0)));
                Ok(nodes.at(&u, &v))
            }
            _ => self.exact(col, row),
        }
    }

    /// Appends the output coordinates of corners `[column, row]`.
    ///
    /// # Errors
    /// As [`Transform::point`].
    pub fn append(&mut self, corners: &[[i32; 2]], positions: &mut Vec<[f64; 2]>) -> Result<(), GeoError> {
        positions.reserve(corners.len());
        if self.transform.is_none() {
            let affine = &self.affine;
            let plain =
                |&[col, row]: &[i32; 2]| -> [f64; 2] { affine.apply(f64::from(col), f64::from(row)).into() };
            positions.extend(corners.iter().map(plain));
            return Ok(());
        }
        let key_of = |corner: [i32; 2]| corner.map(|v| v.div_euclid(BLOCK));
        let mut rest = corners;
        while let Some(&first) = rest.first() {
            // A walk along an outline stays in a block for a while.
            let key = key_of(first);
            let length = rest.iter().position(|&corner| key_of(corner) != key).unwrap_or(rest.len());
            let (here, after) = rest.split_at(length);
            self.append_in_block(key, here, positions)?;
            rest = after;
        }
        Ok(())
    }

    fn append_in_block(
        &mut self,
        key: [i32; 2],
        corners: &[[i32; 2]],
        positions: &mut Vec<[f64; 2]>,
    ) -> Result<(), GeoError> {
        let seen = match self.blocks.get(&key) {
            Some(Block::New(seen)) => Some(*seen),
            Some(Block::Rough | Block::Smooth(_)) => None,
            None => Some(0),
        };
        if let Some(seen) = seen {
            let seen = seen.saturating_add(corners.len() as u32);
            let block = if seen <= FEW {
                Block::New(seen)
            } else {
                self.nodes(key).map_or(Block::Rough, |nodes| Block::Smooth(Box::new(nodes)))
            };
            self.blocks.insert(key, block);
        }
        let nodes = match self.blocks.get(&key) {
            Some(Block::Smooth(nodes)) => Some(nodes),
            _ => None,
        };
        for &[col, row] in corners {
            let near = nodes.and_then(|nodes| {
                let [u, v] = [col, row].map(|v| &self.weights[v.rem_euclid(BLOCK) as usize]);
                let found = nodes.at(u, v);
                found.iter().all(|v| is_clear(v * self.scale)).then_some(found)
            });
            positions.push(match near {
                Some(position) => position,
                None => self.exact(f64::from(col), f64::from(row))?,
            });
        }
        Ok(())
    }

    /// The nodes of a block, where they represent it well.
    fn nodes(&self, key: [i32; 2]) -> Option<Nodes> {
        let side = f64::from(BLOCK);
        let at = |u: f64, v: f64| {
            let [col, row] = key.map(|k| f64::from(k) * side);
            self.exact(col + u * side, row + v * side).ok()
        };
        let last = (NODES - 1) as f64;
        let base = at(0.0, 0.0)?;
        let mut nodes = Nodes { base, offsets: [[0.0; 2]; NODES * NODES] };
        for (index, offset) in nodes.offsets.iter_mut().enumerate() {
            let [x, y] = at((index % NODES) as f64 / last, (index / NODES) as f64 / last)?;
            *offset = [x - base[0], y - base[1]];
        }
        // Also where a block holds a jump.
        let far = 1.0 - WORST;
        for (u, v) in [(WORST, WORST), (far, WORST), (WORST, far), (far, far), (0.37, 0.63)] {
            let (expected, found) = (at(u, v)?, nodes.at(&weights(u), &weights(v)));
            let deviation = (expected[0] - found[0]).abs().max((expected[1] - found[1]).abs()) * self.scale;
            if deviation.is_nan() || deviation >= TOLERANCE {
                return None;
            }
        }
        Some(nodes)
    }
}

impl Nodes {
    /// The position with these shares of the columns and rows. On a side of the block only the nodes on that side
    /// count, so that blocks meet.
    fn at(&self, columns: &[f64; NODES], rows: &[f64; NODES]) -> [f64; 2] {
        // Differences from one node, so that nothing is lost to the size of the coordinates.
        let [mut x, mut y] = [0.0; 2];
        for (nodes, row) in self.offsets.as_chunks::<NODES>().0.iter().zip(rows) {
            let [mut along_x, mut along_y] = [0.0; 2];
            for (node, column) in nodes.iter().zip(columns) {
                along_x += column * node[0];
                along_y += column * node[1];
            }
            x += row * along_x;
            y += row * along_y;
        }
        [self.base[0] + x, self.base[1] + y]
    }
}

/// Lagrange's shares of equidistant nodes at a place from 0 to 1.
fn weights(t: f64) -> [f64; NODES] {
    let place = t * (NODES - 1) as f64;
    let mut weights = [1.0; NODES];
    for (node, weight) in weights.iter_mut().enumerate() {
        for other in (0..NODES).filter(|&other| other != node) {
            *weight *= (place - other as f64) / (node as f64 - other as f64);
        }
    }
    weights
}

/// Whether a number of units is far enough from the middle between two whole ones.
fn is_clear(units: f64) -> bool {
    // By way of an integer: `floor` is a call on processors without an instruction for it. What saturates is refused
    // where it is rounded.
    ((units - units as i64 as f64).abs() - 0.5).abs() > GUARD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Crs;

    /// Compares a map that has learnt its blocks with the exact way; returns the share of corners interpolated and
    /// the largest deviation in units of the last decimal.
    fn compare(zone: u32, pixel: f64, target: &Crs, scale: f64) -> (f64, f64) {
        let transform = Transform::new(&Crs::from_epsg(32600 + zone).unwrap(), target).unwrap();
        let affine = Affine::new([pixel, 0.0, 700_000.0, 0.0, -pixel, 7_000_000.0]);
        let mut map = PixelMap::new(affine, Some(transform), scale);
        let corners: Vec<[i32; 2]> = (0..30_000).map(|i| [(i * 37) % 1025, (i * 101) % 1025]).collect();
        map.append(&corners, &mut Vec::new()).unwrap();
        let mut positions = Vec::new();
        map.append(&corners, &mut positions).unwrap();
        let (mut interpolated, mut largest) = (0, 0.0_f64);
        for (&[col, row], found) in corners.iter().zip(&positions) {
            let exact = map.exact(f64::from(col), f64::from(row)).unwrap();
            interpolated += u32::from(exact != *found);
            largest = largest.max((exact[0] - found[0]).abs().max((exact[1] - found[1]).abs()) * scale);
            let rounded = |position: [f64; 2]| position.map(|v| (v * scale).round());
            assert_eq!(rounded(exact), rounded(*found), "{zone} {pixel} {col} {row}");
        }
        (f64::from(interpolated) / positions.len() as f64, largest)
    }

    #[test]
    fn interpolated_corners_are_written_as_the_exact_ones() {
        for pixel in [0.05, 0.5, 10.0, 100.0, 300.0, 2000.0] {
            for (target, scale) in [(Crs::wgs84(), 1e7), (Crs::from_epsg(3035).unwrap(), 1e3)] {
                let (_, deviation) = compare(31, pixel, &target, scale);
                assert!(deviation < GUARD / 2.0, "{pixel} m: {deviation}");
            }
        }
        // Across the antimeridian no block interpolates over the jump.
        let (_, deviation) = compare(60, 30.0, &Crs::wgs84(), 1e7);
        assert!(deviation < GUARD / 2.0, "{deviation}");
    }

    #[test]
    fn chips_of_all_usual_resolutions_are_interpolated() {
        for pixel in [0.1, 0.5, 10.0, 30.0, 300.0] {
            let (share, _) = compare(31, pixel, &Crs::wgs84(), 1e7);
            assert!(share > 0.5, "{pixel} m: {share}");
        }
    }

    #[test]
    fn a_few_corners_are_exact() {
        let transform = Transform::new(&Crs::from_epsg(32631).unwrap(), &Crs::wgs84()).unwrap();
        let affine = Affine::new([0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0]);
        let mut map = PixelMap::new(affine, Some(transform), 1e7);
        let mut positions = Vec::new();
        map.append(&[[0, 0], [0, 10], [10, 10], [10, 0]], &mut positions).unwrap();
        assert_eq!(positions[2], map.exact(10.0, 10.0).unwrap());
    }
}
