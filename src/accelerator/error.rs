//! Why an engine is not used. Every text goes into an event, so it says what to do.

use std::path::PathBuf;
use std::time::Duration;

use super::report::Difference;

/// Why a model is decoded on the processor.
#[derive(Debug, thiserror::Error)]
pub enum AcceleratorError {
    /// The program was built without it.
    #[error(
        "this program was built without TensorRT; install one that was built with the cargo feature \
         \"tensorrt\", or set decoder.engine = \"fused\""
    )]
    NotBuiltIn,
    /// There is no library.
    #[error(
        "{} is not there; docs/tensorrt.md says which library to install, tensorrt.library where it is",
        path.display()
    )]
    NoLibrary {
        /// Where it should be.
        path: PathBuf,
    },
    /// The process cannot be started.
    #[error("the engine's process cannot be started: {0}")]
    Spawn(std::io::Error),
    /// The process ended by itself: a crash of a library ends nothing else.
    #[error("the engine's process ended ({how}) when it was to {stage}")]
    Ended {
        /// Exit status or signal.
        how: String,
        /// What it was doing.
        stage: String,
    },
    /// The process did not answer in time, and was ended.
    #[error("the engine did not {stage} within {}", humantime::format_duration(*patience))]
    Silent {
        /// What it was doing.
        stage: String,
        /// How long was waited.
        patience: Duration,
    },
    /// The process says that it cannot.
    #[error("{0}")]
    Refused(String),
    /// The process says something that was not asked for.
    #[error("the engine's process answers something else than was asked for")]
    Confused,
    /// Its answers are not those of the fused executor.
    #[error(
        "the engine disagrees with the fused executor on the probe: {found}; tolerated are {tolerated}{advice}"
    )]
    Disagrees {
        /// How much.
        found: Difference,
        /// How much may be.
        tolerated: Difference,
        /// What to try, if there is something.
        advice: &'static str,
    },
    /// TensorRT was asked for, and ONNX Runtime computed elsewhere without saying so.
    #[error("ONNX Runtime left the decoder to the CPU: TensorRT has built no engine for it")]
    NoEngine,
}
