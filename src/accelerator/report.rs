//! What an engine tells of itself, and how far it may differ from our own.

use serde::{Deserialize, Serialize};

use crate::decoder::onnxruntime::Provider;

/// How much an engine differs from another on the probe, at worst.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Difference {
    /// Of a logit, in standard deviations of the other's logits.
    pub logits: f32,
    /// Of a score.
    pub scores: f32,
    /// Share of the pixels of the four masks that lie on the other side of zero.
    pub pixels: f32,
}

impl Difference {
    /// What is tolerated. In single precision engines differ by the order of their sums, some 1e-5; half precision
    /// keeps 11 bits, and the errors of some forty layers add up.
    pub const fn tolerated(fp16: bool) -> Self {
        if fp16 {
            Self { logits: 0.1, scores: 0.02, pixels: 0.01 }
        } else {
            Self { logits: 1e-3, scores: 1e-3, pixels: 1e-3 }
        }
    }

    /// Whether engines that differ so much agree: as far as is tolerated, or, in single precision, five times as much in the logits
    /// where not one pixel of a mask differs. Weights with very large attention scores make more of the order of sums (1.3e-3 with
    /// those of the demo scene); a kernel that is wrong for a processor moves pixels.
    pub fn is_agreement(&self, fp16: bool) -> bool {
        let tolerated = Self::tolerated(fp16);
        let same_pixels = Self { logits: 5.0 * tolerated.logits, pixels: 0.0, ..tolerated };
        self.is_within(&tolerated) || (!fp16 && self.is_within(&same_pixels))
    }

    /// Whether this is not more than `other` in anything; a difference that is no number is more.
    pub fn is_within(&self, other: &Self) -> bool {
        self.logits <= other.logits && self.scores <= other.scores && self.pixels <= other.pixels
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { logits, scores, pixels } = self;
        write!(
            f,
            "logits {logits:.1e} of their spread, scores {scores:.1e}, {:.3} % of pixels",
            pixels * 100.0
        )
    }
}

/// What an engine tells after it has decoded the probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Who computes.
    pub provider: Provider,
    /// Version of ONNX Runtime, as far as its file name tells.
    pub onnxruntime: Option<String>,
    /// Version of TensorRT, likewise.
    pub tensorrt: Option<String>,
    /// TensorRT's engines that lie ready for the next start.
    pub engines: Option<usize>,
    /// Seconds until the engine could decode: seconds from the cache, minutes where engines were built.
    pub start_s: f64,
    /// Milliseconds of `prepare` and of `decode` with three prompt tokens, on this engine.
    pub prepare_ms: f64,
    /// See `prepare_ms`.
    pub decode_ms: f64,
    /// Milliseconds of a decode on the fused executor, with the same number of threads.
    pub fused_decode_ms: f64,
    /// How far the two are apart.
    pub difference: Difference,
    /// Whether a prompt may hold a mask.
    pub takes_masks: bool,
}

impl Report {
    /// Versions and times on one line.
    pub fn summary(&self) -> String {
        let version = |name: &str, version: &Option<String>| {
            version.as_ref().map(|version| format!("{name} {version}, ")).unwrap_or_default()
        };
        format!(
            "{}{}ready after {:.1} s; prepare {:.1} ms, decode {:.1} ms (fused {:.1} ms); difference: {}",
            version("ONNX Runtime", &self.onnxruntime),
            version("TensorRT", &self.tensorrt),
            self.start_s,
            self.prepare_ms,
            self.decode_ms,
            self.fused_decode_ms,
            self.difference
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_not_tolerated() {
        let nan = Difference { logits: f32::NAN, ..Difference::default() };
        assert!(!nan.is_within(&Difference::tolerated(true)));
    }
    #[test]
    fn more_is_tolerated_in_single_precision_where_no_pixel_differs() {
        let far = Difference { logits: 3e-3, ..Difference::default() };
        assert!(far.is_agreement(false) && !far.is_within(&Difference::tolerated(false)));
        assert!(!Difference { pixels: 1e-6, ..far }.is_agreement(false));
        assert!(!Difference { logits: 6e-3, ..far }.is_agreement(false));
        assert!(!Difference { logits: 0.2, ..far }.is_agreement(true));
    }
}
