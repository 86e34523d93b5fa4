//! Perimeters on the ellipsoid, and how an object lies: the way its long side runs, and how much longer it is.

use super::area::{A, E2};
use super::geometry::Geometry;
use super::hull::convex_hull;

/// What is measured of an object, beside its area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Length of all rings in metres, holes included.
    pub perimeter: f64,
    /// Bearing of the long side of the smallest rectangle around it, in degrees clockwise from north, 0 to 180; of a square below
    /// 90.
    pub orientation: f64,
    /// That rectangle's long side over its short one: 1 and more.
    pub elongation: f64,
}

/// Measures a geometry in longitude and latitude (degrees, WGS 84); `None` for one without extent.
///
/// Edges are measured at their middle latitude: up to 10 km within 1e-6 of the geodesic. Edges along the antimeridian, where a
/// geometry is cut, are not counted. The rectangle is the one of least area, in the plane that touches the ellipsoid in the
/// middle.
pub fn measures(geometry: &Geometry) -> Option<Measures> {
    let polygons = match geometry {
        Geometry::Polygon(rings) => std::slice::from_ref(rings),
        Geometry::MultiPolygon(polygons) => polygons.as_slice(),
    };
    let perimeter =
        polygons.iter().flatten().flat_map(|ring| ring.windows(2)).map(|edge| length(edge[0], edge[1])).sum();
    let exteriors = || polygons.iter().filter_map(|rings| rings.first()).flatten();
    let &[west, _] = exteriors().next()?;
    let latitudes = exteriors().map(|position| position[1]);
    let (south, north) =
        latitudes.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let [east_metres, north_metres] = per_degree((south + north) / 2.0);
    let flat = |&[x, y]: &[f64; 2]| [turn(x - west) * east_metres, (y - south) * north_metres];
    let (long, short, orientation) = smallest_rectangle(&convex_hull(exteriors().map(flat).collect()))?;
    (short > 0.0).then(|| Measures { perimeter, orientation, elongation: long / short })
}

/// Metres of a degree of longitude and of latitude at a latitude.
pub(super) fn per_degree(latitude: f64) -> [f64; 2] {
    let (sine, cosine) = latitude.to_radians().sin_cos();
    let w2 = 1.0 - E2 * sine * sine;
    let across = A / w2.sqrt();
    [(across * cosine).to_radians(), (across * (1.0 - E2) / w2).to_radians()]
}

/// A difference of longitudes the short way around.
pub(super) fn turn(degrees: f64) -> f64 {
    if degrees.abs() > 180.0 { degrees - 360.0 * degrees.signum() } else { degrees }
}

fn length(from: [f64; 2], to: [f64; 2]) -> f64 {
    if from[0] == to[0] && from[0].abs() == 180.0 {
        return 0.0;
    }
    let [east, north] = per_degree((from[1] + to[1]) / 2.0);
    (turn(to[0] - from[0]) * east).hypot((to[1] - from[1]) * north)
}

