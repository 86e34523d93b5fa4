//! The command line: one file a command. Each command is an argument struct with a `run` method;
//! `main` parses and dispatches. What the commands do lives in the library below.

mod bench;
mod completions;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod ending;
mod engine_flag;
mod engine_worker;
mod error;
mod everything;
pub mod export;
mod export_onnx;
mod export_project;
mod export_told;
mod features;
mod finish_args;
mod footprint;
mod footprint_png;
mod footprint_svg;
mod import_model;
mod info;
mod info_facts;
mod layer_filter;
mod logging;
mod models_dir;
#[cfg(any(not(feature = "demo"), test))]
mod no_demo;
mod output;
mod overlay;
mod pack;
mod prompts;
mod segment;
mod segment_args;
pub mod serve;
mod state_dir;
mod unfinished;
mod verify;

use clap::{Parser, Subcommand};

pub use error::CliError;
pub use output::note;
pub use prompts::PromptsError;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use prompts::prompts_in;

/// Promptable segmentation of pre-encoded Geo-SAM folders, offline.
#[derive(Debug, Parser)]
#[command(name = "geosam-edge", version, about, long_about = LONG_ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const LONG_ABOUT: &str = "\
Promptable segmentation of pre-encoded Geo-SAM folders, offline.

A folder encoded with Geo-SAM or the Python library geosam (manifest.parquet and features/) is opened as it \
came from the workstation; a point or a box in geographic coordinates gives the object under it as GeoJSON.";

const EXAMPLES: &str = "\
A first run:
  geosam-edge import-model sam2.1_t.pt --models /card/models
  geosam-edge info /card/beiluhe
  geosam-edge segment /card/beiluhe --models /card/models --point 92.7291,35.0783

Exit status: 0 all was done, 1 something was refused or failed, 2 the command line is wrong.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the decoder out of a SAM checkpoint.
    ImportModel(import_model::Args),
    /// Write an imported decoder as ONNX files, for other runtimes.
    ExportOnnx(export_onnx::Args),
    /// Tell what a folder holds.
    Info(info::Args),
    /// Read every chip of a folder and report the bad ones.
    Verify(verify::Args),
    /// Draw where the chips of a folder lie.
    Footprint(footprint::Args),
    /// Segment the object under a prompt.
    Segment(segment_args::Args),
    /// Find everything in a folder or a part of it: each object once, over all chips.
    Everything(everything::Args),
    /// Serve prompts over MQTT: the appliance.
    Serve(serve::ServeArgs),
    /// Start broker, service and a client in one process, and show requests and answers.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Tell how to get the demo, which this program was built without.
    #[cfg(not(feature = "demo"))]
    Demo(no_demo::Args),
    /// Copy a folder with its chips in half precision.
    Pack(pack::Args),
    /// Measure this machine: where the time of a prompt goes.
    Bench(bench::Args),
    /// Check this board: what the program is, which engines it has, whether they agree, how fast they are.
    Doctor(doctor::Args),
    /// The process of an engine.
    #[command(hide = true)]
    EngineWorker(engine_worker::WorkerArgs),
    /// Print what a shell needs to complete commands and flags.
    Completions(completions::Args),
    /// Write a layer of saved objects for maps, ground stations and field apps.
    Export(export::ExportArgs),
}

impl Cli {
    /// Runs the command; `Ok(false)` where it ran but found something wrong, which its output tells.
    ///
    /// # Errors
    /// Anything that keeps the command from doing its work.
    pub fn run(self) -> Result<bool, CliError> {
        // What the service logs stands in its configuration.
        if !matches!(self.command, Command::Serve(_)) {
            // The demo's broker calls every connection that ends an error, also one that takes its leave; what the client
            // library logs is told in words.
            logging::start("warn,rumqttd=off,rumqttc=off")?;
        }
        match self.command {
            Command::ImportModel(args) => args.run(),
            Command::ExportOnnx(args) => args.run(),
            Command::Info(args) => args.run(),
            Command::Verify(args) => args.run(),
            Command::Footprint(args) => args.run(),
            Command::Segment(args) => segment::run(&args),
            Command::Everything(args) => args.run(),
            Command::Serve(args) => args.run(),
            #[cfg(feature = "demo")]
            Command::Demo(args) => args.run(),
            #[cfg(not(feature = "demo"))]
            Command::Demo(args) => Ok(args.run()),
            Command::Pack(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::Doctor(args) => args.run(),
            Command::EngineWorker(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Export(args) => Ok(args.run()?.unread.is_empty()),
        }
    }
}
