//! Choosing the chip of a prompt.

use super::*;

/// Chips of 100 m every 50 m, three columns and two rows.
fn grid() -> (tempfile::TempDir, Folder) {
    folder_of(grid_rows(3, 2))
}

#[test]
fn the_covering_chip_with_the_nearest_centre_answers() {
    let (_card, folder) = grid();
    // Centres at x = 50, 100, 150 and y = -50, -100.
    for (prompt, chip) in [
        (points(&[(10.0, -10.0)]), 0),
        (points(&[(76.0, -50.0)]), 1),
        (points(&[(76.0, -76.0)]), 4),
        (points(&[(140.0, -140.0)]), 5),
        (points(&[(0.0, 0.0)]), 0),
        (points(&[(200.0, -150.0)]), 5),
        (bbox([60.0, -90.0, 140.0, -60.0]), 1),
        (bbox([0.0, -100.0, 100.0, 0.0]), 0),
        (bbox([100.0, -150.0, 200.0, -50.0]), 5),
    ] {
        assert_eq!(folder.choose(&prompt).unwrap(), chip, "{prompt:?}");
    }
}

#[test]
fn among_equals_the_first_of_the_manifest_answers() {
    let (_card, folder) = grid();
    assert_eq!(folder.choose(&points(&[(75.0, -50.0)])).unwrap(), 0);
    assert_eq!(folder.choose(&points(&[(125.0, -75.0)])).unwrap(), 1);
    let mut rows = grid_rows(3, 2);
    rows.reverse();
    let (_card, folder) = folder_of(rows);
    assert_eq!(folder.chip(folder.choose(&points(&[(75.0, -75.0)])).unwrap()).unwrap().id, "chip_000004");
    let same = (0..40).map(|i| Row::at(i, 0.0, 0.0)).collect();
    let (_card, folder) = folder_of(same);
    assert_eq!(folder.choose(&points(&[(50.0, -50.0)])).unwrap(), 0);
}

#[test]
fn many_points_are_answered_near_their_mean_and_a_box_near_the_middle_of_all() {
    let (_card, folder) = grid();
    // Mean at x = 67.5, middle of the bounds at x = 80.
    let crowd = [(60.0, -50.0), (60.0, -50.0), (60.0, -50.0), (90.0, -50.0)];
    assert_eq!(folder.choose(&points(&crowd)).unwrap(), 0);
    let mut prompt = points(&crowd);
    prompt.bbox = Some(Bounds::new(70.0, -60.0, 100.0, -40.0));
    assert_eq!(folder.choose(&prompt).unwrap(), 1, "bounds of all are 60 to 100");
}

#[test]
fn the_centres_that_the_manifest_tells_count_not_those_of_the_footprints() {
    let mut rows = grid_rows(2, 1);
    rows[0].center = [1000.0, -50.0];
    let (_card, folder) = folder_of(rows);
    assert_eq!(folder.choose(&points(&[(60.0, -50.0)])).unwrap(), 1);
}

#[test]
fn a_prompt_outside_is_told_the_nearest_chip_and_how_far() {
    let (_card, folder) = grid();
    let error = folder.choose(&points(&[(230.0, -190.0)])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NoChipCovers);
    let CatalogError::NoChipCovers(what) = &error else { panic!("{error}") };
    assert_eq!((what.nearest.as_str(), what.distance, what.lies), ("chip_000005", 50.0, Lies::Outside));
    let text = error.to_string();
    assert!(text.contains("at (230.00, -190.00) in EPSG:32618: it lies 50.00 m outside"), "{text}");
}

