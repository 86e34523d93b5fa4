//! Measures every code of `crs-definitions` against PROJ. Not part of the tests: run by
//! `tests/fixtures/make_crs.py`, which decides the tested list from what this writes.

use std::collections::BTreeMap;
use std::fs;

use super::{Crs, Transform};

#[derive(serde::Deserialize)]
struct Sample {
    /// PROJ's own definition with the datum shift that PROJ takes, where that is one for all positions.
    own: Option<String>,
    /// `[lon, lat, x, y, lon, lat]` by PROJ: there and back.
    rows: Vec<[f64; 6]>,
}

#[test]
#[ignore = "a measuring tool: needs GEO_CRS_SAMPLES and GEO_CRS_ERRORS, see tests/fixtures/make_crs.py"]
fn measure_every_code() {
    let samples = std::env::var("GEO_CRS_SAMPLES").unwrap();
    let samples: BTreeMap<u32, Sample> = serde_json::from_slice(&fs::read(samples).unwrap()).unwrap();
    let wgs84 = Crs::untested(4326).unwrap();
    let errors: BTreeMap<u32, _> = samples
        .into_iter()
        .map(|(code, Sample { own, rows })| {
            let listed = Crs::untested(code).ok().and_then(|crs| distances(&wgs84, &crs, &rows));
            let own = own.and_then(|own| Crs::from_proj4(own, None, code.to_string()).ok());
            (code, [listed, own.and_then(|crs| distances(&wgs84, &crs, &rows))])
        })
        .collect();
    fs::write(std::env::var("GEO_CRS_ERRORS").unwrap(), serde_json::to_vec(&errors).unwrap()).unwrap();
}

/// Distances in metres from PROJ's results, there and back, by position; `None` where a position fails.
fn distances(wgs84: &Crs, crs: &Crs, positions: &[[f64; 6]]) -> Option<[Vec<f64>; 2]> {
    let there = Transform::new(wgs84, crs).ok()?;
    let back = there.inverse().ok()?;
    let mut distances = [Vec::new(), Vec::new()];
    for &[lon, lat, x, y, back_lon, back_lat] in positions {
        let (ours_x, ours_y) = there.point(lon, lat).ok()?;
        let (ours_lon, ours_lat) = back.point(x, y).ok()?;
        distances[0].push(match crs.metres_per_unit() {
            Some(unit) => (ours_x - x).hypot(ours_y - y) * unit,
            None => degrees_to_metres(ours_x - x, ours_y - y, lat),
        });
        distances[1].push(degrees_to_metres(ours_lon - back_lon, ours_lat - back_lat, lat));
    }
    Some(distances)
}

fn degrees_to_metres(dlon: f64, dlat: f64, lat: f64) -> f64 {
    let dlon = (dlon + 180.0).rem_euclid(360.0) - 180.0;
    (dlon * lat.to_radians().cos()).hypot(dlat) * 111_320.0
}
