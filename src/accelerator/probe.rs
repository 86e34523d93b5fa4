//! The probe: a chip and prompts made by a formula, decoded on two engines before one of them may answer anybody.
//!
//! The chip is made of smooth waves, a few for each channel, with the spread of a SAM embedding. It means nothing,
//! but every operation of the decoder takes part in its masks.

use std::time::Instant;

use ndarray::Array3;

use super::report::Difference;
#[cfg(any(test, feature = "tensorrt"))]
use crate::decoder::MaskDecoder;
use crate::decoder::{Decoded, DecoderError, FramePoint, FramePrompt, XorShift};
use crate::family::Family;
use crate::features::{ChipFeatures, HighRes};

/// Standard deviation of a SAM embedding (`sam_b`, `mobile_sam`: 0.2 to 0.4).
const SPREAD: f32 = 0.3;

/// Tokens of the prompts that engines of the processor are tried with: a point, two, and a box with a list of points.
pub(super) const COUNTS: [usize; 3] = [2, 3, 9];

/// How far an answer is from another's.
pub(super) fn difference(answer: &Decoded, reference: &Decoded) -> Difference {
    let spread = reference.logits.std(0.0).max(f32::MIN_POSITIVE);
    let pairs = || answer.logits.iter().zip(&reference.logits);
    let worst = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, worse);
    let scores = answer.scores.iter().zip(&reference.scores).map(|(a, b)| (a - b).abs());
    let other_side = pairs().filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
    Difference {
        logits: worst / spread,
        scores: scores.fold(0.0, worse),
        pixels: other_side as f32 / reference.logits.len().max(1) as f32,
    }
}

/// The worse of both in everything.
pub(super) fn worst(a: Difference, b: Difference) -> Difference {
    Difference {
        logits: worse(a.logits, b.logits),
        scores: worse(a.scores, b.scores),
        pixels: worse(a.pixels, b.pixels),
    }
}

