//! What several integration tests share: where fixtures and the corpus are, running the program.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

pub mod npz;
pub mod program;
pub mod scene;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The project's own fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Folders written by the real geosam with its answers, where they stand beside the project
/// (`$GEOSAM_EDGE_CORPUS` names another place). Says loudly when they do not.
pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let corpus = std::env::var_os("GEOSAM_EDGE_CORPUS").map_or(beside, PathBuf::from);
    if corpus.join("expected").is_dir() {
        return Some(corpus);
    }
    eprintln!(
        "SKIPPED: no corpus at {}; set GEOSAM_EDGE_CORPUS to test parity with geosam",
        corpus.display()
    );
    None
}

/// The program under test, without the user's own models directory.
pub fn geosam_edge() -> Command {
    let mut command = program::geosam_edge();
    command.env_remove("GEOSAM_EDGE_MODELS").env_remove("RUST_LOG");
    command
}

/// Runs the program to its end.
pub fn run(args: &[&str]) -> Output {
    geosam_edge().args(args).output().expect("the program starts")
}

/// Runs the program with a text on its standard input.
pub fn run_with_input(args: &[&str], input: &str) -> Output {
    use std::io::Write as _;
    let mut child = geosam_edge()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // From a thread of its own: the program answers while it still reads.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the program ends");
    // A program that refuses early closes its input: that is for the caller to judge by its status.
    let _ = feeder.join();
    output
}

/// Standard output as text, after checking that the program succeeded.
pub fn stdout_of(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the program failed: {stderr}");
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

/// The program's answers to request lines on a folder, in order; all must be `ok`.
pub fn answers(folder: &Path, more: &[&str], requests: &str) -> Vec<serde_json::Value> {
    let mut arguments = vec!["segment", folder.to_str().expect("UTF-8"), "--request", "-"];
    arguments.extend(more);
    let text = stdout_of(&run_with_input(&arguments, requests));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
