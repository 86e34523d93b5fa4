//! JSON text from strangers to a value tree, bounded in size and nesting.

use serde_json::Value;

use super::limits::Limits;

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
    /// Not JSON.
    #[error("the payload is not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
}

/// Parses a payload, refusing one that is too long or too deep before a tree is built.
///
/// # Errors
/// See [`JsonError`].
pub fn parse_bounded(payload: &[u8], limits: &Limits) -> Result<Value, JsonError> {
    if payload.len() > limits.max_payload_bytes {
        return Err(JsonError::TooLong { bytes: payload.len(), limit: limits.max_payload_bytes });
    }
    if nesting(payload) > limits.max_depth {
        return Err(JsonError::TooDeep { limit: limits.max_depth });
    }
    Ok(serde_json::from_slice(payload)?)
}

/// Deepest nesting of brackets outside strings; exact for valid JSON, and enough for any other text.
fn nesting(payload: &[u8]) -> usize {
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
    fn a_payload_over_the_limit_is_refused_with_both_sizes() {
        let limits = Limits { max_payload_bytes: 4, ..Limits::default() };
        let error = parse_bounded(b"[1, 2]", &limits).unwrap_err();
        assert_eq!(error.to_string(), "the payload has 6 bytes; at most 4 are accepted");
    }
}