/// The larger one, or NaN if there is one.
fn worse(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

/// Decodes the probe on both engines: the worst difference, and milliseconds of the other's prepare and decode and of
/// the reference's decode.
///
/// # Errors
/// One of them fails.
#[cfg(any(test, feature = "tensorrt"))]
pub(super) fn compare(
    other: &dyn MaskDecoder,
    reference: &dyn MaskDecoder,
    most_tokens: usize,
) -> Result<(Difference, [f64; 3]), DecoderError> {
    let family = reference.family();
    let chip = chip(family);
    let [own, theirs] = [other.prepare(&chip)?, reference.prepare(&chip)?];
    let mut found = Difference::default();
    let mut reference_decode = f64::INFINITY;
    for prompt in prompts(family, most_tokens) {
        let answer = other.decode(&own, &prompt)?;
        let start = Instant::now();
        let expected = reference.decode(&theirs, &prompt)?;
        reference_decode = reference_decode.min(start.elapsed().as_secs_f64() * 1e3);
        found = worst(found, difference(&answer, &expected));
    }
    // Everything is warm now.
    let usual = prompt(family, 3);
    let prepare = milliseconds(|| other.prepare(&chip).map(drop))?;
    let decode = milliseconds(|| other.decode(&own, &usual).map(drop))?;
    Ok((found, [prepare, decode, reference_decode]))
}

/// The better of two.
pub(super) fn milliseconds(mut work: impl FnMut() -> Result<(), DecoderError>) -> Result<f64, DecoderError> {
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(best)
}

/// The chip of the probe.
pub(super) fn chip(family: Family) -> ChipFeatures {
    let grid = family.grid();
    let mut random = XorShift::new(2024);
    let mut waves = |channels: usize, side: usize| waves(&mut random, channels, side);
    let embedding = waves(256, grid);
    let high_res = family
        .has_high_resolution_maps()
        .then(|| HighRes { quarter: waves(32, 4 * grid), half: waves(64, 2 * grid) });
    ChipFeatures {
        family,
        checkpoint: "probe".to_owned(),
        src_shape: (512, 512),
        dst_shape: (family.frame(), family.frame()),
        embedding,
        high_res,
    }
}

/// Channels of one wave each, as a product of a row's and a column's, so that few sines are needed.
fn waves(random: &mut XorShift, channels: usize, side: usize) -> Array3<f32> {
    let mut axis = |amplitude: f32| -> Vec<f32> {
        let (cycles, phase) = (1.0 + 3.0 * random.symmetric().abs(), random.symmetric());
        let at = |i: usize| std::f32::consts::TAU * (cycles * i as f32 / side as f32 + phase);
        (0..side).map(|i| amplitude * at(i).sin()).collect()
    };
    let mut array = Array3::zeros((channels, side, side));
    for mut channel in array.outer_iter_mut() {
        // Products of two sines have a standard deviation of one half.
        let (rows, columns) = (axis(2.0 * SPREAD), axis(1.0));
        for ((row, column), value) in channel.indexed_iter_mut() {
            *value = rows[row] * columns[column];
        }
    }
    array
}

/// The prompts: the fewest tokens, the usual number, and the most that an engine takes.
#[cfg(any(test, feature = "tensorrt"))]
fn prompts(family: Family, most_tokens: usize) -> Vec<FramePrompt> {
    [2, 3, most_tokens].map(|n| prompt(family, n)).into()
}

/// A prompt of this many tokens, padding included, as far as the family has one.
pub(super) fn prompt(family: Family, n: usize) -> FramePrompt {
    let mut prompt = FramePrompt::default();
    if n > 3 {
        prompt.bbox = Some([100.5, 203.25, 700.0, 811.5]);
    }
    while prompt.token_count(family) < n {
        let i = prompt.points.len() as f64;
        let (x, y) = (331.5 + 37.0 * i, 600.25 - 41.0 * i);
        prompt.points.push(FramePoint { x, y, foreground: prompt.points.len() % 3 != 1 });
    }
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::{FusedDecoder, PreparedChip, Weights};

    #[test]
    fn the_probe_tells_other_weights_in_any_precision() {
        let chip = chip(Family::Sam);
        assert!((chip.embedding.std(0.0) - SPREAD).abs() < 0.05, "{}", chip.embedding.std(0.0));
        let [one, other] = [1, 2].map(|seed| {
            let decoder = FusedDecoder::new(&Weights::random(Family::Sam, seed), Family::Sam, 1).unwrap();
            decoder.decode(&decoder.prepare(&chip).unwrap(), &prompt(Family::Sam, 3)).unwrap()
        });
        assert!(one.logits.std(0.0) > 0.01);
        assert_eq!(difference(&one, &one), Difference::default());
        let found = difference(&other, &one);
        assert!(!found.is_within(&Difference::tolerated(true)), "{found}");
    }

    /// A decoder that errs by this much where a prompt has more than three tokens.
    struct Erring(f32);

    impl MaskDecoder for Erring {
        fn family(&self) -> Family {
            Family::Sam
        }

        fn prepare(&self, chip: &ChipFeatures) -> Result<PreparedChip, DecoderError> {
            Ok(PreparedChip::new(chip.family, 0, ()))
        }

        fn decode(&self, _chip: &PreparedChip, prompt: &FramePrompt) -> Result<Decoded, DecoderError> {
            let error = if prompt.token_count(Family::Sam) > 3 { self.0 } else { 0.0 };
            // Alternately 1 and -1: a standard deviation of 1.
            let logit = |(_, _, x): (usize, usize, usize)| if x % 2 == 0 { 1.0 - error } else { -1.0 };
            Ok(Decoded { logits: Array3::from_shape_fn((4, 8, 8), logit), scores: [error, 0.0, 0.0, 0.0] })
        }
    }

    #[test]
    fn the_worst_of_all_prompts_is_told() {
        let (found, times) = compare(&Erring(1.5), &Erring(0.0), 10).unwrap();
        assert_eq!(found, Difference { logits: 1.5, scores: 1.5, pixels: 0.5 });
        assert!(times.iter().all(|ms| ms.is_finite()));
        assert_eq!(compare(&Erring(1.5), &Erring(0.0), 3).unwrap().0, Difference::default());
    }

    #[test]
    fn what_is_no_number_stays_the_worst() {
        let nan = Difference { logits: f32::NAN, ..Difference::default() };
        assert!(worst(Difference::default(), nan).logits.is_nan());
        assert!(worst(nan, Difference::default()).logits.is_nan());
    }

    #[test]
    fn prompts_have_the_tokens_that_the_profile_needs() {
        for family in Family::ALL {
            let counts: Vec<usize> = prompts(family, 9).iter().map(|p| p.token_count(family)).collect();
            assert_eq!(counts, [2, 3, 9]);
        }
    }
}
