//! Enlarging against torch, and what must hold of it.

use ndarray::{Array2, s};
use proptest::prelude::*;
use serde::Deserialize;

use super::{bytes, fixture};
use crate::mask::{Mask, MaskError, upscale};

#[derive(Deserialize)]
struct Case {
    grid: usize,
    chip: (usize, usize),
    frame: usize,
    packed: String,
    /// Pixels whose logit is so near to zero that rounding decides.
    close: Vec<(usize, usize)>,
}

/// The logits that `make_upscale.py` enlarges: sixteenths, exact in binary.
fn wavy_logits(side: usize) -> Array2<f32> {
    Array2::from_shape_fn((side, side), |(row, col)| {
        let (row, col) = (row as i32, col as i32);
        let smooth =
            ((3 * row + 5 * col) % 94 - 47).abs() + ((7 * row - 2 * col).rem_euclid(122) - 61).abs() - 54;
        let rough = (row * row * 31 + col * 17 + row * col * 7) % 64 - 32;
        (2 * smooth + rough) as f32 / 16.0
    })
}

#[test]
fn masks_are_those_of_torch() {
    for Case { grid, chip, frame, packed, close } in fixture("upscale") {
        let expected = Mask::from_packed(chip.0, chip.1, &bytes(&packed)).unwrap();
        let mask = upscale(wavy_logits(grid).view(), chip, (frame, frame), chip).unwrap();
        for (row, col) in (0..chip.0).flat_map(|row| (0..chip.1).map(move |col| (row, col))) {
            assert!(
                mask.get(row, col) == expected.get(row, col) || close.contains(&(row, col)),
                "chip {chip:?}, row {row}, column {col}"
            );
        }
    }
}

#[test]
fn a_positive_logit_outweighs_its_neighbours_around_the_centre_of_its_cell() {
    let mut logits = Array2::from_elem((4, 4), -1.0f32);
    logits[[1, 2]] = 3.0;
    let mask = upscale(logits.view(), (16, 16), (16, 16), (16, 16)).unwrap();
    // Four pixels a cell: pixels off the centre by 1/8, 3/8, 5/8 and 7/8 of a cell along each axis.
    // The blend is above zero where the product of what is left to 1 is above a quarter.
    let row = |row: usize| (0..16).filter(|&col| mask.get(row, col)).collect::<Vec<_>>();
    assert_eq!(row(5), [7, 8, 9, 10, 11, 12]);
    assert_eq!(row(4), [8, 9, 10, 11]);
    assert_eq!(row(3), [9, 10]);
    assert_eq!(row(8), [9, 10]);
    assert!(row(2).is_empty() && row(9).is_empty());
}

#[test]
fn zero_and_nan_are_not_set() {
    for value in [0.0, -0.0, f32::NAN, f32::NEG_INFINITY] {
        let logits = Array2::from_elem((4, 4), value);
        assert!(upscale(logits.view(), (9, 9), (16, 16), (9, 9)).unwrap().is_blank());
    }
    let logits = Array2::from_elem((4, 4), f32::MIN_POSITIVE);
    assert_eq!(upscale(logits.view(), (9, 9), (16, 16), (9, 9)).unwrap().count(), 81);
}

#[test]
fn logits_beyond_the_letterbox_do_not_matter() {
    // A chip twice as wide as high fills the upper half of the grid.
    let logits = Array2::from_shape_fn((8, 8), |(row, _)| if row < 4 { -1.0 } else { 9.0 });
    assert!(upscale(logits.view(), (50, 100), (64, 64), (50, 100)).unwrap().is_blank());
}

#[test]
fn strided_logits_are_read_as_they_are_meant() {
    let logits = wavy_logits(16);
    let transposed = logits.t().as_standard_layout().into_owned();
    let shapes = ((40, 40), (64, 64), (40, 40));
    assert_eq!(
        upscale(transposed.t(), shapes.0, shapes.1, shapes.2).unwrap(),
        upscale(logits.view(), shapes.0, shapes.1, shapes.2).unwrap()
    );
    let reversed = logits.slice(s![..;-1, ..;-1]);
    assert_eq!(
        upscale(reversed, shapes.0, shapes.1, shapes.2).unwrap(),
        upscale(reversed.to_owned().view(), shapes.0, shapes.1, shapes.2).unwrap()
    );
}

#[test]
fn shapes_without_pixels_and_absurd_ones_are_refused() {
    let logits = Array2::from_elem((4, 4), 1.0f32);
    let up = |src, dst, out| upscale(logits.view(), src, dst, out);
    let empty = |result| matches!(result, Err(MaskError::EmptyShape { .. }));
    assert!(empty(up((0, 4), (16, 16), (4, 4))));
    assert!(empty(up((4, 4), (16, 0), (4, 4))));
    assert!(empty(up((4, 4), (16, 16), (0, 4))));
    assert!(empty(upscale(Array2::zeros((0, 4)).view(), (4, 4), (16, 16), (4, 4))));
    assert!(matches!(up((4, 4), (16, 16), (1 << 40, 4)), Err(MaskError::TooLarge { .. })));
    assert!(matches!(up((4, 4), (16, 16), (usize::MAX, usize::MAX)), Err(MaskError::TooLarge { .. })));
    // A chip that is nothing but long is no reason to fail.
    assert!(up((usize::MAX, 1), (16, 16), (3, 3)).is_ok());
}

/// The definition, pixel by pixel in f64, for a chip whose part of the grid is whole.
fn by_definition(
    logits: &Array2<f32>,
    cells: (usize, usize),
    out: (usize, usize),
    row: usize,
    col: usize,
) -> f64 {
    let tap = |index: usize, cells: usize, count: usize| {
        let position =
            ((index as f64 + 0.5) * cells as f64 / count as f64 - 0.5).clamp(0.0, cells as f64 - 1.0);
        let lower = position.floor();
        (lower as usize, (lower as usize + 1).min(cells - 1), position - lower)
    };
    let (top, bottom, down) = tap(row, cells.0, out.0);
    let (left, right, across) = tap(col, cells.1, out.1);
    let at = |row: usize, col: usize| f64::from(logits[[row, col]]);
    (at(top, left) * (1.0 - across) + at(top, right) * across) * (1.0 - down)
        + (at(bottom, left) * (1.0 - across) + at(bottom, right) * across) * down
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn skipping_what_cannot_be_positive_loses_nothing(
        values in proptest::collection::vec(prop_oneof![3 => Just(-1.0f32), 1 => -8.0f32..8.0], 64),
        chip_height in 1usize..=8,
        out in (1usize..200, 1usize..200),
    ) {
        let logits = Array2::from_shape_vec((8, 8), values).unwrap();
        // Eighths of the frame: whole numbers of cells.
        let mask = upscale(logits.view(), (chip_height, 8), (8, 8), out).unwrap();
        for (row, col) in (0..out.0).flat_map(|row| (0..out.1).map(move |col| (row, col))) {
            let value = by_definition(&logits, (chip_height, 8), out, row, col);
            prop_assert!(mask.get(row, col) == (value > 0.0) || value.abs() < 1e-5);
        }
    }
}
