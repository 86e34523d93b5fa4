//! Bounds of a box in another CRS, as GDAL's `OCTTransformBounds` and `rasterio.warp.transform_bounds` compute
//! them: from positions along the edges, since an edge that is straight in one CRS bulges in another.

use super::bounds::Bounds;
use super::error::GeoError;
use super::transform::Transform;

impl Transform {
    /// The bounds in the target CRS of a box given in the source CRS, from its corners and `points_per_edge`
    /// positions between two corners (GDAL and rasterio take 21).
    ///
    /// In a projected CRS that repeats itself ([`Crs::turn`](super::Crs::turn)) a box across the antimeridian goes on beyond the end of the
    /// map. A geographic box whose west exceeds its east crosses the antimeridian, both as input and as result
    /// (RFC 7946, 5.2). A result around a pole reaches to the pole and spans all longitudes. As in GDAL,
    /// positions of the edges that the target cannot express are left out.
    ///
    /// # Errors
    /// As [`Transform::point`], for the first corner, where no position of the edges has a result.
    pub fn bounds(&self, bounds: Bounds, points_per_edge: usize) -> Result<Bounds, GeoError> {
        let numbers: [f64; 4] = bounds.into();
        if self.is_identity() || numbers.iter().any(|number| !number.is_finite()) {
            self.point(bounds.min_x, bounds.min_y)?;
            self.point(bounds.max_x, bounds.max_y)?;
            return Ok(bounds);
        }
        let mut source = bounds;
        if self.from().is_geographic() && source.max_x < source.min_x {
            source.max_x += 360.0;
        }
        let edges = edge_positions(&source, points_per_edge);
        let mut ring = edges.clone();
        if self.in_place(&mut ring).is_err() {
            ring = edges.iter().filter_map(|&[x, y]| self.point(x, y).ok()).map(|(x, y)| [x, y]).collect();
        }
        if !self.to().is_geographic() {
            if let Some(turn) = self.to().turn() {
                unwrap(&mut ring, turn.width);
            }
            return match Bounds::around(ring.iter().map(|&[x, y]| (x, y))) {
                Some(found) => Ok(found),
                None => Err(self.refusal(&source)),
            };
        }
        let turn = unwrap_longitudes(&mut ring);
        let Some(mut found) = Bounds::around(ring.iter().map(|&[x, y]| (x, y))) else {
            return Err(self.refusal(&source));
        };
        let poles = self.poles_inside(&source);
        for (inside, pole) in poles.into_iter().zip([-90.0, 90.0]) {
            if inside {
                (found.min_y, found.max_y) = (found.min_y.min(pole), found.max_y.max(pole));
            }
        }
        if turn != 0.0 || poles != [false; 2] || found.max_x - found.min_x >= 360.0 {
            (found.min_x, found.max_x) = (-180.0, 180.0);
        } else {
            found.min_x = wrapped(found.min_x);
            found.max_x = wrapped(found.max_x);
            // A box that ends on the antimeridian does not cross it.
            if found.max_x == -180.0 {
                found.max_x = 180.0;
            }
        }
        Ok(found)
    }

    fn refusal(&self, source: &Bounds) -> GeoError {
        match self.point(source.min_x, source.min_y) {
            Err(error) => error,
            Ok(_) => GeoError::OutOfDomain {
                x: source.min_x,
                y: source.min_y,
                from: self.from().name().to_owned(),
                to: self.to().name().to_owned(),
            },
        }
    }

    /// Whether the south and the north pole lie inside a projected box.
    fn poles_inside(&self, source: &Bounds) -> [bool; 2] {
        let Ok(inverse) = self.inverse() else { return [false; 2] };
        if self.from().is_geographic() {
            return [false; 2];
        }
        [-90.0, 90.0].map(|pole| {
            // A projection that tears the pole into a line gives different positions for its longitudes.
            match (inverse.point(0.0, pole), inverse.point(90.0, pole)) {
                (Ok(a), Ok(b)) => {
                    (a.0 - b.0).abs().max((a.1 - b.1).abs()) < 1.0 && source.covers_point(a.0, a.1)
                }
                _ => false,
            }
        })
    }
}

/// Positions along the edges, counter-clockwise from the south-west corner, corners included.
fn edge_positions(bounds: &Bounds, points_per_edge: usize) -> Vec<[f64; 2]> {
    let steps = points_per_edge.min(10_000) + 1;
    let corners = bounds.corners();
    let mut positions = Vec::with_capacity(4 * steps);
    for (i, &(x, y)) in corners.iter().enumerate() {
        let (next_x, next_y) = corners[(i + 1) % 4];
        for step in 0..steps {
            let t = step as f64 / steps as f64;
            positions.push([x + (next_x - x) * t, y + (next_y - y) * t]);
        }
    }
    positions
}

/// Makes the longitudes along a ring continuous, beyond 180 degrees if need be, and returns the turn around the
/// pole: the degrees missing when the ring closes, 0 or ±360.
pub(super) fn unwrap_longitudes(ring: &mut [[f64; 2]]) -> f64 {
    unwrap(ring, 360.0)
}

/// The same for an x that repeats itself after `turn`.
fn unwrap(ring: &mut [[f64; 2]], turn: f64) -> f64 {
    let Some(&[first, _]) = ring.first() else { return 0.0 };
    let mut shift = 0.0;
    let mut previous = first;
    for position in &mut *ring {
        let raw = position[0];
        shift += jump(previous, raw, turn);
        previous = raw;
        position[0] = raw + shift;
    }
    shift + jump(previous, first, turn)
}

/// What to add after a step from one longitude to another: a turn where it crosses the antimeridian.
fn jump(from: f64, to: f64, turn: f64) -> f64 {
    match to - from {
        step if step > turn / 2.0 => -turn,
        step if step < -turn / 2.0 => turn,
        _ => 0.0,
    }
}

/// A longitude in -180..=180.
fn wrapped(longitude: f64) -> f64 {
    if longitude.abs() <= 180.0 { longitude } else { (longitude + 180.0).rem_euclid(360.0) - 180.0 }
}
