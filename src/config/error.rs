//! What can be wrong with a configuration. Every message names the place and what would be right, and
//! none repeats a value that might hold a password.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::api::NotUtf8;
use crate::bus::BusError;

/// Errors of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is in another encoding than TOML's.
    #[error("{place}: {problem}; save the file as UTF-8")]
    Encoding {
        /// Where.
        place: Place,
        /// What it is in.
        problem: String,
    },
    /// The file is not TOML.
    #[error("{place}: this is not TOML: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key \"{key}\"{hint}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// `; did you mean "..."?`, or the keys there are.
        hint: String,
    },
    /// A value that cannot be.
    #[error("{place}: \"{key}\" {problem}")]
    Value {
        /// Where.
        place: Place,
        /// The key with its section.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The environment has no password.
    #[error("the environment variable {name}: cannot be used as the broker's password: {problem}")]
    Password {
        /// The variable.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The map page's server refuses it: a password, a certificate.
    #[cfg(feature = "web")]
    #[error(transparent)]
    Web(#[from] crate::web::WebError),
    /// The bus refuses it, for example a certificate.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The text of a configuration.
///
/// # Errors
/// [`ConfigError::Encoding`].
pub(super) fn decoded<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, ConfigError> {
    std::str::from_utf8(bytes).ok().filter(|_| !is_utf16(bytes)).ok_or_else(|| {
        let (line, problem) = match NotUtf8::find(bytes) {
            Some(at) if !is_utf16(bytes) => (usize::try_from(at.line).ok(), at.to_string()),
            _ => (None, "this is UTF-16, and TOML is UTF-8".to_owned()),
        };
        ConfigError::Encoding { place: Place::line(Some(path), line), problem }
    })
}

/// By the mark, or by the zero beside the first letter.
const fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, 1..=u8::MAX, ..] | [1..=u8::MAX, 0, ..])
}

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On a line of a file, counted from one; no line where a key is missing.
    File(PathBuf, Option<usize>),
    /// By a flag.
    Flag(&'static str),
    /// Nowhere: a default.
    Default,
}

impl Place {
    pub(super) fn line(path: Option<&Path>, line: Option<usize>) -> Self {
        path.map_or(Self::Default, |path| Self::File(path.to_path_buf(), line))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Default => f.write_str("the default configuration"),
        }
    }
}
