//! The pixel frame of a chip, and what its file must say.

use super::*;

#[test]
fn edges_are_inside_and_rounding_is_forgiven() {
    let (_card, folder) = folder_of(vec![Row::at(0, 500_000.1, 4_000_000.3)]);
    let chip = folder.chip(0).unwrap();
    for (x, y, pixel) in [
        (500_000.1, 4_000_000.3, (0.0, 0.0)),
        (500_100.1, 3_999_900.3, (100.0, 100.0)),
        (500_012.35, 3_999_999.8, (12.25, 0.5)),
    ] {
        let (col, row) = chip.point_to_pixel(0, (x, y)).unwrap();
        assert!((col - pixel.0).abs() < 1e-9 && (row - pixel.1).abs() < 1e-9, "{col} {row}");
        assert!((0.0..=100.0).contains(&col) && (0.0..=100.0).contains(&row));
    }
    let error = chip.point_to_pixel(2, (500_100.2, 3_999_950.3)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::OutsideChip);
    assert!(
        error.to_string().starts_with("point 2 lies outside the chip chip_000000: column 100.10, row 50.00"),
        "{error}"
    );
    assert!(chip.point_to_pixel(0, (f64::NAN, 0.0)).is_err());
}

#[test]
fn a_box_becomes_the_bounds_of_its_corners() {
    let (_card, folder) = folder_of(vec![Row::at(0, 0.0, 0.0)]);
    let chip = folder.chip(0).unwrap();
    assert_eq!(chip.box_to_pixel(&Bounds::new(10.0, -30.0, 20.0, -5.0)).unwrap(), [10.0, 5.0, 20.0, 30.0]);
    assert!(chip.box_to_pixel(&Bounds::new(10.0, -30.0, 20.0, 1.0)).is_err());
    let rotated = Affine::new([0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    let (_card, folder) = folder_of(vec![Row::on_grid(0, rotated, (50, 100))]);
    let pixels = folder.chip(0).unwrap().box_to_pixel(&Bounds::new(10.0, 5.0, 20.0, 30.0)).unwrap();
    assert_eq!(pixels, [5.0, 10.0, 30.0, 20.0], "columns run north");
}

#[test]
fn what_a_file_says_must_be_what_the_manifest_says() {
    let (_card, folder) = folder_of(vec![Row::at(0, 0.0, 0.0)]);
    let chip = folder.chip(0).unwrap();
    let check = |shape, frame, checkpoint: &str, family| {
        check_against_manifest(shape, frame, checkpoint, family, &chip)
    };
    let (shape, frame) = ((100, 100), (1024, 1024));
    assert!(check(shape, frame, r"C:\x\SAM2.1_t.pt", Family::Sam2).is_ok());
    for (result, word) in [
        (
            check((100, 99), frame, "sam2.1_t.pt", Family::Sam2),
            "the shape is 100 x 99 in the file and 100 x 100",
        ),
        (check(shape, (1008, 1008), "sam2.1_t.pt", Family::Sam2), "the encoder's shape is 1008 x 1008"),
        (check(shape, frame, "/x/sam2.1_s.pt", Family::Sam2), "the checkpoint is sam2.1_s.pt in the file"),
        (check(shape, frame, "sam2.1_t.pt", Family::Sam), "the model type is sam in the file and sam2"),
    ] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.code(), ErrorCode::ChipUnreadable);
    }
}

#[test]
fn a_file_of_geo_sam_v1_that_lies_elsewhere_than_its_chip_is_told() {
    let (_card, folder) = folder_of(vec![Row::at(0, 0.0, 0.0)]);
    let chip = folder.chip(0).unwrap();
    // Its grid of 64 x 64 is laid over the 100 x 100 pixels of the chip.
    let scale = 100.0 / 64.0;
    let Affine { a, b, c, d, e, f } = chip.affine;
    let grid = Affine { a: a * scale, b, c, d, e: e * scale, f };
    chip.check_lies_at(&grid, (64, 64)).unwrap();
    let moved = Affine { c: c + a * 50.0, ..grid };
    let error = chip.check_lies_at(&moved, (64, 64)).unwrap_err();
    assert!(
        error.to_string().contains("the middle is") && error.to_string().contains("another chip"),
        "{error}"
    );
    assert_eq!(error.code(), ErrorCode::ChipUnreadable);
}
