//! Simplifying against GEOS, and what must hold of its results.

use std::collections::HashMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::{any_mask, assert_valid, bytes, drawn, fixture};
use crate::mask::{Mask, PixelRings, Simplifier, polygonize, simplify};

#[derive(Deserialize)]
struct Case {
    name: String,
    height: usize,
    width: usize,
    packed: String,
    /// Vertices that GEOS leaves, by tolerance.
    vertices: HashMap<String, usize>,
}

/// Distance from a point to a segment.
fn distance(point: [i32; 2], a: [i32; 2], b: [i32; 2]) -> f64 {
    let [px, py, ax, ay, bx, by] = [point[0], point[1], a[0], a[1], b[0], b[1]].map(f64::from);
    let (dx, dy) = (bx - ax, by - ay);
    let along = (((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (px - ax - along * dx).hypot(py - ay - along * dy)
}

/// Fails unless each simplified ring is its original with vertices left out, all of them within the
/// tolerance of the segment that replaces them. Then no point of either ring is farther than the
/// tolerance from the other: the distance to a segment is convex, and so is largest at a vertex;
/// and the points nearest to the vertices of a section cover the whole segment.
fn assert_within(tolerance: f64, original: &PixelRings, simplified: &PixelRings) {
    assert_eq!(original.ring_count(), simplified.ring_count());
    for (from, to) in original.rings().zip(simplified.rings()) {
        let mut open = from[1..].to_vec();
        let first = open.iter().position(|vertex| *vertex == to[0]).expect("a vertex of the original");
        open.rotate_left(first);
        open.push(to[0]);
        let mut rest = open.as_slice();
        for pair in to.windows(2) {
            let end = 1 + rest[1..].iter().position(|vertex| *vertex == pair[1]).expect("the same order");
            for vertex in &rest[..=end] {
                assert!(distance(*vertex, pair[0], pair[1]) <= tolerance + 1e-9);
            }
            rest = &rest[end..];
        }
        assert_eq!(rest.len(), 1, "once around");
    }
}

#[test]
fn as_many_vertices_are_left_as_geos_leaves() {
    let mut simplifier = Simplifier::default();
    for case in fixture::<Case>("simplify") {
        let mask = Mask::from_packed(case.height, case.width, &bytes(&case.packed)).unwrap();
        let polygons = polygonize(&mask);
        assert_eq!(case.vertices.len(), 6);
        for (tolerance, &expected) in &case.vertices {
            let tolerance: f64 = tolerance.parse().unwrap();
            let mut left = 0;
            for polygon in &polygons {
                let simplified = simplifier.simplify(&polygon.rings, tolerance);
                assert_within(tolerance, &polygon.rings, &simplified);
                left += simplified.vertex_count();
            }
            // More where GEOS leaves the tolerance at the start of a ring, and we do not.
            let excess = left as f64 / expected as f64 - 1.0;
            assert!(excess.abs() <= 0.05, "{} at {tolerance}: {left}, GEOS {expected}", case.name);
        }
    }
}

#[test]
fn a_pixel_becomes_a_triangle_and_no_less() {
    let square = &polygonize(&drawn(&["#"]))[0].rings;
    for tolerance in [0.75, 1.5, 100.0, f64::INFINITY] {
        assert_eq!(simplify(square, tolerance).vertex_count(), 4);
    }
    assert_eq!(&simplify(square, 0.5), square);
}

#[test]
fn a_tolerance_that_is_none_changes_nothing() {
    let rings = &polygonize(&drawn(&["##.", ".##", "..#"]))[0].rings;
    for tolerance in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        assert_eq!(&simplify(rings, tolerance), rings);
    }
}

#[test]
fn of_no_polygons_none_are_left() {
    assert!(Simplifier::default().simplify_together(&[], 1.5).is_empty());
}

#[test]
fn a_staircase_becomes_a_slope() {
    let rows: Vec<String> = (1..=60).map(|length| format!("{:.<60}", "#".repeat(length))).collect();
    let simplified = simplify(&polygonize(&drawn(&rows))[0].rings, 1.5);
    assert!(simplified.vertex_count() <= 5, "{simplified:?}");
}

#[test]
fn an_island_stays_outside_when_the_hole_around_it_is_thinned() {
    // A hole with a bay, and in the bay a region of its own, nearer than the tolerance.
    let polygons = polygonize(&drawn(&[
        "##########", //
        "#........#",
        "#.######.#",
        "#.#....#.#",
        "#.#.##.#.#",
        "#.#.##.#.#",
        "#.#....#.#",
        "#.##..##.#",
        "#........#",
        "##########",
    ]));
    for polygon in &polygons {
        for tolerance in [1.0, 2.0, 3.0, 5.0, 50.0] {
            assert_valid(&simplify(&polygon.rings, tolerance));
        }
    }
}

#[test]
fn a_grid_of_holes_and_a_spiral_survive_any_tolerance() {
    let side = 41;
    let holes: Vec<bool> =
        (0..side * side).map(|place| place / side % 2 == 0 || place % side % 2 == 0).collect();
    let spiral: Vec<bool> = (0..side * side)
        .map(|place| {
            let (y, x) = ((place / side) as f64 - 20.0, (place % side) as f64 - 20.0);
            (x.hypot(y) + 2.0 * y.atan2(x)).rem_euclid(4.0 * std::f64::consts::PI) < 7.0
        })
        .collect();
    for pixels in [holes, spiral] {
        for polygon in polygonize(&Mask::from_pixels(side, side, &pixels).unwrap()) {
            for tolerance in [1.5, 4.0, 30.0, 1e6] {
                let simplified = simplify(&polygon.rings, tolerance);
                assert_within(tolerance, &polygon.rings, &simplified);
                assert_valid(&simplified);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn rings_stay_within_the_tolerance(mask in any_mask(80), tolerance in 0.3f64..8.0) {
        let mut simplifier = Simplifier::default();
        for polygon in polygonize(&mask) {
            assert_within(tolerance, &polygon.rings, &simplifier.simplify(&polygon.rings, tolerance));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn simplified_polygons_are_valid(
        mask in any_mask(28),
        tolerance in prop_oneof![Just(1.0), Just(1.5), 0.3f64..6.0, Just(100.0)],
    ) {
        for polygon in polygonize(&mask) {
            assert_valid(&simplify(&polygon.rings, tolerance));
        }
    }

    #[test]
    fn what_was_simplified_can_be_simplified_again(mask in any_mask(24), tolerance in 0.5f64..4.0) {
        for polygon in polygonize(&mask) {
            let once = simplify(&polygon.rings, tolerance);
            let twice = simplify(&once, 2.0 * tolerance);
            assert_valid(&twice);
            assert_within(2.0 * tolerance, &once, &twice);
        }
    }
}
