//! The one place that knows the whole way of a prompt: prompt set in, GeoJSON features out.
//!
//! A prompt's coordinates go to the folder's CRS, a chip is chosen, its features are read and prepared
//! (or found in the cache), decoded, upscaled, traced and written in the output CRS. Nothing here knows
//! of MQTT, files of requests, or terminals.

mod answer;
mod around;
mod choice;
mod decoders;
mod error;
mod everything;
mod fit;
mod folder;
mod kept;
mod leaning;
mod locate;
mod model_places;
mod outlines;
mod refine;
mod refusals;
mod segment;
mod segmentation;
mod stitch;
mod swapped;
#[cfg(test)]
mod tests;
mod ways;

pub use answer::MaskObject;
pub use choice::EngineChoice;
pub use decoders::Decoders;
pub use error::EngineError;
pub use everything::{Candidate, FoundObject, Step, Survey};
pub use folder::ServedFolder;
pub use locate::chip_of;
pub use refine::{LowResMask, MaskInput};
pub use segment::{Engine, EngineOptions};
pub use segmentation::Segmentation;
