//! Polygonizing against GDAL, and its properties.

use proptest::prelude::*;
use serde::Deserialize;

use super::{any_mask, assert_valid, drawn, fixture};
use crate::mask::{Mask, PixelBounds, PixelPolygon, polygonize};

#[derive(Deserialize)]
struct Case {
    name: String,
    rows: Vec<String>,
    /// For each polygon its rings, each flat: x, y, x, y, ...
    polygons: Vec<Vec<Vec<i32>>>,
}

/// Rings from their smallest vertex on, not closed; holes and polygons sorted. The direction of a
/// ring stays: it is the same as GDAL's.
type Normal = Vec<Vec<Vec<[i32; 2]>>>;

fn normal<'a>(polygons: impl Iterator<Item = Vec<&'a [[i32; 2]]>>) -> Normal {
    let ring = |ring: &[[i32; 2]]| {
        let mut open = ring[1..].to_vec();
        let first = open.iter().enumerate().min_by_key(|(_, vertex)| **vertex).map_or(0, |(place, _)| place);
        open.rotate_left(first);
        open
    };
    let mut polygons: Normal = polygons
        .map(|rings| {
            let mut rings: Vec<_> = rings.into_iter().map(ring).collect();
            rings[1..].sort();
            rings
        })
        .collect();
    polygons.sort();
    polygons
}

fn ours(polygons: &[PixelPolygon]) -> Normal {
    normal(polygons.iter().map(|polygon| polygon.rings.rings().collect()))
}

#[test]
fn polygons_are_those_of_gdal() {
    let cases: Vec<Case> = fixture("polygonize");
    assert!(cases.len() > 50);
    for case in cases {
        let expected: Vec<Vec<Vec<[i32; 2]>>> = case
            .polygons
            .iter()
            .map(|rings| rings.iter().map(|ring| ring.as_chunks::<2>().0.to_vec()).collect())
            .collect();
        let expected = normal(expected.iter().map(|rings| rings.iter().map(Vec::as_slice).collect()));
        assert_eq!(ours(&polygonize(&drawn(&case.rows))), expected, "{}", case.name);
    }
}

#[test]
fn polygons_come_in_the_order_of_their_first_pixels_and_holes_by_their_top_left_corners() {
    let polygons = polygonize(&drawn(
        &[
            "..#.##", //
            "##....", "......", "#######", "#.###.#", "###.###", "#######",
        ]
        .map(|row| format!("{row:.<7}")),
    ));
    let starts: Vec<[i32; 2]> = polygons.iter().map(|polygon| polygon.rings.exterior()[0]).collect();
    assert_eq!(starts, [[2, 0], [4, 0], [0, 1], [0, 3]]);
    let holes: Vec<[i32; 2]> = polygons[3].rings.holes().map(|hole| hole[0]).collect();
    assert_eq!(holes, [[1, 4], [5, 4], [3, 5]]);
}

#[test]
fn a_region_knows_its_pixels_its_bounds_and_whether_it_may_go_on_beyond_the_mask() {
    let polygons = polygonize(&drawn(&[".....", ".##..", ".#..#", "....."]));
    let facts: Vec<_> =
        polygons.iter().map(|region| (region.pixels, region.bounds, region.touches_edge)).collect();
    let bounds = |min_x, min_y, max_x, max_y| PixelBounds { min_x, min_y, max_x, max_y };
    assert_eq!(facts, [(3, bounds(1, 1, 3, 3), false), (1, bounds(4, 2, 5, 3), true)]);

    let edges = ["#....", "....."];
    assert!(polygonize(&drawn(&edges))[0].touches_edge);
    assert!(polygonize(&drawn(&[".....", "..#.."]))[0].touches_edge);
}

#[test]
fn an_exterior_runs_down_its_left_side_first_and_a_hole_along_its_top() {
    let polygons = polygonize(&drawn(&["###", "#.#", "###"]));
    assert_eq!(polygons[0].rings.exterior(), [[0, 0], [0, 3], [3, 3], [3, 0], [0, 0]]);
    assert_eq!(polygons[0].rings.holes().collect::<Vec<_>>(), [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]);
    assert_eq!(polygons[0].rings.area(), 8.0);
    assert_eq!(polygons[0].rings.vertex_count(), 10);
}

#[test]
fn nothing_becomes_of_a_mask_without_set_pixels() {
    for (height, width) in [(0, 0), (0, 7), (7, 0), (5, 200)] {
        assert!(polygonize(&Mask::blank(height, width).unwrap()).is_empty());
    }
}

/// The pixels inside polygons, by counting the edges on the left of each (even-odd rule).
fn rasterize(polygons: &[PixelPolygon], height: usize, width: usize) -> Mask {
    let mut crossed = vec![false; height * (width + 1)];
    for ring in polygons.iter().flat_map(|polygon| polygon.rings.rings()) {
        for pair in ring.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
            for y in pair[0][1].min(pair[1][1])..pair[0][1].max(pair[1][1]) {
                crossed[y as usize * (width + 1) + pair[0][0] as usize] ^= true;
            }
        }
    }
    let mut pixels = Vec::new();
    for row in crossed.chunks(width + 1) {
        let mut inside = false;
        pixels.extend(row[..width].iter().map(|crossed| {
            inside ^= crossed;
            inside
        }));
    }
    Mask::from_pixels(height, width, &pixels).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn areas_add_up_to_the_pixels_and_rasterizing_gives_the_mask_back(mask in any_mask(90)) {
        let polygons = polygonize(&mask);
        prop_assert_eq!(polygons.iter().map(|region| region.pixels).sum::<u64>(), mask.count());
        for region in &polygons {
            prop_assert_eq!(region.rings.area(), region.pixels as f64);
        }
        prop_assert_eq!(rasterize(&polygons, mask.height(), mask.width()), mask);
    }

    #[test]
    fn rings_follow_pixel_edges_without_needless_vertices_and_pass_none_twice(mask in any_mask(60)) {
        for ring in polygonize(&mask).iter().flat_map(|region| region.rings.rings()) {
            let mut seen = std::collections::HashSet::new();
            prop_assert!(ring[1..].iter().all(|vertex| seen.insert(vertex)));
            // Horizontal and vertical edges take turns, the one that closes the ring included.
            let horizontal: Vec<bool> = ring.windows(2).map(|pair| pair[0][1] == pair[1][1]).collect();
            let vertical: Vec<bool> = ring.windows(2).map(|pair| pair[0][0] == pair[1][0]).collect();
            for edge in 0..horizontal.len() {
                prop_assert_ne!(horizontal[edge], vertical[edge]);
                prop_assert_ne!(horizontal[edge], horizontal[(edge + 1) % horizontal.len()]);
            }
        }
    }
}

proptest! {
    // `geo` checks every pair of rings, which takes its time.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn polygons_are_valid(mask in any_mask(28)) {
        for region in polygonize(&mask) {
            assert_valid(&region.rings);
        }
    }
}
