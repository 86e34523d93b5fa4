//! The decoder on ONNX Runtime: on an NVIDIA GPU through its TensorRT provider, or on its CPU provider.
//!
//! Here: which library, which of its providers; and with the cargo feature `tensorrt` the decoder, `OrtDecoder`, over
//! the same graphs that tract runs. Not here: in which process it runs and what becomes of its failures
//! (`accelerator`). The library is loaded from a path when the program runs; nothing is linked or downloaded.

#[cfg(feature = "tensorrt")]
mod decoder;
#[cfg(feature = "tensorrt")]
mod engines;
#[cfg(feature = "tensorrt")]
mod library;
mod options;
#[cfg(feature = "tensorrt")]
mod session;
#[cfg(all(test, feature = "tensorrt"))]
mod tests;

#[cfg(feature = "tensorrt")]
pub use decoder::OrtDecoder;
#[cfg(feature = "tensorrt")]
pub use engines::EnginePlace;
#[cfg(feature = "tensorrt")]
pub use library::{LibraryFacts, facts};
pub use options::{OnnxRuntimeOptions, Provider};
