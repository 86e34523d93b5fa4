//! Rings of pixel corners to GeoJSON.

use std::iter;
use std::time::{Duration, Instant};

use geo::algorithm::Validation;
use geo::{Area, LineString, MultiPolygon, Polygon};
use proptest::prelude::*;

use crate::geo::{Affine, Crs, GeoError, Geometry, Projected, Projector, Ring, geodesic_area};

type PixelRing = Vec<[i32; 2]>;

fn utm(zone: u32) -> Crs {
    Crs::from_epsg(32600 + zone).unwrap()
}

/// Ten-metre pixels, north up.
const NORTH_UP: Affine = Affine::new([10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0]);

/// A closed square.
fn square(col: i32, row: i32, side: i32) -> PixelRing {
    vec![[col, row], [col, row + side], [col + side, row + side], [col + side, row], [col, row]]
}

fn polygon(projector: &Projector, exterior: &[[i32; 2]], holes: &[PixelRing]) -> Projected {
    projector.clone().polygon(exterior, holes.iter().map(Vec::as_slice)).unwrap()
}

pub(super) fn parts(geometry: &Geometry) -> &[Vec<Ring>] {
    match geometry {
        Geometry::Polygon(rings) => std::slice::from_ref(rings),
        Geometry::MultiPolygon(parts) => parts,
    }
}

/// Panics where the geometry is not what RFC 7946 and OGC want.
pub(super) fn check(geometry: &Geometry, scale: f64) -> MultiPolygon {
    assert!(!parts(geometry).is_empty());
    let mut polygons = Vec::new();
    for rings in parts(geometry) {
        let mut lines = Vec::new();
        for (index, ring) in rings.iter().enumerate() {
            assert!(ring.len() >= 4 && ring.first() == ring.last(), "{ring:?}");
            assert!(ring.windows(2).all(|pair| pair[0] != pair[1]), "{ring:?}");
            for v in ring.iter().flatten() {
                assert!((v * scale - (v * scale).round()).abs() < 1e-4, "{v}");
            }
            let line = LineString::from(ring.iter().map(|&[x, y]| (x, y)).collect::<Vec<_>>());
            let area = Polygon::new(line.clone(), Vec::new()).signed_area();
            assert_eq!(area > 0.0, index == 0, "ring {index} runs the wrong way");
            lines.push(line);
        }
        let exterior = lines.remove(0);
        polygons.push(Polygon::new(exterior, lines));
    }
    let geometry = MultiPolygon::new(polygons);
    if let Err(error) = geometry.check_validation() {
        panic!("{error}: {geometry:?}");
    }
    geometry
}

#[test]
fn a_polygon_in_degrees_has_seven_decimals_and_rfc_7946_rings() {
    let projector = Projector::new(NORTH_UP, &utm(50), &Crs::wgs84()).unwrap();
    for reversed in [false, true] {
        let (mut exterior, mut hole) = (square(0, 0, 100), square(10, 10, 5));
        if reversed {
            exterior.reverse();
            hole.reverse();
        }
        let Projected { geometry, bounds } = polygon(&projector, &exterior, &[hole]);
        check(&geometry, 1e7);
        assert_eq!(parts(&geometry)[0].len(), 2);
        assert_eq!(parts(&geometry)[0][0][0], [117.0, 36.1447181]);
        assert_eq!((bounds.min_x, bounds.max_y), (117.0, 36.1447181));
        let area = geodesic_area(&geometry);
        assert!((area / (1000.0 * 1000.0 - 50.0 * 50.0) - 1.0).abs() < 1e-3, "{area}");
    }
}

#[test]
fn a_polygon_in_the_sources_own_crs_has_three_decimals() {
    let grid = Affine::new([0.33334, 0.0, 100.12345, 0.0, -0.33334, 200.98765]);
    for projector in [
        Projector::untransformed(grid, Some(&utm(50))),
        Projector::untransformed(grid, None),
        Projector::new(grid, &utm(50), &utm(50)).unwrap(),
    ] {
        let projected = polygon(&projector, &square(1, 1, 1), &[]);
        assert_eq!(
            serde_json::to_string(&projected.geometry).unwrap(),
            r#"{"type":"Polygon","coordinates":[[[100.457,200.654],[100.457,200.321],[100.79,200.321],[100.79,200.654],[100.457,200.654]]]}"#
        );
    }
}

