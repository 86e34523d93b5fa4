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
        refuse_the_folder_itself(&folder, &self.output)?;
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

/// Refuses a copy that would lie in the folder, where its files may be taken for the folder's own and are copied with it; and a
/// directory that holds the folder, which must not be removed for it.
fn refuse_the_folder_itself(folder: &Folder, output: &Path) -> Result<(), CliError> {
    let or_here = |path: &Path| match path.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => path.to_owned(),
    };
    let Ok(root) = or_here(folder.root()).canonicalize() else { return Ok(()) };
    // What does not exist yet is created in what does.
    let Some(there) = output.ancestors().find_map(|path| or_here(path).canonicalize().ok()) else {
        return Ok(());
    };
    let mut beside = root.clone().into_os_string();
    beside.push("-half");
    let advice = format!("choose a directory outside it, for example {}", Path::new(&beside).display());
    let problem = if there.starts_with(&root) {
        "the copy cannot lie in the folder that it is of"
    } else if output.exists() && root.starts_with(&there) {
        "this directory holds the folder that is to be copied"
    } else {
        return Ok(());
    };
    Err(CliError::Usage(format!("{}: {problem}, {}; {advice}", output.display(), root.display())))
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
        // The copy says of itself that it was written under its present name.
        chip.check_written_as(archive.written_as())?;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/folder_sam")
    }

    /// A copy of the fixture, `valley` in a directory of its own.
    fn valley() -> (tempfile::TempDir, PathBuf) {
        let card = tempfile::tempdir().unwrap();
        let folder = card.path().join("valley");
        fs::create_dir_all(folder.join("features")).unwrap();
        for name in ["manifest.parquet", "features/chip_000000.pt", "features/chip_000001.pt"] {
            fs::copy(fixture().join(name), folder.join(name)).unwrap();
        }
        (card, folder)
    }

    fn refusal(folder: &Path, output: &Path) -> String {
        let args = Args { folder: folder.to_owned(), output: output.to_owned() };
        let error = args.run().unwrap_err();
        assert_eq!(error.status(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn a_copy_into_the_folder_itself_is_refused_and_leaves_nothing_there() {
        let (card, folder) = valley();
        let link = card.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let names = || {
            let all = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut all: Vec<_> = all.collect();
            all.sort();
            all
        };
        let before = names();
        for output in [
            folder.clone(),
            folder.join("packed"),
            folder.join("new/packed"),
            folder.join("features"),
            link.join("packed"),
            card.path().join("valley/../valley/packed"),
        ] {
            for of in [&folder, &folder.join("manifest.parquet"), &link] {
                let told = refusal(of, &output);
                let advised =
                    format!("outside it, for example {}-half", folder.canonicalize().unwrap().display());
                assert!(told.contains("cannot lie in the folder") && told.contains(&advised), "{told}");
                assert!(!told.contains("remove"), "{told}");
            }
        }
        let told = refusal(&folder, card.path());
        assert!(told.contains("holds the folder") && !told.contains("remove"), "{told}");
        assert_eq!(names(), before);
        // Beside it there is room, whatever the names have in common.
        let args = Args { folder: folder.clone(), output: card.path().join("valley-half") };
        assert!(args.run().unwrap());
    }

    #[test]
    fn a_chip_that_lies_under_the_name_of_another_is_not_packed() {
        let (card, folder) = valley();
        fs::copy(folder.join("features/chip_000000.pt"), folder.join("features/chip_000001.pt")).unwrap();
        let output = card.path().join("half");
        let error = Args { folder, output: output.clone() }.run().unwrap_err().to_string();
        assert!(
            error.contains("chip_000001.pt: the name that it was written under is chip_000000"),
            "{error}"
        );
        assert!(!output.exists());
    }
}
