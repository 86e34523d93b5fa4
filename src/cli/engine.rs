//! `engine-probe`: try the engine on a GPU, as the service would; and the hidden command that is its process.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::CliError;
use super::serve::ServeError;
#[cfg(not(feature = "tensorrt"))]
use crate::accelerator::AcceleratorError;
use crate::accelerator::{AcceleratorOptions, Launch, RemoteDecoder};
use crate::config::{Config, Overrides};
use crate::models::{ModelInfo, ModelStore};

const EXAMPLES: &str = "\
Examples:
  geosam-edge engine-probe --config /etc/geosam-edge/geosam-edge.toml
  geosam-edge engine-probe --models /card/models --library /opt/onnxruntime/lib/libonnxruntime.so
The library is loaded in a process of its own: if it crashes or hangs, that is told. Engines that are built stay in \
the state directory, so the service starts with them at once.";

/// Try TensorRT: load the library, build the engines, compare with the fused executor on a probe, measure both.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct ProbeArgs {
    /// Configuration of the service (TOML): models, state and the section [tensorrt].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directory of imported models.
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,

    /// State directory, which keeps the engines.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Only the model of this name; default: all.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// libonnxruntime.so, in place of the configured one.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

impl ProbeArgs {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let overrides =
            Overrides { models: self.models.clone(), state: self.state.clone(), ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), &overrides).map_err(ServeError::from)?;
        let mut onnxruntime = config.onnxruntime(config.decoder_threads(), &config.state);
        if let Some(library) = &self.library {
            onnxruntime.library = std::path::absolute(library).map_err(CliError::file(library))?;
        }
        let launch = Launch::own(Duration::from_secs(config.tensorrt.build_timeout_s));
        let options = AcceleratorOptions { onnxruntime, required: true, launch };
        options.check()?;
        let store = ModelStore::open(&config.models)?;
        let wanted = |model: &&ModelInfo| self.model.as_ref().is_none_or(|name| *name == model.name);
        let models: Vec<&ModelInfo> = store.list().iter().filter(wanted).collect();
        if models.is_empty() {
            let message = format!("{}: there is no such model to try; import one", store.dir().display());
            return Err(CliError::Usage(message));
        }
        let mut all = true;
        for model in models {
            match RemoteDecoder::start(&options.launch, &options.onnxruntime, model.family, &model.dir) {
                Ok(decoder) => {
                    let engine = options.onnxruntime.provider.engine_name();
                    println!("{}: {engine} can be used: {}", model.name, decoder.report().summary());
                }
                Err(error) => {
                    all = false;
                    println!("{}: the processor decodes: {error}", model.name);
                }
            }
        }
        Ok(all)
    }
}

/// The process of an engine; started by the service and by engine-probe, never by hand.
#[derive(Debug, ClapArgs)]
pub struct WorkerArgs {}

impl WorkerArgs {
    #[cfg(feature = "tensorrt")]
    pub(super) fn run(&self) -> Result<bool, CliError> {
        crate::accelerator::work().map_err(CliError::file("-"))?;
        Ok(true)
    }

    #[cfg(not(feature = "tensorrt"))]
    pub(super) fn run(&self) -> Result<bool, CliError> {
        Err(AcceleratorError::NotBuiltIn.into())
    }
}
