//! What the tests share: the corpus beside the project, and files of `torch.save` built by hand.

use std::path::PathBuf;

/// The folders written by the real geosam, beside the project or where `GEOSAM_EDGE_CORPUS` says; `None`,
/// loudly, where they are not there.
pub fn corpus(test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("GEOSAM_EDGE_CORPUS").map_or_else(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED: {test}: no corpus at {}; set GEOSAM_EDGE_CORPUS to run it", path.display());
    None
}
