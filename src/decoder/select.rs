//! What the decoder returns, and which of its four masks is the answer.

use ndarray::{Array3, ArrayView2, Axis};

use super::weights::MASKS;
use crate::family::Family;

/// How far from zero a logit must lie for the stability of the single mask (SAM 2's
/// `dynamic_multimask_stability_delta`).
const STABILITY_DELTA: f32 = 0.05;
/// From which stability on the single mask is taken (SAM 2's `dynamic_multimask_stability_thresh`).
const STABILITY_THRESHOLD: f32 = 0.98;

/// All four masks of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Low-resolution logits, `[4, 4 grid, 4 grid]`: mask 0 is the single mask, 1 to 3 those of the multimask output.
    /// They cover the whole encoder frame; a pixel belongs to the mask where its logit is positive.
    pub logits: Array3<f32>,
    /// Predicted IoU of each mask.
    pub scores: [f32; MASKS],
}

/// One of the four masks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectedMask {
    /// Which of the four.
    pub index: usize,
    /// Its predicted IoU.
    pub score: f32,
}

impl Decoded {
    /// The masks that answer the prompt, as geosam chooses them.
    ///
    /// With `multimask`, masks 1 to 3 in this order. Otherwise one mask: for SAM mask 0; for SAM 2 and 3 mask 0 if it
    /// is stable, else the one of masks 1 to 3 with the highest predicted IoU (the first of equals). Stable means
    /// that of the pixels with a logit above -0.05, 98 % lie above 0.05; so is a mask without any such pixel.
    pub fn select(&self, family: Family, multimask: bool) -> Vec<SelectedMask> {
        if multimask {
            return (1..MASKS).map(|index| self.mask(index)).collect();
        }
        let single = match family {
            Family::Sam => 0,
            Family::Sam2 | Family::Sam3 => {
                if stability(self.logits.index_axis(Axis(0), 0)) >= STABILITY_THRESHOLD {
                    0
                } else {
                    return vec![self.best()];
                }
            }
        };
        vec![self.mask(single)]
    }

    /// Of masks 1 to 3 the one with the highest predicted IoU, the first of equals: what segment-anything's own ONNX
    /// export returns for a single click.
    pub fn best(&self) -> SelectedMask {
        self.mask((2..MASKS).fold(1, |best, i| if self.scores[i] > self.scores[best] { i } else { best }))
    }

    fn mask(&self, index: usize) -> SelectedMask {
        SelectedMask { index, score: self.scores[index] }
    }
}

/// Area above the upper threshold by area above the lower one.
fn stability(logits: ArrayView2<'_, f32>) -> f32 {
    let area = |threshold: f32| logits.iter().filter(|&&x| x > threshold).count();
    let (inner, outer) = (area(STABILITY_DELTA), area(-STABILITY_DELTA));
    // Counts of at most 288 x 288 are exact in f32, in which the reference divides.
    if outer == 0 { 1.0 } else { inner as f32 / outer as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mask 0 with `inner` pixels above 0.05, `between` pixels between the thresholds, the rest far below.
    fn decoded(inner: usize, between: usize, scores: [f32; 4]) -> Decoded {
        let mut logits = Array3::from_elem((4, 256, 256), -8.0);
        for (i, x) in logits.iter_mut().take(inner + between).enumerate() {
            *x = if i < inner { 3.0 } else { 0.0 };
        }
        Decoded { logits, scores }
    }

    fn chosen(decoded: &Decoded, family: Family) -> usize {
        decoded.select(family, false)[0].index
    }

    #[test]
    fn sam_takes_mask_0_however_unstable() {
        assert_eq!(chosen(&decoded(1, 1000, [0.1, 0.9, 0.9, 0.9]), Family::Sam), 0);
    }

    #[test]
    fn a_stable_mask_0_wins_over_better_scores() {
        let decoded = decoded(98, 2, [0.1, 0.9, 0.9, 0.9]);
        assert_eq!(decoded.select(Family::Sam2, false), [SelectedMask { index: 0, score: 0.1 }]);
    }

    #[test]
    fn an_unstable_mask_0_gives_way_to_the_best_of_the_others() {
        let unstable = decoded(97, 3, [0.99, 0.3, 0.8, 0.5]);
        assert_eq!(chosen(&unstable, Family::Sam2), 2);
        assert_eq!(chosen(&unstable, Family::Sam3), 2);
    }

    #[test]
    fn of_equal_scores_the_first_wins() {
        assert_eq!(chosen(&decoded(97, 3, [0.0, 0.5, 0.5, 0.5]), Family::Sam2), 1);
    }

    #[test]
    fn a_mask_without_any_pixel_counts_as_stable() {
        assert_eq!(chosen(&decoded(0, 0, [0.0, 0.9, 0.9, 0.9]), Family::Sam2), 0);
    }

    #[test]
    fn a_logit_on_a_threshold_is_not_above_it() {
        let mut decoded = decoded(98, 0, [0.0, 0.9, 0.8, 0.8]);
        decoded.logits.iter_mut().skip(98).take(50).for_each(|x| *x = -0.05);
        assert_eq!(chosen(&decoded, Family::Sam2), 0);
        decoded.logits.iter_mut().skip(98).take(3).for_each(|x| *x = 0.05);
        assert_eq!(chosen(&decoded, Family::Sam2), 1);
    }

    #[test]
    fn the_best_is_the_first_of_the_candidates_with_the_highest_score_and_never_mask_0() {
        assert_eq!(decoded(98, 2, [0.99, 0.3, 0.8, 0.8]).best(), SelectedMask { index: 2, score: 0.8 });
    }

    #[test]
    fn multimask_gives_masks_1_to_3_in_order() {
        for family in Family::ALL {
            let masks = decoded(0, 0, [0.9, 0.1, 0.3, 0.2]).select(family, true);
            assert_eq!(masks.iter().map(|m| m.index).collect::<Vec<_>>(), [1, 2, 3]);
            assert_eq!(masks.iter().map(|m| m.score).collect::<Vec<_>>(), [0.1, 0.3, 0.2]);
        }
    }
}
