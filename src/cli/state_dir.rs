//! Where the service keeps its layers, when `--state` does not say.

use std::path::{Path, PathBuf};

use crate::config::{Config, Overrides};

/// The configuration of a packaged appliance, and the state directory that its systemd unit gives.
const SYSTEM_CONFIG: &str = "/etc/geosam-edge/geosam-edge.toml";
const SYSTEM_STATE: &str = "/var/lib/geosam-edge";

/// `--state`, else `state` in the working directory, as `serve` keeps it there, else that of the appliance: what its
/// configuration says, else the directory that systemd gives it.
pub(super) fn state_dir(given: Option<&Path>) -> PathBuf {
    found(given, Path::new("state"), Path::new(SYSTEM_CONFIG), Path::new(SYSTEM_STATE))
}

fn found(given: Option<&Path>, here: &Path, config: &Path, system: &Path) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    if here.is_dir() {
        return here.to_owned();
    }
    // A configuration that is wrong is told by `serve --check`.
    let configured =
        config.is_file().then(|| Config::load(Some(config), &Overrides::default()).ok()).flatten();
    let configured = configured.map(|config| config.state).filter(|state| state.is_absolute());
    match configured.into_iter().chain([system.to_owned()]).find(|dir| dir.is_dir()) {
        Some(found) => found,
        // Nothing is anywhere: the error tells of the place that one is in.
        None => here.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_state_is_taken_and_a_given_one_wins() {
        let root = tempfile::tempdir().unwrap();
        let [here, config, system, card] =
            ["state", "edge.toml", "system", "card"].map(|name| root.path().join(name));
        let find = |given: Option<&Path>| found(given, &here, &config, &system);
        assert_eq!(find(None), here);
        fs::create_dir(&system).unwrap();
        assert_eq!(find(None), system);
        fs::create_dir(&card).unwrap();
        fs::write(&config, format!("state = {:?}\n", card.to_str().unwrap())).unwrap();
        assert_eq!(find(None), card);
        fs::create_dir(&here).unwrap();
        assert_eq!(find(None), here);
        assert_eq!(find(Some(Path::new("/x"))), Path::new("/x"));
    }
}