#[test]
fn an_unknown_crs_with_tiny_pixels_is_written_as_degrees() {
    let grid = Affine::new([0.0001, 0.0, 12.345_678_91, 0.0, -0.0001, 50.0]);
    let projected = polygon(&Projector::untransformed(grid, None), &square(0, 0, 1), &[]);
    assert_eq!(parts(&projected.geometry)[0][0][0], [12.3456789, 50.0]);
}

#[test]
fn a_region_smaller_than_the_last_decimal_is_not_lost() {
    // Pixels of a millimetre, at seven decimals.
    let grid = Affine::new([0.001, 0.0, 500_000.0, 0.0, -0.001, 4_000_000.0]);
    let projector = Projector::new(grid, &utm(50), &Crs::wgs84()).unwrap();
    for start in 0..40 {
        let projected = polygon(&projector, &square(start, start, 1), &[]);
        check(&projected.geometry, 1e7);
    }
    let ring_around_nothing = polygon(&projector, &square(0, 0, 30), &[square(10, 10, 1)]);
    check(&ring_around_nothing.geometry, 1e7);
}

#[test]
fn a_polygon_across_the_antimeridian_is_split_and_keeps_its_area() {
    let grid = Affine::new([100.0, 0.0, 800_000.0, 0.0, -100.0, 1_900_000.0]);
    let (exterior, hole) = (square(0, 0, 400), square(150, 100, 120));
    let split = polygon(
        &Projector::new(grid, &utm(60), &Crs::wgs84()).unwrap(),
        &exterior,
        std::slice::from_ref(&hole),
    );
    check(&split.geometry, 1e7);
    assert_eq!(parts(&split.geometry).len(), 2, "{:?}", split.geometry);
    assert!(split.bounds.min_x > 178.0 && split.bounds.max_x < -179.0, "{:?}", split.bounds);
    for ring in parts(&split.geometry).iter().flatten() {
        let west = ring.iter().map(|p| p[0]).fold(f64::INFINITY, f64::min);
        let east = ring.iter().map(|p| p[0]).fold(f64::NEG_INFINITY, f64::max);
        assert!(east - west < 2.0 && west >= -180.0 && east <= 180.0, "{west} {east}");
    }
    // The same outline two zones to the west has the same area.
    let whole = polygon(&Projector::new(grid, &utm(58), &Crs::wgs84()).unwrap(), &exterior, &[hole]);
    let (split, whole) = (geodesic_area(&split.geometry), geodesic_area(&whole.geometry));
    assert!((split / whole - 1.0).abs() < 1e-5, "{split} {whole}");
}

