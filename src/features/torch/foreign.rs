//! What a file is that is no archive of `torch.save`, by how it begins: what lies in its place on people's cards. Only messages go by it.

/// How many bytes of a file's beginning tell.
pub(super) const BEGINNING: usize = 64;

/// What it is and what to do, to follow the file's name; none where it is not known.
pub(super) fn foreign(beginning: &[u8]) -> Option<&'static str> {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    if beginning.is_empty() {
        Some("an empty file: copying it or downloading it failed; fetch it again")
    } else if text.starts_with(b"version https://git-lfs") {
        // git-lfs/docs/spec.md: a pointer's first line.
        Some(
            "a pointer of Git LFS in place of the file; run `git lfs pull` where it was cloned, and copy it from there",
        )
    } else if text.starts_with(b"<") {
        Some("a web page, as a download that needs a login or has moved leaves it; download the file itself")
    } else if let [_, _, _, _, _, _, 0, 0, b'{', b'"', ..] = beginning {
        // safetensors' README: eight bytes of the header's size, little-endian, and the header, a JSON object.
        Some(
            "a safetensors file; geosam works with checkpoints of torch.save (.pt, .pth): take the one that the folder was encoded with",
        )
    } else {
        None
    }
}
