//! The decoder's parameters as its graphs take them. Their names and shapes, and where they come from (a checkpoint, a
//! decoder file), live in `models`.

use std::collections::HashMap;
use std::fmt;

use ndarray::{Array1, Array2, ArrayD, CowArray, IxDyn};

use super::chip::all_finite;
use super::error::DecoderError;
use crate::family::Family;
use crate::models::{MASK_PROMPT, Parameter, mask_parameters, parameters};

/// Channels of the image embedding and of every token.
pub const CHANNELS: usize = 256;
/// Channels inside the attention between tokens and image.
pub const CROSS_CHANNELS: usize = 128;
/// Attention heads, everywhere in the decoder.
pub const HEADS: usize = 8;
/// Masks that the decoder always computes: the single mask, then the three of the multimask output.
pub const MASKS: usize = 4;
/// Channels after the first upscaling; also those of the `half` high-resolution map.
pub const HALF_CHANNELS: usize = 64;
/// Channels after the second upscaling; also those of the `quarter` high-resolution map.
pub const QUARTER_CHANNELS: usize = 32;
/// Layers of the two-way transformer.
pub const LAYERS: usize = 2;

/// Where parameters are looked up by canonical name: Meta's own after the family's prefix, `prompt_encoder.*` and
/// `mask_decoder.*`, all as `f32`.
pub trait WeightSource: Sync {
    /// The parameter, or `None` when there is no such name. What is kept in another precision is widened for the caller.
    fn tensor(&self, name: &str) -> Option<CowArray<'_, f32, IxDyn>>;
}

/// The parameters that a family's decoder needs, of those that an import keeps ([`crate::models::parameters`]).
fn needed(family: Family) -> impl Iterator<Item = Parameter> {
    parameters(family).into_iter().filter(|parameter| parameter.required)
}

/// The decoder's own tokens, in the order in which they stand before the prompt's.
pub(crate) fn output_tokens(family: Family) -> &'static [&'static str] {
    const TOKENS: [&str; 3] = [
        "mask_decoder.obj_score_token.weight",
        "mask_decoder.iou_token.weight",
        "mask_decoder.mask_tokens.weight",
    ];
    match family {
        Family::Sam => &TOKENS[1..],
        Family::Sam2 | Family::Sam3 => &TOKENS,
    }
}

/// How many tokens of its own the decoder has: 5, and 6 with the object-score token.
pub(crate) const fn output_token_count(family: Family) -> usize {
    iou_token_index(family) + 1 + MASKS
}

/// Where the IoU token stands; the mask tokens follow it.
pub(crate) const fn iou_token_index(family: Family) -> usize {
    match family {
        Family::Sam => 0,
        Family::Sam2 | Family::Sam3 => 1,
    }
}

/// Exactly the parameters that a family's decoder needs (16 MB), checked, and those for mask prompts if all are there.
#[derive(Debug, Clone)]
pub struct Weights<'a> {
    family: Family,
    tensors: Tensors<'a>,
    takes_masks: bool,
    fingerprint: u64,
}

/// Where they are.
#[derive(Clone)]
enum Tensors<'a> {
    Copied(HashMap<String, ArrayD<f32>>),
    In(&'a dyn WeightSource),
}

impl fmt::Debug for Tensors<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copied(_) => "Copied",
            Self::In(_) => "In",
        })
    }
}

