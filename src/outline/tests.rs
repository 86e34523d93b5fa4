//! What must hold of outlines of any mask, by another implementation (`geo`), and of some that are known.

use geo::algorithm::{Area, BooleanOps, Distance, Euclidean, Validation};
use proptest::prelude::*;

use super::{Outlines, RIGHT_ANGLES_IOU, Shaping, draw, filled};
use crate::mask::tests::any_mask_of;
use crate::mask::{Mask, PixelPolygon, PixelRings, polygonize};

const PLAIN: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, -1.0]];

fn drawn(rows: &[impl AsRef<str>]) -> Mask {
    let width = rows.first().map_or(0, |row| row.as_ref().len());
    let pixels: Vec<bool> =
        rows.iter().flat_map(|row| row.as_ref().bytes().map(|byte| byte == b'#')).collect();
    Mask::from_pixels(rows.len(), width, &pixels).unwrap()
}

/// The pixels whose middles are inside.
fn sampled(height: usize, width: usize, inside: impl Fn(f64, f64) -> bool) -> Mask {
    let at = |place: usize| inside((place % width) as f64 + 0.5, (place / width) as f64 + 0.5);
    Mask::from_pixels(height, width, &(0..height * width).map(at).collect::<Vec<_>>()).unwrap()
}

/// A rectangle around a middle, turned clockwise on the screen.
fn turned(center: [f64; 2], size: [f64; 2], degrees: f64) -> impl Fn(f64, f64) -> bool {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    move |x, y| {
        let (dx, dy) = (x - center[0], y - center[1]);
        (cosine * dx + sine * dy).abs() < size[0] / 2.0 && (cosine * dy - sine * dx).abs() < size[1] / 2.0
    }
}

fn rings_of(mask: &Mask) -> Vec<PixelRings> {
    polygonize(mask).into_iter().map(|polygon| polygon.rings).collect()
}

fn draw_all(polygons: &[PixelRings], shaping: &Shaping, frame: [[f64; 2]; 2]) -> Outlines {
    draw(&polygons.iter().collect::<Vec<_>>(), shaping, |_, _| frame)
}

/// A polygon in pixels, in the terms of `geo`.
fn polygon(rings: &PixelRings, origin: [i32; 2], parts: i32) -> geo::Polygon<f64> {
    let at = |axis: usize, v: i32| f64::from(origin[axis]) + f64::from(v) / f64::from(parts);
    let line = |ring: &[[i32; 2]]| {
        ring.iter().map(|&[x, y]| geo::Coord { x: at(0, x), y: at(1, y) }).collect::<geo::LineString<f64>>()
    };
    geo::Polygon::new(line(rings.exterior()), rings.holes().map(line).collect())
}

fn polygons(outlines: &Outlines) -> Vec<geo::Polygon<f64>> {
    let grid = outlines.grid;
    outlines.outlines.iter().map(|outline| polygon(&outline.rings, grid.origin, grid.parts)).collect()
}

fn iou(a: &geo::Polygon<f64>, b: &geo::Polygon<f64>) -> f64 {
    a.intersection(b).unsigned_area() / a.union(b).unsigned_area()
}

/// The cosine of the angle at each corner of an open ring, in a frame.
fn cosines(ring: &geo::LineString<f64>, frame: [[f64; 2]; 2]) -> Vec<f64> {
    let at = |c: &geo::Coord<f64>| frame.map(|row| row[0] * c.x + row[1] * c.y);
    let corners: Vec<[f64; 2]> = ring.0[1..].iter().map(at).collect();
    let way = |a: [f64; 2], b: [f64; 2]| [b[0] - a[0], b[1] - a[1]];
    (0..corners.len())
        .map(|i| {
            let n = corners.len();
            let (u, v) =
                (way(corners[i], corners[(i + 1) % n]), way(corners[(i + 1) % n], corners[(i + 2) % n]));
            (u[0] * v[0] + u[1] * v[1]) / (u[0].hypot(u[1]) * v[0].hypot(v[1]))
        })
        .collect()
}

/// Noise that follows its neighbours: regions of all sizes, with holes and islands.
fn any_mask(max_side: usize) -> impl Strategy<Value = Mask> {
    any_mask_of(max_side, 0.2..0.8, 0.0..0.95)
}

/// Some rectangles, turned, that may overlap, with holes cut out.
fn any_buildings() -> impl Strategy<Value = Mask> {
    let part = ((8.0f64..40.0, 8.0f64..40.0), (4.0f64..24.0, 4.0f64..24.0), 0.0f64..90.0, any::<bool>());
    proptest::collection::vec(part, 1..5).prop_map(|parts| {
        let built: Vec<_> = parts
            .iter()
            .map(|&((x, y), (w, h), angle, adds)| (turned([x, y], [w, h], angle), adds))
            .collect();
        sampled(48, 48, |x, y| {
            let mut inside = built.iter().filter(|(part, _)| part(x, y));
            inside.next_back().is_some_and(|(_, adds)| *adds)
        })
    })
}

