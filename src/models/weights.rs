//! The parameters of an imported decoder, read from its file when they are asked for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use half::bf16;
use ndarray::{ArrayD, IxDyn};
use rawzip::ReaderAt;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::de::IgnoredAny;

use super::error::ModelsError;
use super::parameters::{mask_parameters, parameters};
use super::store::ModelInfo;
use crate::family::Family;
use crate::features::CardFile;
use crate::features::bytes::{fill_le, widen_f16};
use crate::stand_in::stand_in;

/// Largest `decoder.safetensors` read. One of single precision has 17 MB.
const MAX_DECODER: u64 = 256 << 20;
/// Largest header read for what it names. That of a decoder has some 20 KB.
const MAX_HEADER: u64 = 1 << 20;
/// Bytes of a file whose checksum is made that are in memory at a time.
const CHUNK: usize = 1 << 18;

/// The parameters of a prompt encoder and mask decoder, complete and in the shapes of [`super::parameters`].
///
/// They stay in their file; each is read, and becomes `f32`, when it is asked for. A decoder packs them one by one, so that
/// they never stand in memory twice.
#[derive(Debug)]
pub struct DecoderWeights {
    family: Family,
    path: PathBuf,
    file: CardFile,
    places: BTreeMap<String, Place>,
    /// Why a parameter that is there could not be read.
    unread: Mutex<Option<io::Error>>,
}

/// A parameter in the file.
#[derive(Debug, Clone)]
struct Place {
    stored: Stored,
    shape: Vec<usize>,
    /// Where it begins in the file.
    start: u64,
}

/// The types that an import writes, and one more that others do.
#[derive(Debug, Clone, Copy)]
enum Stored {
    F32,
    F16,
    BF16,
}

impl Stored {
    /// Bytes of a value.
    const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

impl DecoderWeights {
    /// Takes an open `decoder.safetensors`. Names that the family does not have are dropped. `path` names the
    /// origin in errors.
    ///
    /// # Errors
    /// A file that is none, required parameters that are missing, and parameters of other shapes or types.
    pub(super) fn new(family: Family, file: CardFile, path: &Path) -> Result<Self, ModelsError> {
        let damaged = |detail: String| ModelsError::Damaged { path: path.to_owned(), detail };
        let io = |source| ModelsError::Io { action: "read", path: path.to_owned(), source };
        let text = header(&file).map_err(io)?.ok_or_else(|| damaged("its header is cut off".to_owned()))?;
        let metadata: Metadata = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        // The header follows its length, the parameters follow the header.
        let start = size_of::<u64>() + text.len();
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
            let bytes = stored.size() * parameter.shape.iter().product::<usize>();
            let is_there = to.checked_sub(from) == Some(bytes)
                && start.checked_add(to).is_some_and(|end| end as u64 <= file.size());
            if !is_there {
                return Err(damaged(format!("{} is cut off; import the model again", parameter.name)));
            }
            let place = Place { stored, shape: parameter.shape, start: (start + from) as u64 };
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
        Ok(Self { family, path: path.to_owned(), file, places, unread: Mutex::new(None) })
    }

    /// The family, which fixes the names and shapes.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// A parameter by its canonical name, in standard layout; `None` where there is none, and where it cannot be read
    /// ([`Self::unread`]).
    pub fn tensor(&self, name: &str) -> Option<ArrayD<f32>> {
        let place = self.places.get(name)?;
        match self.read(place) {
            Ok(values) => ArrayD::from_shape_vec(IxDyn(&place.shape), values).ok(),
            Err(error) => {
                self.last_error().get_or_insert(error);
                None
            }
        }
    }

    /// Why a parameter that is there could not be read, if one could not: it looked as if it were missing.
    pub fn unread(&self) -> Option<ModelsError> {
        let source = self.last_error().take()?;
        Some(ModelsError::Io { action: "read", path: self.path.clone(), source })
    }

    fn last_error(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, place: &Place) -> io::Result<Vec<f32>> {
        let mut values = vec![0.0; place.shape.iter().product()];
        let read = |bytes: &mut [u8]| self.file.read_exact_at(bytes, place.start);
        if let Stored::F32 = place.stored {
            fill_le(&mut values, read)?;
            return Ok(values);
        }
        let mut halves = vec![0; place.stored.size() * values.len()];
        read(&mut halves)?;
        if let Stored::F16 = place.stored {
            widen_f16(&halves, &mut values);
        } else {
            for (value, bytes) in values.iter_mut().zip(halves.as_chunks().0) {
                *value = bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        Ok(values)
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
    let io = |source| ModelsError::Io { action: "read", path: path.clone(), source };
    let damaged = |detail| ModelsError::Damaged { path: path.clone(), detail };
    let file = CardFile::open(&path).map_err(io)?;
    if file.size() > MAX_DECODER {
        let detail = format!("it has {} bytes, more than any decoder; import the model again", file.size());
        return Err(damaged(detail));
    }
    let mut crc = crc32fast::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < file.size() {
        let length = CHUNK.min(usize::try_from(file.size() - at).unwrap_or(CHUNK));
        let part = chunk.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at).map_err(io)?;
        if let Some(stand_in) = (at == 0).then(|| stand_in(part)).flatten() {
            return Err(damaged(format!("it is {stand_in}")));
        }
        crc.update(part);
        at += length as u64;
    }
    let crc = format!("{:08x}", crc.finalize());
    if crc != info.decoder_crc32 {
        return Err(damaged(format!(
            "its CRC is {crc}, but {} was written; import {} again",
            info.decoder_crc32, info.source_file
        )));
    }
    DecoderWeights::new(info.family, file, &path)
}

/// Whether a `decoder.safetensors` names all parameters of mask prompts, by its header alone. One that cannot be read names
/// nothing here; who loads it says why.
pub(super) fn names_mask_parameters(family: Family, path: &Path) -> bool {
    let names = || -> Option<BTreeMap<String, IgnoredAny>> {
        let text = header(&CardFile::open(path).ok()?).ok()??;
        serde_json::from_slice(&text).ok()
    };
    names().is_some_and(|names| mask_parameters(family).all(|p| names.contains_key(&p.name)))
}

/// The text of the header: a JSON object behind its length (<https://huggingface.co/docs/safetensors/index#format>). `None` where the
/// file has no such length, or is shorter.
fn header(file: &CardFile) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; size_of::<u64>()];
    let before = length.len() as u64;
    if file.size() < before {
        return Ok(None);
    }
    file.read_exact_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length);
    let Some(length) =
        usize::try_from(length).ok().filter(|_| length <= MAX_HEADER.min(file.size() - before))
    else {
        return Ok(None);
    };
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, before)?;
    Ok(Some(text))
}
