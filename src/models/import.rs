//! `import-model`: a checkpoint of gigabytes becomes a decoder directory of 16 MB.
//!
//! Only the decoder's parameters are read, and held in memory once as floats and once as the file to write; the
//! image encoder is passed over, except that the whole file goes through SHA-256 in pieces.

use std::path::Path;

use half::f16;
use ndarray::ArrayD;
use rawzip::ReaderAt;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};

use super::checkpoint::{self, Recognised};
use super::disk::{self, Description, Precision};
use super::error::ModelsError;
use super::store::{ModelInfo, ModelStore};
use crate::api::check_name;
use crate::features::bytes::le_bytes;
use crate::features::torch::TorchArchive;
use crate::features::{CardFile, FeaturesError};

/// Bytes hashed at a time.
const PIECE: usize = 1 << 20;

/// What an import may be told.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Name of the model directory; the checkpoint's file stem where it is not given. It only names the
    /// directory: folders find the model by the checkpoint's file name.
    pub name: Option<String>,
    /// Write half precision: 8 MB instead of 16. Exact only where every parameter is a half already.
    pub half: bool,
    /// Take the place of a model of other weights that has the name. One of the same weights is replaced in any case.
    pub replace: bool,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportProgress {
    /// Parameters read so far.
    Reading {
        /// Read.
        done: usize,
        /// To read.
        total: usize,
    },
    /// Bytes of the checkpoint hashed so far.
    Hashing {
        /// Hashed.
        done: u64,
        /// To hash.
        total: u64,
    },
    /// The model directory is being written.
    Writing,
}

/// A model that was imported.
#[derive(Debug, Clone)]
pub struct ImportedModel {
    /// The model, as [`super::ModelStore`] lists it.
    pub info: ModelInfo,
    /// Number of parameters.
    pub parameters: usize,
    /// Size of `decoder.safetensors` in bytes.
    pub bytes: usize,
    /// Whether every parameter is stored exactly; half precision may round.
    pub exact: bool,
    /// The model of other weights whose place it has taken, if there was one.
    pub replaced: Option<ModelInfo>,
    /// Names of other models that say they come from a checkpoint of this name, with other weights. A folder of that
    /// checkpoint is not answered while there are any ([`ModelsError::Ambiguous`]).
    pub namesakes: Vec<String>,
}

