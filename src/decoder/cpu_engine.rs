//! The engines that run on the processor, by name.

use std::sync::Arc;

use super::{DecoderError, FusedDecoder, MaskDecoder, WeightSource};
use crate::family::Family;

/// An engine that runs on the processor, inside the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuEngine {
    /// The executor of our own.
    Fused,
    /// The plain graphs on tract, against which the other is verified.
    Tract,
}

impl CpuEngine {
    /// Its name in settings, `info` and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Tract => "tract",
        }
    }

    /// Whether this program has it.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Fused => true,
            Self::Tract => cfg!(any(test, feature = "tract")),
        }
    }

    /// A decoder with the weights of a checkpoint, on so many threads.
    ///
    /// # Errors
    /// The program was built without the engine, the weights do not fit, or threads cannot be started.
    pub fn decoder(
        self,
        source: &dyn WeightSource,
        family: Family,
        threads: usize,
    ) -> Result<Arc<dyn MaskDecoder>, DecoderError> {
        match self {
            Self::Fused => Ok(Arc::new(FusedDecoder::new(source, family, threads)?)),
            #[cfg(any(test, feature = "tract"))]
            Self::Tract => Ok(Arc::new(super::TractDecoder::new(source, family, threads)?)),
            #[cfg(not(any(test, feature = "tract")))]
            Self::Tract => Err(DecoderError::Engine {
                action: "start tract",
                message: "this program was built without the cargo feature \"tract\"".to_owned(),
            }),
        }
    }
}

impl std::fmt::Display for CpuEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
