//! Masks across the antimeridian, across the seams of projected CRSs and around the poles: valid whatever is asked for. The
//! outlines are those of random masks, with holes and islands, as the decoder's are.

use proptest::prelude::*;

use super::output::{check, parts};
use crate::geo::{Affine, Crs, Geometry, Projector, geodesic_area};
use crate::mask::{Mask, PixelRings, polygonize};

/// Blobs and specks on a grid of so many pixels: a mask with holes, islands and corners that touch.
fn mask(side: i32, seed: u64) -> Mask {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let blobs: Vec<[i32; 3]> = (0..6)
        .map(|_| {
            [next() % side as u64, next() % side as u64, 3 + next() % (side as u64 / 3)].map(|v| v as i32)
        })
        .collect();
    let mut pixels = Vec::with_capacity((side * side) as usize);
    for row in 0..side {
        for column in 0..side {
            let covering =
                blobs.iter().filter(|[x, y, r]| (column - x).pow(2) + (row - y).pow(2) <= r * r).count();
            pixels.push((covering % 2 == 1) != (next() % 29 == 0));
        }
    }
    Mask::from_pixels(side as usize, side as usize, &pixels).unwrap()
}

fn outlines(mask: &Mask) -> Vec<PixelRings> {
    polygonize(mask).into_iter().map(|polygon| polygon.rings).collect()
}

fn write(projector: &mut Projector, rings: &PixelRings) -> Geometry {
    projector.polygon(rings.exterior(), rings.holes()).unwrap().geometry
}

fn epsg(code: u32) -> Crs {
    Crs::from_epsg(code).unwrap()
}

/// The widest part, in units of the CRS.
fn widest(geometry: &Geometry) -> f64 {
    let width = |ring: &[[f64; 2]]| {
        let xs = || ring.iter().map(|p| p[0]);
        xs().fold(f64::NEG_INFINITY, f64::max) - xs().fold(f64::INFINITY, f64::min)
    };
    parts(geometry).iter().map(|rings| width(&rings[0])).fold(0.0, f64::max)
}

/// The area of a geometry in a projected CRS, back on the ground.
fn area_of(geometry: &Geometry, crs: &Crs) -> f64 {
    let back = crate::geo::Transform::new(crs, &Crs::wgs84()).unwrap();
    let ring = |ring: &Vec<[f64; 2]>| {
        let mut ring = ring.clone();
        back.in_place(&mut ring).unwrap();
        // Parts end on the seam: both of its sides are the same meridian.
        let middle = ring[ring.len() / 2][0];
        for p in &mut ring {
            p[0] += ((middle - p[0]) / 360.0).round() * 360.0;
        }
        ring
    };
    let polygons = parts(geometry).iter().map(|rings| rings.iter().map(ring).collect()).collect();
    geodesic_area(&Geometry::MultiPolygon(polygons))
}