#[test]
fn in_kilometres_the_raster_s_own_corners_stay_as_they_are_in_metres() {
    let in_unit = |unit: &str| {
        let wkt = format!(
            r#"PROJCS["x",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic_2SP"],PARAMETER["latitude_of_origin",47],PARAMETER["central_meridian",10],PARAMETER["standard_parallel_1",46],PARAMETER["standard_parallel_2",49],UNIT[{unit}]]"#
        );
        Crs::parse(&wkt).unwrap()
    };
    let corners = |per_metre: f64, crs: &Crs| {
        let grid = [0.5, 0.0, 13_271.5, 0.0, -0.5, 32_953.5].map(|length| length * per_metre);
        let projector = Projector::untransformed(Affine::new(grid), Some(crs));
        parts(&polygon(&projector, &square(3, 5, 7), &[]).geometry).concat().concat()
    };
    let metres = corners(1.0, &in_unit(r#""metre",1"#));
    let kilometres = corners(0.001, &in_unit(r#""kilometre",1000"#));
    assert_eq!(metres.len(), 5);
    let as_metres: Vec<[f64; 2]> = kilometres.iter().map(|p| p.map(|x| (x * 1e6).round() / 1e3)).collect();
    assert_eq!(as_metres, metres);
    // And so do those that come from another CRS.
    let wgs84 = Affine::new([5e-6, 0.0, 10.1, 0.0, -5e-6, 47.2]);
    let [metres, kilometres] = [r#""metre",1"#, r#""kilometre",1000"#].map(|unit| {
        let projector = Projector::new(wgs84, &Crs::wgs84(), &in_unit(unit)).unwrap();
        parts(&polygon(&projector, &square(3, 5, 7), &[]).geometry).concat().concat()
    });
    for (metre, kilometre) in metres.iter().zip(&kilometres) {
        let off = [0, 1].map(|axis| (metre[axis] - kilometre[axis] * 1e3).abs());
        assert!(off.iter().all(|off| *off < 1.1e-3), "{metre:?} {kilometre:?}");
    }
}

#[test]
fn a_raster_in_degrees_across_the_antimeridian_is_split_too() {
    let grid = Affine::new([0.01, 0.0, 179.95, 0.0, -0.01, 10.0]);
    let projected = polygon(&Projector::untransformed(grid, Some(&Crs::wgs84())), &square(0, 0, 10), &[]);
    check(&projected.geometry, 1e7);
    assert_eq!((projected.bounds.min_x, projected.bounds.max_x), (179.95, -179.95));
    // Ending on it is not crossing it.
    let projected = polygon(&Projector::untransformed(grid, Some(&Crs::wgs84())), &square(0, 0, 5), &[]);
    assert!(matches!(projected.geometry, Geometry::Polygon(_)));
    assert_eq!((projected.bounds.min_x, projected.bounds.max_x), (179.95, 180.0));
    // Longitudes of 0 to 360 become those of RFC 7946.
    let grid = Affine::new([0.01, 0.0, 270.0, 0.0, -0.01, 10.0]);
    let projected = polygon(&Projector::untransformed(grid, Some(&Crs::wgs84())), &square(0, 0, 5), &[]);
    assert_eq!((projected.bounds.min_x, projected.bounds.max_x), (-90.0, -89.95));
}

#[test]
fn a_polygon_around_a_pole_is_closed_over_the_pole() {
    let grid = Affine::new([1000.0, 0.0, -200_000.0, 0.0, -1000.0, 200_000.0]);
    let antarctic = Crs::from_epsg(3031).unwrap();
    let projector = Projector::new(grid, &antarctic, &Crs::wgs84()).unwrap();
    // A corner every five kilometres: longer edges are far from straight in longitude and latitude.
    let fine = |ring: PixelRing| -> PixelRing {
        let edge = |pair: &[[i32; 2]]| {
            let (from, to) = (pair[0], pair[1]);
            let steps = (to[0] - from[0]).abs().max((to[1] - from[1]).abs()) / 5;
            (0..=steps)
                .map(move |i| [0, 1].map(|axis| from[axis] + (to[axis] - from[axis]) * i / steps))
                .collect::<Vec<_>>()
        };
        let mut fine: PixelRing = ring.windows(2).flat_map(edge).collect();
        fine.dedup();
        fine
    };
    let full = polygon(&projector, &fine(square(0, 0, 400)), &[]);
    check(&full.geometry, 1e7);
    assert_eq!((full.bounds.min_x, full.bounds.min_y, full.bounds.max_x), (-180.0, -90.0, 180.0));
    let annulus = polygon(&projector, &fine(square(0, 0, 400)), &[fine(square(150, 150, 100))]);
    check(&annulus.geometry, 1e7);
    // The true scale of this projection is at 71 degrees; at the pole its areas are 5.5 % too small.
    for (geometry, square_km) in [(full.geometry, 160_000.0), (annulus.geometry, 150_000.0)] {
        let ratio = geodesic_area(&geometry) / (square_km * 1e6);
        assert!((1.03..1.08).contains(&ratio), "{ratio}");
    }
}

#[test]
fn bad_grids_and_rings_are_errors() {
    let flat = Affine::new([0.0, 0.0, 1.0, 0.0, -1.0, 2.0]);
    let error = Projector::new(flat, &utm(50), &Crs::wgs84()).unwrap_err();
    assert!(matches!(error, GeoError::DegenerateGrid { .. }));
    let mut projector = Projector::new(NORTH_UP, &utm(50), &Crs::wgs84()).unwrap();
    for ring in [vec![], vec![[0, 0]], vec![[0, 0], [1, 1], [0, 0]]] {
        assert!(matches!(projector.polygon(&ring, iter::empty()), Err(GeoError::DegenerateRing { .. })));
    }
    let endless = Affine::new([1e300, 0.0, 0.0, 0.0, -1e300, 0.0]);
    assert!(Projector::untransformed(endless, None).polygon(&square(0, 0, 1), iter::empty()).is_err());
    assert!(
        Projector::new(endless, &utm(50), &Crs::wgs84())
            .and_then(|mut p| p.polygon(&square(0, 0, 1), iter::empty()))
            .is_err()
    );
}

/// A comb with teeth of one pixel: the most corners that a region of this height can have.
fn comb(teeth: i32) -> PixelRing {
    let mut ring = vec![[0, 0]];
    for tooth in 0..teeth {
        ring.extend([[2, 2 * tooth], [2, 2 * tooth + 1], [1, 2 * tooth + 1], [1, 2 * tooth + 2]]);
    }
    ring.push([0, 2 * teeth]);
    ring.push([0, 0]);
    ring
}

/// Not asserted: the machine that runs the tests may be busy. Shown by `--nocapture`.
#[test]
fn sixty_thousand_corners_are_written_and_measured() {
    let grid = Affine::new([1.0, 0.0, 500_000.0, 0.0, -1.0, 4_000_000.0]);
    let projector = Projector::new(grid, &utm(50), &Crs::wgs84()).unwrap();
    let ring = comb(15_000);
    let (mut written, mut measured) = (Duration::MAX, Duration::MAX);
    let mut area = 0.0;
    for _ in 0..5 {
        let start = Instant::now();
        let projected = polygon(&projector, &ring, &[]);
        written = written.min(start.elapsed());
        let start = Instant::now();
        area = geodesic_area(&projected.geometry);
        measured = measured.min(start.elapsed());
    }
    println!("{} corners: written in {written:?}, area in {measured:?}", ring.len());
    assert!((area / 45_000.0 - 1.0).abs() < 1e-2, "{area}");
}

/// A star around the origin: corners at rising angles, so that it never crosses itself.
fn star() -> impl Strategy<Value = PixelRing> {
    prop::collection::vec(3_i32..400, 5..40).prop_map(|radii| {
        let count = radii.len() as f64;
        let mut ring: PixelRing = Vec::new();
        for (index, radius) in radii.into_iter().enumerate() {
            let angle = index as f64 / count * std::f64::consts::TAU;
            let (sin, cos) = angle.sin_cos();
            ring.push([(f64::from(radius) * cos).round() as i32, (f64::from(radius) * sin).round() as i32]);
        }
        ring.dedup();
        ring.push(ring[0]);
        ring
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rounding_keeps_polygons_valid_and_oriented(
        ring in star(),
        pixel in prop::sample::select(vec![0.002, 0.01, 0.05, 1.0, 30.0]),
        turn in 0.0..6.3_f64,
        zone in prop::sample::select(vec![1_u32, 31, 60]),
        mirrored: bool,
    ) {
        let outline = LineString::from(ring.iter().map(|&[x, y]| (f64::from(x), f64::from(y))).collect::<Vec<_>>());
        prop_assume!(Polygon::new(outline.clone(), Vec::new()).is_valid());
        let (sin, cos) = turn.sin_cos();
        let side = if mirrored { -pixel } else { pixel };
        let grid = Affine::new([pixel * cos, -side * sin, 166_100.0, pixel * sin, side * cos, 1_000_000.0]);
        let mut projector = Projector::new(grid, &utm(zone), &Crs::wgs84()).unwrap();
        let projected = projector.polygon(&ring, iter::empty()).unwrap();
        check(&projected.geometry, 1e7);
        let expected = Polygon::new(outline, Vec::new()).unsigned_area() * pixel * pixel;
        if pixel >= 1.0 {
            let area = geodesic_area(&projected.geometry);
            prop_assert!((area / expected - 1.0).abs() < 0.01, "{area} {expected}");
        }
        let own = Projector::untransformed(grid, Some(&utm(zone))).polygon(&ring, iter::empty()).unwrap();
        check(&own.geometry, 1e3);
    }

    #[test]
    fn positions_come_back(lon in -2.9..2.9_f64, lat in -79.0..84.0_f64, zone in 1_u32..=60) {
        let lon = lon + f64::from(zone) * 6.0 - 183.0;
        let there = crate::geo::Transform::new(&Crs::wgs84(), &utm(zone)).unwrap();
        let (x, y) = there.point(lon, lat).unwrap();
        let (back_lon, back_lat) = there.inverse().unwrap().point(x, y).unwrap();
        prop_assert!((back_lon - lon).abs() < 1e-11 * 180.0 && (back_lat - lat).abs() < 1e-11 * 90.0);
    }
}
