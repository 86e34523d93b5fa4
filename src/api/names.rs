//! Names that become topic levels and file names: device, client, folder, layer, session, id.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name has no character.
    #[error("is empty; use 1 to 64 of A-Z a-z 0-9 . _ -")]
    Empty,
    /// The name is longer than a topic level of ours.
    #[error("is {0} bytes long; use at most 64")]
    TooLong(usize),
    /// The name would be hidden, or climb out of its directory, as a file.
    #[error("starts with a dot; use 1 to 64 of A-Z a-z 0-9 . _ - and begin with another character")]
    LeadingDot,
    /// The name has a character that topics or files give a meaning to.
    #[error("has the character {0:?}; use 1 to 64 of A-Z a-z 0-9 . _ -")]
    BadCharacter(char),
}

/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 64;

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Checks a name: 1 to 64 of `A-Z a-z 0-9 . _ -`, without a leading dot.
///
/// # Errors
/// Says which rule is broken.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = name.chars().find(|&c| !is_plain(c)) {
        return Err(NameError::BadCharacter(c));
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong(name.len()));
    }
    if name.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    Ok(())
}

/// Checks the name of a folder: as [`check_name`], but percent escapes (`%20`) may stand in it, since a
/// directory with another name is served that way.
///
/// # Errors
/// Says which rule is broken.
pub fn check_folder_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    check_name(&name.replace('%', "_"))
}

/// The longest name of a directory on Linux, in bytes.
const LONGEST_DIRECTORY: usize = 255;

/// The folder that a request asks for: a served name as it is, or a directory's own name (`Bei Lu He`) as
/// [`escape_name`] makes the served name of it.
///
/// # Errors
/// A name that no directory has.
pub(super) fn asked_folder(text: &str) -> Result<String, NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        1..=LONGEST_DIRECTORY => {
            Ok(if check_folder_name(text).is_ok() { text.to_owned() } else { escape_name(text) })
        }
        length => Err(NameError::TooLong(length)),
    }
}

/// A directory's name as a topic level: bytes that are not allowed become `%XX` (hexadecimal). A result of more than 64
/// bytes is cut, never inside an escape or a character, and ends in `-` and 8 hexadecimal digits of the SHA-256 of the
/// whole name: so it depends on the directory's name alone, and names that begin alike stay apart.
pub fn escape_name(directory: &str) -> String {
    if check_name(directory).is_ok() {
        return directory.to_owned();
    }
    let mut escaped = String::new();
    let mut ends = vec![0];
    for (position, c) in directory.chars().enumerate() {
        if is_plain(c) && !(position == 0 && c == '.') {
            escaped.push(c);
        } else {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        ends.push(escaped.len());
    }
    if escaped.is_empty() {
        return "%".to_owned();
    }
    if escaped.len() > MAX_NAME {
        let digest = short_digest(directory.as_bytes());
        let room = MAX_NAME - 1 - digest.len();
        let end = ends.into_iter().rfind(|&end| end <= room).unwrap_or(0);
        escaped.truncate(end);
        escaped = format!("{escaped}-{digest}");
    }
    escaped
}

/// The first 8 hexadecimal digits of a SHA-256.
pub(crate) fn short_digest(bytes: &[u8]) -> String {
    first_digits(&Sha256::digest(bytes))
}

/// The first 8 hexadecimal digits of a digest.
pub(crate) fn first_digits(digest: &[u8]) -> String {
    digest.iter().take(4).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_change_a_topic_or_a_path_are_refused() {
        for name in ["", ".", "..", ".hidden", "a/b", "a+b", "#", "ä", "a b", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?} was accepted");
        }
        for name in ["a", "sam2.1_t", "A-b_c.9", &"x".repeat(64)] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn an_escaped_directory_is_a_valid_name() {
        for directory in ["Bei Lu He", "été", ".hidden", "", "a/b", &"é".repeat(80)] {
            let escaped = escape_name(directory);
            assert_eq!(check_folder_name(&escaped), Ok(()), "{directory:?} became {escaped:?}");
        }
        assert_eq!(escape_name("Bei Lu"), "Bei%20Lu");
        assert_eq!(asked_folder("Bei Lu").as_deref(), Ok("Bei%20Lu"));
        assert_eq!(asked_folder("Bei%20Lu").as_deref(), Ok("Bei%20Lu"));
        assert_eq!(asked_folder(""), Err(NameError::Empty));
        assert!(asked_folder(&"a".repeat(256)).is_err());
        assert_eq!(escape_name("beiluhe"), "beiluhe");
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_told_apart_by_its_digest() {
        // Each character is nine bytes of escapes: six and a digest fit into 64.
        let [a, b] = ["2023", "2024"].map(|year| {
            escape_name(&format!(
                "\u{9752}\u{6d77}\u{5317}\u{9e93}\u{6cb3}\u{70ed}\u{878d}\u{6e56}\u{5858}{year}"
            ))
        });
        assert!(a.starts_with("%E9%9D%92%E6%B5%B7%E5%8C%97%E9%BA%93%E6%B2%B3%E7%83%AD-"), "{a}");
        assert_ne!(a, b);
        let plain = "2026-05-12_valley_survey_flight_07_orthomosaic_20cm_rgb_epsg32632_2023";
        // SHA-256 by sha256sum.
        assert_eq!(escape_name(plain), format!("{}-{}", &plain[..55], "b56f4b9e"));
    }

    proptest::proptest! {
        #[test]
        fn any_directory_gets_a_valid_name(directory in "\\PC{0,90}") {
            let name = escape_name(&directory);
            proptest::prop_assert_eq!(check_folder_name(&name), Ok(()));
            // No escape is cut: after each % stand two digits.
            let whole = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
            proptest::prop_assert!(directory.is_empty() || name.split('%').skip(1).all(whole), "{}", name);
        }
    }
}