impl Weights<'static> {
    /// Copies the family's parameters out of `source`.
    ///
    /// # Errors
    /// A parameter that is missing, has another shape, or holds a value that is not finite.
    pub fn copied(source: &dyn WeightSource, family: Family) -> Result<Self, DecoderError> {
        let mut tensors = HashMap::new();
        let (takes_masks, fingerprint) = checked(source, family, |name, tensor| {
            tensors.insert(name, tensor.into_owned());
        })?;
        Ok(Self { family, tensors: Tensors::Copied(tensors), takes_masks, fingerprint })
    }

    /// Weights from a fixed sequence of pseudo-random numbers, in the ranges in which PyTorch initialises such layers.
    ///
    /// The masks are meaningless, but every operation takes part in them: what tests and speed measurements need
    /// where no checkpoint is at hand.
    pub fn random(family: Family, seed: u64) -> Self {
        let mut random = XorShift::new(seed);
        let mut tensors = HashMap::new();
        let mask_norms = [1, 4].map(|i| format!("{MASK_PROMPT}.{i}."));
        for Parameter { name, shape, .. } in needed(family).chain(mask_parameters(family)) {
            let is_norm = name.contains(".norm")
                || name.contains("output_upscaling.1.")
                || mask_norms.iter().any(|norm| name.starts_with(norm));
            let (centre, reach) = if is_norm {
                (if name.ends_with(".weight") { 1.0 } else { 0.0 }, 0.3)
            } else if name.starts_with(MASK_PROMPT) {
                // All outputs of a convolution of few inputs: about what comes in.
                (0.0, 1.0)
            } else if name.starts_with("prompt_encoder") || output_tokens(family).contains(&name.as_str()) {
                // Embeddings and the Fourier matrix: about standard deviation 1.
                (0.0, 1.7)
            } else {
                let fan_in =
                    if name.contains("output_upscaling") { shape[0] } else { shape[shape.len() - 1] };
                (0.0, (fan_in as f32).sqrt().recip())
            };
            let tensor = ArrayD::from_shape_simple_fn(IxDyn(&shape), || centre + reach * random.symmetric());
            tensors.insert(name, tensor);
        }
        let mut fingerprint = Fingerprint::new(family);
        for tensor in needed(family).filter_map(|parameter| tensors.get(&parameter.name)) {
            fingerprint.add(tensor.as_slice().unwrap_or_default());
        }
        let (tensors, fingerprint) = (Tensors::Copied(tensors), fingerprint.finish());
        Self { family, tensors, takes_masks: true, fingerprint }
    }
}

impl<'a> Weights<'a> {
    /// The family's parameters as they lie in `source`: none is copied, one is read whenever it is asked for.
    ///
    /// # Errors
    /// As [`copied`](Weights::copied).
    pub fn of(source: &'a dyn WeightSource, family: Family) -> Result<Self, DecoderError> {
        let (takes_masks, fingerprint) = checked(source, family, |_, _| ())?;
        Ok(Self { family, tensors: Tensors::In(source), takes_masks, fingerprint })
    }

    /// The family whose parameters these are.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether the parameters are there that take a mask as a prompt.
    pub fn takes_masks(&self) -> bool {
        self.takes_masks
    }

    /// The same without those parameters, as models were imported before they were kept.
    #[cfg(test)]
    pub(crate) fn without_masks(self) -> Self {
        Self { takes_masks: false, ..self }
    }

    /// A number that other weights are all but certain not to have.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// A matrix by name.
    pub(crate) fn matrix(&self, name: &str) -> Result<Array2<f32>, DecoderError> {
        self.owned(name)?.into_dimensionality().map_err(|_| self.missing(name))
    }

    /// A vector by name.
    pub(crate) fn vector(&self, name: &str) -> Result<Array1<f32>, DecoderError> {
        self.owned(name)?.into_dimensionality().map_err(|_| self.missing(name))
    }

