//! What the configuration takes from the process's surroundings: the host's name, systemd's directories.

use std::path::PathBuf;

use crate::api::check_name;

/// Facts of the host and the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The host's name, as a name for topics.
    pub device: String,
    /// The state directory that systemd gives (`StateDirectory=`), if any.
    pub state: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::fs::read_to_string("/etc/hostname"))
            .unwrap_or_default();
        // systemd separates several directories by colons (systemd.exec); the first is ours.
        let state = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
        let state = state.and_then(|value| std::env::split_paths(&value).next());
        Self { device: device_name(host.trim()), state }
    }
}

/// A host's name as a device's: other characters become `-`. One that leaves nothing is `board`.
fn device_name(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = host.trim_start_matches('.').chars().map(plain).take(64).collect();
    if check_name(&name).is_err() || name == "fleet" || name == "(none)" {
        return "board".to_owned();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_host_name_becomes_a_device_name() {
        for (host, device) in [
            ("jetson-7", "jetson-7"),
            ("board.local", "board.local"),
            ("Bei Lu", "Bei-Lu"),
            ("été", "-t-"),
            ("", "board"),
            ("...", "board"),
            ("fleet", "board"),
        ] {
            assert_eq!(device_name(host), device);
        }
        assert_eq!(device_name(&"x".repeat(100)).len(), 64);
        assert_eq!(check_name(&Surroundings::of_this_process().device), Ok(()));
    }
}