#[test]
fn a_prompt_on_several_chips_is_told_so_and_what_follows_it() {
    let (_card, folder) = grid();
    let error = folder.choose(&bbox([10.0, -90.0, 130.0, -10.0])).unwrap_err();
    let CatalogError::NoChipCovers(what) = &error else { panic!("{error}") };
    // Its middle, x = 70, is nearer to the centre of the first chip, whose edge is at 100.
    assert_eq!(
        (what.nearest.as_str(), what.distance, what.lies),
        ("chip_000000", 30.0, Lies::OnSeveralChips)
    );

    let all = [
        // Larger than a chip of 100 m, within the imagery of 200 m and beyond it on all sides.
        (bbox([10.0, -90.0, 130.0, -10.0]), "is too large for one chip of", false),
        (
            bbox([-7000.0, -7000.0, 7000.0, 7000.0]),
            "the box of 14000.00 x 14000.00 m is too large for one chip of",
            true,
        ),
        (bbox([-7000.0, -90.0, 7000.0, -80.0]), "is too large for one chip of", true),
        // Small, over a seam or over the end of the imagery.
        (bbox([160.0, -170.0, 190.0, -130.0]), "holds the whole box of 30.00 x 40.00 m", true),
        (bbox([-10.0, -60.0, 60.0, -40.0]), "holds the whole box of", true),
        (points(&[(10.0, -10.0), (190.0, -140.0)]), "holds all points", false),
        (points(&[(10.0, -10.0), (230.0, -190.0)]), "holds all points", true),
    ];
    for (prompt, told, is_partly_outside) in all {
        let error = folder.choose(&prompt).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), ErrorCode::OutsideChip, "{text}");
        assert!(text.contains(told) && text.contains("\"stitch\": true"), "{text}");
        assert_eq!(text.contains("a part of it lies outside the imagery"), is_partly_outside, "{text}");
    }

    // Points on both sides of the imagery, a box beside it: nothing of them is on a chip.
    for prompt in [points(&[(-10.0, -10.0), (300.0, -10.0)]), bbox([300.0, -90.0, 700.0, -10.0])] {
        let error = folder.choose(&prompt).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NoChipCovers, "{error}");
        assert!(!error.to_string().contains("stitch"), "{error}");
    }
}

#[test]
fn prompts_that_are_no_numbers_are_errors() {
    let (_card, folder) = grid();
    for prompt in [
        points(&[(f64::NAN, 0.0)]),
        points(&[(0.0, f64::NEG_INFINITY)]),
        bbox([0.0, 0.0, f64::NAN, 1.0]),
        bbox([5.0, 0.0, 1.0, 1.0]),
        PromptGeometry::default(),
    ] {
        assert_eq!(folder.choose(&prompt).unwrap_err().code(), ErrorCode::BadRequest);
    }
    for (extreme, code) in [
        (points(&[(f64::MAX, -f64::MAX)]), ErrorCode::NoChipCovers),
        (bbox([-f64::MAX, -f64::MAX, f64::MAX, f64::MAX]), ErrorCode::OutsideChip),
    ] {
        let error = folder.choose(&extreme).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().len() < 500, "{error}");
    }
}

#[test]
fn a_rotated_chip_does_not_answer_for_its_bounds() {
    let grid = Affine::new([0.8, 0.6, 0.0, 0.6, -0.8, 0.0]);
    let (_card, folder) = folder_of(vec![Row::on_grid(0, grid, (100, 100))]);
    assert_eq!(folder.choose(&points(&[(70.0, -10.0)])).unwrap(), 0);
    // Inside the bounds (0 to 140, -80 to 60), outside the chip: 20 m from its corner (0, 0).
    let error = folder.choose(&points(&[(10.0, 50.0)])).unwrap_err();
    assert!(matches!(&error, CatalogError::NoChipCovers(what) if what.distance > 30.0), "{error}");
}

/// What geosam does, chip after chip.
fn scan(folder: &Folder, prompt: &PromptGeometry) -> Option<usize> {
    let (x, y) = prompt.center().unwrap();
    let distance = |chip: &ChipRef<'_>| (chip.center.0 - x).powi(2) + (chip.center.1 - y).powi(2);
    let candidates = folder.chips().filter(|chip| chip.footprint.covers(prompt));
    candidates.min_by(|a, b| distance(a).total_cmp(&distance(b))).map(|chip| chip.index)
}

fn some_row() -> impl Strategy<Value = Row> {
    let place = (0_i32..40, 0_i32..40, 0_usize..3, prop::bool::weighted(0.2));
    place.prop_map(|(x, y, size, rotated)| {
        let (x, y, side) = (f64::from(x) * 10.0, f64::from(y) * 10.0, [50, 100, 150][size]);
        let grid = if rotated { [0.8, 0.6, x, 0.6, -0.8, y] } else { [1.0, 0.0, x, 0.0, -1.0, y] };
        Row::on_grid(0, Affine::new(grid), (side, side))
    })
}

