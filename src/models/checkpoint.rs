//! A checkpoint's parameters: which family they belong to, and what they are called there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ndarray::ArrayD;
use rawzip::ReaderAt;

use super::error::ModelsError;
use super::parameters::{Parameter, parameters};
use crate::family::Family;
use crate::features::torch::{TensorSpec, TorchArchive, Value};

/// How one kind of checkpoint prefixes the parameters.
struct Naming {
    family: Family,
    /// What stands before `prompt_encoder.` and `mask_decoder.`; some files mix two.
    prefixes: &'static [&'static str],
}

/// The kinds of checkpoints. SAM 3.1 nests its point-prompt head beside the tracker for many objects,
/// which has a `tracker.model.sam_mask_decoder` of its own that is not meant.
const NAMINGS: [Naming; 4] = [
    Naming { family: Family::Sam, prefixes: &[""] },
    Naming { family: Family::Sam2, prefixes: &["sam_"] },
    Naming { family: Family::Sam3, prefixes: &["tracker.sam_"] },
    Naming {
        family: Family::Sam3,
        prefixes: &["tracker.model.interactive_sam_", "tracker.model.interactivity_sam_"],
    },
];

/// The decoder's parameters as they stand in a checkpoint, none read yet.
pub(super) struct Recognised<'a> {
    pub(super) family: Family,
    /// Canonical parameter, its name in the file, and where it is.
    pub(super) tensors: Vec<(Parameter, String, &'a TensorSpec)>,
}

/// Recognises the family by the parameters that are there and checks that all are, in their shapes.
pub(super) fn recognise<R: ReaderAt>(archive: &TorchArchive<R>) -> Result<Recognised<'_>, ModelsError> {
    let path = archive.path();
    let state = state_dict(archive.root());
    let tensors: HashMap<&str, &TensorSpec> =
        state.items().filter_map(|(name, value)| Some((name, value.as_tensor()?))).collect();
    let best = NAMINGS
        .iter()
        .map(|naming| (naming, find(naming, &tensors)))
        .rev()
        .max_by_key(|(_, found)| found.iter().filter(|(_, tensor)| tensor.is_some()).count());
    let Some((naming, found)) = best.filter(|(_, found)| found.iter().any(|(_, tensor)| tensor.is_some()))
    else {
        return Err(ModelsError::NotSegmentAnything { path: path.to_owned(), found: describe(state) });
    };
    let family = naming.family;

    let missing = |(parameter, tensor): &&(Parameter, _)| parameter.required && Option::is_none(tensor);
    let first_missing: Vec<_> = found
        .iter()
        .filter(missing)
        .take(3)
        .map(|(parameter, _)| format!("{}{}", naming.prefixes[0], parameter.name))
        .collect();
    if !first_missing.is_empty() {
        return Err(ModelsError::MissingParameters {
            path: path.to_owned(),
            family,
            missing: found.iter().filter(missing).count(),
            total: found.iter().filter(|(parameter, _)| parameter.required).count(),
            first: first_missing,
        });
    }
    refuse_more(naming, &found, &tensors, path)?;
    let mut recognised = Recognised { family, tensors: Vec::with_capacity(found.len()) };
    for (parameter, tensor) in found {
        let Some((name, tensor)) = tensor else { continue };
        if !tensor.shape.iter().copied().eq(parameter.shape.iter().map(|&d| d as u64)) {
            return Err(ModelsError::WrongShape {
                path: path.to_owned(),
                family,
                parameter: name,
                found: tensor.shape.clone(),
                expected: parameter.shape,
            });
        }
        recognised.tensors.push((parameter, name, tensor));
    }
    Ok(recognised)
}

/// Reads one parameter, after comparing its checksum, in standard layout.
pub(super) fn read<R: ReaderAt>(
    archive: &TorchArchive<R>,
    name: &str,
    tensor: &TensorSpec,
) -> Result<ArrayD<f32>, ModelsError> {
    archive.verify_storage(tensor)?;
    let array = archive.read_f32(name, tensor)?;
    if !array.iter().all(|v| v.is_finite()) {
        return Err(bad(archive.path(), name, "holds infinities or NaN; download the checkpoint again"));
    }
    Ok(if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() })
}

pub(super) fn bad(path: &Path, parameter: &str, detail: impl Into<String>) -> ModelsError {
    ModelsError::BadParameter {
        path: path.to_owned(),
        parameter: parameter.to_owned(),
        detail: detail.into(),
    }
}

/// The dict of parameters: the file's own, or the one under its key `model`.
fn state_dict(root: Value<'_>) -> Value<'_> {
    root.get("model").filter(|model| model.is_dict()).unwrap_or(root)
}

type Found<'a> = Vec<(Parameter, Option<(String, &'a TensorSpec)>)>;

fn find<'a>(naming: &Naming, tensors: &HashMap<&str, &'a TensorSpec>) -> Found<'a> {
    let lookup = |parameter: &Parameter| {
        naming.prefixes.iter().find_map(|prefix| {
            let name = format!("{prefix}{}", parameter.name);
            let tensor = *tensors.get(name.as_str())?;
            Some((name, tensor))
        })
    };
    parameters(naming.family)
        .into_iter()
        .map(|parameter| {
            let tensor = lookup(&parameter);
            (parameter, tensor)
        })
        .collect()
}

/// Refuses a mask decoder that holds more than the family's: HQ-SAM's `hf_token`, for example, without which it is only
/// what it was built on.
fn refuse_more(
    naming: &Naming,
    found: &Found<'_>,
    tensors: &HashMap<&str, &TensorSpec>,
    path: &Path,
) -> Result<(), ModelsError> {
    let known: HashSet<&str> =
        found.iter().filter_map(|(_, tensor)| tensor.as_ref().map(|(name, _)| name.as_str())).collect();
    let of_the_decoder = |name: &str| {
        naming
            .prefixes
            .iter()
            .any(|prefix| name.strip_prefix(prefix).is_some_and(|name| name.starts_with("mask_decoder.")))
    };
    let more = tensors.keys().filter(|name| of_the_decoder(name) && !known.contains(*name));
    let mut first: Vec<String> = more.map(|name| (*name).to_owned()).collect();
    if first.is_empty() {
        return Ok(());
    }
    first.sort();
    let extra = first.len();
    first.truncate(3);
    Err(ModelsError::OtherDecoder { path: path.to_owned(), family: naming.family, extra, first })
}

/// What a foreign file holds, for its error.
fn describe(state: Value<'_>) -> String {
    if !state.is_dict() {
        return format!("it holds {}", state.kind());
    }
    let names: Vec<_> = state.items().map(|(name, _)| name).take(3).collect();
    match names.is_empty() {
        true => "it holds an empty dict".to_owned(),
        false => format!("it begins with {}", names.join(", ")),
    }
}
