//! Pixel corners to output coordinates, many at once.
//!
//! The exact way costs some 0.4 µs a corner, most of it in trigonometry. A rough mask has tens of thousands of
//! corners within one chip, where the way from pixels to coordinates is all but quadratic: as GDAL's approximating
//! transformer does, blocks of the chip are then interpolated between exact positions, each checked first.

use std::collections::HashMap;

use super::affine::Affine;
use super::error::GeoError;
use super::transform::Transform;

/// Polygons with fewer corners go the exact way.
const FEW: usize = 512;
/// Side of a block in pixels.
const BLOCK: i32 = 64;
/// Largest deviation in a block, in units of the last decimal that is written.
const TOLERANCE: f64 = 0.002;

/// Nine exact positions of a block, at 0, 1/2 and 1 of either side; `None` where they do not represent it.
type Block = Option<[[f64; 2]; 9]>;

/// Output coordinates of the corners of rings. A corner that two rings share has one position.
///
/// # Errors
/// As [`Transform::point`].
pub(super) fn project(
    affine: &Affine,
    transform: Option<&Transform>,
    rings: &[&[[i32; 2]]],
    scale: f64,
) -> Result<Vec<Vec<[f64; 2]>>, GeoError> {
    let world = |[col, row]: [f64; 2]| -> [f64; 2] { affine.apply(col, row).into() };
    let plain = |ring: &[[i32; 2]]| -> Vec<[f64; 2]> {
        ring.iter().map(|corner| world(corner.map(f64::from))).collect()
    };
    let Some(transform) = transform else {
        return Ok(rings.iter().map(|ring| plain(ring)).collect());
    };
    if rings.iter().map(|ring| ring.len()).sum::<usize>() < FEW {
        let exact = |ring: &&[[i32; 2]]| {
            let mut positions = plain(ring);
            transform.in_place(&mut positions).map(|()| positions)
        };
        return rings.iter().map(exact).collect();
    }
    let exact = |corner: [f64; 2]| -> Result<[f64; 2], GeoError> {
        let [x, y] = world(corner);
        transform.point(x, y).map(Into::into)
    };
    let mut blocks: HashMap<[i32; 2], Block> = HashMap::new();
    let mut last: Option<([i32; 2], Block)> = None;
    let mut projected = Vec::with_capacity(rings.len());
    for ring in rings {
        let mut positions = Vec::with_capacity(ring.len());
        for &corner in *ring {
            let key = corner.map(|v| v.div_euclid(BLOCK));
            let block = match last {
                Some((before, block)) if before == key => block,
                _ => *blocks.entry(key).or_insert_with(|| block(key, exact, scale)),
            };
            last = Some((key, block));
            positions.push(match &block {
                Some(nodes) => {
                    let [u, v] = corner.map(|v| f64::from(v.rem_euclid(BLOCK)) / f64::from(BLOCK));
                    interpolate(nodes, u, v)
                }
                None => exact(corner.map(f64::from))?,
            });
        }
        projected.push(positions);
    }
    Ok(projected)
}

/// The positions of a block, where they represent it well.
fn block(key: [i32; 2], exact: impl Fn([f64; 2]) -> Result<[f64; 2], GeoError>, scale: f64) -> Block {
    let side = f64::from(BLOCK);
    let at = |u: f64, v: f64| {
        let [col, row] = key.map(|k| f64::from(k) * side);
        exact([col + u * side, row + v * side]).ok()
    };
    let mut nodes = [[0.0; 2]; 9];
    for (index, node) in nodes.iter_mut().enumerate() {
        *node = at((index % 3) as f64 / 2.0, (index / 3) as f64 / 2.0)?;
    }
    // Where the cubic term, the first that is left out, is largest: also where a block holds a jump.
    for (u, v) in [(0.21, 0.21), (0.79, 0.21), (0.21, 0.79), (0.79, 0.79)] {
        let (expected, found) = (at(u, v)?, interpolate(&nodes, u, v));
        let deviation = (expected[0] - found[0]).abs().max((expected[1] - found[1]).abs()) * scale;
        if deviation.is_nan() || deviation >= TOLERANCE {
            return None;
        }
    }
    Some(nodes)
}

/// Biquadratic interpolation. On a side only its own three positions count, so that blocks meet.
fn interpolate(nodes: &[[f64; 2]; 9], u: f64, v: f64) -> [f64; 2] {
    let weights = |t: f64| [(2.0 * t - 1.0) * (t - 1.0), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)];
    let (columns, rows) = (weights(u), weights(v));
    // Differences from one node, so that nothing is lost to the size of the coordinates.
    let [base_x, base_y] = nodes[0];
    let (mut x, mut y) = (0.0, 0.0);
    for (row, row_weight) in rows.into_iter().enumerate() {
        for (column, column_weight) in columns.into_iter().enumerate() {
            let [node_x, node_y] = nodes[3 * row + column];
            let weight = row_weight * column_weight;
            x += weight * (node_x - base_x);
            y += weight * (node_y - base_y);
        }
    }
    [base_x + x, base_y + y]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Crs;

    fn largest_deviation(zone: u32, pixel: f64, target: &Crs, scale: f64) -> f64 {
        let transform = Transform::new(&Crs::from_epsg(32600 + zone).unwrap(), target).unwrap();
        let affine = Affine::new([pixel, 0.0, 700_000.0, 0.0, -pixel, 7_000_000.0]);
        let ring: Vec<[i32; 2]> = (0..3000).map(|i| [(i * 37) % 1025, (i * 101) % 1025]).collect();
        let many = project(&affine, Some(&transform), &[&ring], scale).unwrap().remove(0);
        let mut largest = 0.0_f64;
        for (corner, found) in ring.chunks(100).zip(many.chunks(100)) {
            let exact = project(&affine, Some(&transform), &[corner], scale).unwrap().remove(0);
            for (a, b) in exact.iter().zip(found) {
                largest = largest.max((a[0] - b[0]).abs().max((a[1] - b[1]).abs()) * scale);
            }
        }
        largest
    }

    #[test]
    fn interpolated_corners_are_the_exact_ones_far_below_the_last_decimal() {
        for pixel in [0.05, 0.5, 10.0, 100.0, 300.0] {
            let deviation = largest_deviation(31, pixel, &Crs::wgs84(), 1e7);
            assert!(deviation < 0.01, "{pixel} m: {deviation}");
            let deviation = largest_deviation(31, pixel, &Crs::from_epsg(3035).unwrap(), 1e3);
            assert!(deviation < 0.01, "{pixel} m: {deviation}");
        }
        // Across the antimeridian no block interpolates over the jump.
        let deviation = largest_deviation(60, 30.0, &Crs::wgs84(), 1e7);
        assert!(deviation < 0.01, "{deviation}");
    }
}
