//! Why a request is refused, with the key that is wrong.

use super::json::JsonError;
use super::names::NameError;
use crate::ErrorCode;
use crate::geo::GeoError;

/// Why a request is refused. The message names the key.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A fault of ours.
    #[error("the request cannot be read, by a fault of the program; please report it with the request")]
    Fault,
    /// Not JSON, too long or too deep.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key that no request has.
    #[error("unknown key \"{key}\"{hint}")]
    UnknownKey {
        /// The key, with the path that leads to it.
        key: String,
        /// `; did you mean "..."?`, where a known key is near.
        hint: String,
    },
    /// A key that requests of other verbs have.
    #[error("\"{key}\" belongs to {takers}, not to {verb}; leave it out")]
    ForeignKey {
        /// The key, with the path that leads to it.
        key: String,
        /// The verbs that take it.
        takers: String,
        /// The verb of the request.
        verb: String,
    },
    /// A value of the wrong type or outside its range.
    #[error("\"{key}\" {problem}")]
    BadValue {
        /// The key, with the path that leads to it.
        key: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A name breaks the rules for names.
    #[error("\"{key}\" {problem}")]
    BadName {
        /// The key.
        key: &'static str,
        /// The rule.
        problem: NameError,
    },
    /// A CRS that no request can be read or answered in.
    #[error(
        "\"{key}\": {source}; give the EPSG code of a CRS in docs/crs.md, or EPSG:4326 and its coordinates"
    )]
    UnknownCrs {
        /// The key, with the path that leads to it.
        key: String,
        /// Which CRS, and what stands in its way.
        source: GeoError,
    },
    /// Two keys contradict each other, or one is missing.
    #[error("{0}")]
    Contradiction(String),
}

impl RequestError {
    /// The code that a response carries: all of these are the client's to mend.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownCrs { .. } => ErrorCode::UnknownCrs,
            Self::Fault => ErrorCode::Internal,
            _ => ErrorCode::BadRequest,
        }
    }

    pub(super) fn bad(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::BadValue { key: key.into(), problem: problem.into() }
    }
}

pub(super) type Parsed<T> = Result<T, RequestError>;
