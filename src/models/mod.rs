//! Checkpoints to decoder directories, and which model belongs to a folder.
//!
//! A model directory `<models>/<name>/` holds two files: `decoder.safetensors`, the parameters of the prompt
//! encoder and mask decoder under names without the checkpoint's prefix, and `model.toml`, which says
//! where they come from. [`import_checkpoint`] writes one, [`ModelStore`] finds the one for a folder,
//! [`load_weights`] reads it. What the decoder computes with the parameters is `decoder`'s.

mod checkpoint;
mod disk;
mod error;
mod import;
mod parameters;
mod store;
mod weights;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use disk::Precision;
pub use error::ModelsError;
pub use import::{ImportOptions, ImportProgress, ImportedModel, import_checkpoint, import_checkpoint_with};
pub(crate) use parameters::{MASK_PROMPT, mask_parameters, mlp_names};
pub use parameters::{Parameter, parameters};
pub use store::{ModelInfo, ModelProblem, ModelStore};
pub use weights::{DecoderWeights, load_weights};

pub use crate::features::same_model;
