//! Positions there and back, and where there are none.

use proptest::prelude::*;

use super::metres;
use crate::geo::{Crs, GeoError, Transform};

#[test]
fn equal_datums_are_transformed_exactly() {
    let nad83 = Transform::new(&Crs::wgs84(), &Crs::from_epsg(4269).unwrap()).unwrap();
    assert!(nad83.is_identity());
    assert_eq!(nad83.point(-77.123_456_789_012_34, 38.1).unwrap(), (-77.123_456_789_012_34, 38.1));
    let gda = Transform::new(&Crs::from_epsg(4283).unwrap(), &Crs::from_epsg(4490).unwrap()).unwrap();
    assert!(gda.is_identity());
    let osgb36 = Transform::new(&Crs::wgs84(), &Crs::from_epsg(4277).unwrap()).unwrap();
    let (lon, lat) = osgb36.point(-1.5, 52.0).unwrap();
    assert!(metres(lon + 1.5, lat - 52.0, 52.0) > 50.0);
}

#[test]
fn positions_outside_the_domain_are_errors_and_never_numbers() {
    let web = Transform::new(&Crs::wgs84(), &Crs::from_epsg(3857).unwrap()).unwrap();
    for (x, y, code) in [
        (f64::NAN, 0.0, "BAD_REQUEST"),
        (0.0, f64::INFINITY, "BAD_REQUEST"),
        (0.0, 90.5, "BAD_REQUEST"),
        (4e6, 35.0, "BAD_REQUEST"),
        (0.0, 90.0, "NO_CHIP_COVERS"),
    ] {
        let error = web.point(x, y).unwrap_err();
        assert_eq!(error.code().as_str(), code, "{x} {y}: {error}");
        assert!(error.to_string().contains(&format!("({x}, {y})")), "{error}");
    }
    // The one position that fails is named, and it keeps its place among many.
    let mut many = vec![[117.0, 36.0]; 1000];
    many[777] = [1.0, -90.0];
    let error = web.in_place(&mut many).unwrap_err();
    assert!(matches!(error, GeoError::OutOfDomain { x: 1.0, y: -90.0, .. }), "{error}");
}

proptest! {
    #[test]
    fn positions_come_back_to_where_they_were(
        code in prop::sample::select(vec![32650, 32733, 3857, 3035, 5070, 2154, 3031, 3413, 27700, 28992, 2193, 4547]),
        u in 0.0..1.0, v in 0.0..1.0,
    ) {
        let bounds = match code {
            32650 => [114.0, 0.0, 120.0, 84.0],
            32733 => [12.0, -80.0, 18.0, 0.0],
            3857 => [-180.0, -85.0, 180.0, 85.0],
            3035 => [-10.0, 35.0, 30.0, 70.0],
            5070 => [-124.0, 25.0, -67.0, 49.0],
            2154 => [-5.0, 42.0, 9.0, 51.0],
            3031 => [-180.0, -89.9, 180.0, -60.0],
            3413 => [-180.0, 60.0, 180.0, 89.9],
            27700 => [-7.0, 50.0, 1.7, 60.0],
            28992 => [3.4, 50.8, 7.2, 53.5],
            2193 => [166.5, -47.0, 178.5, -34.5],
            _ => [115.5, 20.0, 118.5, 50.0],
        };
        let (lon, lat) = (bounds[0] + u * (bounds[2] - bounds[0]), bounds[1] + v * (bounds[3] - bounds[1]));
        let there = Transform::new(&Crs::wgs84(), &Crs::from_epsg(code).unwrap()).unwrap();
        let (x, y) = there.point(lon, lat).unwrap();
        let (lon2, lat2) = there.inverse().unwrap().point(x, y).unwrap();
        // A datum shift loses the height that it makes.
        let bar = if matches!(code, 27700 | 28992) { 0.005 } else { 1e-5 };
        prop_assert!(metres(lon2 - lon, lat2 - lat, lat) < bar, "EPSG:{code} {lon} {lat} -> {lon2} {lat2}");
    }
}
