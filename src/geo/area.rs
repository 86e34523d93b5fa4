//! Areas on the WGS 84 ellipsoid.

use super::geometry::Geometry;

/// Equatorial radius of WGS 84 in metres.
pub(super) const A: f64 = 6_378_137.0;
/// Its first eccentricity squared.
pub(super) const E2: f64 = 0.006_694_379_990_141_316_5;

/// The area in square metres of a polygon in longitude and latitude (degrees, WGS 84), holes taken off, whatever
/// way the rings run.
///
/// Latitudes become authalic ones, which map the ellipsoid onto a sphere of the same area, and the areas
/// between each edge and the equator are those of spherical triangles (Snyder 1987, 3-12; Karney 2013, section 6
/// for the sphere). Meridians and parallels are exact; an edge that is a geodesic deviates from the great circle by
/// a third-order term, so that the area of a polygon with edges up to 1 km is within 1e-8 of Karney's, and
/// up to 100 km within 1e-6; the tests hold both against `pyproj.Geod`.
pub fn geodesic_area(geometry: &Geometry) -> f64 {
    let polygons = match geometry {
        Geometry::Polygon(rings) => std::slice::from_ref(rings),
        Geometry::MultiPolygon(polygons) => polygons.as_slice(),
    };
    let tangents = Tangents::of(polygons);
    let polygon = |rings: &Vec<Vec<[f64; 2]>>| {
        let mut areas = rings.iter().map(|ring| ring_area(ring, &tangents));
        let exterior = areas.next().unwrap_or(0.0);
        exterior - areas.sum::<f64>()
    };
    polygons.iter().map(polygon).sum::<f64>().max(0.0)
}

/// The tangent of half the authalic latitude: a function of the latitude that every position needs.
enum Tangents {
    Exact,
    /// Over a few degrees a polynomial of the eighth degree in Newton's form gives the same to the last bit or two.
    Near {
        center: f64,
        /// Half the range of latitudes, in degrees.
        reach: f64,
        nodes: [f64; NODES],
        coefficients: [f64; NODES],
    },
}

const NODES: usize = 9;
/// Fewer positions are not worth a polynomial.
const FEW: usize = 64;
/// Widest range of latitudes for it, in degrees: the remainder is below 1e-17 then.
const WIDEST: f64 = 4.0;

impl Tangents {
    fn of(polygons: &[Vec<Vec<[f64; 2]>>]) -> Self {
        let exteriors = || polygons.iter().filter_map(|rings| rings.first()).flatten();
        let positions: usize = polygons.iter().flatten().map(Vec::len).sum();
        if positions < FEW {
            return Self::Exact;
        }
        let range = |(low, high): (f64, f64), p: &[f64; 2]| (low.min(p[1]), high.max(p[1]));
        let (low, high) = exteriors().fold((f64::INFINITY, f64::NEG_INFINITY), range);
        let (center, reach) = ((low + high) / 2.0, (high - low) / 2.0);
        // Written so that a NaN fails it too; the sine bends sharply where the pole is near.
        if !(reach > 0.0 && reach <= WIDEST / 2.0 && low > -85.0 && high < 85.0) {
            return Self::Exact;
        }
        // Chebyshev's nodes, from the outside to the middle in turns, which keeps Newton's form stable.
        let mut nodes = [0.0; NODES];
        for (index, node) in nodes.iter_mut().enumerate() {
            let place = if index % 2 == 0 { index / 2 } else { NODES - 1 - index / 2 };
            *node = ((2 * place + 1) as f64 * std::f64::consts::PI / (2 * NODES) as f64).cos();
        }
        let mut coefficients = nodes.map(|s| half_tangent(center + s * reach));
        for order in 1..NODES {
            for index in (order..NODES).rev() {
                coefficients[index] =
                    (coefficients[index] - coefficients[index - 1]) / (nodes[index] - nodes[index - order]);
            }
        }
        Self::Near { center, reach, nodes, coefficients }
    }

    fn at(&self, latitude: f64) -> f64 {
        match self {
            Self::Exact => half_tangent(latitude),
            Self::Near { center, reach, nodes, coefficients } => {
                let s = (latitude - center) / reach;
                let step = |sum: f64, (c, node): (&f64, &f64)| sum * (s - node) + c;
                coefficients.iter().zip(nodes).rev().fold(0.0, step)
            }
        }
    }
}

