//! The program: parses the command line and dispatches.

use std::process::ExitCode;

use clap::Parser as _;
use geosam_edge::cli::{self, Cli, CliError};

#[global_allocator]
static ALLOCATOR: geosam_edge::huge_pages::HugePages = geosam_edge::huge_pages::HugePages;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if CliError::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Our errors say in their own words what caused them.
            cli::note(&format_args!("geosam-edge: {error}"));
            ExitCode::from(error.status())
        }
    }
}
