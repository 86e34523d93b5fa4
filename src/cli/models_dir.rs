//! Where imported models are, when `--models` does not say.

use std::path::{Path, PathBuf};

/// The variable that names the directory of models.
pub(super) const MODELS_VARIABLE: &str = "GEOSAM_EDGE_MODELS";

/// Reads `--models` or the variable, which may be empty.
pub(super) fn models_parser() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::TypedValueParser as _;
    clap::builder::OsStringValueParser::new().map(PathBuf::from)
}

/// Where a packaged appliance keeps its models.
const SYSTEM_MODELS: &str = "/var/lib/geosam-edge/models";

/// `--models`, else `$GEOSAM_EDGE_MODELS` (both read by clap), else `models` beside the folder or in it,
/// else the system's directory.
pub(super) fn models_dir(given: Option<&Path>, folder: Option<&Path>) -> PathBuf {
    // A variable without a value is none, as one of `docker compose` that is not set.
    if let Some(given) = given.filter(|given| !given.as_os_str().is_empty()) {
        return given.to_owned();
    }
    let beside = folder.into_iter().flat_map(|folder| {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut places = vec![folder.join("models")];
        places.extend(folder.ancestors().skip(1).take(2).map(|above| above.join("models")));
        places
    });
    beside.into_iter().find(|dir| dir.is_dir()).unwrap_or_else(|| PathBuf::from(SYSTEM_MODELS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_beside_the_folder_are_found_and_a_given_directory_wins() {
        let card = tempfile::tempdir().unwrap();
        let folder = card.path().join("beiluhe");
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(models_dir(None, Some(&folder)), Path::new(SYSTEM_MODELS));
        let models = card.path().join("models");
        std::fs::create_dir(&models).unwrap();
        assert_eq!(models_dir(None, Some(&folder)), models.canonicalize().unwrap());
        assert_eq!(models_dir(Some(Path::new("/x")), Some(&folder)), Path::new("/x"));
        assert_eq!(models_dir(Some(Path::new("")), Some(&folder)), models.canonicalize().unwrap());
    }
}