    /// Any tensor by name.
    pub(crate) fn owned(&self, name: &str) -> Result<ArrayD<f32>, DecoderError> {
        self.tensor(name).map(|tensor| standard(tensor).into_owned()).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> DecoderError {
        DecoderError::MissingParameter { family: self.family, name: name.to_owned() }
    }
}

/// A tensor in standard layout, copied only if need be.
fn standard(tensor: CowArray<'_, f32, IxDyn>) -> CowArray<'_, f32, IxDyn> {
    if tensor.is_standard_layout() { tensor } else { tensor.as_standard_layout().into_owned().into() }
}

/// Checks all that a family's decoder needs, and gives each tensor to `keep` in standard layout. Whether masks can be
/// prompts, and the fingerprint.
fn checked<'a>(
    source: &'a dyn WeightSource,
    family: Family,
    mut keep: impl FnMut(String, CowArray<'a, f32, IxDyn>),
) -> Result<(bool, u64), DecoderError> {
    let takes_masks = mask_parameters(family).all(|parameter| source.tensor(&parameter.name).is_some());
    let masks = mask_parameters(family).filter(|_| takes_masks);
    let mut fingerprint = Fingerprint::new(family);
    for Parameter { name, shape, required } in needed(family).chain(masks) {
        let Some(tensor) = source.tensor(&name) else {
            return Err(DecoderError::MissingParameter { family, name });
        };
        if tensor.shape() != shape {
            let found = tensor.shape().to_vec();
            return Err(DecoderError::ParameterShape { family, name, found, expected: shape });
        }
        let tensor = standard(tensor);
        let values = tensor.as_slice().unwrap_or_default();
        if !all_finite(values) {
            return Err(DecoderError::ParameterNotFinite { name });
        }
        if required {
            fingerprint.add(values);
        }
        keep(name, tensor);
    }
    Ok((takes_masks, fingerprint.finish()))
}

impl WeightSource for crate::models::DecoderWeights {
    fn tensor(&self, name: &str) -> Option<CowArray<'_, f32, IxDyn>> {
        Self::tensor(self, name).map(CowArray::from)
    }
}

impl WeightSource for Weights<'_> {
    fn tensor(&self, name: &str) -> Option<CowArray<'_, f32, IxDyn>> {
        if !self.takes_masks && name.starts_with(MASK_PROMPT) {
            return None;
        }
        match &self.tensors {
            Tensors::Copied(tensors) => tensors.get(name).map(|tensor| tensor.view().into()),
            Tensors::In(source) => source.tensor(name),
        }
    }
}

/// A hash of many numbers, in parts that do not wait for each other.
struct Fingerprint([u64; 8]);

impl Fingerprint {
    fn new(family: Family) -> Self {
        Self([family as u64; 8])
    }

    const fn mixed(hash: u64, word: u64) -> u64 {
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29)
    }

    fn add(&mut self, values: &[f32]) {
        for values in values.chunks(self.0.len()) {
            for (hash, value) in self.0.iter_mut().zip(values) {
                *hash = Self::mixed(*hash, u64::from(value.to_bits()));
            }
        }
    }

    fn finish(self) -> u64 {
        self.0.into_iter().fold(0, Self::mixed)
    }
}

/// Marsaglia's 64-bit xorshift: the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct XorShift(u64);

impl XorShift {
    /// A generator; the seed 0 is replaced, as it would give zeros for ever.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number, uniform in -1 ..= 1.
    pub fn symmetric(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper 24 bits fill an f32's mantissa exactly.
        (self.0 >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_complete_weights_holds_every_parameter() {
        for family in Family::ALL {
            let copy = Weights::copied(&Weights::random(family, 1), family).unwrap();
            assert!(copy.takes_masks());
            for Parameter { name, shape, .. } in parameters(family).into_iter().filter(|p| p.required) {
                assert_eq!(copy.tensor(&name).unwrap().shape(), shape, "{name}");
            }
        }
    }

    #[test]
    fn weights_of_another_family_are_refused_by_name() {
        let sam = Weights::random(Family::Sam, 1);
        let error = Weights::copied(&sam, Family::Sam2).unwrap_err();
        assert!(error.to_string().contains("mask_decoder.obj_score_token.weight"), "{error}");
        assert_eq!(error.code(), crate::ErrorCode::ModelMismatch);
    }

    #[test]
    fn a_parameter_of_another_shape_or_with_nan_is_refused_by_name() {
        let name = "mask_decoder.iou_prediction_head.layers.2.bias";
        let with = |tensor: ArrayD<f32>| {
            let mut weights = Weights::random(Family::Sam, 1);
            let Tensors::Copied(tensors) = &mut weights.tensors else {
                panic!("random weights are in memory")
            };
            tensors.insert(name.into(), tensor);
            Weights::copied(&weights, Family::Sam).unwrap_err()
        };
        let error = with(ArrayD::from_elem(IxDyn(&[4]), f32::NAN));
        assert!(matches!(&error, DecoderError::ParameterNotFinite { name: n } if n == name), "{error}");

        let error = with(ArrayD::zeros(IxDyn(&[5])));
        assert!(error.to_string().contains("[5]") && error.to_string().contains("[4]"), "{error}");
    }

    #[test]
    fn random_weights_are_the_same_for_the_same_seed() {
        let name = "mask_decoder.iou_token.weight";
        let of = |seed| Weights::random(Family::Sam, seed).owned(name).unwrap();
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }
}
