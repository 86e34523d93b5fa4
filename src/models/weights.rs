//! The parameters of a decoder in memory.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use rawzip::ReaderAt;
use safetensors::{Dtype, SafeTensors};

use super::error::ModelsError;
use super::parameters::parameters;
use super::store::ModelInfo;
use crate::family::Family;
use crate::features::CardFile;
use crate::features::bytes::fill_le;

/// Largest `decoder.safetensors` read. One of single precision has 17 MB.
const MAX_DECODER: u64 = 256 << 20;

/// The parameters of a prompt encoder and mask decoder, as `f32`, complete and in the shapes of
/// [`super::parameters`].
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderWeights {
    family: Family,
    tensors: BTreeMap<String, ArrayD<f32>>,
}

impl DecoderWeights {
    /// Takes parameters under their canonical names. Names that the family does not have are dropped; arrays
    /// come out in standard layout. `path` names their origin in errors.
    ///
    /// # Errors
    /// Required parameters that are missing, and parameters of other shapes.
    pub fn new(
        family: Family,
        mut tensors: BTreeMap<String, ArrayD<f32>>,
        path: &Path,
    ) -> Result<Self, ModelsError> {
        let table = parameters(family);
        let total = table.iter().filter(|p| p.required).count();
        let mut kept = BTreeMap::new();
        let mut missing = vec![];
        for parameter in table {
            match tensors.remove(&parameter.name) {
                Some(array) if array.shape() == parameter.shape => {
                    let standard = array.is_standard_layout();
                    let array = if standard { array } else { array.as_standard_layout().into_owned() };
                    kept.insert(parameter.name, array);
                }
                Some(array) => {
                    return Err(ModelsError::WrongShape {
                        path: path.to_owned(),
                        family,
                        parameter: parameter.name,
                        found: array.shape().iter().map(|&d| d as u64).collect(),
                        expected: parameter.shape,
                    });
                }
                None if parameter.required => missing.push(parameter.name),
                None => {}
            }
        }
        if !missing.is_empty() {
            let count = missing.len();
            missing.truncate(3);
            let path = path.to_owned();
            return Err(ModelsError::MissingParameters {
                path,
                family,
                missing: count,
                total,
                first: missing,
            });
        }
        Ok(Self { family, tensors: kept })
    }

    /// The family, which fixes the names and shapes.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// A parameter by its canonical name, in standard layout.
    pub fn tensor(&self, name: &str) -> Option<ArrayViewD<'_, f32>> {
        self.tensors.get(name).map(|array| array.view())
    }

    /// All parameters by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ArrayViewD<'_, f32>)> {
        self.tensors.iter().map(|(name, array)| (name.as_str(), array.view()))
    }
}

/// Reads the parameters of a model, after comparing their checksum. Half precision is widened exactly.
///
/// # Errors
/// Files that cannot be read, are damaged, or lack parameters.
pub fn load_weights(info: &ModelInfo) -> Result<DecoderWeights, ModelsError> {
    let path = info.decoder_path();
    let bytes = read_decoder(&path)?;
    let damaged = |detail: String| ModelsError::Damaged { path: path.clone(), detail };
    let crc = format!("{:08x}", crc32fast::hash(&bytes));
    if crc != info.decoder_crc32 {
        return Err(damaged(format!(
            "its CRC is {crc}, but {} was written; import {} again",
            info.decoder_crc32, info.source_file
        )));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => floats(view.data()),
            Dtype::F16 => view.data().as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            Dtype::BF16 => {
                view.data().as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
            }
            other => return Err(damaged(format!("{name} is of type {other:?}; import the model again"))),
        };
        let array = ArrayD::from_shape_vec(IxDyn(view.shape()), values);
        tensors.insert(name.to_owned(), array.map_err(|e| damaged(format!("{name}: {e}")))?);
    }
    DecoderWeights::new(info.family, tensors, &path)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / 4];
    let Ok(()) = fill_le(&mut values, |all| {
        all.copy_from_slice(&bytes[..all.len()]);
        Ok::<_, std::convert::Infallible>(())
    });
    values
}

fn read_decoder(path: &Path) -> Result<Vec<u8>, ModelsError> {
    let io = |source| ModelsError::Io { action: "read", path: path.to_owned(), source };
    let file = CardFile::open(path).map_err(io)?;
    let length = usize::try_from(file.size()).ok().filter(|_| file.size() <= MAX_DECODER);
    let length = length.ok_or_else(|| ModelsError::Damaged {
        path: path.to_owned(),
        detail: format!("it has {} bytes, more than any decoder; import the model again", file.size()),
    })?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    Ok(bytes)
}
