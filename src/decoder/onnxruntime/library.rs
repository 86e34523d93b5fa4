//! Loads ONNX Runtime, once a process, and tells what has been loaded.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::decoder::error::DecoderError;

/// The library of this process. ONNX Runtime has one environment a process, and it stays to the end.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Loads the library, or finds that it is loaded.
///
/// # Errors
/// A file that is missing, no library, or too old; or another library than this process has loaded.
pub(super) fn environment(library: &Path) -> Result<Environment, DecoderError> {
    let refused = |message: String| DecoderError::Engine { action: "load ONNX Runtime", message };
    // Set once, after everything has succeeded.
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, environment)) = &*loaded {
        if path == library {
            return Ok(environment.clone());
        }
        let message = format!("{} is loaded already, not {}", path.display(), library.display());
        return Err(refused(message));
    }
    if !library.is_file() {
        let message = format!("{} is not there; docs/tensorrt.md says what to install", library.display());
        return Err(refused(message));
    }
    // ort reads a relative path from the program's directory.
    let absolute = std::path::absolute(library).map_err(|error| refused(error.to_string()))?;
    let builder = ort::init_from(&absolute).map_err(|error| refused(too_old(&error)))?;
    let environment = builder
        .with_name("geosam-edge")
        // A board in the field tells nobody anything.
        .with_telemetry(false)
        .build()
        .map_err(|error| refused(error.to_string()))?;
    environment.set_log_level(ort::logging::LogLevel::Warning);
    *loaded = Some((library.to_owned(), environment.clone()));
    Ok(environment)
}

/// The words for a library that cannot be used, with advice where it is too old.
fn too_old(error: &ort::LoadDynamicError) -> String {
    match error {
        ort::LoadDynamicError::BadVersion { version_str, path } => format!(
            "{} is ONNX Runtime {version_str}, which is too old: 1.{} or newer is needed",
            path.display(),
            ort::MINOR_VERSION
        ),
        other => other.to_string(),
    }
}

/// What this process has loaded, as far as the names of its libraries tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LibraryFacts {
    /// Version of ONNX Runtime.
    pub onnxruntime: Option<String>,
    /// Version of TensorRT.
    pub tensorrt: Option<String>,
}

/// Looks at the libraries of this process (`proc(5)`: `/proc/self/maps` names them with symbolic links resolved).
pub fn facts() -> LibraryFacts {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    LibraryFacts {
        onnxruntime: version_in(&maps, "libonnxruntime.so."),
        tensorrt: version_in(&maps, "libnvinfer.so."),
    }
}

/// The version at the end of a library's file name: `libnvinfer.so.8.5.2` is 8.5.2.
fn version_in(maps: &str, stem: &str) -> Option<String> {
    let names = maps.lines().filter_map(|line| line.rsplit('/').next());
    let versions = names.filter_map(|name| name.trim_end_matches(" (deleted)").strip_prefix(stem));
    versions.filter(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'.')).map(str::to_owned).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_the_names_of_mapped_libraries() {
        let maps = "\
7f0 r-xp 0 08:01 1 /usr/lib/aarch64-linux-gnu/libnvinfer_plugin.so.8.5.2
7f1 r-xp 0 08:01 2 /usr/lib/aarch64-linux-gnu/libnvinfer.so.8.5.2
7f2 r-xp 0 08:01 3 /opt/onnx runtime/libonnxruntime.so.1.18.0 (deleted)
7f3 rw-p 0 00:00 0 [heap]";
        assert_eq!(version_in(maps, "libnvinfer.so.").as_deref(), Some("8.5.2"));
        assert_eq!(version_in(maps, "libonnxruntime.so.").as_deref(), Some("1.18.0"));
        assert_eq!(version_in(maps, "libcudart.so."), None);
    }
}
