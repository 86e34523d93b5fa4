//! The model families and their fixed shapes. What a family's decoder computes lives in `decoder`.

use serde::{Deserialize, Serialize};

/// A family of Segment Anything models, as geosam writes it into `model_type`.
///
/// The family fixes every shape of the decoder; checkpoints of one family differ in weights only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// SAM and MobileSAM (Kirillov et al. 2023): one embedding of 256 channels, no high-resolution maps.
    Sam,
    /// SAM 2 and 2.1 (Ravi et al. 2024): two high-resolution maps and an object-score token.
    Sam2,
    /// SAM 3's tracker: the decoder of SAM 2 on a grid of 72.
    Sam3,
}

impl Family {
    /// All families, in order of age.
    pub const ALL: [Self; 3] = [Self::Sam, Self::Sam2, Self::Sam3];

    /// The family named in a manifest, a chip or a `model.toml`; `None` for names we do not know.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }

    /// The name that geosam uses: `sam`, `sam2`, `sam3`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sam => "sam",
            Self::Sam2 => "sam2",
            Self::Sam3 => "sam3",
        }
    }

    /// Side of one image token in pixels of the encoder frame.
    pub const fn patch(self) -> usize {
        match self {
            Self::Sam | Self::Sam2 => 16,
            Self::Sam3 => 14,
        }
    }

    /// Side of the square grid of image tokens.
    pub const fn grid(self) -> usize {
        match self {
            Self::Sam | Self::Sam2 => 64,
            Self::Sam3 => 72,
        }
    }

    /// Side of the encoder frame in pixels: 1024, or 1008 for SAM 3.
    pub const fn frame(self) -> usize {
        self.grid() * self.patch()
    }

    /// Side of the low-resolution logits: 256, or 288 for SAM 3.
    pub const fn low_resolution(self) -> usize {
        self.grid() * 4
    }

    /// Whether chips carry the two high-resolution maps.
    pub const fn has_high_resolution_maps(self) -> bool {
        !matches!(self, Self::Sam)
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
