//! Growing over a synthetic world, without any decoder: chips of 64 x 64 that see what lies under the points.

use std::collections::BTreeSet;

use ndarray::Array2;

use super::grow::{Chips, grow};
use super::join::Shapes;
use super::part::{Object, Part};
use super::window::Window;
use crate::api::Incomplete;
use crate::engine::EngineError;
use crate::mask::{Mask, connected_to, upscale};

const SIDE: i64 = 64;

/// A picture of objects, and chips over it.
struct World {
    picture: Mask,
    windows: Vec<Window>,
    /// Chips that answer with all that they hold.
    greedy: Vec<usize>,
    asked: usize,
}

impl World {
    /// Chips whose first pixels are so far apart.
    fn new(picture: Mask, stride: i64) -> Self {
        let (width, height) = (picture.width() as i64, picture.height() as i64);
        let starts =
            |length: i64| (0..).map(move |i| i * stride).take_while(move |start| start + SIDE <= length);
        let windows = starts(height).flat_map(|row| starts(width).map(move |col| (col, row)));
        let windows = windows.enumerate().map(|(chip, (col, row))| Window {
            chip,
            col,
            row,
            width: SIDE,
            height: SIDE,
        });
        Self { windows: windows.collect(), picture, greedy: Vec::new(), asked: 0 }
    }

    fn follow(
        &mut self,
        start: usize,
        seed: (f64, f64),
        max_chips: usize,
    ) -> (Mask, Vec<usize>, Vec<Incomplete>) {
        let window = self.windows[start];
        let logits = self.ask(&window, &[seed]).unwrap();
        let mask = self.enlarge(&window, &logits).unwrap();
        let mut object = Object { parts: vec![Part { window, logits, mask, asked: 1 }] };
        let ends = grow(self, &mut object, max_chips).unwrap();
        let shapes = |_: &Window| -> Shapes { ((64, 64), (64, 64)) };
        let joined = object.join(&ends.runs, shapes, &|| {}).unwrap();
        // In the picture's own place.
        let mut whole = Mask::blank(self.picture.height(), self.picture.width()).unwrap();
        for row in 0..joined.mask.height() {
            for col in (0..joined.mask.width()).filter(|&col| joined.mask.get(row, col)) {
                whole.set((row as i64 + joined.origin.1) as usize, (col as i64 + joined.origin.0) as usize);
            }
        }
        let chips = object.parts.iter().map(|part| part.window.chip).collect();
        (whole, chips, ends.because.into_iter().collect())
    }
}

impl Chips for World {
    fn holding(&self, col: i64, row: i64) -> Vec<Window> {
        self.windows.iter().filter(|window| window.contains(col, row)).copied().collect()
    }

    fn ask(&mut self, window: &Window, seeds: &[(f64, f64)]) -> Result<Array2<f32>, EngineError> {
        self.asked += 1;
        let mut seen = Mask::blank(SIDE as usize, SIDE as usize)?;
        for row in 0..SIDE as usize {
            for col in 0..SIDE as usize {
                if self.picture.get(row + window.row as usize, col + window.col as usize) {
                    seen.set(row, col);
                }
            }
        }
        let is_greedy = self.greedy.contains(&window.chip);
        let under = connected_to(&seen, |row, cols| {
            seeds.iter().any(|seed| seed.1 as usize == row && cols.contains(&(seed.0 as usize)))
        });
        let value = |(row, col)| if is_greedy || under.get(row, col) { 4.0 } else { -4.0 };
        Ok(Array2::from_shape_fn((SIDE as usize, SIDE as usize), value))
    }

    fn enlarge(&self, _: &Window, logits: &Array2<f32>) -> Result<Mask, EngineError> {
        let shape = (SIDE as usize, SIDE as usize);
        Ok(upscale(logits.view(), shape, shape, shape)?)
    }
}

/// A picture of rectangles: first and last column, first and last row, the last excluded.
fn picture(width: usize, height: usize, rectangles: &[[usize; 4]]) -> Mask {
    let mut mask = Mask::blank(height, width).unwrap();
    for &[left, right, top, bottom] in rectangles {
        for row in top..bottom {
            (left..right).for_each(|col| mask.set(row, col));
        }
    }
    mask
}

#[test]
fn a_bend_over_many_chips_is_followed_whole_with_and_without_overlap() {
    // Down, across, and up again: 20 pixels wide; and something else, that stays out.
    let bend = [[20, 40, 5, 180], [20, 180, 160, 180], [160, 180, 5, 180]];
    for stride in [64, 32, 56] {
        let mut world = World::new(picture(256, 256, &[&bend[..], &[[80, 120, 20, 100]]].concat()), stride);
        let (whole, chips, because) = world.follow(0, (30.5, 30.5), 1000);
        assert!(because.is_empty(), "stride {stride}: {because:?}");
        assert!(whole == picture(256, 256, &bend), "stride {stride}: {chips:?}");
        let distinct: BTreeSet<usize> = chips.iter().copied().collect();
        assert_eq!(distinct.len(), chips.len(), "a chip takes part once");
    }
}

#[test]
fn the_edge_of_what_was_encoded_and_the_bound_on_chips_are_told_apart() {
    let mut world = World::new(picture(256, 64, &[[10, 256, 20, 40]]), 64);
    let (_, chips, because) = world.follow(0, (20.5, 30.5), 1000);
    assert_eq!((chips, because), (vec![0, 1, 2, 3], vec![Incomplete::RasterEdge]));
    let (_, chips, because) = world.follow(0, (20.5, 30.5), 2);
    assert_eq!((chips, because), (vec![0, 1], vec![Incomplete::MaxChips]));
}

#[test]
fn a_neighbour_that_answers_with_all_that_it_holds_is_not_believed() {
    let mut world = World::new(picture(192, 64, &[[10, 190, 28, 36]]), 64);
    world.greedy.push(1);
    let (whole, chips, because) = world.follow(0, (20.5, 30.5), 1000);
    assert_eq!((chips, because), (vec![0], vec![Incomplete::Disagreement]));
    assert!(whole == picture(192, 64, &[[10, 64, 28, 36]]));
}

#[test]
fn an_object_that_comes_back_into_a_chip_is_found_there_again() {
    // Two arms of a fork in the first chip, joined in the second.
    let fork = [[20, 100, 10, 25], [20, 100, 40, 55], [85, 100, 10, 55]];
    let mut world = World::new(picture(128, 64, &fork), 64);
    let (whole, _, because) = world.follow(0, (30.5, 15.5), 1000);
    assert!(because.is_empty(), "{because:?}");
    assert!(whole == picture(128, 64, &fork), "one arm is missing");
}