/// Long side, short side and bearing of the long side of the rectangle of least area around a convex ring: one of its sides lies
/// on a side of the ring. `None` for fewer than three corners.
fn smallest_rectangle(hull: &[[f64; 2]]) -> Option<(f64, f64, f64)> {
    if hull.len() < 3 {
        return None;
    }
    let sides = hull.iter().zip(hull.iter().cycle().skip(1));
    let rectangles = sides.filter_map(|(a, b)| {
        let (x, y) = (b[0] - a[0], b[1] - a[1]);
        let size = x.hypot(y);
        let (cosine, sine) = (x / size, y / size);
        let extent = |along: [f64; 2]| {
            let all = hull.iter().map(|p| p[0] * along[0] + p[1] * along[1]);
            let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            high - low
        };
        let (along, across) = (extent([cosine, sine]), extent([-sine, cosine]));
        let bearing = x.atan2(y).to_degrees();
        let upright = |bearing: f64| bearing.rem_euclid(180.0);
        let is_square = (along - across).abs() <= 1e-9 * along.max(across);
        let found = if is_square {
            (along, across, bearing.rem_euclid(90.0))
        } else if along > across {
            (along, across, upright(bearing))
        } else {
            (across, along, upright(bearing + 90.0))
        };
        (size > 0.0).then_some(found)
    });
    rectangles.min_by(|a, b| (a.0 * a.1).total_cmp(&(b.0 * b.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rectangle at a place, its long side on a bearing.
    fn rectangle(longitude: f64, latitude: f64, long: f64, short: f64, bearing: f64) -> Geometry {
        let [east, north] = per_degree(latitude);
        let (sine, cosine) = bearing.to_radians().sin_cos();
        let at = |u: f64, v: f64| {
            let (x, y) = (u * sine + v * cosine, u * cosine - v * sine);
            [longitude + x / east, latitude + y / north]
        };
        let (u, v) = (long / 2.0, short / 2.0);
        Geometry::Polygon(vec![vec![at(-u, -v), at(-u, v), at(u, v), at(u, -v), at(-u, -v)]])
    }

    #[test]
    fn a_rectangle_is_measured_as_it_was_drawn() {
        for (latitude, bearing) in [(47.0, 0.0), (47.0, 30.0), (-33.0, 117.5), (65.0, 179.0), (0.0, 90.0)] {
            let found = measures(&rectangle(9.0, latitude, 40.0, 10.0, bearing)).unwrap();
            assert!((found.perimeter - 100.0).abs() < 1e-4, "{found:?}");
            assert!((found.elongation - 4.0).abs() < 1e-4, "{found:?}");
            assert!((found.orientation - bearing).abs() < 1e-3, "{bearing}: {found:?}");
        }
        let square = measures(&rectangle(9.0, 47.0, 10.0, 10.0, 120.0)).unwrap();
        assert!((square.orientation - 30.0).abs() < 1e-3 && (square.elongation - 1.0).abs() < 1e-6);
    }

    /// `pyproj.Geod(ellps="WGS84").geometry_length` of the same edges, pyproj 3.7.2.
    #[test]
    fn lengths_are_those_of_geographiclib() {
        let edges = [
            ([9.17, 47.65, 9.1701, 47.65], 7.512871),
            ([9.17, 47.65, 9.17, 47.6501], 11.118351),
            ([9.17, 47.65, 9.18, 47.66], 1341.828599),
            ([-70.5, -33.2, -70.45, -33.15], 7245.595626),
            ([179.999, 10.0, -179.999, 10.001], 245.595383),
            ([25.0, 69.0, 25.1, 69.02], 4579.402989),
        ];
        for ([x, y, to_x, to_y], expected) in edges {
            let found = length([x, y], [to_x, to_y]);
            assert!((found / expected - 1.0).abs() < 1e-6, "{x} {y}: {found}, not {expected}");
        }
    }

    #[test]
    fn holes_count_and_the_cut_at_the_antimeridian_does_not() {
        let ring =
            |west: f64, east: f64| vec![[west, 0.0], [east, 0.0], [east, 0.001], [west, 0.001], [west, 0.0]];
        let whole = measures(&Geometry::Polygon(vec![ring(10.0, 10.002)])).unwrap();
        let with_hole =
            measures(&Geometry::Polygon(vec![ring(10.0, 10.002), ring(10.0005, 10.0015)])).unwrap();
        assert!(with_hole.perimeter > 1.6 * whole.perimeter);
        let cut = Geometry::MultiPolygon(vec![vec![ring(179.999, 180.0)], vec![ring(-180.0, -179.999)]]);
        let cut = measures(&cut).unwrap();
        assert!((cut.perimeter / whole.perimeter - 1.0).abs() < 1e-9, "{cut:?} {whole:?}");
        assert!((cut.elongation / whole.elongation - 1.0).abs() < 1e-9);
        assert!((cut.orientation - 90.0).abs() < 1e-6);
    }
}
