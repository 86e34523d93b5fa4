//! `info`: what a folder holds.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::CliError;
use crate::catalog::{Folder, FolderSummary};
use crate::engine::ServedFolder;

const EXAMPLES: &str = "\
Examples:
  geosam-edge info /card/beiluhe
  geosam-edge info /card --json | jq '.[].chips'";

/// Tell what a folder holds: chips, model, CRS, extent, pixel size, missing chips.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, its manifest, or the directory above several folders.
    pub folder: PathBuf,

    /// Print a JSON array with one object a folder.
    #[arg(long)]
    pub json: bool,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let discovered = Folder::discover(&self.folder)?;
        for problem in &discovered.problems {
            eprintln!("warning: {problem}");
        }
        let summaries: Vec<FolderSummary> =
            ServedFolder::all(discovered.folders).iter().map(ServedFolder::summary).collect();
        let mut output = super::output::Output::create("-".as_ref())?;
        if self.json {
            output.json_line(&summaries)?;
        } else {
            for summary in &summaries {
                output.text(&summary.to_string())?;
            }
        }
        output.finish()?;
        Ok(discovered.problems.is_empty())
    }
}
