//! Which answers of many prompts are worth their masks. A decoder knows its scores before it upscales, which is two
//! fifths of its work.

use super::weights::MASKS;
use crate::family::Family;

/// A bound on predicted IoU, for [`MaskDecoder::decode_many`](super::MaskDecoder::decode_many).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// The least predicted IoU of a mask that is of use. Segment Anything's own automatic masks ask for 0.88.
    pub predicted_iou: f32,
    /// Whether masks 1 to 3 are wanted, or the single mask, as for [`Decoded::select`](super::Decoded::select).
    pub multimask: bool,
}

impl Keep {
    /// Every answer, whatever its scores.
    pub const ALL: Self = Self { predicted_iou: f32::NEG_INFINITY, multimask: true };

    /// Whether one of the masks that may be selected reaches the bound.
    ///
    /// The single mask of SAM 2 and 3 may be any of the four: which one is known only with the logits.
    ///
    /// ```
    /// use geosam_edge::{Family, decoder::Keep};
    /// let keep = Keep { predicted_iou: 0.88, multimask: true };
    /// assert!(keep.wants(Family::Sam, &[0.2, 0.3, 0.88, 0.1]));
    /// assert!(!keep.wants(Family::Sam, &[0.95, 0.3, 0.8, 0.1]));
    /// ```
    pub fn wants(&self, family: Family, scores: &[f32; MASKS]) -> bool {
        let of_use = match (self.multimask, family) {
            (true, _) => &scores[1..],
            (false, Family::Sam) => &scores[..1],
            (false, Family::Sam2 | Family::Sam3) => &scores[..],
        };
        // A score that is no number must not be lost here: it is an error of the decode.
        of_use.iter().any(|score| score.is_nan() || *score >= self.predicted_iou)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_that_may_be_selected_decide() {
        let single = Keep { predicted_iou: 0.9, multimask: false };
        assert!(single.wants(Family::Sam, &[0.9, 0.0, 0.0, 0.0]));
        assert!(!single.wants(Family::Sam, &[0.1, 0.99, 0.0, 0.0]));
        assert!(single.wants(Family::Sam2, &[0.1, 0.99, 0.0, 0.0]));
        assert!(!single.wants(Family::Sam3, &[0.1, 0.2, 0.3, 0.4]));
        assert!(Keep::ALL.wants(Family::Sam, &[-1e30; 4]));
    }
}
