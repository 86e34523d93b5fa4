//! Which masks of one chip are objects: the filters and the removal of duplicates of segment-anything's automatic
//! masks. Pure.

use ndarray::{ArrayView2, s};

use crate::mask::{MaskRuns, letterbox_gain};

/// A mask that passed the filters.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Predicted IoU.
    pub score: f32,
    /// The stability score.
    pub stability: f32,
    /// In the chip's shape.
    pub runs: MaskRuns,
}

/// The low-resolution logits of a chip without the letterbox beside it: `shape` and `frame` are the chip's and the
/// encoder's.
pub(super) fn within_chip<'a>(
    logits: ArrayView2<'a, f32>,
    (height, width): (usize, usize),
    frame: (usize, usize),
) -> ArrayView2<'a, f32> {
    let gain = letterbox_gain((height, width), frame);
    let side = |length: usize, frame: usize, low: usize| {
        let cells = (length as f64 * gain).round() * low as f64 / frame as f64;
        (cells.round() as usize).clamp(1, low)
    };
    let (rows, cols) = (side(height, frame.0, logits.nrows()), side(width, frame.1, logits.ncols()));
    logits.slice_move(s![..rows, ..cols])
}

/// The stability score: pixels above the cutoff raised by the offset, over those above the cutoff lowered by it.
/// Counted on the low-resolution logits, where it costs a sixteenth; 0 for a mask without any pixel, which is no
/// object.
pub(super) fn stability_score(logits: ArrayView2<'_, f32>, offset: f32) -> f32 {
    let (mut inner, mut outer) = (0u32, 0u32);
    for &logit in logits {
        inner += u32::from(logit > offset);
        outer += u32::from(logit > -offset);
    }
    if outer == 0 { 0.0 } else { inner as f32 / outer as f32 }
}

/// Leaves out duplicates: of two masks whose IoU is greater than the threshold, the one with the lower score; of equal
/// scores the less stable, then the later one.
pub(super) fn suppress(mut candidates: Vec<Candidate>, threshold: f32) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.stability.total_cmp(&a.stability)));
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|other| other.runs.iou(&candidate.runs) <= f64::from(threshold)) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::mask::Mask;

    fn candidate(score: f32, stability: f32, columns: std::ops::Range<usize>) -> Candidate {
        let mut mask = Mask::blank(8, 100).unwrap();
        for row in 2..6 {
            columns.clone().for_each(|col| mask.set(row, col));
        }
        Candidate { score, stability, runs: MaskRuns::of(&mask) }
    }

    #[test]
    fn of_duplicates_the_best_stays_and_what_lies_in_another_is_none() {
        let kept = suppress(
            vec![
                candidate(0.9, 0.96, 10..50),
                candidate(0.95, 0.96, 12..50),
                candidate(0.95, 0.99, 11..50),
                candidate(0.89, 0.99, 11..20),
                candidate(0.99, 0.99, 60..70),
            ],
            0.7,
        );
        let told: Vec<(f32, i32)> = kept.iter().map(|c| (c.score, c.runs.bounds().min_x)).collect();
        assert_eq!(told, [(0.99, 60), (0.95, 11), (0.89, 11)]);
    }

    #[test]
    fn stability_is_the_share_that_stays_when_the_cutoff_is_raised() {
        let logits = Array2::from_shape_fn((4, 4), |(row, _)| [5.0, 0.5, -0.5, -5.0][row]);
        assert_eq!(stability_score(logits.view(), 1.0), 4.0 / 12.0);
        assert_eq!(stability_score(logits.view(), 0.1), 1.0);
        assert_eq!(stability_score(Array2::from_elem((4, 4), -9.0).view(), 1.0), 0.0);
    }

    #[test]
    fn the_letterbox_is_no_part_of_a_chip() {
        let logits = Array2::zeros((256, 256));
        assert_eq!(within_chip(logits.view(), (1024, 1024), (1024, 1024)).dim(), (256, 256));
        assert_eq!(within_chip(logits.view(), (512, 1024), (1024, 1024)).dim(), (128, 256));
        assert_eq!(within_chip(logits.view(), (100, 50), (1024, 1024)).dim(), (256, 128));
    }
}