/// The outlines of a random mask of 60 x 60 pixels, written in a target CRS beside or across its seam: valid, one by one and as one
/// object, nowhere near as wide as the map, and as large as they are in degrees.
fn check_across(seed: u64, grid: Affine, source: &Crs, target: &Crs) -> Result<(), TestCaseError> {
    let mask = mask(60, seed);
    let mut projector = Projector::new(grid, source, target).unwrap();
    let mut degrees = Projector::new(grid, source, &Crs::wgs84()).unwrap();
    let mut parts = Vec::new();
    for rings in outlines(&mask) {
        let geometry = write(&mut projector, &rings);
        check(&geometry, 1e3);
        // 60 pixels of 300 m, and what Mercator makes of them.
        prop_assert!(widest(&geometry) < 5e5, "{}", widest(&geometry));
        let (found, expected) = (area_of(&geometry, target), geodesic_area(&write(&mut degrees, &rings)));
        // Corners in degrees are a centimetre off at the most, along the whole outline.
        let rounding = 2e-2 * (rings.vertex_count() as f64) * expected.sqrt();
        prop_assert!((found - expected).abs() < 1e-2 * expected + rounding + 0.01, "{found} for {expected}");
        parts.push(geometry);
    }
    let joined = projector.joined(parts);
    check(&joined, 1e3);
    prop_assert!(widest(&joined) < 5e5, "{}", widest(&joined));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_mask_across_the_seam_of_a_projected_crs_is_cut_there(
        seed: u64,
        zone in prop::sample::select(vec![32601_u32, 32660, 32701, 32760]),
        target in prop::sample::select(vec![3857_u32, 3395, 6933, 8857, 3832, 3994, 5070, 3577, 3338]),
        north in 0.5..60.0_f64,
        pixel in prop::sample::select(vec![0.5, 10.0, 300.0]),
    ) {
        let (source, target) = (epsg(zone), epsg(target));
        let lon_0: f64 = target.proj4().split("+lon_0=").nth(1).map_or(0.0, |rest| rest.split(' ').next().unwrap().parse().unwrap());
        // A zone that lies beside the target's own seam, with the chip's middle near it.
        let seam = (lon_0 + 360.0).rem_euclid(360.0) - 180.0;
        let zone = ((seam + 180.0) / 6.0).floor() as u32 % 60 + 1;
        let south = source.epsg().unwrap() > 32700;
        let source = epsg(if south { 32700 } else { 32600 } + zone);
        let latitude = if south { -north } else { north };
        let to_source = crate::geo::Transform::new(&Crs::wgs84(), &source).unwrap();
        let Ok((x, y)) = to_source.point(seam, latitude) else { return Ok(()) };
        let half = 30.0 * pixel;
        let grid = Affine::new([pixel, 0.0, x - half, 0.0, -pixel, y + half]);
        check_across(seed, grid, &source, &target)?;
    }

    #[test]
    fn a_mask_of_a_polar_map_is_cut_at_the_seam_of_another(
        seed: u64,
        source in prop::sample::select(vec![3413_u32, 3995, 3031, 3976]),
        target in prop::sample::select(vec![3857_u32, 3395, 6933, 8857]),
        latitude in 61.0..87.0_f64,
        pixel in prop::sample::select(vec![0.05, 5.0, 100.0]),
    ) {
        let south = matches!(source, 3031 | 3976);
        let (source, target) = (epsg(source), epsg(target));
        let to_source = crate::geo::Transform::new(&Crs::wgs84(), &source).unwrap();
        let (x, y) = to_source.point(180.0, if south { -latitude } else { latitude }).unwrap();
        let half = 30.0 * pixel;
        check_across(seed, Affine::new([pixel, 0.0, x - half, 0.0, -pixel, y + half]), &source, &target)?;
    }

    #[test]
    fn a_mask_of_a_raster_from_0_to_360_is_cut_at_the_seam(
        seed: u64,
        // The column of the mask that begins at 180 degrees: within it, at its edges, beside it.
        column in -2..=62_i32,
        target in prop::sample::select(vec![3857_u32, 3395, 6933, 8857]),
        north in -60.0..60.0_f64,
        pixel in prop::sample::select(vec![1e-6, 1e-4, 0.01]),
    ) {
        let grid = Affine::new([pixel, 0.0, 180.0 - f64::from(column) * pixel, 0.0, -pixel, north]);
        check_across(seed, grid, &Crs::wgs84(), &epsg(target))?;
    }

    #[test]
    fn a_mask_around_a_pole_is_valid(
        seed: u64,
        crs in prop::sample::select(vec![3413_u32, 3031, 3995, 32661, 32761, 3976]),
        pixel in prop::sample::select(vec![10.0, 1000.0, 5000.0]),
        off in (-40..40_i32, -40..40_i32),
        turn in 0.0..6.3_f64,
    ) {
        let source = epsg(crs);
        let (x, y) = if matches!(crs, 32661 | 32761) { (2e6, 2e6) } else { (0.0, 0.0) };
        let side = 100;
        let (sin, cos) = turn.sin_cos();
        let (col, row) = (f64::from(side / 2 + off.0) + 0.37, f64::from(side / 2 + off.1) + 0.61);
        let [a, b, d, e] = [pixel * cos, pixel * sin, pixel * sin, -pixel * cos];
        let grid = Affine::new([a, b, x - a * col - b * row, d, e, y - d * col - e * row]);
        let mask = mask(side, seed);
        let mut projector = Projector::new(grid, &source, &Crs::wgs84()).unwrap();
        for rings in outlines(&mask) {
            check(&write(&mut projector, &rings), 1e7);
        }
    }

    #[test]
    fn a_mask_of_the_whole_world_is_valid(
        seed: u64,
        west in prop::sample::select(vec![-180.0, 0.0, -10.0, 170.0]),
        target in prop::sample::select(vec![4326_u32, 8857]),
    ) {
        // 72 pixels of 5 degrees, which meet where they begin; the mask is taller than it has to be.
        let side = 72;
        let grid = Affine::new([5.0, 0.0, west, 0.0, -2.0, 72.0]);
        let mask = mask(side, seed);
        let target = epsg(target);
        let mut projector = Projector::new(grid, &epsg(4326), &target).unwrap();
        let scale = if target.is_geographic() { 1e7 } else { 1e3 };
        for rings in outlines(&mask) {
            check(&write(&mut projector, &rings), scale);
        }
    }

    #[test]
    fn the_parts_of_an_object_are_valid_together(
        seed: u64,
        zone in prop::sample::select(vec![32601_u32, 32632, 32660]),
        pixel in prop::sample::select(vec![0.01, 0.5, 30.0]),
        tolerance in prop::sample::select(vec![0.0, 1.5, 6.0, 40.0]),
    ) {
        let source = epsg(zone);
        let x = if zone == 32632 { 500_000.0 } else { 166_100.0 };
        let grid = Affine::new([pixel, 0.0, x, 0.0, -pixel, 10_000.0]);
        let outlines = outlines(&mask(60, seed));
        let all: Vec<&PixelRings> = outlines.iter().collect();
        let simplified = crate::mask::Simplifier::default().simplify_together(&all, tolerance);
        prop_assert_eq!(simplified.len(), outlines.len());
        let mut projector = Projector::new(grid, &source, &Crs::wgs84()).unwrap();
        let written: Vec<Geometry> = simplified.iter().map(|rings| write(&mut projector, rings)).collect();
        let sum: f64 = written.iter().map(geodesic_area).sum();
        let joined = projector.joined(written);
        check(&joined, 1e7);
        if pixel >= 0.5 {
            prop_assert!((geodesic_area(&joined) / sum - 1.0).abs() < 1e-3);
        }
    }
}

