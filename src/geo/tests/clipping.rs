//! Clipping on the lattice, against counting pixels. The rings of random masks touch each other and themselves in corners, which is
//! where a clipping program loses count.

use geo::algorithm::Validation;
use geo::{LineString, MultiPolygon, Polygon};
use proptest::prelude::*;

use crate::geo::lattice::{LatticeRing, doubled_area, enclosed, enclosed_by};
use crate::mask::{Mask, polygonize};
use i_overlay::core::fill_rule::FillRule;

/// Lattice units of a pixel.
const PIXEL: i64 = 10;

/// The rings of all polygons of a mask, exteriors counter-clockwise and holes clockwise.
fn rings(side: usize, pixels: &[bool]) -> Vec<LatticeRing> {
    let mask = Mask::from_pixels(side, side, pixels).unwrap();
    let mut all = Vec::new();
    for polygon in polygonize(&mask) {
        for (index, ring) in polygon.rings.rings().enumerate() {
            let mut ring: LatticeRing =
                ring[1..].iter().map(|corner| corner.map(|v| i64::from(v) * PIXEL)).collect();
            if (doubled_area(&ring) > 0) != (index == 0) {
                ring.reverse();
            }
            all.push(ring);
        }
    }
    all
}

/// Pixels that valid polygons cover; panics where they are not valid.
fn covered(polygons: &[Vec<LatticeRing>]) -> i128 {
    let line = |ring: &LatticeRing| LineString::from_iter(ring.iter().map(|&[x, y]| (x as f64, y as f64)));
    let polygon =
        |rings: &Vec<LatticeRing>| Polygon::new(line(&rings[0]), rings[1..].iter().map(line).collect());
    let shape = MultiPolygon::new(polygons.iter().map(polygon).collect());
    if let Err(error) = shape.check_validation() {
        panic!("{error}: {shape:?}");
    }
    for (index, ring) in polygons.iter().flat_map(|rings| rings.iter().enumerate()) {
        assert_eq!(doubled_area(ring) > 0, index == 0, "{ring:?} runs the wrong way");
    }
    polygons.iter().flatten().map(|ring| doubled_area(ring)).sum::<i128>() / i128::from(2 * PIXEL * PIXEL)
}

fn count(side: usize, pixels: &[bool], columns: std::ops::Range<usize>) -> i128 {
    pixels.iter().enumerate().filter(|(index, set)| **set && columns.contains(&(index % side))).count()
        as i128
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_rings_enclose_is_valid_and_covers_their_pixels(
        side in 2..16_usize,
        noise in prop::collection::vec(any::<u8>(), 256),
        level in prop::sample::select(vec![60_u8, 128, 200]),
        cut in 0..16_usize,
    ) {
        let pixels: Vec<bool> = noise[..side * side].iter().map(|&v| v < level).collect();
        let rings = rings(side, &pixels);
        prop_assert_eq!(covered(&enclosed(&rings, None)), count(side, &pixels, 0..side));
        prop_assert_eq!(covered(&enclosed_by(&rings, None, FillRule::NonZero)), count(side, &pixels, 0..side));
        let cut = cut % side;
        let [west, middle, east] = [0, cut, side].map(|v| v as i64 * PIXEL);
        prop_assert_eq!(covered(&enclosed(&rings, Some([west, middle]))), count(side, &pixels, 0..cut));
        prop_assert_eq!(covered(&enclosed(&rings, Some([middle, east]))), count(side, &pixels, cut..side));
    }
}
