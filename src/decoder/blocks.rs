//! From the outputs of a decode graph, in block order (see [`graph`](super::graph)), to an answer.

use ndarray::Array3;

use super::Decoded;
use super::chip::finite;
use super::error::DecoderError;
use super::weights::MASKS;

/// The answer in the outputs of a decode graph: logits in block order, and scores.
///
/// # Errors
/// Values that are not finite, and outputs of other sizes than a decoder of this grid gives.
pub(super) fn answer(logits: &[f32], scores: &[f32], grid: usize) -> Result<Decoded, DecoderError> {
    let logits = finite(logits, "logits")?;
    match <[f32; MASKS]>::try_from(finite(scores, "scores")?) {
        Ok(scores) if logits.len() == MASKS * 16 * grid * grid => {
            Ok(Decoded { logits: images(logits, grid), scores })
        }
        _ => {
            let message = format!("{} logits and {} scores", logits.len(), scores.len());
            Err(DecoderError::Engine { action: "run a decoder graph", message })
        }
    }
}

/// Logits `[16, 4 P]` of rows (mask, dy2, dx2) and columns (row, column, dy1, dx1) to images `[4, 4 grid, 4 grid]`.
///
/// `logits` must hold `MASKS * 16 * grid * grid` values.
pub(super) fn images(logits: &[f32], grid: usize) -> Array3<f32> {
    let side = 4 * grid;
    let columns = 4 * grid * grid;
    debug_assert_eq!(logits.len(), MASKS * side * side);
    let mut images = Vec::with_capacity(logits.len());
    for mask in 0..MASKS {
        for y in 0..side {
            let (row, dy1, dy2) = (y / 4, y / 2 % 2, y % 2);
            let line = |dx2: usize| {
                let start = (mask * 4 + dy2 * 2 + dx2) * columns + row * grid * 4 + dy1 * 2;
                // Of the four pixels (dy1, dx1) of each token, the two of this dy1.
                logits[start..].chunks(4).take(grid)
            };
            for (left, right) in line(0).zip(line(1)) {
                images.extend_from_slice(&[left[0], right[0], left[1], right[1]]);
            }
        }
    }
    // The loops above push MASKS * side * side values.
    Array3::from_shape_vec((MASKS, side, side), images).unwrap_or_else(|_| Array3::zeros((MASKS, side, side)))
}
