//! The keys of the engine on a GPU, and the engine as the service wants it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ConfigError;
use super::reader::Section;
use super::{Config, TensorRtConfig};
use crate::accelerator::{AcceleratorOptions, Launch, SelfCheckOptions};
use crate::decoder::CpuEngine;
use crate::decoder::onnxruntime::{OnnxRuntimeOptions, Provider};
use crate::engine::EngineChoice;

/// Where an administrator puts the library.
const LIBRARY: &str = "/usr/local/lib/geosam-edge/libonnxruntime.so";
/// How the engines on the processor compared, kept in the state directory.
pub(crate) const COMPARED_NAME: &str = "engines-compared.json";
const TIB: u64 = 1 << 40;

impl Default for TensorRtConfig {
    fn default() -> Self {
        Self {
            library: PathBuf::from(LIBRARY),
            provider: Provider::TensorRt,
            fp16: false,
            device: 0,
            workspace_bytes: 0,
            build_timeout_s: 1800,
        }
    }
}

impl TensorRtConfig {
    pub(super) fn read(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        if let Some(library) = section.path("library")? {
            if !library.is_absolute() {
                let problem = "is no absolute path; a library is not looked for in the current directory";
                return Err(section.error("library", problem));
            }
            self.library = library;
        }
        self.provider = match section.text("provider")? {
            None => self.provider,
            Some("tensorrt") => Provider::TensorRt,
            Some("cpu") => Provider::Cpu,
            Some(_) => {
                let problem = "is no provider; give \"tensorrt\", or \"cpu\" to test without a GPU";
                return Err(section.error("provider", problem));
            }
        };
        self.fp16 = section.flag("fp16")?.unwrap_or(self.fp16);
        section.number("device", 0..=255, &mut self.device)?;
        section.number("workspace_bytes", 0..=TIB, &mut self.workspace_bytes)?;
        section.number("build_timeout_s", 10..=24 * 3600, &mut self.build_timeout_s)?;
        if self.provider == Provider::Cpu {
            let of_a_gpu = [
                ("fp16", self.fp16),
                ("device", self.device > 0),
                ("workspace_bytes", self.workspace_bytes > 0),
            ];
            if let Some((key, _)) = of_a_gpu.into_iter().find(|(_, given)| *given) {
                let problem = "is for a GPU; leave it out, or set provider = \"tensorrt\"";
                return Err(section.error(key, problem));
            }
        }
        Ok(())
    }
}

impl Config {
    /// The engine on a GPU, unless one on the processor was asked for. `threads` are those of one decode.
    pub(super) fn accelerator(&self, threads: usize) -> Option<AcceleratorOptions> {
        let required = match self.decoder.engine {
            EngineChoice::Fused | EngineChoice::Tract => return None,
            EngineChoice::Auto => false,
            EngineChoice::TensorRt => true,
        };
        let onnxruntime = self.onnxruntime(threads, &self.state);
        let launch = Launch::own(Duration::from_secs(self.tensorrt.build_timeout_s));
        Some(AcceleratorOptions { onnxruntime, required, launch })
    }

    /// How the board checks its engines on the processor, unless one was asked for by name or there is only one.
    pub(super) fn self_check(&self, threads: usize) -> Option<SelfCheckOptions> {
        let chosen = matches!(self.decoder.engine, EngineChoice::Fused | EngineChoice::Tract);
        if chosen || !CpuEngine::Tract.is_built_in() {
            return None;
        }
        // Some seconds on a PC; a board in a heat wave with other things to do may take minutes.
        let launch = Launch::own(Duration::from_secs(900));
        Some(SelfCheckOptions { launch, threads, remembered: self.state.join(COMPARED_NAME) })
    }

    /// What ONNX Runtime is told, with its engines below a state directory.
    pub fn onnxruntime(&self, threads: usize, state: &Path) -> OnnxRuntimeOptions {
        let tensorrt = &self.tensorrt;
        OnnxRuntimeOptions {
            library: tensorrt.library.clone(),
            provider: tensorrt.provider,
            threads,
            fp16: tensorrt.fp16,
            device: tensorrt.device,
            workspace_bytes: tensorrt.workspace_bytes,
            engines: state.join("engines"),
        }
    }
}
