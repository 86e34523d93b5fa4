//! Feature folders: finding them, reading their manifests, choosing the chip that answers a prompt.
//!
//! A folder is a manifest (GeoParquet of geosam, or the CSV of Geo-SAM v1) and the files of its chips.
//! Here is what the manifest tells: footprints, affines, CRS, model, files. Tensors are read by
//! `features`, coordinates transformed by `geo`, checkpoints found by `models`.

mod chip;
mod chips;
mod choose;
mod crs;
mod discover;
mod error;
mod files;
mod folder;
mod footprint;
mod index;
mod manifest;
mod names;
mod prompt;
mod ring;
mod summary;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod v1;
mod wkb;

pub use chip::{ChipRef, check_against_manifest};
pub use crs::FolderCrs;
pub use discover::{FolderSource, each_directory_once, find_sources};
pub use error::{CatalogError, Lies, NoChipCovers};
pub use files::Presence;
pub use folder::{Discovery, Folder};
pub use footprint::Footprint;
pub use names::{Unnamed, served_names};
pub use prompt::PromptGeometry;
pub use summary::{FolderSummary, MissingChips};
pub use wkb::{WkbError, read_polygon};

/// Reads a manifest from bytes and returns how many chips it lists; for the fuzz target.
///
/// # Errors
/// As opening a folder with this manifest.
pub fn check_manifest(bytes: &[u8]) -> Result<usize, CatalogError> {
    let manifest =
        manifest::read_manifest(std::io::Cursor::new(bytes), std::path::Path::new("manifest.parquet"))?;
    Ok(manifest.chips.len())
}
