//! A model directory on disk: `model.toml`, and replacing one so that a power cut leaves the old or the new.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ModelsError;
use crate::family::Family;
use crate::stand_in::stand_in;

/// The version of the directory's format that this program writes.
pub(super) const FORMAT: u32 = 1;
/// The parameters.
pub(super) const DECODER: &str = "decoder.safetensors";
/// Where they come from.
pub(super) const DESCRIPTION: &str = "model.toml";
/// Largest `model.toml` read.
const MAX_DESCRIPTION: u64 = 1 << 16;

/// How parameters are stored; they are always computed with as `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Half precision: half the size, parameters rounded to 11 bits.
    F16,
}

/// The contents of `model.toml`. Keys of later versions are ignored as long as `format` stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) format: u32,
    pub(super) family: Family,
    pub(super) grid: usize,
    /// File name of the checkpoint: what folders name their model by.
    pub(super) source_file: String,
    /// SHA-256 of the whole checkpoint, in hexadecimal.
    pub(super) source_sha256: String,
    pub(super) precision: Precision,
    /// CRC-32 of `decoder.safetensors`, in hexadecimal: wrong parameters would give wrong masks silently.
    pub(super) decoder_crc32: String,
    /// The program that wrote it.
    pub(super) created_by: String,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ModelsError {
    let path = path.to_owned();
    move |source| ModelsError::Io { action, path, source }
}

impl Description {
    /// Reads the description in a model directory.
    pub(super) fn read(dir: &Path) -> Result<Self, ModelsError> {
        let path = dir.join(DESCRIPTION);
        let damaged = |detail: String| ModelsError::Damaged { path: path.clone(), detail };
        let length = fs::metadata(&path).map_err(io("read", &path))?.len();
        if length > MAX_DESCRIPTION {
            return Err(damaged(format!("it has {length} bytes; import the model again")));
        }
        let text = fs::read_to_string(&path).map_err(io("read", &path))?;
        if let Some(stand_in) = stand_in(text.as_bytes()) {
            return Err(damaged(format!("it is {stand_in}")));
        }
        // The version first: a later one may have other keys.
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let again = |e: toml::de::Error| damaged(format!("{}; import the model again", e.message()));
        let Version { format } = toml::from_str(&text).map_err(again)?;
        if format != FORMAT {
            return Err(damaged(format!(
                "it has format {format}, and this version reads {FORMAT}; import the model again with this version"
            )));
        }
        let description: Self = toml::from_str(&text).map_err(again)?;
        if description.grid != description.family.grid() {
            return Err(damaged(format!(
                "its grid is {}, but that of {} is {}; import the model again",
                description.grid,
                description.family,
                description.family.grid()
            )));
        }
        Ok(description)
    }
}

/// The file that stands where a directory is meant, or one above it.
pub(super) fn file_in_the_way(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir())
}

/// Whether a model could be written there, asked before minutes go into reading a checkpoint.
pub(super) fn check_rights(models: &Path) -> Result<(), ModelsError> {
    use rustix::fs::{Access, access};
    if let Some(file) = file_in_the_way(models) {
        let problem = "is a file, and models need a directory; name another";
        return Err(ModelsError::NoDirectory { path: file.to_owned(), problem });
    }
    if models.symlink_metadata().is_ok() && !models.exists() {
        let problem = "is a link that leads nowhere; is the card mounted?";
        return Err(ModelsError::NoDirectory { path: models.to_owned(), problem });
    }
    // What is to be created is created in what is there.
    let there = models.ancestors().find(|path| path.as_os_str().is_empty() || path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| io("write to", models)(error.into()))
}

/// The model that has the name `<models>/<name>`, as far as it can be read.
pub(super) fn occupant(models: &Path, name: &str) -> Option<Description> {
    Description::read(&models.join(name)).ok()
}

/// Writes a model directory `<models>/<name>`, in place of one that is there.
///
/// Everybody may read it, whatever the umask: it is imported by one user, often root, and read by the service's. There is
/// nothing secret in it.
///
/// Both files are written and synced under a hidden name first. Between moving the old directory away and the
/// new one in its place stands one rename; after a power cut exactly there, [`interrupted`] finds the old one.
pub(super) fn write_model(
    models: &Path,
    name: &str,
    description: &Description,
    decoder: &[u8],
) -> Result<PathBuf, ModelsError> {
    let target = models.join(name);
    create_models(models)?;
    if target.exists() && !target.join(DESCRIPTION).exists() {
        return Err(ModelsError::Occupied { dir: target });
    }
    let fresh = models.join(format!(".{name}.importing"));
    let written = begin_model(&fresh, &target, description, decoder);
    if written.is_err() {
        // It would keep a full card full.
        let _ = remove(&fresh);
    }
    written?;
    let old = models.join(format!(".{name}.replaced"));
    if target.exists() {
        remove(&old)?;
        fs::rename(&target, &old).map_err(io("move away", &target))?;
    }
    fs::rename(&fresh, &target).map_err(io("put in place", &target))?;
    sync_dir(models)?;
    remove(&old)?;
    Ok(target)
}

/// Writes a model under a hidden name.
fn begin_model(
    fresh: &Path,
    target: &Path,
    description: &Description,
    decoder: &[u8],
) -> Result<(), ModelsError> {
    remove(fresh)?;
    fs::create_dir(fresh).map_err(io("create", fresh))?;
    readable(fresh, 0o755)?;
    let text = toml::to_string(description)
        .map_err(|e| ModelsError::Damaged { path: target.join(DESCRIPTION), detail: e.to_string() })?;
    write_synced(&fresh.join(DECODER), decoder)?;
    write_synced(&fresh.join(DESCRIPTION), text.as_bytes())?;
    sync_dir(fresh)
}

/// Names of models whose replacing was cut off: their old directory waits beside them.
pub(super) fn interrupted(models: &Path, hidden: &str) -> Option<String> {
    let name = hidden.strip_prefix('.')?.strip_suffix(".replaced")?;
    (!models.join(name).exists()).then(|| name.to_owned())
}

fn remove(dir: &Path) -> Result<(), ModelsError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// Makes the directory of models and those above it, if need be, for everybody to read.
fn create_models(models: &Path) -> Result<(), ModelsError> {
    let missing: Vec<&Path> = models
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && matches!(dir.try_exists(), Ok(false)))
        .collect();
    fs::create_dir_all(models).map_err(io("create", models))?;
    missing.into_iter().try_for_each(|made| readable(made, 0o755))
}

/// Sets the mode of what was just made. A file system without modes (FAT) refuses or ignores it, and shows its files to
/// whom its mount says.
#[cfg(unix)]
fn readable(path: &Path, mode: u32) -> Result<(), ModelsError> {
    use std::os::unix::fs::PermissionsExt as _;
    match fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        Err(error)
            if error.kind() != io::ErrorKind::PermissionDenied
                && error.kind() != io::ErrorKind::Unsupported =>
        {
            Err(io("set the mode of", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn readable(_: &Path, _: u32) -> Result<(), ModelsError> {
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ModelsError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(io("write", path))?;
    readable(path, 0o644)
}

fn sync_dir(dir: &Path) -> Result<(), ModelsError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}
