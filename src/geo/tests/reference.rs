//! Values computed by PROJ, GDAL and geographiclib.

use std::collections::{BTreeMap, BTreeSet};

use super::metres;
use crate::geo::crs::tested_codes;
use crate::geo::{Bounds, Crs, Geometry, Transform, geodesic_area};

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

/// By code: rows `[lon, lat, x, y]` or, where the way back ends elsewhere, `[lon, lat, x, y, lon, lat]`.
fn measured() -> BTreeMap<u32, Vec<Vec<f64>>> {
    serde_json::from_str(include_str!("../../../tests/fixtures/crs.json")).unwrap()
}

#[test]
fn every_code_of_the_tested_list_gives_the_positions_of_proj() {
    // What make_crs.py accepts, and the decimals of the fixture.
    const BAR: f64 = 0.0025 + 0.0005;
    let wgs84 = Crs::wgs84();
    for (code, rows) in measured() {
        let crs = Crs::from_epsg(code).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(crs.epsg(), Some(code));
        let there = Transform::new(&wgs84, &crs).unwrap();
        let back = there.inverse().unwrap();
        for row in rows {
            let (lon, lat, x, y) = (row[0], row[1], row[2], row[3]);
            let (our_x, our_y) = there.point(lon, lat).unwrap();
            let forward = match crs.metres_per_unit() {
                Some(unit) => (our_x - x).hypot(our_y - y) * unit,
                None => metres(our_x - x, our_y - y, lat),
            };
            let (our_lon, our_lat) = back.point(x, y).unwrap();
            let (back_lon, back_lat) = (row.get(4).unwrap_or(&lon), row.get(5).unwrap_or(&lat));
            let inverse = metres(our_lon - back_lon, our_lat - back_lat, lat);
            // A way back that is the same within 2 mm is left out of the fixture.
            assert!(
                forward < BAR && inverse < 2.0 * BAR,
                "EPSG:{code} {row:?}: {forward} m, back {inverse} m"
            );
        }
    }
}

#[test]
fn no_code_is_accepted_without_a_measured_position() {
    let measured: BTreeSet<u32> = measured().into_keys().collect();
    let accepted: BTreeSet<u32> = tested_codes().collect();
    assert_eq!(accepted, measured);
    assert!(accepted.len() > 5000);
}

#[test]
fn the_systems_that_rasters_come_in_are_supported_and_the_inexact_are_not() {
    let zones = (32601..=32660).chain(32701..=32760).chain(25828..=25837).chain(26906..=26922);
    for code in zones.chain([
        4326, 4269, 3857, 3035, 2154, 27700, 28992, 31370, 2056, 5070, 2193, 4490, 4547, 3031, 3413, 2263,
        2958, 9377,
    ]) {
        assert!(Crs::from_epsg(code).is_ok(), "{code}");
    }
    // Krovak, DHDN, ED50, Beijing 1954, NAD27.
    for code in [5513, 5514, 31467, 23030, 21450, 26718, 0, 65_536 + 4326, u32::MAX] {
        let error = Crs::from_epsg(code).unwrap_err();
        assert_eq!(error.code().as_str(), "UNKNOWN_CRS");
        assert!(error.to_string().contains(&format!("EPSG:{code} is not supported")), "{error}");
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
