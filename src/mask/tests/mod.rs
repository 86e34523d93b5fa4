//! Tests of the way from logits to rings: against GDAL, GEOS and torch (fixtures with the scripts
//! that made them in `tests/fixtures`), and of properties that must hold for any mask.

mod polygonize;
mod simplify;
mod upscale;

use std::ops::Range;

use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::{Mask, PixelRings};

/// The cases of a fixture file.
fn fixture<Case: DeserializeOwned>(name: &str) -> Vec<Case> {
    #[derive(serde::Deserialize)]
    struct File<Case> {
        cases: Vec<Case>,
    }
    let path = format!("{}/tests/fixtures/{name}/cases.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str::<File<Case>>(&text).unwrap_or_else(|error| panic!("{path}: {error}")).cases
}

/// A mask from rows of `#` (set) and anything else.
fn drawn(rows: &[impl AsRef<str>]) -> Mask {
    let width = rows.first().map_or(0, |row| row.as_ref().len());
    let pixels: Vec<bool> =
        rows.iter().flat_map(|row| row.as_ref().bytes().map(|byte| byte == b'#')).collect();
    Mask::from_pixels(rows.len(), width, &pixels).unwrap()
}

/// Bytes of hexadecimal digits.
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap()).collect()
}

/// Masks of all densities and of some smoothness: noise, and noise that follows its neighbours.
fn any_mask(max_side: usize) -> impl Strategy<Value = Mask> {
    any_mask_of(max_side, 0.05..0.95, 0.0..0.8)
}

/// Masks of some densities and some smoothness.
pub(crate) fn any_mask_of(
    max_side: usize,
    density: Range<f64>,
    smoothness: Range<f64>,
) -> impl Strategy<Value = Mask> {
    (1..=max_side, 1..=max_side, density, smoothness).prop_flat_map(|(height, width, density, smoothness)| {
        let draws = proptest::collection::vec((0.0f64..1.0, 0.0f64..1.0, any::<bool>()), height * width);
        draws.prop_map(move |draws| {
            let mut pixels = vec![false; height * width];
            for (place, (follow, value, upwards)) in draws.into_iter().enumerate() {
                let neighbour = if upwards { place.checked_sub(width) } else { place.checked_sub(1) };
                pixels[place] = match neighbour {
                    Some(neighbour) if follow < smoothness => pixels[neighbour],
                    _ => value < density,
                };
            }
            Mask::from_pixels(height, width, &pixels).unwrap()
        })
    })
}

/// The polygon in the terms of `geo`.
fn geo_polygon(rings: &PixelRings) -> geo::Polygon<f64> {
    let line = |ring: &[[i32; 2]]| {
        ring.iter()
            .map(|&[x, y]| geo::Coord { x: f64::from(x), y: f64::from(y) })
            .collect::<geo::LineString<f64>>()
    };
    geo::Polygon::new(line(rings.exterior()), rings.holes().map(line).collect())
}

/// Twice the signed area of a closed ring, positive where it runs clockwise on the screen.
fn doubled_area(ring: &[[i32; 2]]) -> i32 {
    ring.windows(2).map(|pair| pair[0][0] * pair[1][1] - pair[1][0] * pair[0][1]).sum()
}

/// Fails unless the polygon is valid: by the rules that `geo` checks, by orientation, and by its
/// interior being of one piece.
fn assert_valid(rings: &PixelRings) {
    use geo::algorithm::Validation;
    if let Err(error) = geo_polygon(rings).check_validation() {
        panic!("{error}: {rings:?}");
    }
    for (index, ring) in rings.rings().enumerate() {
        assert!(ring.len() >= 4 && ring[0] == ring[ring.len() - 1], "closed: {ring:?}");
        assert_eq!(doubled_area(ring) < 0, index == 0, "exterior one way round, holes the other: {ring:?}");
    }
    // Rings that meet in vertices cut the interior apart exactly when they form a closed chain:
    // when some meeting joins what is joined already.
    let mut joined: Vec<usize> = (0..rings.ring_count()).collect();
    let mut met = std::collections::HashMap::new();
    for (index, ring) in rings.rings().enumerate() {
        for vertex in &ring[1..] {
            match met.insert(*vertex, index) {
                Some(other) if joined[other] == joined[index] => panic!("interior cut at {vertex:?}"),
                Some(other) => {
                    let (from, to) = (joined[other], joined[index]);
                    joined.iter_mut().filter(|ring| **ring == from).for_each(|ring| *ring = to);
                }
                None => {}
            }
        }
    }
}
