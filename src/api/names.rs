//! Names that become topic levels and file names: device, client, folder, layer, session, id.

use std::fmt::Write as _;

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

/// A directory's name as a topic level: bytes that are not allowed become `%XX` (hexadecimal), and the
/// result is cut to 64 bytes. Two directories may so get the same name; the catalogue tells them apart.
pub fn escape_name(directory: &str) -> String {
    if check_name(directory).is_ok() {
        return directory.to_owned();
    }
    let mut escaped = String::new();
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
    }
    escaped.truncate(MAX_NAME);
    if escaped.is_empty() { "%".to_owned() } else { escaped }
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
        assert_eq!(escape_name("beiluhe"), "beiluhe");
    }
}
