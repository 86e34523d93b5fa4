//! Why nothing was exported.

use std::io;
use std::path::PathBuf;

use crate::layers::{LayerError, LayerProblem};

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// No such layer.
    #[error("there is no layer {layer} in {}; {}", directory.display(), known_layers(known))]
    NoLayer {
        /// The layer.
        layer: String,
        /// Where it was looked for.
        directory: PathBuf,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The output cannot be written.
    #[error("cannot write {}: {source}; check the path and the space left there", path.display())]
    Output {
        /// Where to.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The format cannot hold the layer.
    #[error("layer {layer} cannot be written as {format}: {problem}")]
    Format {
        /// The layer.
        layer: String,
        /// The format.
        format: &'static str,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// There is nothing in the layer that the format can hold.
    #[error("layer {layer} cannot be written as {format}: {}", nothing(*skipped))]
    Empty {
        /// The layer.
        layer: String,
        /// The format.
        format: &'static str,
        /// Lines and objects that are there, none of which can be written.
        skipped: u64,
    },
    /// Not one line of the layer is a feature.
    #[error("{0}; it has no other line, and nothing is written")]
    Unreadable(LayerProblem),
    /// The machine's clock is not set, and the format tells times.
    #[error(
        "layer {layer} cannot be written as {format}: the clock says {now}, before 2024; set the clock first"
    )]
    Clock {
        /// The layer.
        layer: String,
        /// The format.
        format: &'static str,
        /// What the clock says.
        now: String,
    },
    /// A database that cannot be written.
    #[error("cannot write {}: {problem}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do about it.
        problem: String,
    },
}

fn known_layers(known: &[String]) -> String {
    if known.is_empty() {
        return "there are none: nothing has been saved there yet, or --state (or --config) leads elsewhere"
            .to_owned();
    }
    format!("there are {}", known.join(", "))
}

fn nothing(skipped: u64) -> String {
    match skipped {
        0 => "it is empty, or none of its objects was asked for".to_owned(),
        1 => "its only line is no object that the format can hold".to_owned(),
        many => format!("none of its {many} lines is an object that the format can hold"),
    }
}
