//! What can be wrong with a checkpoint, a model directory, or the choice of a model.

use std::io;
use std::path::{Path, PathBuf};

use crate::api::NameError;
use crate::error_code::ErrorCode;
use crate::family::Family;
use crate::features::FeaturesError;

/// Why a model cannot be imported, found or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The checkpoint file cannot be read.
    #[error("the checkpoint cannot be imported: {0}")]
    Checkpoint(#[from] FeaturesError),
    /// The system refused a read or write in the models directory.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(action, path, source))]
    Io {
        /// What was being done: "write", "replace".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no parameters of a Segment Anything decoder.
    #[error(
        "{} holds no prompt encoder and mask decoder of SAM, SAM 2 or SAM 3 ({found}); \
         import the checkpoint that the folder was encoded with",
        path.display()
    )]
    NotSegmentAnything {
        /// The checkpoint.
        path: PathBuf,
        /// What is in it instead.
        found: String,
    },
    /// Parameters of the decoder are missing.
    #[error(
        "{} looks like {family}, but {missing} of its {total} decoder parameters are missing: {}{}; \
         download the checkpoint again",
        path.display(),
        first.join(", "),
        if *missing > first.len() { ", ..." } else { "" }
    )]
    MissingParameters {
        /// The file.
        path: PathBuf,
        /// The family that its other parameters belong to.
        family: Family,
        /// How many are missing.
        missing: usize,
        /// How many there should be.
        total: usize,
        /// The first of the missing ones.
        first: Vec<String>,
    },
    /// A parameter has another shape than the family's decoder.
    #[error(
        "{}: parameter {parameter} has the shape {found:?}, but {family} has {expected:?}; \
         this variant of the model is not supported",
        path.display()
    )]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The family.
        family: Family,
        /// The parameter, as the file names it.
        parameter: String,
        /// Its shape in the file.
        found: Vec<u64>,
        /// Its shape in the family's decoder.
        expected: Vec<usize>,
    },
    /// The mask decoder holds more than that of its family: it is another architecture, built on it.
    #[error(
        "{} holds {extra} parameters that the mask decoder of {family} does not have: {}{}; it is another model built on \
         {family}, as HQ-SAM and RobustSAM are, and would be decoded as plain {family}: such models are not supported",
        path.display(),
        first.join(", "),
        if *extra > first.len() { ", ..." } else { "" }
    )]
    OtherDecoder {
        /// The checkpoint.
        path: PathBuf,
        /// The family that it is built on.
        family: Family,
        /// How many parameters are too many.
        extra: usize,
        /// The first of them, as the file names them.
        first: Vec<String>,
    },
    /// A parameter cannot be used or written as asked.
    #[error("{}: parameter {parameter} {detail}", path.display())]
    BadParameter {
        /// The file.
        path: PathBuf,
        /// The parameter.
        parameter: String,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// The name for the model directory is no name.
    #[error(
        "the model name {name:?} {source}; a folder asks for its model by the checkpoint's file name, so give the file the name back that \
         it had when it encoded (browsers add \" (1)\"), or, if it has always been called so, another name with --name"
    )]
    Name {
        /// The name.
        name: String,
        /// The rule it breaks.
        source: NameError,
    },
    /// What should be the directory of models is none.
    #[error("{} {problem}", path.display())]
    NoDirectory {
        /// What was named.
        path: PathBuf,
        /// What it is, and what to do.
        problem: &'static str,
    },
    /// The place of the new model is taken by something else.
    #[error("{} exists and is not a model; move it away or give another name with --name", dir.display())]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// The place of the new model is taken by one of other weights.
    #[error(
        "{} is a model of other weights, imported from {there}, and this is {new}: folders that were encoded with the \
         first would be answered by the second; give --replace if that is meant, or another name with --name",
        dir.display()
    )]
    OtherWeights {
        /// The directory.
        dir: PathBuf,
        /// The checkpoint that the model there was imported from: its file name and the beginning of its SHA-256.
        there: String,
        /// The new checkpoint, likewise.
        new: String,
    },
    /// A model directory is damaged or from a newer version.
    #[error("{} cannot be used: {detail}", path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// No model was imported from the folder's checkpoint.
    #[error(
        "no model in {} was imported from {checkpoint}{} ({family}); {there}. On a machine that has the file, run: \
         geosam-edge import-model {} --models {}",
        models.display(),
        crate::features::other_names(checkpoint),
        crate::features::advised_file(checkpoint),
        models.display()
    )]
    ModelMissing {
        /// The folder's checkpoint.
        checkpoint: String,
        /// The folder's family.
        family: Family,
        /// The models directory.
        models: PathBuf,
        /// What is there instead, as a part of the sentence.
        there: String,
    },
    /// The model of that checkpoint's name is of another family.
    #[error(
        "the folder was encoded with {checkpoint} as {family}, but the model {name} of that checkpoint is {found}; \
         import the checkpoint that the folder was encoded with: another one gives wrong masks"
    )]
    FamilyMismatch {
        /// The folder's checkpoint.
        checkpoint: String,
        /// The folder's family.
        family: Family,
        /// The model's name.
        name: String,
        /// The model's family.
        found: Family,
    },
    /// Two models of different weights carry the checkpoint's name.
    #[error(
        "the models {first} and {second} both come from a file named {checkpoint}, but their weights differ; \
         remove the one that the folder was not encoded with"
    )]
    Ambiguous {
        /// The folder's checkpoint.
        checkpoint: String,
        /// One model.
        first: String,
        /// Another.
        second: String,
    },
}

/// What helps where the system refuses, as a clause of its own; empty where nothing is known.
fn advice(action: &str, path: &Path, source: &io::Error) -> String {
    let is_read = matches!(action, "read" | "list" | "look into");
    match source.kind() {
        io::ErrorKind::PermissionDenied if is_read => {
            let directory = if action != "read" { Some(path) } else { path.parent() };
            let directory = directory.unwrap_or(path).display();
            format!("; let everybody read it, as its owner or root: chmod -R a+rX {directory}")
        }
        io::ErrorKind::PermissionDenied => {
            "; run it with sudo, or name a directory that you may write with --models".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if !is_read => {
            "; free some room there, or name another directory with --models".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; it is mounted read-only: name another directory with --models".to_owned()
        }
        _ => String::new(),
    }
}

impl ModelsError {
    /// The code for a response.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::ModelMissing { .. } | Self::NoDirectory { .. } => ErrorCode::ModelMissing,
            Self::FamilyMismatch { .. } | Self::Ambiguous { .. } => ErrorCode::ModelMismatch,
            _ => ErrorCode::Internal,
        }
    }
}