fn any_shaping() -> impl Strategy<Value = Shaping> {
    let tolerance = prop_oneof![Just(None), (0.3f64..5.0).prop_map(Some)];
    let smooth = prop_oneof![Just(0.0), 0.3f64..6.0];
    (tolerance, smooth, any::<bool>()).prop_map(|(tolerance, smooth, right_angles)| Shaping {
        tolerance,
        smooth,
        right_angles,
    })
}

#[test]
fn without_wishes_outlines_are_the_pixels_edges() {
    let mask = drawn(&["###..", "#.#.#", "####.", "...##"]);
    let rings = rings_of(&mask);
    let outlines = draw_all(&rings, &Shaping::default(), PLAIN);
    let plain: Vec<_> = rings.iter().map(|rings| polygon(rings, [0; 2], 1)).collect();
    for (found, plain) in polygons(&outlines).iter().zip(&plain) {
        assert_eq!(iou(found, plain), 1.0);
    }
    assert!(outlines.outlines.iter().all(|outline| outline.right_angles.is_none()));
    assert!(
        draw_all(&[], &Shaping { smooth: 2.0, right_angles: true, tolerance: None }, PLAIN)
            .outlines
            .is_empty()
    );
}

#[test]
fn a_rectangle_that_lies_any_way_gets_its_four_corners_back() {
    for degrees in [0.0, 7.0, 30.0, 45.0, 61.5, 89.0] {
        let mask = sampled(80, 80, turned([40.3, 39.8], [44.0, 21.0], degrees));
        let outlines =
            draw_all(&rings_of(&mask), &Shaping { right_angles: true, ..Shaping::default() }, PLAIN);
        assert_eq!(outlines.outlines[0].right_angles, Some(true));
        let found = &polygons(&outlines)[0];
        assert_eq!(found.exterior().0.len(), 5, "{degrees}: {found:?}");
        let (sine, cosine) = f64::to_radians(degrees).sin_cos();
        let corner = |u: f64, v: f64| (40.3 + cosine * u - sine * v, 39.8 + sine * u + cosine * v);
        let truth = geo::Polygon::new(
            vec![corner(-22.0, -10.5), corner(22.0, -10.5), corner(22.0, 10.5), corner(-22.0, 10.5)].into(),
            Vec::new(),
        );
        assert!(iou(found, &truth) > 0.95, "{degrees}: {}", iou(found, &truth));
    }
}

#[test]
fn angles_are_right_on_the_ground_and_not_on_the_screen() {
    // Degrees at 60 degrees north: a pixel is half as wide as it is high.
    let frame = [[0.5, 0.0], [0.0, -1.0]];
    let building = turned([20.0, 40.0], [26.0, 14.0], 25.0);
    let mask = sampled(80, 80, |x, y| building(x / 2.0, y));
    let outlines = draw_all(&rings_of(&mask), &Shaping { right_angles: true, ..Shaping::default() }, frame);
    assert_eq!(outlines.outlines[0].right_angles, Some(true));
    let found = &polygons(&outlines)[0];
    assert_eq!(found.exterior().0.len(), 5);
    assert!(cosines(found.exterior(), frame).iter().all(|cosine| cosine.abs() < 0.002));
    assert!(cosines(found.exterior(), PLAIN).iter().any(|cosine| cosine.abs() > 0.2));
}

#[test]
fn a_courtyard_has_the_angles_of_its_building() {
    let (house, yard) = (turned([40.0, 40.0], [60.0, 40.0], 20.0), turned([42.0, 41.0], [24.0, 12.0], 20.0));
    let mask = sampled(80, 80, |x, y| house(x, y) && !yard(x, y));
    let outlines = draw_all(&rings_of(&mask), &Shaping { right_angles: true, ..Shaping::default() }, PLAIN);
    let found = &polygons(&outlines)[0];
    assert_eq!((outlines.outlines[0].right_angles, found.interiors().len()), (Some(true), 1));
    for ring in [found.exterior(), &found.interiors()[0]] {
        assert_eq!(ring.0.len(), 5);
        assert!(cosines(ring, PLAIN).iter().all(|cosine| cosine.abs() < 0.002));
    }
}