/// Imports a checkpoint of Ultralytics or Meta, single precision.
///
/// # Errors
/// As [`import_checkpoint_with`].
pub fn import_checkpoint(
    checkpoint: &Path,
    models: &Path,
    name: Option<&str>,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportedModel, ModelsError> {
    let options = ImportOptions { name: name.map(str::to_owned), ..ImportOptions::default() };
    import_checkpoint_with(checkpoint, models, &options, progress)
}

/// Imports a checkpoint of Ultralytics or Meta into `<models>/<name>`, in place of a model of the same weights, or of
/// other weights if that is asked for.
///
/// The family is recognised by the parameters in it. A 2.4 GB checkpoint takes some 60 MB of memory.
///
/// # Errors
/// Checkpoints that cannot be read, are of no known family, lack parameters, have them in other shapes, or have more of
/// them in the mask decoder; names that are none, or are those of a model of other weights; and failing writes. Nothing is
/// replaced unless everything was read.
pub fn import_checkpoint_with(
    checkpoint: &Path,
    models: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportedModel, ModelsError> {
    let stem = checkpoint.file_stem().unwrap_or_default().to_string_lossy();
    let name = options.name.as_deref().unwrap_or(&stem);
    check_name(name).map_err(|source| ModelsError::Name { name: name.to_owned(), source })?;
    disk::check_rights(models)?;

    let archive = TorchArchive::open(checkpoint)?;
    let Recognised { family, tensors } = checkpoint::recognise(&archive)?;
    let total = tensors.len();
    let (mut stored, mut exact) = (Vec::with_capacity(total), true);
    for (done, (parameter, name, tensor)) in tensors.into_iter().enumerate() {
        progress(ImportProgress::Reading { done, total });
        let array = checkpoint::read(&archive, &name, tensor)?;
        let (bytes, is_exact) = encode(checkpoint, &name, &array, options.half)?;
        exact &= is_exact;
        stored.push((parameter, bytes));
    }
    progress(ImportProgress::Reading { done: total, total });
    drop(archive);
    let sha256 = sha256(checkpoint, progress)?;
    let source_file = checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let replaced = disk::occupant(models, name).filter(|there| there.source_sha256 != sha256);
    if let Some(there) = replaced.as_ref().filter(|_| !options.replace) {
        return Err(ModelsError::OtherWeights {
            dir: models.join(name),
            there: named(&there.source_file, &there.source_sha256),
            new: named(&source_file, &sha256),
        });
    }

    progress(ImportProgress::Writing);
    let dtype = if options.half { Dtype::F16 } else { Dtype::F32 };
    let views = stored.iter().map(|(parameter, bytes)| {
        let view = TensorView::new(dtype, parameter.shape.clone(), bytes);
        view.map(|view| (parameter.name.as_str(), view))
    });
    let damaged = |e: safetensors::SafeTensorError| ModelsError::Damaged {
        path: models.join(name).join(disk::DECODER),
        detail: e.to_string(),
    };
    let views = views.collect::<Result<Vec<_>, _>>().map_err(damaged)?;
    let decoder = safetensors::serialize(views, None).map_err(damaged)?;
    let description = Description {
        format: disk::FORMAT,
        family,
        grid: family.grid(),
        source_file,
        source_sha256: sha256,
        precision: if options.half { Precision::F16 } else { Precision::F32 },
        decoder_crc32: format!("{:08x}", crc32fast::hash(&decoder)),
        created_by: concat!("geosam-edge ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let dir = disk::write_model(models, name, &description, &decoder)?;
    let replaced = replaced.map(|there| ModelInfo::of(name.to_owned(), dir.clone(), there));
    let info = ModelInfo::of(name.to_owned(), dir, description);
    let namesakes = ModelStore::open(models).map_or_else(|_| Vec::new(), |store| store.namesakes(&info));
    let (parameters, bytes) = (total, decoder.len());
    Ok(ImportedModel { info, parameters, bytes, exact, replaced, namesakes })
}

/// A checkpoint for a message.
fn named(source_file: &str, sha256: &str) -> String {
    format!("{source_file} (SHA-256 {}...)", sha256.get(..12).unwrap_or(sha256))
}

/// A parameter's bytes in the file, and whether they are exactly its values.
fn encode(path: &Path, name: &str, array: &ArrayD<f32>, half: bool) -> Result<(Vec<u8>, bool), ModelsError> {
    if !half {
        // `checkpoint::read` gives standard layout; the other arm is for completeness.
        let bytes = match array.as_slice() {
            Some(values) => le_bytes(values).into_owned(),
            None => array.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        return Ok((bytes, true));
    }
    let (mut bytes, mut exact) = (Vec::with_capacity(array.len() * 2), true);
    for &value in array {
        let rounded = f16::from_f32(value);
        if rounded.is_infinite() {
            let detail = format!("holds {value}, which half precision cannot hold; import it without --half");
            return Err(checkpoint::bad(path, name, detail));
        }
        exact &= rounded.to_f32() == value;
        bytes.extend(rounded.to_le_bytes());
    }
    Ok((bytes, exact))
}

/// SHA-256 of a whole file in hexadecimal, read in pieces.
fn sha256(path: &Path, progress: &mut dyn FnMut(ImportProgress)) -> Result<String, ModelsError> {
    let io = |source| FeaturesError::Io { path: path.to_owned(), source };
    let file = CardFile::open(path).map_err(io)?;
    let total = file.size();
    let (mut hash, mut piece, mut done) = (Sha256::new(), vec![0; PIECE], 0);
    loop {
        progress(ImportProgress::Hashing { done, total });
        match file.read_at(&mut piece, done).map_err(io)? {
            0 => break,
            read => {
                hash.update(&piece[..read]);
                done += read as u64;
            }
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
