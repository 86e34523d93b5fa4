//! `verify`: every chip of a folder, read as a prompt would read it, checksums included.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::info::rotation_warning;
use super::output::{note, say};
use crate::catalog::Folder;
use crate::engine::ServedFolder;

const EXAMPLES: &str = "\
Example, after copying a folder onto a card:
  geosam-edge verify /card/beiluhe && echo good";

/// Read every chip: container, checksums, tensor shapes, agreement with the manifest.
///
/// Prints a line for each bad chip; the exit status is 1 if there is one. Warns of folders of rotated rasters, and of chips
/// without checksums.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, its manifest, or the directory above several folders.
    pub folder: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let discovered = Folder::discover(&self.folder)?;
        let mut bad = discovered.problems.len();
        let mut unchecked = 0;
        for problem in &discovered.problems {
            report(problem);
        }
        let chips: usize = discovered.folders.iter().map(Folder::len).sum();
        let bar = ProgressBar::new(chips as u64);
        let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} chips, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        for folder in discovered.folders {
            let folder = ServedFolder::new(folder.name().to_owned(), folder);
            bar.set_message(folder.name.clone());
            for index in 0..folder.folder.len() {
                let read = folder.read_features(index).and_then(|_| folder.check_not_swapped(index));
                if let Err(error) = read {
                    bad += 1;
                    bar.suspend(|| report(&error));
                } else if !folder.has_checksums(index).unwrap_or(true) {
                    unchecked += 1;
                }
                bar.inc(1);
            }
            if let Some(degrees) = folder.folder.rotation() {
                bar.suspend(|| {
                    report(&format_args!("warning: {}: {}", folder.name, rotation_warning(degrees)))
                });
            }
        }
        bar.finish_and_clear();
        if unchecked > 0 {
            note(&format_args!(
                "note: {unchecked} chips carry no checksums, so there is nothing to check their bytes against (Geo-SAM v1 \
                 writes none, nor torch after set_crc32_options(False)); compare the copy with `cmp` or `sha256sum`"
            ));
        }
        note(&format_args!("{chips} chips read, {bad} problems"));
        Ok(bad == 0)
    }
}

/// A line of the report. Whoever has stopped reading (`| head`) still gets the status.
fn report(problem: &impl std::fmt::Display) {
    let _ = say(problem);
}
