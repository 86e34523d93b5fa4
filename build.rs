//! Tells the program what it was built from and for: the commit and the target, for `doctor`.
//!
//! The commit comes from git where the sources are a clone, from `.cargo_vcs_info.json` where they are a published
//! package, and is "unknown" otherwise. Only optimised builds ask: a development build would be compiled anew after
//! every commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=GEOSAM_EDGE_COMMIT");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let optimised = variable("PROFILE") == "release";
    let commit = if optimised { packaged().or_else(cloned) } else { None };
    // A packager who builds from an archive may say it.
    let commit = std::env::var("GEOSAM_EDGE_COMMIT").ok().filter(|given| is_commit(given)).or(commit);
    println!("cargo::rustc-env=GEOSAM_EDGE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=GEOSAM_EDGE_TARGET={}", variable("TARGET"));
}

/// What a program prints without being quoted.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The commit of a package of `cargo package`.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    let commit = rest.split('"').nth(1)?;
    is_commit(commit).then(|| commit.to_owned())
}

/// The commit of a clone, unless the sources lie in another project's.
fn cloned() -> Option<String> {
    let here = std::fs::canonicalize(".").ok()?;
    let top = std::fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if here != top {
        return None;
    }
    // What changes with a commit: the branch, or HEAD itself, or both packed into one file.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in [Some("HEAD"), branch.as_deref(), Some("packed-refs")].into_iter().flatten() {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"]).filter(|commit| is_commit(commit))
}

/// What git says; nothing where there is no git, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