/// The tangent of half the authalic latitude of a geodetic one in degrees.
fn half_tangent(latitude: f64) -> f64 {
    let sine = (authalic_q(latitude.to_radians().sin()) / authalic_q(1.0)).clamp(-1.0, 1.0);
    sine / (1.0 + (1.0 - sine * sine).sqrt())
}

/// Below this, a few terms of a series give every bit of a tangent or its inverse.
const SMALL: f64 = 0.01;

fn tan(x: f64) -> f64 {
    if x.abs() > SMALL {
        return x.tan();
    }
    let x2 = x * x;
    let series = x2 * (17.0 / 315.0 + x2 * (62.0 / 2835.0));
    x + x * x2 * (1.0 / 3.0 + x2 * (2.0 / 15.0 + series))
}

/// The arc tangent of `y / x`, for `x` above zero or a wide angle.
fn arc_tan(y: f64, x: f64) -> f64 {
    let ratio = y / x;
    if !(x > 0.0 && ratio.abs() <= SMALL) {
        return y.atan2(x);
    }
    let r2 = ratio * ratio;
    ratio - ratio * r2 * (1.0 / 3.0 - r2 * (1.0 / 5.0 - r2 * (1.0 / 7.0 - r2 / 9.0)))
}

fn ring_area(ring: &[[f64; 2]], tangents: &Tangents) -> f64 {
    let Some(&[mut longitude, mut latitude]) = ring.last() else { return 0.0 };
    let mut tangent = tangents.at(latitude);
    let mut excess = 0.0;
    for &[next_longitude, next_latitude] in ring {
        let next_tangent = if next_latitude == latitude { tangent } else { tangents.at(next_latitude) };
        let step = next_longitude - longitude;
        if latitude == next_latitude && latitude.abs() == 90.0 {
            // Along the edge of a map at the pole: the whole turn counts, and no way is shorter.
            excess += step.to_radians() * latitude.signum();
        } else {
            let step = if step.abs() > 180.0 { step - 360.0 * step.signum() } else { step };
            let half = tan(step.to_radians() / 2.0);
            excess += 2.0 * arc_tan(half * (tangent + next_tangent), 1.0 + tangent * next_tangent);
        }
        (longitude, latitude, tangent) = (next_longitude, next_latitude, next_tangent);
    }
    (excess * A * A * authalic_q(1.0) / 2.0).abs()
}

/// Snyder's q (3-12) from the sine of the geodetic latitude, its inverse hyperbolic tangent as a series: the
/// argument stays below 0.082, so that nine terms reach the last bit.
fn authalic_q(sine: f64) -> f64 {
    let x2 = E2 * sine * sine;
    let series = (0..9).rev().fold(0.0, |sum, n| sum * x2 + 1.0 / f64::from(2 * n + 1));
    (1.0 - E2) * sine * (1.0 / (1.0 - x2) + series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_gives_the_tangents_of_latitudes() {
        for (low, high) in [(-1.0, 1.0), (46.9, 47.0), (80.0, 84.0), (-40.0, -36.0)] {
            let ring: Vec<[f64; 2]> =
                (0..=100).map(|i| [f64::from(i % 7), low + (high - low) * f64::from(i) / 100.0]).collect();
            let tangents = Tangents::of(&[vec![ring.clone()]]);
            assert!(matches!(tangents, Tangents::Near { .. }));
            for [_, latitude] in ring {
                let (expected, found) = (half_tangent(latitude), tangents.at(latitude));
                // The exact way itself loses digits where the sine is near 1.
                let bits = 4.0 * f64::EPSILON / latitude.to_radians().cos().powi(2);
                assert!((expected - found).abs() <= bits * expected.abs().max(0.01), "{latitude}");
            }
        }
    }

    #[test]
    fn the_series_give_tangents_and_their_inverses() {
        for i in -1000..1000 {
            let x = f64::from(i) * 1e-5;
            assert!((tan(x) - x.tan()).abs() <= 2.0 * f64::EPSILON * x.abs());
            assert!((arc_tan(x, 1.0) - x.atan()).abs() <= 2.0 * f64::EPSILON * x.abs());
        }
        assert_eq!(arc_tan(1.0, -1.0), 1_f64.atan2(-1.0));
    }
}
