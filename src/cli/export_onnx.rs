//! `export-onnx`: an imported decoder as ONNX files.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::CliError;
use super::models_dir::{MODELS_VARIABLE, models_dir, models_parser};
use super::output::say;
use crate::decoder::{Weights, graph};
use crate::models::{ModelStore, load_weights};

const EXAMPLES: &str = "\
Example:
  geosam-edge export-onnx sam2.1_t --models /card/models --output onnx
writes onnx/sam2.1_t.decoder.onnx (the whole decoder), onnx/sam2.1_t.prepare.onnx (once a chip) and
onnx/sam2.1_t.decode.onnx (once a prompt). Their inputs and outputs are described in the files.";

/// Write an imported decoder as ONNX: the whole of it, and the split pair that this program runs itself.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Name of the imported model (its directory below the models directory).
    pub name: String,

    /// Directory of imported models [default: /var/lib/geosam-edge/models].
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// Directory to write into.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let store = ModelStore::open(&models_dir(self.models.as_deref(), None))?;
        let Some(model) = store.list().iter().find(|model| model.name == self.name) else {
            let names: Vec<&str> = store.list().iter().map(|model| model.name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message =
                format!("{}: no model is called {}; there are: {there}", store.dir().display(), self.name);
            return Err(CliError::Usage(message));
        };
        let weights = load_weights(model)?;
        let weights = Weights::of(&weights, model.family)?;
        for path in graph::export(&weights, &model.name, &self.output)? {
            say(&path.display())?;
        }
        Ok(true)
    }
}
