//! JSON text from strangers to a value tree, bounded in size and nesting.

use serde_json::Value;

use super::limits::Limits;
use super::not_utf8::NotUtf8;
use super::tree;

/// Why a payload is not taken as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Longer than the limit.
    #[error("the payload has {bytes} bytes; at most {limit} are accepted")]
    TooLong {
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Nested deeper than the limit.
    #[error("the JSON is nested deeper than {limit} levels")]
    TooDeep {
        /// Levels accepted.
        limit: usize,
    },
    /// Nothing but white space.
    #[error("the payload is empty; send a JSON object")]
    Empty,
    /// Zero bytes, and nothing else.
    #[error("the payload holds nothing but zero bytes (NUL), {bytes} of them; send a JSON object")]
    OnlyNul {
        /// How many.
        bytes: usize,
    },
    /// A key that an object has twice.
    #[error("the key \"{key}\" is given twice; send it once")]
    Twice {
        /// The key, with the path that leads to it.
        key: String,
    },
    /// A string as C keeps it, with its terminator.
    #[error("the payload ends with a zero byte (NUL); send the JSON without it")]
    TrailingNul,
    /// Every other byte is zero, or it begins as UTF-16 does.
    #[error("the payload is UTF-16; JSON is sent as UTF-8 (RFC 8259, 8.1)")]
    Utf16,
    /// In another encoding.
    #[error(
        "the payload is in another encoding: line {}, column {}: {at}; JSON is sent as UTF-8 (RFC 8259, 8.1)",
        at.line,
        at.column
    )]
    NotUtf8 {
        /// Where it is not UTF-8.
        at: NotUtf8,
    },
    /// Not JSON.
    #[error("the payload is not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// The byte-order mark that editors of Windows put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Parses a payload, refusing one that is too long or too deep before a tree is built. A byte-order mark before it is
/// passed over, as RFC 8259 (8.1) allows.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_bounded(payload: &[u8], limits: &Limits) -> Result<Value, JsonError> {
    match read_bounded(payload, limits)? {
        (tree, None) => Ok(tree),
        (_, Some(key)) => Err(JsonError::Twice { key }),
    }
}

/// The same, for who has a use for a tree with a key given twice: that key, with the path that leads to it.
pub(super) fn read_bounded(payload: &[u8], limits: &Limits) -> Result<(Value, Option<String>), JsonError> {
    if payload.len() > limits.max_payload_bytes {
        return Err(JsonError::TooLong { bytes: payload.len(), limit: limits.max_payload_bytes });
    }
    if nesting(payload) > limits.max_depth {
        return Err(JsonError::TooDeep { limit: limits.max_depth });
    }
    if is_utf16(payload) {
        return Err(JsonError::Utf16);
    }
    let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    match payload.trim_ascii_end() {
        [] => Err(JsonError::Empty),
        nothing if nothing.iter().all(|&byte| byte == 0) => Err(JsonError::OnlyNul { bytes: nothing.len() }),
        [.., 0] => Err(JsonError::TrailingNul),
        // What is not UTF-8 is no JSON either: which of the two it is, is looked at only then.
        payload => tree::read(payload).map_err(|error| match NotUtf8::find(payload) {
            Some(at) => JsonError::NotUtf8 { at },
            None => error.into(),
        }),
    }
}

/// Whether a text begins as JSON in UTF-16 does.
pub(crate) fn is_utf16(payload: &[u8]) -> bool {
    let payload = payload.strip_prefix(BYTE_ORDER_MARK).unwrap_or(payload);
    matches!(payload, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'{' | b'[', 0, ..] | [0, b'{' | b'[', ..])
}

/// Deepest nesting of brackets outside strings; exact for valid JSON, and enough for any other text.
pub(crate) fn nesting(payload: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for &byte in payload {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_strings_are_not_nesting() {
        assert_eq!(nesting(br#"{"a": "[[[[\"[["}"#), 1);
        assert_eq!(nesting(b"[[1],[2,[3]]]"), 3);
    }

    #[test]
    fn a_payload_of_brackets_is_refused_without_recursion() {
        let deep = vec![b'['; 100_000];
        assert!(matches!(parse_bounded(&deep, &Limits::default()), Err(JsonError::TooDeep { limit: 16 })));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let tree = parse_bounded(b"\xEF\xBB\xBF{\"id\": 1}\r\n", &Limits::default()).unwrap();
        assert_eq!(tree["id"], 1);
        assert!(parse_bounded(b"\xEF\xBB\xBF\xEF\xBB\xBF{}", &Limits::default()).is_err());
    }

    #[test]
    fn what_is_not_utf8_json_is_named() {
        for (payload, part) in [
            (&b"{}\0"[..], "NUL"),
            (b"{}\0\n", "NUL"),
            (b"\0", "nothing but zero bytes (NUL), 1 of them"),
            (b"\0\0\0\0", "nothing but zero bytes (NUL), 4 of them"),
            (b" \n", "is empty"),
            (b"{\"a\": [{\"b\": 1, \"b\": 2}]}", "the key \"a[0].b\" is given twice"),
            (b"{\0}\0", "UTF-16"),
            (b"\xFF\xFE{\0}\0", "UTF-16"),
            (b"\0{\0}", "UTF-16"),
            (b"", "is empty"),
            (b"{\"a\":\xff}", "line 1, column 6: byte 0xFF (ÿ in Windows-1252) is not UTF-8"),
        ] {
            let error = parse_bounded(payload, &Limits::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{payload:?}: {error}");
        }
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_with_both_sizes() {
        let limits = Limits { max_payload_bytes: 4, ..Limits::default() };
        let error = parse_bounded(b"[1, 2]", &limits).unwrap_err();
        assert_eq!(error.to_string(), "the payload has 6 bytes; at most 4 are accepted");
    }
}
