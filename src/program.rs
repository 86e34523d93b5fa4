//! What this program is: version, commit, target, features. For reports from boards, and for what is remembered from one
//! version to the next.

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from; `unknown` in development builds, and where the sources were no clone.
pub const COMMIT: &str = env!("GEOSAM_EDGE_COMMIT");

/// The target that it was built for, as Rust names it.
pub const TARGET: &str = env!("GEOSAM_EDGE_TARGET");

/// The cargo features that it was built with.
pub fn features() -> Vec<&'static str> {
    let all = [
        ("demo", cfg!(feature = "demo")),
        ("flatgeobuf", cfg!(feature = "flatgeobuf")),
        ("gpkg", cfg!(feature = "gpkg")),
        ("tensorrt", cfg!(feature = "tensorrt")),
        ("tract", cfg!(feature = "tract")),
    ];
    all.into_iter().filter(|(_, built_in)| *built_in).map(|(name, _)| name).collect()
}

/// Version and commit on one line.
pub fn version_and_commit() -> String {
    format!("{VERSION} ({COMMIT})")
}
