//! What a file is that is no archive of `torch.save`, by how it begins: what lies in its place on people's cards. Only messages go by it.

use crate::stand_in::{WEB_PAGE, stand_in};

/// How other archives begin, and what packs them.
const PACKED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
];

/// What it is and what to do, to follow "is"; none where it is not known.
pub(super) fn foreign(beginning: &[u8]) -> Option<String> {
    let packed = PACKED.iter().find(|(magic, _)| beginning.starts_with(magic));
    if let Some((_, by)) = packed {
        Some(format!("packed by {by}: unpack it first, and take what is in it"))
    } else if beginning.is_empty() {
        Some("an empty file: copying it or downloading it failed; fetch it again".to_owned())
    } else if let Some(stand_in) = stand_in(beginning) {
        Some(stand_in.to_string())
    } else if beginning.trim_ascii_start().starts_with(b"<") || beginning.starts_with(b"\xef\xbb\xbf<") {
        Some(WEB_PAGE.to_string())
    } else if let [_, _, _, _, _, _, 0, 0, b'{', b'"', ..] = beginning {
        // safetensors' README: eight bytes of the header's size, little-endian, and the header, a JSON object.
        Some(
            "a safetensors file; geosam works with checkpoints of torch.save (.pt, .pth): take the one that the folder was encoded with"
                .to_owned(),
        )
    } else {
        None
    }
}
