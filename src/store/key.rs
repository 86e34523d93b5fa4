//! By what a request is recognised when it comes again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::hex_bytes;
use crate::api::RequestId;

/// Client, verb, id and payload of a request, as two 128-bit prefixes of SHA-256: who asked under which id, and
/// for what. The same again is the same request; the first alone is the id used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    #[serde(with = "hex_bytes")]
    pub(super) asked: [u8; 16],
    #[serde(with = "hex_bytes")]
    pub(super) payload: [u8; 16],
}

impl RequestKey {
    /// The key of a request. A request without an id has none: it is never taken for another one.
    ///
    /// `"42"` and `42` are the same id. Requests to a fleet's `group` are told from those to the board itself,
    /// since their answers go elsewhere.
    pub fn new(client: &str, verb: &str, id: &RequestId, group: Option<&str>, payload: &[u8]) -> Self {
        let id = id.to_string();
        let parts = [client, verb, id.as_str(), group.map_or("", |_| "fleet"), group.unwrap_or("")];
        Self { asked: digest(parts.map(str::as_bytes)), payload: digest([payload]) }
    }
}

/// The first 128 bits of SHA-256 over the parts, each led by its length, so that no two lists look the same.
pub(super) fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let full: [u8; 32] = hasher.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&full[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str) -> RequestId {
        RequestId::Text(id.to_owned())
    }

    #[test]
    fn a_key_changes_with_each_of_its_parts() {
        let key = RequestKey::new("a", "save", &text("1"), None, b"{}");
        assert_eq!(key, RequestKey::new("a", "save", &text("1"), None, b"{}"));
        let others = [
            RequestKey::new("b", "save", &text("1"), None, b"{}"),
            RequestKey::new("a", "add", &text("1"), None, b"{}"),
            RequestKey::new("a", "save", &text("2"), None, b"{}"),
            RequestKey::new("a", "save", &text("1"), Some("g"), b"{}"),
        ];
        for other in others {
            assert_ne!(key.asked, other.asked);
            assert_eq!(key.payload, other.payload);
        }
        let other = RequestKey::new("a", "save", &text("1"), None, b"{ }");
        assert_eq!(key.asked, other.asked);
        assert_ne!(key.payload, other.payload);
    }

    #[test]
    fn parts_cannot_run_into_each_other() {
        let one = RequestKey::new("ab", "c", &text("1"), None, b"");
        let two = RequestKey::new("a", "bc", &text("1"), None, b"");
        assert_ne!(one.asked, two.asked);
    }

    #[test]
    fn a_number_and_its_text_are_the_same_id() {
        let number = RequestId::Number(42.into());
        assert_eq!(
            RequestKey::new("a", "add", &number, None, b"x"),
            RequestKey::new("a", "add", &text("42"), None, b"x")
        );
    }
}
