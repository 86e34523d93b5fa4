//! What every engine checks: a chip before it is prepared, and that what comes out is finite.

use ndarray::ArrayView3;

use super::error::DecoderError;
use super::weights::{CHANNELS, HALF_CHANNELS, QUARTER_CHANNELS};
use crate::family::Family;
use crate::features::ChipFeatures;

/// The arrays of a chip, of the family's shapes and all finite; in any memory order.
pub(super) struct CheckedChip<'a> {
    /// The image embedding, `[256, grid, grid]`.
    pub embedding: ArrayView3<'a, f32>,
    /// The high-resolution maps, for a family that has them.
    pub maps: Option<CheckedMaps<'a>>,
}

/// The high-resolution maps of a chip.
pub(super) struct CheckedMaps<'a> {
    /// Of stride 8, `[64, 2 grid, 2 grid]`.
    pub half: ArrayView3<'a, f32>,
    /// Of stride 4, `[32, 4 grid, 4 grid]`.
    pub quarter: ArrayView3<'a, f32>,
}

impl<'a> CheckedChip<'a> {
    /// Checks a chip for the decoder of a family.
    ///
    /// # Errors
    /// A chip of another family, an array that is missing or of another shape, a value that is not finite.
    pub fn new(chip: &'a ChipFeatures, family: Family) -> Result<Self, DecoderError> {
        if chip.family != family {
            return Err(DecoderError::FamilyMismatch { chip: chip.family, decoder: family });
        }
        let grid = family.grid();
        let checked = |tensor, array: &'a ndarray::Array3<f32>, expected: [usize; 3]| {
            if array.shape() != expected {
                let (found, expected) = (array.shape().to_vec(), expected.to_vec());
                return Err(DecoderError::ChipShape { family, tensor, found, expected });
            }
            let finite = match array.as_slice_memory_order() {
                Some(values) => all_finite(values),
                None => array.iter().all(|x| x.is_finite()),
            };
            if finite { Ok(array.view()) } else { Err(DecoderError::ChipNotFinite { tensor }) }
        };
        let embedding = checked("image embedding", &chip.embedding, [CHANNELS, grid, grid])?;
        if !family.has_high_resolution_maps() {
            return Ok(Self { embedding, maps: None });
        }
        let half_shape = [HALF_CHANNELS, 2 * grid, 2 * grid];
        let quarter_shape = [QUARTER_CHANNELS, 4 * grid, 4 * grid];
        let Some(maps) = &chip.high_res else {
            let (tensor, expected) = ("high-resolution maps", quarter_shape.to_vec());
            return Err(DecoderError::ChipShape { family, tensor, found: Vec::new(), expected });
        };
        let half = checked("high-resolution map of stride 8", &maps.half, half_shape)?;
        let quarter = checked("high-resolution map of stride 4", &maps.quarter, quarter_shape)?;
        Ok(Self { embedding, maps: Some(CheckedMaps { half, quarter }) })
    }
}

/// The values of an output, if all are finite.
///
/// # Errors
/// [`DecoderError::NotFinite`], which names the output.
pub(super) fn finite<'v>(values: &'v [f32], output: &'static str) -> Result<&'v [f32], DecoderError> {
    if all_finite(values) { Ok(values) } else { Err(DecoderError::NotFinite { output }) }
}

/// Whether all are finite; without a branch for each, unlike `all`.
pub(super) fn all_finite(values: &[f32]) -> bool {
    values.chunks(4096).all(|chunk| chunk.iter().fold(true, |finite, x| finite & x.is_finite()))
}