#[test]
fn what_ends_on_the_seam_stays_on_its_side_of_the_map() {
    // Ten degrees on either side of 180, in a raster from 0 to 360.
    let grid = Affine::new([1.0, 0.0, 0.0, 0.0, -1.0, 2.0]);
    for target in [3857, 3395, 6933, 8857, 4326] {
        let mut projector = Projector::new(grid, &epsg(4326), &epsg(target)).unwrap();
        let mut bounds = |west: i32, east: i32| {
            let square = [[west, 0], [west, 2], [east, 2], [east, 0], [west, 0]];
            let projected = projector.polygon(&square, std::iter::empty()).unwrap();
            check(&projected.geometry, if target == 4326 { 1e7 } else { 1e3 });
            assert_eq!(parts(&projected.geometry).len(), 1, "{target}: {:?}", projected.geometry);
            projected.bounds
        };
        let (end, before, after) = (bounds(170, 180), bounds(160, 170), bounds(180, 190));
        assert!(end.min_x > 0.0 && (end.max_x / end.min_x - 18.0 / 17.0).abs() < 1e-2, "{target}: {end:?}");
        assert!((before.max_x / end.min_x - 1.0).abs() < 1e-2, "{target}: {before:?} {end:?}");
        assert!(after.max_x < 0.0 && (after.min_x + end.max_x).abs() < 1e-2, "{target}: {after:?}");
    }
}