#[test]
fn what_has_holes_all_over_is_no_building() {
    let pierced = |holes: usize| {
        let hole = |x: f64, y: f64| (4.0..5.0).contains(&(x % 8.0)) && (4.0..5.0).contains(&(y % 8.0));
        sampled(16, 8 * holes, |x, y| y > 8.0 || !hole(x, y))
    };
    for (holes, fits) in [(31, true), (32, false)] {
        let rings = rings_of(&pierced(holes));
        assert_eq!(rings[0].ring_count(), holes + 1);
        let outlines = draw_all(&rings, &Shaping { right_angles: true, ..Shaping::default() }, PLAIN);
        assert_eq!(outlines.outlines[0].right_angles, Some(fits));
    }
}

#[test]
fn what_has_no_right_angles_is_drawn_as_without_them() {
    let triangle = sampled(60, 60, |x, y| x > 5.0 && y > 5.0 && x + y < 55.0);
    let crescent =
        sampled(60, 60, |x, y| (x - 30.0).hypot(y - 30.0) < 25.0 && (x - 38.0).hypot(y - 30.0) > 22.0);
    for mask in [triangle, crescent] {
        for shaping in [Shaping::default(), Shaping { smooth: 2.0, ..Shaping::default() }] {
            let rings = rings_of(&mask);
            let plain = draw_all(&rings, &shaping, PLAIN);
            let outlines = draw_all(&rings, &Shaping { right_angles: true, ..shaping }, PLAIN);
            for (found, plain) in outlines.outlines.iter().zip(&plain.outlines) {
                assert_eq!((found.right_angles, &found.rings), (Some(false), &plain.rings));
            }
        }
    }
}

#[test]
fn a_frame_without_extent_gives_no_right_angles() {
    let rings = rings_of(&drawn(&["####", "####"]));
    for frame in
        [[[0.0; 2]; 2], [[f64::NAN; 2]; 2], [[1.0, 1.0], [1.0, 1.0]], [[f64::INFINITY, 0.0], [0.0, 1.0]]]
    {
        let outlines = draw_all(&rings, &Shaping { right_angles: true, ..Shaping::default() }, frame);
        assert_eq!(outlines.outlines[0].right_angles, Some(false));
    }
}

#[test]
fn smoothing_makes_a_slope_of_a_staircase_and_keeps_a_discs_area() {
    let disc = sampled(80, 80, |x, y| (x - 40.2).hypot(y - 39.7) < 30.0);
    let outlines = draw_all(&rings_of(&disc), &Shaping { smooth: 2.0, ..Shaping::default() }, PLAIN);
    let found = &polygons(&outlines)[0];
    assert!((found.unsigned_area() / disc.count() as f64 - 1.0).abs() < 0.005);
    let off = found.exterior().0.iter().map(|c| ((c.x - 40.2).hypot(c.y - 39.7) - 30.0).abs());
    assert!(off.fold(0.0, f64::max) < 0.4);
    // A disc of 30 pixels has 188 steps along its edge; of a chord that is off by an eighth there are 35.
    assert!(found.exterior().0.len() < 80, "{}", found.exterior().0.len());
}

