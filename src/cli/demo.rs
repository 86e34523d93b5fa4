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

/// Where the map page is looked for.
#[cfg(feature = "web")]
const PAGE_PORT: u16 = 8080;

/// Start broker, service and a client in one process, and show requests and answers; in a terminal the map page too.
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
    /// Leave everything running, the map page too, and print commands to try by hand; so it is by itself in a terminal.
    #[arg(long, conflicts_with = "once")]
    keep: bool,
    /// End when all has been shown, in a terminal too.
    #[arg(long)]
    once: bool,
    /// Address of the map page [default: 127.0.0.1:8080, or another port where that is taken].
    #[cfg(feature = "web")]
    #[arg(long, value_name = "ADDR:PORT")]
    web: Option<std::net::SocketAddr>,
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
        let mut out = io::stdout();
        // Somebody who looks on wants to try it; a script wants an end.
        let keep = self.keep || (out.is_terminal() && !self.once);
        let mut signals = if keep {
            Some(Signals::new([SIGTERM, SIGINT]).map_err(CliError::file("signals"))?)
        } else {
            None
        };
        let folders = if self.features.is_empty() { vec![committed()?] } else { self.features };
        let models = models_dir(self.models.as_deref(), folders.first().map(PathBuf::as_path));
        #[cfg(feature = "web")]
        let page =
            keep.then(|| self.web.unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], PAGE_PORT))));
        #[cfg(not(feature = "web"))]
        let page = None;
        let options = DemoOptions { folders, models, port: self.port, pictures: self.overlay, page };
        let mut demo = Demo::start(&options)?;
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
