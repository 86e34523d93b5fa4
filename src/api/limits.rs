//! What one request may ask for at most. The service tells these in `info`.

use serde::{Deserialize, Serialize};

/// Bounds on a single request; larger ones are refused before any work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of one request payload.
    pub max_payload_bytes: usize,
    /// Points of one prompt set. SAM's decoder attends to every point, so its cost grows with them.
    pub max_points: usize,
    /// Prompt sets of one batch.
    pub max_prompts: usize,
    /// Nesting of objects and arrays in the JSON text.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_payload_bytes: 256 * 1024, max_points: 256, max_prompts: 256, max_depth: 16 }
    }
}
