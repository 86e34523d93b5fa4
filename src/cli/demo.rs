//! `geosam-edge demo`: the flags, where the committed folder is, and the wait for Ctrl-C. What is shown is in
//! `demo`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::CliError;
use super::models_dir::models_dir;
use crate::demo::{Demo, DemoOptions};

/// Where the demo's folder is in the repository.
const COMMITTED: &str = "models/demo/features";

/// Start broker, service and a client in one process, and show requests and answers.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A feature folder, or a directory that holds some. Repeatable [default: models/demo/features of the
    /// repository that this program was built in, or that the working directory is in].
    #[arg(long, value_name = "DIR")]
    features: Vec<PathBuf>,
    /// Directory of imported models [default: `models` beside the folder].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Write a picture of each mask into this directory, as PNG.
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Leave everything running, and print commands to try by hand.
    #[arg(long)]
    keep: bool,
    /// Port of the broker on this machine [default: a free one].
    #[arg(long, value_name = "PORT")]
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
        let folders = if self.features.is_empty() { vec![committed()?] } else { self.features };
        let models = models_dir(self.models.as_deref(), folders.first().map(PathBuf::as_path));
        let options = DemoOptions { folders, models, port: self.port, pictures: self.overlay };
        let mut demo = Demo::start(&options)?;
        let mut out = io::stdout();
        let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let good = demo.play(&mut out, colours)?;
        if let Some(signals) = &mut signals {
            demo.print_commands(&mut out)?;
            signals.forever().next();
        }
        demo.stop();
        Ok(good)
    }
}

/// The committed folder: above the working directory, or above the program, which cargo puts into `target/`.
fn committed() -> Result<PathBuf, CliError> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let above = here.iter().chain(&program).flat_map(|path| path.ancestors().map(Path::to_owned));
    let found = above.map(|directory| directory.join(COMMITTED)).find(|path| path.is_dir());
    found.ok_or_else(|| {
        let message = format!("there is no {COMMITTED} here; name a folder with --features DIR");
        CliError::Usage(message)
    })
}
