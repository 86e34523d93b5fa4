//! What a mask prompt adds to a prepared chip, as one affine map from the 16 channels that the first two convolutions of
//! the mask leave of an image token.
//!
//! The third convolution has kernel 1: it gives `W h + b`, which stands in place of the embedding of "no mask". So the image
//! tokens get `W h + (b - no_mask)` more than they were prepared with, and a projection `P` of them
//! `P W h + P (b - no_mask)`.

use ndarray::{Array1, Array2};

use super::error::DecoderError;
use super::weights::{CHANNELS, Weights};
use crate::models::MASK_PROMPT;

/// Channels that the first convolution leaves of a quarter of an image token, and the second of the whole.
pub(super) const MASK_CHANNELS: [usize; 2] = [4, 16];

/// `W` and `b - no_mask`, in double precision: what is rounded in a product of parameters would be an error of the model.
pub(super) struct MaskProducts {
    weight: Array2<f64>,
    shift: Array1<f64>,
}

impl MaskProducts {
    /// From parameters of which [`Weights::takes_masks`] holds.
    ///
    /// # Errors
    /// A parameter that is missing.
    pub fn new(w: &Weights) -> Result<Self, DecoderError> {
        let last = w.owned(&format!("{MASK_PROMPT}.6.weight"))?;
        let shape = (CHANNELS, MASK_CHANNELS[1]);
        let weight = Array2::from_shape_fn(shape, |(row, column)| f64::from(last[[row, column, 0, 0]]));
        let bias = w.vector(&format!("{MASK_PROMPT}.6.bias"))?.mapv(f64::from);
        let no_mask = w.matrix("prompt_encoder.no_mask_embed.weight")?.row(0).mapv(f64::from);
        Ok(Self { weight, shift: bias - no_mask })
    }

    /// What is added to the image tokens: `[256, 16]` and `[256]`.
    pub fn tokens(&self) -> (Array2<f32>, Array1<f32>) {
        (self.weight.mapv(|x| x as f32), self.shift.mapv(|x| x as f32))
    }

    /// What is added to their projection by a linear layer of `n` outputs: `[n, 16]` and `[n]`.
    ///
    /// # Errors
    /// A parameter that is missing.
    pub fn through(&self, w: &Weights, linear: &str) -> Result<(Array2<f32>, Array1<f32>), DecoderError> {
        let projection = w.matrix(&format!("{linear}.weight"))?.mapv(f64::from);
        Ok((projection.dot(&self.weight).mapv(|x| x as f32), projection.dot(&self.shift).mapv(|x| x as f32)))
    }
}
