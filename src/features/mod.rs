//! One chip's tensors: torch's zip container, a restricted unpickler, strides, and the TIFF chips of
//! Geo-SAM v1.
//!
//! The container and the unpickler ([`torch`]) are shared with `models`, which reads checkpoints of the
//! same format. Nothing here knows manifests, footprints or prompts, and nothing here runs a model.
//!
//! Every file is read with plain positioned reads into buffers of its own size: a memory-mapped file on
//! a card that is pulled out would end the process with SIGBUS.

pub(crate) mod bytes;
mod checkpoint_name;
mod chip;
mod error;
mod reader;
pub mod torch;
pub mod v1;

#[cfg(test)]
pub(crate) mod testing;

pub use checkpoint_name::same_model;
pub(crate) use checkpoint_name::{advised_file, canonical, other_names};
pub use chip::{ChipFeatures, Crc, HighRes, chip_of, has_checksums, read_chip, written_as};
pub use error::FeaturesError;
pub use reader::CardFile;
pub use v1::read_v1_chip;

/// The file name of a path that may come from another system: what follows the last `/` or `\`.
///
/// Manifests and chips hold absolute paths of the machine that encoded, Windows paths among them.
pub fn file_name_of(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_name_is_found_in_unix_and_windows_paths() {
        for path in ["sam_b.pt", "/home/a/sam_b.pt", r"C:\models\sam_b.pt", r"C:\models/sam_b.pt"] {
            assert_eq!(super::file_name_of(path), "sam_b.pt");
        }
        assert_eq!(super::file_name_of("ends/"), "");
    }
}
