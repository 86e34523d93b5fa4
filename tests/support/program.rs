//! How the tests start programs that were built with them.

use std::ffi::OsStr;
use std::process::Command;

/// The program under test. `$GEOSAM_TEST_RUNNER` is the emulator that another processor's build needs, with its
/// arguments (`cross/test.sh`).
pub fn geosam_edge() -> Command {
    emulated(env!("CARGO_BIN_EXE_geosam-edge").as_ref())
}

/// Any program of this build.
pub fn emulated(program: &OsStr) -> Command {
    let runner = std::env::var("GEOSAM_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}
