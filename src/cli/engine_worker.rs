//! The hidden command that is the process of an engine.

use clap::Args as ClapArgs;

use super::CliError;

/// The process of an engine; started by the service and by doctor, never by hand.
#[derive(Debug, ClapArgs)]
pub struct WorkerArgs {}

impl WorkerArgs {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        crate::accelerator::work().map_err(CliError::file("-"))?;
        Ok(true)
    }
}
