//! A row's bytes: `header length (u32, little endian) | header (JSON) | body`.
//!
//! The header is JSON so that later versions may add members and older rows still read; the body (a request's
//! payload, a feature's line) is kept as it came.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a row. Headers are our own plain structs; the one failure serde_json knows for them is a map with
/// keys that are not strings, which none has.
pub(super) fn encode(header: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, String> {
    let header = serde_json::to_vec(header).map_err(|e| e.to_string())?;
    let length = u32::try_from(header.len()).map_err(|_| "the header is longer than 4 GB".to_owned())?;
    let mut row = Vec::with_capacity(4 + header.len() + body.len());
    row.extend_from_slice(&length.to_le_bytes());
    row.extend_from_slice(&header);
    row.extend_from_slice(body);
    Ok(row)
}

/// Reads a row.
pub(super) fn decode<H: DeserializeOwned>(row: &[u8]) -> Result<(H, &[u8]), String> {
    let (length, rest) = row.split_first_chunk::<4>().ok_or("the row has no header")?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|e| e.to_string())?;
    let (header, body) = rest.split_at_checked(length).ok_or("the row's header is cut short")?;
    Ok((serde_json::from_slice(header).map_err(|e| e.to_string())?, body))
}

/// Bytes as hexadecimal digits in JSON.
pub(super) mod hex_bytes {
    use std::fmt::Write as _;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for byte in bytes.as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        to.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(from: D) -> Result<T, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        let bytes = parse(&text).ok_or_else(|| D::Error::custom("not hexadecimal"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("the wrong number of bytes"))
    }

    pub fn parse(text: &str) -> Option<Vec<u8>> {
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let digits = digits.filter(|d| d.len() % 2 == 0)?;
        Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    }
}

/// Bytes that may be absent, as hexadecimal digits in JSON.
pub(super) mod hex_option {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::hex_bytes::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        super::hex_bytes::parse(&text).map(Some).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_as_it_was_written() {
        let row = encode(&("head", 7), b"\x00body\xff").unwrap();
        let (header, body) = decode::<(String, u32)>(&row).unwrap();
        assert_eq!((header.0.as_str(), header.1, body), ("head", 7, &b"\x00body\xff"[..]));
    }

    #[test]
    fn a_row_cut_anywhere_in_its_header_is_an_error() {
        let row = encode(&("head", 7), b"").unwrap();
        for end in 0..row.len() {
            assert!(decode::<(String, u32)>(&row[..end]).is_err());
        }
        assert!(decode::<(String, u32)>(&[0xff; 16]).is_err());
    }
}