#[test]
fn a_whole_turn_that_meets_itself_is_one_part() {
    // A band from 0 to 360: cut at 180, and joined again at 0.
    let grid = Affine::new([10.0, 0.0, 0.0, 0.0, -10.0, 90.0]);
    let band = [[0, 5], [0, 10], [36, 10], [36, 5], [0, 5]];
    let mut projector = Projector::new(grid, &epsg(4326), &epsg(4326)).unwrap();
    let geometry = projector.polygon(&band, std::iter::empty()).unwrap().geometry;
    check(&geometry, 1e7);
    assert_eq!(parts(&geometry).len(), 1, "{geometry:?}");
}

#[test]
fn holes_around_a_pole_are_listed_with_the_exterior_that_holds_them() {
    // 512 x 512 pixels of 1000 m around the north pole, all set but for a lattice of specks.
    let side = 512;
    let pixels: Vec<bool> = (0..side * side).map(|i| !((i % side) % 9 == 4 && (i / side) % 7 == 3)).collect();
    let mask = Mask::from_pixels(side, side, &pixels).unwrap();
    let grid = Affine::new([1000.0, 0.0, -256_000.0, 0.0, -1000.0, 256_000.0]);
    let mut projector = Projector::new(grid, &epsg(3413), &Crs::wgs84()).unwrap();
    for rings in outlines(&mask) {
        check(&write(&mut projector, &rings), 1e7);
    }
}

#[test]
fn a_crs_without_a_pole_refuses_what_lies_around_it() {
    let grid = Affine::new([1000.0, 0.0, -50_000.0, 0.0, -1000.0, 50_000.0]);
    let square = [[0, 0], [0, 100], [100, 100], [100, 0], [0, 0]];
    let mut mercator = Projector::new(grid, &epsg(3413), &epsg(3857)).unwrap();
    assert!(mercator.polygon(&square, std::iter::empty()).is_err());
    let mut equal_earth = Projector::new(grid, &epsg(3413), &epsg(8857)).unwrap();
    check(&equal_earth.polygon(&square, std::iter::empty()).unwrap().geometry, 1e3);
}

#[test]
fn a_small_object_around_a_pole_is_a_strip_as_wide_as_the_map() {
    let square = [[0, 0], [0, 76], [76, 76], [76, 0], [0, 0]];
    // 760 m and 76 m around the south pole, in maps whose poles are lines. Corners and pole by PROJ 9.5; nothing of the smaller
    // one is left between two millimetres.
    for (target, pixel, east, [south, north]) in [
        (6933, 10.0, 17_367_530.445, [-7_342_230.136, -7_342_230.109]),
        (6933, 1.0, 17_367_530.445, [-7_342_230.136, -7_342_230.135]),
        (8857, 10.0, 10_216_474.904, [-8_392_927.598, -8_392_927.552]),
    ] {
        let grid = Affine::new([pixel, 0.0, -38.0 * pixel, 0.0, -pixel, 38.0 * pixel]);
        let mut projector = Projector::new(grid, &epsg(3031), &epsg(target)).unwrap();
        let projected = projector.polygon(&square, std::iter::empty()).unwrap();
        check(&projected.geometry, 1e3);
        assert_eq!(parts(&projected.geometry).len(), 1, "{target} {pixel}: {:?}", projected.geometry);
        let found = projected.bounds;
        // Such a width has one decimal.
        assert!(
            (found.max_x - east).abs() < 0.06 && (found.min_x + east).abs() < 0.06,
            "{target} {pixel}: {found:?}"
        );
        let heights = [found.min_y - south, found.max_y - north];
        assert!(heights.iter().all(|off| off.abs() < 0.0015), "{target} {pixel}: {found:?}");
    }
}
