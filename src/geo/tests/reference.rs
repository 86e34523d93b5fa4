//! Values computed by PROJ, GDAL and geographiclib.

use std::collections::BTreeMap;

use crate::geo::tested_codes::is_tested;
use crate::geo::{Bounds, Crs, Geometry, Transform, geodesic_area};

#[derive(serde::Deserialize)]
struct Codes {
    plain: BTreeMap<u32, Vec<f64>>,
    shifted: BTreeMap<u32, Vec<f64>>,
}

#[derive(serde::Deserialize)]
struct Geodesy {
    bounds: Vec<BoundsCase>,
    areas: Vec<AreaCase>,
}

#[derive(serde::Deserialize)]
struct BoundsCase {
    from: String,
    to: String,
    #[serde(rename = "box")]
    given: Bounds,
    expected: Bounds,
}

#[derive(serde::Deserialize)]
struct AreaCase {
    edge: f64,
    ring: Vec<[f64; 2]>,
    expected: f64,
}

fn geodesy() -> Geodesy {
    serde_json::from_str(include_str!("../../../tests/fixtures/geodesy.json")).unwrap()
}

#[test]
fn every_code_of_the_fixture_agrees_with_proj() {
    let codes: Codes = serde_json::from_str(include_str!("../../../tests/fixtures/crs.json")).unwrap();
    let wgs84 = Crs::wgs84();
    // Decimals of the fixture: 1e-4 units of length, 1e-9 degrees or better.
    let sets = [(codes.plain, 0.001), (codes.shifted, 0.05)];
    let mut compared = 0;
    for (code, bar, numbers) in
        sets.iter().flat_map(|(set, bar)| set.iter().map(move |(code, numbers)| (*code, *bar, numbers)))
    {
        let crs = Crs::from_epsg(code).unwrap_or_else(|error| panic!("{code}: {error}"));
        let there = Transform::new(&wgs84, &crs).unwrap();
        let back = there.inverse().unwrap();
        let unit = crs.metres_per_unit().unwrap_or(111_320.0);
        for position in numbers.chunks_exact(4) {
            let (x, y) = there.point(position[0], position[1]).unwrap();
            let metres = (x - position[2]).hypot(y - position[3]) * unit;
            assert!(metres < bar + 1e-4, "EPSG:{code} is {metres} m off PROJ");
            let (lon, lat) = back.point(position[2], position[3]).unwrap();
            let east = (lon - position[0] + 180.0).rem_euclid(360.0) - 180.0;
            let metres = (east * lat.to_radians().cos()).hypot(lat - position[1]) * 111_320.0;
            // PROJ itself comes back within 5 cm after a datum shift, whose height is lost.
            assert!(metres < bar * 2.0 + 1e-3, "EPSG:{code} comes back {metres} m off");
            compared += 1;
        }
    }
    assert!(compared > 4000, "{compared}");
}

#[test]
fn every_code_of_the_list_is_constructed() {
    let wgs84 = Crs::wgs84();
    let mut codes = 0;
    for code in (0..=70_000).filter(|&code| is_tested(code)) {
        let crs = Crs::from_epsg(code).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(crs.epsg(), Some(code));
        Transform::new(&wgs84, &crs).unwrap();
        Transform::new(&crs, &wgs84).unwrap();
        codes += 1;
    }
    assert!(codes > 3500, "{codes}");
}

#[test]
fn the_systems_that_rasters_come_in_are_supported_and_the_inexact_are_not() {
    let zones = (32601..=32660).chain(32701..=32760).chain(25828..=25837).chain(26906..=26922);
    for code in
        zones.chain([4326, 3857, 3035, 2154, 27700, 28992, 31370, 2056, 5070, 2193, 4490, 4547, 3031, 3413])
    {
        assert!(is_tested(code), "{code}");
    }
    // Krovak, DHDN, Israel, Beijing 1954, NAD27.
    for code in [5513, 5514, 31467, 2039, 21450, 26718, 0, 65_536 + 4326, u32::MAX] {
        assert!(!is_tested(code), "{code}");
    }
}

#[test]
fn bounds_are_those_of_gdal() {
    for BoundsCase { from, to, given, expected } in geodesy().bounds {
        let transform = Transform::new(&Crs::parse(&from).unwrap(), &Crs::parse(&to).unwrap()).unwrap();
        let found = transform.bounds(given, 21).unwrap();
        let bar = if transform.to().is_geographic() { 1e-8 } else { 1e-3 };
        let sides: [[f64; 4]; 2] = [found.into(), expected.into()];
        for (ours, gdal) in sides[0].iter().zip(sides[1]) {
            assert!((ours - gdal).abs() < bar, "{from} {given:?} to {to}: {found:?}, GDAL {expected:?}");
        }
    }
}

#[test]
fn edges_reach_beyond_the_corners_in_another_crs() {
    let transform = Transform::new(&Crs::wgs84(), &Crs::from_epsg(32650).unwrap()).unwrap();
    let given = Bounds::new(114.0, 50.0, 120.0, 52.0);
    let corners = given.corners().map(|(x, y)| transform.point(x, y).unwrap());
    let (corners, edges) = (Bounds::around(corners).unwrap(), transform.bounds(given, 21).unwrap());
    assert!(corners.min_y - edges.min_y > 400.0, "{corners:?} {edges:?}");
}

#[test]
fn bounds_of_nothing_are_an_error() {
    let transform = Transform::new(&Crs::wgs84(), &Crs::from_epsg(3857).unwrap()).unwrap();
    assert!(transform.bounds(Bounds::new(f64::NAN, 0.0, 1.0, 1.0), 21).is_err());
    let same = Transform::new(&Crs::wgs84(), &Crs::wgs84()).unwrap();
    assert!(same.bounds(Bounds::new(0.0, 0.0, 1.0, 100.0), 21).is_err());
}

#[test]
fn areas_are_those_of_karney() {
    let mut worst = BTreeMap::<u64, f64>::new();
    for AreaCase { edge, ring, expected } in geodesy().areas {
        let found = geodesic_area(&Geometry::Polygon(vec![ring]));
        let relative = (found - expected).abs() / expected;
        let worst = worst.entry(edge as u64).or_default();
        *worst = worst.max(relative);
    }
    println!("largest relative differences by edge length in metres: {worst:?}");
    for (edge, relative) in worst {
        // The 2 m polygon is held by the ten decimals of its corners, not by the formula.
        let bar = match edge {
            0..=2 => 1e-5,
            3..=1000 => 1e-8,
            1001..=10_000 => 1e-7,
            _ => 1e-6,
        };
        assert!(relative < bar, "edges of {edge} m: {relative}");
    }
}
