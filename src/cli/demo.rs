//! `geosam-edge demo`: the flags, and the wait for Ctrl-C. What is shown is in `demo`.

use std::io;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::CliError;
use crate::demo::{Demo, DemoOptions};

/// Start broker, service and a client in one process, and show requests and answers.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Feature folders, or directories that hold some; the default is there in the repository's directory.
    #[arg(default_value = "tests/fixtures")]
    folder: Vec<PathBuf>,
    /// Directory of imported models.
    #[arg(long, value_name = "DIR", default_value = "tests/fixtures/models")]
    models: PathBuf,
    /// Leave everything running, and print commands to try by hand.
    #[arg(long)]
    keep: bool,
    /// Port of the broker on this machine; default: a free one.
    #[arg(long)]
    port: Option<u16>,
}

impl Args {
    /// Plays the demo; `false` if something was not answered as it should be.
    ///
    /// # Errors
    /// No folder with a model, a port that is taken, or an answer that does not come.
    pub(super) fn run(self) -> Result<bool, CliError> {
        let mut signals = if self.keep {
            Some(Signals::new([SIGTERM, SIGINT]).map_err(CliError::file("signals"))?)
        } else {
            None
        };
        let mut demo =
            Demo::start(&DemoOptions { folders: self.folder, models: self.models, port: self.port })?;
        let mut out = io::stdout();
        let good = demo.play(&mut out)?;
        if let Some(signals) = &mut signals {
            demo.print_commands(&mut out)?;
            signals.forever().next();
        }
        demo.stop();
        Ok(good)
    }
}
