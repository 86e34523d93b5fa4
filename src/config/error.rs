//! What can be wrong with a configuration. Every message names the place and what would be right, and
//! none repeats a value that might hold a password.

use std::fmt;
use std::path::{Path, PathBuf};

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
