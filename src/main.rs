//! The program: parses the command line, sets up logging, dispatches.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use geosam_edge::cli::{Cli, CliError};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start_logging().map(|()| cli.run()) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::FAILURE,
        Ok(Err(error)) if CliError::is_broken_pipe(&error) => ExitCode::SUCCESS,
        // Our errors say in their own words what caused them.
        Ok(Err(error)) => fail(&error.to_string()),
        Err(error) => fail(&format!("{error:#}")),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("geosam-edge: {message}");
    ExitCode::FAILURE
}

/// Log lines go to standard error, where journald and users look; `RUST_LOG` chooses what.
fn start_logging() -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) => tracing_subscriber::EnvFilter::try_new(&directives)
            .with_context(|| format!("RUST_LOG is \"{directives}\", which is no log filter"))?,
        Err(_) => tracing_subscriber::EnvFilter::new("warn"),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
