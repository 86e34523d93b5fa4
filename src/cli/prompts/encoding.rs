//! The encoding of a file of prompts. UTF-16 with its mark is surely that, and decoded; anything else that is not UTF-8 is refused
//! by its place: a guess that is wrong would garble the user's attributes in silence.

use std::path::Path;

use super::read::PromptsError;
use crate::api::NotUtf8;

/// The text of a file that begins with the mark of UTF-16, as Excel's "Unicode Text" does; `None` of another one.
pub(super) fn utf16(path: &Path, bytes: &[u8]) -> Result<Option<String>, PromptsError> {
    let (rest, little_endian) = match bytes {
        [0xFF, 0xFE, rest @ ..] => (rest, true),
        [0xFE, 0xFF, rest @ ..] => (rest, false),
        _ => return Ok(None),
    };
    let (units, odd) = rest.as_chunks::<2>();
    let unit = |bytes: &[u8; 2]| {
        if little_endian { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) }
    };
    let text = char::decode_utf16(units.iter().map(unit)).collect::<Result<String, _>>();
    match (text, odd) {
        (Ok(text), []) => Ok(Some(text)),
        _ => Err(PromptsError::unreadable(path, "is UTF-16, but damaged; save it as UTF-8")),
    }
}

/// Whether a text is UTF-8.
///
/// # Errors
/// Its first byte that is not, or that it is UTF-16 without a mark.
pub(super) fn check(path: &Path, text: &[u8]) -> Result<(), PromptsError> {
    if let [0, 1..=u8::MAX, ..] | [1..=u8::MAX, 0, ..] = text {
        let told = "is UTF-16 without a byte-order mark; save it as UTF-8";
        return Err(PromptsError::unreadable(path, told));
    }
    match NotUtf8::find(text) {
        None => Ok(()),
        Some(at) => Err(PromptsError::NotUtf8 { path: path.to_owned(), at }),
    }
}