fn some_prompt() -> impl Strategy<Value = PromptGeometry> {
    let point = || (0_i32..500, -150_i32..450).prop_map(|(x, y)| (f64::from(x), f64::from(y)));
    let bounds = (point(), 0_i32..80, 0_i32..80)
        .prop_map(|((x, y), w, h)| Bounds::new(x, y, x + f64::from(w), y + f64::from(h)));
    prop_oneof![
        prop::collection::vec(point(), 1..2).prop_map(|points| PromptGeometry { points, bbox: None }),
        (point(), prop::collection::vec((-20_i32..20, -20_i32..20), 1..5)).prop_map(|((x, y), offsets)| {
            let near = |(dx, dy): (i32, i32)| (x + f64::from(dx), y + f64::from(dy));
            PromptGeometry { points: offsets.into_iter().map(near).collect(), bbox: None }
        }),
        bounds.clone().prop_map(|b| PromptGeometry { points: vec![], bbox: Some(b) }),
        bounds.prop_map(|b| PromptGeometry { points: vec![b.center()], bbox: Some(b) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_index_answers_as_a_scan_does(
        rows in prop::collection::vec(some_row(), 1..120),
        prompts in prop::collection::vec(some_prompt(), 40),
    ) {
        let (_card, folder) = folder_of(rows);
        for prompt in &prompts {
            prop_assert_eq!(folder.choose(prompt).ok(), scan(&folder, prompt), "{:?}", prompt);
        }
    }
}

#[test]
fn twenty_thousand_chips_are_searched_as_few_are() {
    let (_card, folder) = folder_of(grid_rows(200, 100));
    for i in 0..500 {
        let prompt = points(&[(f64::from(i) * 17.3 % 9_900.0, -(f64::from(i) * 7.7 % 4_900.0))]);
        assert_eq!(folder.choose(&prompt).ok(), scan(&folder, &prompt), "{prompt:?}");
    }
    assert!(folder.memory() < 20_000 * 180, "{} bytes", folder.memory());
}

#[test]
fn a_footprint_with_a_dent_answers_only_for_what_it_covers() {
    let mut row = Row::at(0, 0.0, 0.0);
    // A U, open to the north.
    let ring = [
        [0.0, -100.0],
        [100.0, -100.0],
        [100.0, 0.0],
        [60.0, 0.0],
        [60.0, -60.0],
        [40.0, -60.0],
        [40.0, 0.0],
        [0.0, 0.0],
        [0.0, -100.0],
    ];
    row.geometry = Some(polygon_wkb(&ring));
    let (_card, folder) = folder_of(vec![row]);
    assert!(folder.choose(&points(&[(10.0, -10.0)])).is_ok());
    assert!(folder.choose(&points(&[(10.0, -10.0), (90.0, -10.0)])).is_err());
    assert!(folder.choose(&bbox([10.0, -90.0, 90.0, -60.0])).is_ok());
}

#[test]
fn a_prompt_that_rounding_alone_puts_outside_is_covered() {
    let (_card, folder) = grid();
    for prompt in [
        points(&[(200.000_000_5, -100.0)]),
        points(&[(-1e-7, 1e-7)]),
        bbox([150.0, -150.000_000_9, 200.0, -100.0]),
    ] {
        let chip = folder.chip(folder.choose(&prompt).unwrap()).unwrap();
        let located = prompt.points.iter().map(|&point| chip.point_to_pixel(0, point).map(drop));
        assert!(
            located
                .chain(prompt.bbox.map(|bbox| chip.box_to_pixel(&bbox).map(drop)))
                .all(|found| found.is_ok())
        );
    }
    assert!(folder.choose(&points(&[(200.000_01, -100.0)])).is_err());
    // One that is really covered goes first, though its centre is farther.
    let (_card, folder) = folder_of(vec![Row::at(0, 0.0, 0.0), Row::at(1, 99.999_999_5, 0.0)]);
    assert_eq!(folder.choose(&points(&[(100.000_000_5, -50.0)])).unwrap(), 1);
}

#[test]
fn a_printed_corner_of_a_rotated_chip_is_covered() {
    let (sin, cos) = 0.4_f64.sin_cos();
    let grid = Affine::new([0.5 * cos, 0.5 * sin, 500_000.3, 0.5 * sin, -0.5 * cos, 5_000_000.7]);
    let (_card, folder) = folder_of(vec![Row::on_grid(0, grid, (1000, 1024))]);
    for (column, row) in [(0.0, 0.0), (1024.0, 0.0), (1024.0, 1000.0), (0.0, 1000.0), (512.0, 1000.0)] {
        let (x, y) = grid.apply(column, row);
        for (dx, dy) in [(4e-10, 0.0), (-4e-10, 0.0), (0.0, 4e-10), (0.0, -4e-10)] {
            assert_eq!(folder.choose(&points(&[(x + dx, y + dy)])).unwrap(), 0, "{column} {row}");
        }
    }
    let (x, y) = grid.apply(-0.01, 500.0);
    assert!(folder.choose(&points(&[(x, y)])).is_err());
}