#[test]
fn islands_in_filled_holes_count_for_what_is_around_them() {
    let polygons = polygonize(&drawn(&[
        "#########..", //
        "#.......#.#",
        "#.#####.#..",
        "#.#...#.#..",
        "#.#.#.#.#..",
        "#.#...#.#..",
        "#.#####.#..",
        "#.......#..",
        "#########..",
    ]));
    assert_eq!(polygons.len(), 4);
    let small = |most: usize| {
        move |hole: &[[i32; 2]]| {
            let area: i32 =
                hole.windows(2).map(|p| p[0][0] * p[1][1] - p[1][0] * p[0][1]).sum::<i32>().abs() / 2;
            Ok::<_, ()>((area as usize) < most)
        }
    };
    let facts = |most: usize| -> Vec<(u64, usize)> {
        let filled = filled(&polygons, small(most)).unwrap();
        filled.iter().map(|polygon| (polygon.pixels, polygon.rings.ring_count())).collect()
    };
    assert_eq!(facts(9), [(32, 2), (1, 1), (16, 2), (1, 1)]);
    assert_eq!(facts(10), [(32, 2), (1, 1), (17, 1)]);
    assert_eq!(facts(50), [(49, 1), (1, 1)]);
    assert_eq!(filled(&polygons, |_| Err(7)).unwrap_err(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn outlines_are_valid_and_do_not_overlap(
        mask in prop_oneof![any_mask(26), any_buildings()], shaping in any_shaping(),
    ) {
        let rings = rings_of(&mask);
        let outlines = draw_all(&rings, &shaping, PLAIN);
        let found = polygons(&outlines);
        for (outline, polygon) in outlines.outlines.iter().zip(&found) {
            if let Err(error) = polygon.check_validation() {
                panic!("{error}: {outline:?}");
            }
            let doubled = |ring: &[[i32; 2]]| ring.windows(2)
                .map(|p| i64::from(p[0][0]) * i64::from(p[1][1]) - i64::from(p[1][0]) * i64::from(p[0][1])).sum::<i64>();
            for (index, ring) in outline.rings.rings().enumerate() {
                prop_assert_eq!(doubled(ring) < 0, index == 0);
            }
            if outline.right_angles != Some(true) {
                continue;
            }
            for ring in std::iter::once(polygon.exterior()).chain(polygon.interiors()) {
                // Corners are rounded to parts of a pixel, so that edges of a pixel may be off by half a degree.
                prop_assert!(cosines(ring, PLAIN).iter().all(|cosine| cosine.abs() < 0.05));
            }
        }
        for (index, polygon) in found.iter().enumerate() {
            for other in &found[index + 1..] {
                prop_assert!(polygon.intersection(other).unsigned_area() < 1e-4);
            }
        }
    }

    #[test]
    fn right_angles_are_kept_only_where_they_fit(mask in prop_oneof![any_mask(26), any_buildings()]) {
        let rings = rings_of(&mask);
        let shaping = Shaping { right_angles: true, ..Shaping::default() };
        let outlines = draw_all(&rings, &shaping, PLAIN);
        for ((outline, found), rings) in outlines.outlines.iter().zip(polygons(&outlines)).zip(&rings) {
            let same = iou(&found, &polygon(rings, [0; 2], 1));
            if outline.right_angles == Some(true) {
                prop_assert!(same >= RIGHT_ANGLES_IOU - 1e-3, "{same}");
            } else {
                prop_assert!(same > 1.0 - 1e-9, "{same}");
            }
        }
    }

    #[test]
    fn smoothing_moves_no_outline_farther_than_asked(mask in any_mask(40), smooth in 0.3f64..6.0) {
        let rings = rings_of(&mask);
        let outlines = draw_all(&rings, &Shaping { smooth, ..Shaping::default() }, PLAIN);
        for (found, rings) in polygons(&outlines).iter().zip(&rings) {
            let plain = polygon(rings, [0; 2], 1);
            let lines: Vec<&geo::LineString<f64>> =
                std::iter::once(plain.exterior()).chain(plain.interiors()).collect();
            for corner in std::iter::once(found.exterior()).chain(found.interiors()).flatten() {
                let from = |line: &&geo::LineString<f64>| Euclidean.distance(&geo::Point::from(*corner), *line);
                let distance = lines.iter().map(from).fold(f64::INFINITY, f64::min);
                prop_assert!(distance <= smooth + 0.01, "{distance}");
            }
        }
    }

    #[test]
    fn nothing_depends_on_the_order_of_polygons_rings_and_vertices(
        mask in prop_oneof![any_mask(26), any_buildings()], shaping in any_shaping(), turn in any::<prop::sample::Index>(),
        reversed in any::<bool>(),
    ) {
        let rings = rings_of(&mask);
        let expected = draw_all(&rings, &shaping, PLAIN);
        let mixed: Vec<PixelRings> = rings.iter().rev().map(|rings| {
            let mut mixed = PixelRings::with_capacity(0, 0);
            let holes: Vec<&[[i32; 2]]> = rings.holes().collect();
            for ring in std::iter::once(rings.exterior()).chain(holes.into_iter().rev()) {
                let mut ring = ring[1..].to_vec();
                let by = turn.index(ring.len());
                ring.rotate_left(by);
                if reversed {
                    ring.reverse();
                }
                ring.extend(ring.first().copied());
                mixed.push_ring(&ring);
            }
            mixed
        }).collect();
        let found = draw_all(&mixed, &shaping, PLAIN);
        prop_assert_eq!(found.grid, expected.grid);
        prop_assert_eq!(found.outlines.into_iter().rev().collect::<Vec<_>>(), expected.outlines);
    }

    #[test]
    fn filling_all_holes_leaves_every_pixel_in_one_polygon(mask in any_mask(40)) {
        let polygons = polygonize(&mask);
        let filled = filled(&polygons, |_| Ok::<_, ()>(true)).unwrap();
        prop_assert!(filled.iter().all(|polygon| polygon.rings.ring_count() == 1));
        prop_assert_eq!(filled.iter().map(|polygon| polygon.pixels).sum::<u64>(), mask.count());
        let found: Vec<geo::Polygon<f64>> =
            filled.iter().map(|PixelPolygon { rings, .. }| polygon(rings, [0; 2], 1)).collect();
        for (index, polygon) in found.iter().enumerate() {
            for other in &found[index + 1..] {
                prop_assert!(polygon.intersection(other).unsigned_area() < 1e-9);
            }
        }
    }
}
