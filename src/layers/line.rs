//! One line of a layer file.
//!
//! A file is lines of GeoJSON Features, as GDAL's GeoJSONSeq driver writes and reads them: ended by a newline,
//! perhaps led by a record separator (RFC 8142), perhaps with a carriage return before the newline where
//! somebody's editor put it. Blank lines are nothing.

use std::borrow::Cow;

use serde::Deserialize;

/// The longest line that is read as a feature; a longer one is skipped and reported like any bad line. Far above
/// what an answer over MQTT may hold.
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// Of a line that is the beginning of JSON, as a line that was never finished is.
pub(super) const BREAKS_OFF: &str = "the JSON breaks off";

/// Of the line with which other programs begin a file of many lines.
pub(super) const BEGINS: &str = "a JSON text of many lines begins";

/// Of a line that is what other programs write as a whole file.
pub(super) const COLLECTION: &str = "it is a FeatureCollection";

/// What a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing but white space.
    Blank,
    /// A feature, with its id if it has one.
    Feature(Option<String>),
    /// Anything else, and why.
    Bad(&'static str),
}

/// The members of a feature that are looked at here.
#[derive(Debug)]
pub(super) struct Head {
    pub id: Option<String>,
}

#[derive(Deserialize)]
struct RawHead<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    id: Option<Id>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(serde_json::Number),
}

/// Says what a line is; the newline at its end may be there or not.
pub fn classify(line: &[u8]) -> Line {
    let text = trim(line);
    if text.is_empty() {
        return Line::Blank;
    }
    match head(text) {
        Ok(head) => Line::Feature(head.id),
        Err(problem) => Line::Bad(problem),
    }
}

/// A line without separator and white space around it.
pub(super) fn trim(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii().trim_prefix_byte(0x1e).trim_ascii()
}

trait TrimByte {
    fn trim_prefix_byte(&self, byte: u8) -> &Self;
}

impl TrimByte for [u8] {
    fn trim_prefix_byte(&self, byte: u8) -> &Self {
        let mut rest = self;
        while let [first, tail @ ..] = rest
            && *first == byte
        {
            rest = tail;
        }
        rest
    }
}

/// Reads a feature's id; the whole line is checked to be JSON.
pub(super) fn head(text: &[u8]) -> Result<Head, &'static str> {
    if text.len() > MAX_LINE {
        return Err("the line is longer than 16 MiB");
    }
    // Members that are not looked at are not checked by the parser.
    if let Err(error) = std::str::from_utf8(text) {
        return Err(if error.error_len().is_none() { BREAKS_OFF } else { "it is not UTF-8" });
    }
    let raw: RawHead = serde_json::from_slice(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Eof if begins_text(text) => BEGINS,
        serde_json::error::Category::Eof => BREAKS_OFF,
        serde_json::error::Category::Data => "the JSON is not an object with a \"type\" and an \"id\"",
        _ => "it is not JSON",
    })?;
    match raw.kind.as_deref() {
        Some("Feature") => {}
        Some("FeatureCollection") => return Err(COLLECTION),
        _ => return Err("its \"type\" is not \"Feature\""),
    }
    // GDAL leaves out the ids of Features that have a property of that name; ours are the same in both places.
    let id = raw.id.or_else(|| serde_json::from_slice::<RawProperties>(text).ok()?.properties.id);
    let id = id.map(|id| match id {
        Id::Text(text) => text,
        Id::Number(number) => number.to_string(),
    });
    Ok(Head { id })
}

/// Whether this beginning of JSON is a line on purpose: an opening bracket alone, or a collection as far as its features.
fn begins_text(text: &[u8]) -> bool {
    const NAME: &[u8] = b"\"FeatureCollection\"";
    let is_bracket = matches!(text, b"{" | b"[");
    is_bracket || text.get(..64).unwrap_or(text).windows(NAME.len()).any(|part| part == NAME)
}

#[derive(Deserialize)]
struct RawProperties {
    properties: PropertyHead,
}

#[derive(Deserialize)]
struct PropertyHead {
    #[serde(default)]
    id: Option<Id>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_gdal_write_is_a_feature() {
        for line in [
            &br#"{"type":"Feature","id":"a","geometry":null,"properties":{}}"#[..],
            b"{\"type\":\"Feature\",\"id\":\"a\"}\r\n",
            b"\x1e{\"id\":\"a\",\"type\":\"Feature\"}\n",
            b"\xef\xbb\xbf{\"id\":\"a\",\"type\":\"Feature\"}\n",
        ] {
            assert_eq!(classify(line), Line::Feature(Some("a".to_owned())));
        }
        assert_eq!(classify(br#"{"type":"Feature","id":7}"#), Line::Feature(Some("7".to_owned())));
        // As GDAL writes what it has read of ours.
        let rewritten = br#"{"type":"Feature","properties":{"id":"a","kind":"pond"},"geometry":null}"#;
        assert_eq!(classify(rewritten), Line::Feature(Some("a".to_owned())));
        for without in [
            &br#"{"type":"Feature","properties":null}"#[..],
            br#"{"type":"Feature","properties":{"id":[1]}}"#,
        ] {
            assert_eq!(classify(without), Line::Feature(None));
        }
        assert_eq!(classify(br#"{"type":"Feature"}"#), Line::Feature(None));
    }

    #[test]
    fn blank_and_bad_lines_are_told_apart() {
        assert_eq!(classify(b" \r\n"), Line::Blank);
        for line in
            [&b"{\"a"[..], b"[1]", b"\0\0", b"{\"type\":\"Point\"}", b"{\"type\":\"Feature\"}}", b"hello"]
        {
            assert!(matches!(classify(line), Line::Bad(_)), "{line:?}");
        }
        assert_eq!(classify(br#"{"type":"FeatureCollection","features":[]}"#), Line::Bad(COLLECTION));
        for line in [&b"{\n"[..], b"{ \"type\": \"FeatureCollection\", \"features\": [\r\n"] {
            assert_eq!(classify(line), Line::Bad(BEGINS), "{line:?}");
        }
        assert_eq!(classify(b"{\"type\":\"Feature\",\"id\":"), Line::Bad(BREAKS_OFF));
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_bad_wherever_its_fault_is() {
        for line in [
            &b"{\"type\":\"Feature\",\"id\":\"a\",\"properties\":{\"kind\":\"gro\xdf\"}}"[..],
            b"{\"type\":\"Feature\",\"id\":\"\xdf\"}",
            b"{\"type\":\"Feature\",\"k\xdf\":1}",
        ] {
            assert_eq!(classify(line), Line::Bad("it is not UTF-8"));
        }
        // Cut off within a letter.
        assert_eq!(classify(b"{\"type\":\"Feature\",\"id\":\"\xc3"), Line::Bad(BREAKS_OFF));
    }
}
