//! The parameters of a decoder in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use half::bf16;
use ndarray::{ArrayD, IxDyn};
use rawzip::ReaderAt;
use safetensors::{Dtype, SafeTensors};
use serde::de::IgnoredAny;

use super::error::ModelsError;
use super::parameters::{mask_parameters, parameters};
use super::store::ModelInfo;
use crate::family::Family;
use crate::features::CardFile;
use crate::features::bytes::{fill_le, widen_f16};

/// Largest `decoder.safetensors` read. One of single precision has 17 MB.
const MAX_DECODER: u64 = 256 << 20;
/// Largest header read for what it names. That of a decoder has some 20 KB.
const MAX_HEADER: usize = 1 << 20;

/// The parameters of a prompt encoder and mask decoder, complete and in the shapes of [`super::parameters`].
///
/// They lie in memory as in their file; each becomes `f32` when it is asked for. A decoder packs them one by one, so that
/// they never stand there twice.
#[derive(Debug, Clone)]
pub struct DecoderWeights {
    family: Family,
    /// The whole file.
    bytes: Vec<u8>,
    places: BTreeMap<String, Place>,
}

/// A parameter in the file.
#[derive(Debug, Clone)]
struct Place {
    stored: Stored,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// The types that an import writes, and one more that others do.
#[derive(Debug, Clone, Copy)]
enum Stored {
    F32,
    F16,
    BF16,
}

impl DecoderWeights {
    /// Takes the bytes of a `decoder.safetensors`. Names that the family does not have are dropped. `path` names the
    /// origin in errors.
    ///
    /// # Errors
    /// Bytes that are no such file, required parameters that are missing, and parameters of other shapes or types.
    pub fn new(family: Family, bytes: Vec<u8>, path: &Path) -> Result<Self, ModelsError> {
        let damaged = |detail: String| ModelsError::Damaged { path: path.to_owned(), detail };
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(error.to_string()))?;
        // The header follows its length, the parameters follow the header.
        let start = size_of::<u64>() + header;
        let table = parameters(family);
        let total = table.iter().filter(|p| p.required).count();
        let mut places = BTreeMap::new();
        let mut missing = vec![];
        for parameter in table {
            let Some(info) = metadata.info(&parameter.name) else {
                if parameter.required {
                    missing.push(parameter.name);
                }
                continue;
            };
            if info.shape != parameter.shape {
                return Err(ModelsError::WrongShape {
                    path: path.to_owned(),
                    family,
                    parameter: parameter.name,
                    found: info.shape.iter().map(|&d| d as u64).collect(),
                    expected: parameter.shape,
                });
            }
            let stored = match info.dtype {
                Dtype::F32 => Stored::F32,
                Dtype::F16 => Stored::F16,
                Dtype::BF16 => Stored::BF16,
                other => {
                    let name = parameter.name;
                    return Err(damaged(format!("{name} is of type {other:?}; import the model again")));
                }
            };
            let (from, to) = info.data_offsets;
            let place = Place { stored, shape: parameter.shape, bytes: start + from..start + to };
            places.insert(parameter.name, place);
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
        Ok(Self { family, bytes, places })
    }

    /// The family, which fixes the names and shapes.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// A parameter by its canonical name, in standard layout.
    pub fn tensor(&self, name: &str) -> Option<ArrayD<f32>> {
        let place = self.places.get(name)?;
        // The header's bounds and shapes were compared with each other and with the file's length when it was taken.
        let bytes = self.bytes.get(place.bytes.clone())?;
        let mut values = vec![0.0; place.shape.iter().product()];
        match place.stored {
            Stored::F32 => {
                let Ok(()) = fill_le(&mut values, |all| {
                    all.copy_from_slice(bytes);
                    Ok::<_, std::convert::Infallible>(())
                });
            }
            Stored::F16 => widen_f16(bytes, &mut values),
            Stored::BF16 => {
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = bf16::from_le_bytes(*bytes).to_f32();
                }
            }
        }
        ArrayD::from_shape_vec(IxDyn(&place.shape), values).ok()
    }

    /// All parameters by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ArrayD<f32>)> {
        self.places.keys().filter_map(|name| Some((name.as_str(), self.tensor(name)?)))
    }
}

/// Reads the parameters of a model, after comparing their checksum.
///
/// # Errors
/// Files that cannot be read, are damaged, or lack parameters.
pub fn load_weights(info: &ModelInfo) -> Result<DecoderWeights, ModelsError> {
    let path = info.decoder_path();
    let bytes = read_decoder(&path)?;
    let crc = format!("{:08x}", crc32fast::hash(&bytes));
    if crc != info.decoder_crc32 {
        let detail = format!(
            "its CRC is {crc}, but {} was written; import {} again",
            info.decoder_crc32, info.source_file
        );
        return Err(ModelsError::Damaged { path, detail });
    }
    DecoderWeights::new(info.family, bytes, &path)
}

/// Whether a `decoder.safetensors` names all parameters of mask prompts, by its header alone. One that cannot be read names
/// nothing here; who loads it says why.
pub(super) fn names_mask_parameters(family: Family, path: &Path) -> bool {
    header(path).is_some_and(|names| mask_parameters(family).all(|p| names.contains_key(&p.name)))
}

/// The members of the header: a JSON object behind its length
/// (<https://huggingface.co/docs/safetensors/index#format>).
fn header(path: &Path) -> Option<BTreeMap<String, IgnoredAny>> {
    let file = CardFile::open(path).ok()?;
    let mut length = [0; size_of::<u64>()];
    file.read_exact_at(&mut length, 0).ok()?;
    let length = usize::try_from(u64::from_le_bytes(length)).ok().filter(|&bytes| bytes <= MAX_HEADER)?;
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, size_of::<u64>() as u64).ok()?;
    serde_json::from_slice(&text).ok()
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
