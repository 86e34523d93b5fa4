//! What can go wrong between a chip's tensors and its masks.

use std::path::PathBuf;

use crate::error_code::ErrorCode;
use crate::family::Family;

/// An error of the decoder. Paths of chips and folders are added by the caller, who knows them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// The weights lack a parameter of the family.
    #[error(
        "the {family} decoder needs the parameter {name}, but the weights do not hold it: import the checkpoint again"
    )]
    MissingParameter {
        /// The family whose decoder was asked for.
        family: Family,
        /// The parameter, without the family's prefix.
        name: String,
    },
    /// A parameter does not have the shape that the family fixes.
    #[error(
        "the parameter {name} has shape {found:?} where the {family} decoder needs {expected:?}: \
         the checkpoint is of another family or damaged, import the right one"
    )]
    ParameterShape {
        /// The family whose decoder was asked for.
        family: Family,
        /// The parameter, without the family's prefix.
        name: String,
        /// The shape in the weights.
        found: Vec<usize>,
        /// The shape that the family fixes.
        expected: Vec<usize>,
    },
    /// A parameter holds NaN or infinity.
    #[error(
        "the parameter {name} holds a value that is not finite: the checkpoint is damaged, import it again"
    )]
    ParameterNotFinite {
        /// The parameter, without the family's prefix.
        name: String,
    },
    /// The chip was encoded by another family.
    #[error(
        "the chip was encoded by {chip}, but this is the {decoder} decoder: import the checkpoint that encoded the folder"
    )]
    FamilyMismatch {
        /// The family of the chip.
        chip: Family,
        /// The family of the decoder.
        decoder: Family,
    },
    /// A tensor of the chip has the wrong shape, or is missing (`found` is empty).
    #[error(
        "the chip's {tensor} has shape {found:?} where {family} needs {expected:?}: encode the chip again"
    )]
    ChipShape {
        /// The family of the decoder.
        family: Family,
        /// Which tensor.
        tensor: &'static str,
        /// The shape in the chip; empty where there is no such tensor.
        found: Vec<usize>,
        /// The shape that the family fixes.
        expected: Vec<usize>,
    },
    /// A tensor of the chip holds NaN or infinity.
    #[error("the chip's {tensor} holds a value that is not finite: encode the chip again")]
    ChipNotFinite {
        /// Which tensor.
        tensor: &'static str,
    },
    /// A prompt without points and without a box.
    #[error(
        "the prompt has neither points nor a box: give at least one (a mask alone says where to start, not what is meant)"
    )]
    EmptyPrompt,
    /// A coordinate of the prompt is NaN or infinite.
    #[error("the prompt holds a coordinate that is not finite")]
    PromptNotFinite,
    /// The mask of a prompt has another size than the family's low-resolution logits.
    #[error(
        "the prompt's mask has {} x {} values where {family} needs {expected} x {expected}: give the low-resolution \
         logits of an earlier answer",
        found.0, found.1
    )]
    MaskShape {
        /// The family of the decoder.
        family: Family,
        /// Rows and columns of the mask.
        found: (usize, usize),
        /// The side that the family fixes.
        expected: usize,
    },
    /// The mask of a prompt holds NaN or infinity.
    #[error("the prompt's mask holds a value that is not finite")]
    MaskNotFinite,
    /// The model was imported before masks could be prompts.
    #[error(
        "this {family} model cannot start from a mask: it holds no prompt_encoder.mask_downscaling parameters; \
         import the checkpoint again"
    )]
    NoMaskParameters {
        /// The family of the decoder.
        family: Family,
    },
    /// The prepared chip was made by another engine or family.
    #[error(
        "the prepared chip was made by another decoder than the {decoder} one it was given to: prepare it again"
    )]
    ForeignPreparedChip {
        /// The family of the decoder that was asked.
        decoder: Family,
    },
    /// The decoder's answer holds NaN or infinity.
    #[error(
        "the decoder's {output} hold a value that is not finite: the chip's features or the weights are damaged"
    )]
    NotFinite {
        /// Which output.
        output: &'static str,
    },
    /// The inference engine refused a graph or failed to run it.
    #[error("the inference engine failed to {action}: {message}")]
    Engine {
        /// What was being done, to follow "failed to".
        action: &'static str,
        /// The engine's own account.
        message: String,
    },
    /// The threads of the decoder could not be started.
    #[error("{threads} decoder threads could not be started: {message}; ask for fewer")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's own account.
        message: String,
    },
    /// An exported graph could not be written.
    #[error("{} could not be written: {source}; check the directory and the free space", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl DecoderError {
    /// The stable code for a response.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MissingParameter { .. }
            | Self::ParameterShape { .. }
            | Self::ParameterNotFinite { .. }
            | Self::NoMaskParameters { .. }
            | Self::FamilyMismatch { .. } => ErrorCode::ModelMismatch,
            Self::ChipShape { .. } | Self::ChipNotFinite { .. } => ErrorCode::ChipUnreadable,
            Self::EmptyPrompt | Self::PromptNotFinite | Self::MaskShape { .. } | Self::MaskNotFinite => {
                ErrorCode::BadRequest
            }
            Self::ForeignPreparedChip { .. }
            | Self::NotFinite { .. }
            | Self::Engine { .. }
            | Self::Threads { .. }
            | Self::Export { .. } => ErrorCode::Internal,
        }
    }

    /// Wraps an array that does not have the shape that the graph gives it: weights that escaped the check.
    pub(crate) fn shape(action: &'static str) -> impl Fn(ndarray::ShapeError) -> Self {
        move |error| Self::Engine { action, message: error.to_string() }
    }

    /// Wraps an error of tract, with its whole chain of causes.
    #[cfg(any(test, feature = "tract"))]
    pub(crate) fn engine(action: &'static str) -> impl Fn(anyhow::Error) -> Self {
        move |error| Self::Engine { action, message: format!("{error:#}") }
    }
}
