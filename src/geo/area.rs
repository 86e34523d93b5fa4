//! Areas on the WGS 84 ellipsoid.

use super::geometry::Geometry;

/// Equatorial radius of WGS 84 in metres.
const A: f64 = 6_378_137.0;
/// Its first eccentricity squared.
const E2: f64 = 0.006_694_379_990_141_316_5;

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
    let polygon = |rings: &Vec<Vec<[f64; 2]>>| {
        let mut areas = rings.iter().map(|ring| ring_area(ring));
        let exterior = areas.next().unwrap_or(0.0);
        exterior - areas.sum::<f64>()
    };
    polygons.iter().map(polygon).sum::<f64>().max(0.0)
}

fn ring_area(ring: &[[f64; 2]]) -> f64 {
    let pole_q = authalic_q(1.0);
    let half_tangent = |latitude: f64| {
        let sine = (authalic_q(latitude.to_radians().sin()) / pole_q).clamp(-1.0, 1.0);
        sine / (1.0 + (1.0 - sine * sine).sqrt())
    };
    let Some(&[mut longitude, mut latitude]) = ring.last() else { return 0.0 };
    let mut tangent = half_tangent(latitude);
    let mut excess = 0.0;
    for &[next_longitude, next_latitude] in ring {
        let next_tangent = if next_latitude == latitude { tangent } else { half_tangent(next_latitude) };
        let step = next_longitude - longitude;
        if latitude == next_latitude && latitude.abs() == 90.0 {
            // Along the edge of a map at the pole: the whole turn counts, and no way is shorter.
            excess += step.to_radians() * latitude.signum();
        } else {
            let step = if step.abs() > 180.0 { step - 360.0 * step.signum() } else { step };
            let half = (step.to_radians() / 2.0).tan();
            excess += 2.0 * (half * (tangent + next_tangent)).atan2(1.0 + tangent * next_tangent);
        }
        (longitude, latitude, tangent) = (next_longitude, next_latitude, next_tangent);
    }
    (excess * A * A * pole_q / 2.0).abs()
}

/// Snyder's q (3-12) from the sine of the geodetic latitude, its inverse hyperbolic tangent as a series: the
/// argument stays below 0.082, so that nine terms reach the last bit.
fn authalic_q(sine: f64) -> f64 {
    let x2 = E2 * sine * sine;
    let series = (0..9).rev().fold(0.0, |sum, n| sum * x2 + 1.0 / f64::from(2 * n + 1));
    (1.0 - E2) * sine * (1.0 / (1.0 - x2) + series)
}
