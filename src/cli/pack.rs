//! `pack`: a copy of a folder with its chips in half precision.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use super::output::{note, say};
use super::unfinished::Unfinished;
use crate::catalog::{Folder, check_against_manifest};
use crate::durable::{sync_dir, unfinished_name};
use crate::features::torch::{TorchArchive, write_halved};
use crate::features::{ChipFeatures, FeaturesError, chip_of};

const EXAMPLES: &str = "\
Example, for a slow card:
  geosam-edge pack /work/beiluhe /card/beiluhe && geosam-edge verify /card/beiluhe";

/// Copy a folder with its chips in half precision: half the space, and half the time to read a chip.
///
/// The copy is a whole Geo-SAM folder: the same manifest, the same chip files at the same places, read by geosam too.
/// Masks change by less than a pixel here and there. The copy appears under its name when it is complete.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, or its manifest.
    pub folder: PathBuf,

    /// Directory to create; must not exist.
    pub output: PathBuf,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let folder = only_folder(&self.folder)?;
        if folder.is_v1() {
            let text =
                "a folder of Geo-SAM v1 cannot be packed; encode it again with geosam, or use it as it is";
            return Err(CliError::Usage(format!("{}: {text}", folder.root().display())));
        }
        if self.output.symlink_metadata().is_ok() {
            let text = "exists already; choose another directory, or remove it first";
            return Err(CliError::Usage(format!("{}: {text}", self.output.display())));
        }
        let name = self.output.file_name().ok_or_else(|| {
            CliError::Usage(format!("{}: names no directory to create", self.output.display()))
        })?;
        let parent = self.output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(CliError::file(parent))?;
        let unfinished = Unfinished::directory(&parent.join(unfinished_name(name)));
        let failed = |source| CliError::Output { path: self.output.clone(), source };
        fs::create_dir(unfinished.path()).map_err(failed)?;

        let total = pack(&folder, unfinished.path())?;
        sync_dir(unfinished.path()).map_err(failed)?;
        fs::rename(unfinished.path(), &self.output).map_err(failed)?;
        unfinished.done();
        sync_dir(parent).map_err(CliError::file(parent))?;
        if total.missing > 0 {
            note(&format_args!(
                "warning: {} chips of the manifest have no file; they are not in the copy",
                total.missing
            ));
        }
        say(&format_args!(
            "{}: {} chips, {:.1} MB where {:.1} MB were; no value changed by more than {:.4} % of its tensor's largest",
            self.output.display(),
            total.chips,
            total.after as f64 / 1e6,
            total.before as f64 / 1e6,
            total.largest_change * 100.0
        ))?;
        Ok(total.missing == 0)
    }
}

fn only_folder(path: &Path) -> Result<Folder, CliError> {
    let mut folders = Folder::discover(path)?.into_folders()?;
    match folders.len() {
        1 => Ok(folders.remove(0)),
        n => {
            let names: Vec<_> = folders.iter().map(|f| f.root().display().to_string()).collect();
            Err(CliError::Usage(format!("{n} folders are here; pack one of: {}", names.join(", "))))
        }
    }
}

#[derive(Default)]
struct Total {
    chips: usize,
    missing: usize,
    before: u64,
    after: u64,
    largest_change: f64,
}

/// Fills the directory `into`.
fn pack(folder: &Folder, into: &Path) -> Result<Total, CliError> {
    let manifest = folder.manifest();
    let target = into.join(relative(folder, manifest)?);
    copy(manifest, &target)?;

    let bar = ProgressBar::new(folder.len() as u64);
    let style = ProgressStyle::with_template("packing [{wide_bar}] {pos}/{len} chips, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut total = Total::default();
    let mut directories = HashSet::new();
    let mut done = HashSet::new();
    for chip in folder.chips() {
        bar.inc(1);
        let source = chip.path();
        if !source.is_file() {
            total.missing += 1;
            let warning = format_args!("warning: {}: the chip {} has no file", source.display(), chip.id);
            bar.suspend(|| note(&warning));
            continue;
        }
        // A manifest may list a file twice.
        if !done.insert(source.clone()) {
            continue;
        }
        let target = into.join(relative(folder, &source)?);
        if let Some(directory) = target.parent().filter(|d| directories.insert(d.to_path_buf())) {
            fs::create_dir_all(directory).map_err(CliError::file(directory))?;
        }
        // Only what a prompt could use is worth packing: what is wrong is told now, not on the board.
        let archive = TorchArchive::open(&source).map_err(crate::engine::EngineError::from)?;
        archive.verify().map_err(crate::engine::EngineError::from)?;
        let features = chip_of(&archive).map_err(crate::engine::EngineError::from)?;
        let ChipFeatures { family, checkpoint, src_shape, dst_shape, .. } = &features;
        check_against_manifest(*src_shape, *dst_shape, checkpoint, *family, &chip)?;

        let file = File::create_new(&target).map_err(CliError::file(&target))?;
        let mut writer = BufWriter::new(file);
        let halved =
            write_halved(&archive, &target, &mut writer).map_err(|error| of_the_copy(&target, error))?;
        let written =
            writer.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
        written.map_err(|source| CliError::Output { path: target.clone(), source })?;
        total.chips += 1;
        total.before += source.metadata().map_or(0, |m| m.len());
        total.after += halved.bytes;
        total.largest_change = total.largest_change.max(halved.largest_change);
    }
    bar.finish_and_clear();
    for directory in &directories {
        sync_dir(directory).map_err(CliError::file(directory))?;
    }
    Ok(total)
}

/// Where a file of the folder lies below its root.
fn relative<'a>(folder: &Folder, path: &'a Path) -> Result<&'a Path, CliError> {
    path.strip_prefix(folder.root()).map_err(|_| {
        CliError::Usage(format!("{} lies outside the folder {}", path.display(), folder.root().display()))
    })
}

/// What failed at one chip: writing the copy is told as such.
fn of_the_copy(target: &Path, error: FeaturesError) -> CliError {
    match error {
        FeaturesError::Io { path, source } if path == target => CliError::Output { path, source },
        other => crate::engine::EngineError::from(other).into(),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::Output { path: to.to_owned(), source };
    let mut source = File::open(from).map_err(CliError::file(from))?;
    // Without its mode, which is not to be set on drives of Windows and of others.
    let mut target = File::create(to).map_err(failed)?;
    std::io::copy(&mut source, &mut target).map_err(failed)?;
    target.sync_all().map_err(failed)
}
