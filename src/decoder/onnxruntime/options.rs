//! What ONNX Runtime is told. Known to every build, so that a configuration reads the same in all of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which of ONNX Runtime's execution providers computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// NVIDIA's TensorRT, on the GPU.
    TensorRt,
    /// ONNX Runtime's own, on the CPU: for tests, and to compare with.
    Cpu,
}

impl Provider {
    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::Cpu => "cpu",
        }
    }

    /// The engine's name in `info`.
    pub const fn engine_name(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::Cpu => "onnxruntime-cpu",
        }
    }
}

/// How the decoder runs on ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxRuntimeOptions {
    /// `libonnxruntime.so`, 1.17 or newer.
    pub library: PathBuf,
    /// Which provider computes.
    pub provider: Provider,
    /// Threads of a decode on the CPU.
    pub threads: usize,
    /// Whether TensorRT may compute in half precision.
    pub fp16: bool,
    /// The GPU, as CUDA counts them.
    pub device: u32,
    /// Bytes of GPU memory that TensorRT may use for intermediate results; 0 leaves it to TensorRT.
    pub workspace_bytes: u64,
    /// Directory in which TensorRT's engines are kept from one start to the next.
    pub engines: PathBuf,
}
