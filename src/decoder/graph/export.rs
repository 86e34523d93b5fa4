//! Writes the graphs to files, for ONNX Runtime, TensorRT and other runtimes.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

use super::{Association, Audience, PromptTokens, decode, mask, prepare, whole};
use crate::decoder::error::DecoderError;
use crate::decoder::weights::Weights;
use crate::family::Family;

/// What is in a file, for its documentation string.
pub(super) const WHOLE: &str = "The whole mask decoder with its prompt encoder.";
pub(super) const PREPARE: &str = "What the mask decoder computes once per chip.";
pub(super) const MASK: &str =
    "What a mask prompt changes of the tensors of the prepare graph, before they go to the decode graph.";
pub(super) const DECODE: &str =
    "What the mask decoder computes per prompt, from the tensors of the prepare graph.";

/// Writes `<name>.decoder.onnx` (whole), `<name>.prepare.onnx` and `<name>.decode.onnx` into `directory`, which is made
/// if need be, and returns their paths in this order; behind them `<name>.mask.onnx`, if the weights take masks.
///
/// All but the last take any number of prompt tokens (the dimension `N`). How prompts become `point_coords` and `point_labels` is
/// said in each file's documentation string and in its metadata.
///
/// # Errors
/// A parameter that is missing, or a file that cannot be written.
pub fn export(weights: &Weights, name: &str, directory: &Path) -> Result<Vec<PathBuf>, DecoderError> {
    fs::create_dir_all(directory)
        .map_err(|source| DecoderError::Export { path: directory.to_owned(), source })?;
    let (any, runtime) = (PromptTokens::Symbolic, Audience::Runtime);
    let mut graphs = vec![
        ("decoder", whole(weights, any, runtime)?),
        ("prepare", prepare(weights, runtime)?),
        ("decode", decode(weights, any, Association::FewTokens, runtime)?),
    ];
    if weights.takes_masks() {
        graphs.push(("mask", mask(weights)?));
    }
    let mut paths = Vec::with_capacity(graphs.len());
    for (part, model) in graphs {
        let path = directory.join(format!("{name}.{part}.onnx"));
        fs::write(&path, model.encode_to_vec())
            .map_err(|source| DecoderError::Export { path: path.clone(), source })?;
        paths.push(path);
    }
    Ok(paths)
}

/// The documentation string of a file.
pub(super) fn doc(family: Family, part: &str) -> String {
    let prompt = match family {
        Family::Sam => {
            "Prompt: the points (label 1 or 0); then, with a box, its top left (2) and bottom right corner (3), else one \
             padding point (0, 0) of label -1."
        }
        Family::Sam2 | Family::Sam3 => {
            "Prompt: with a box, first its top left (label 2) and bottom right corner (3); then the points (1 or 0); then \
             always one padding point (0, 0) of label -1."
        }
    };
    let answer = match family {
        Family::Sam => "Mask 0 is the answer where one mask is wanted.",
        Family::Sam2 | Family::Sam3 => {
            "Where one mask is wanted, it is mask 0 if (logits > 0.05) has at least 0.98 of the area of (logits > -0.05), \
             else the one of masks 1 to 3 with the highest score."
        }
    };
    format!(
        "{part} Family {family}, encoder frame {frame} x {frame} pixels: a chip is scaled by \
         min({frame} / height, {frame} / width) and lies in the top left corner. {prompt} {answer}",
        frame = family.frame()
    )
}

/// Key-value metadata of a file.
pub(super) fn metadata(family: Family) -> [(&'static str, String); 3] {
    [
        ("family", family.to_string()),
        ("grid", family.grid().to_string()),
        ("frame", family.frame().to_string()),
    ]
}
