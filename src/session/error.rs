//! Why a session refuses.

use crate::ErrorCode;
use crate::api::CrsChoice;

/// Why a session refuses. It is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// The session does not exist, or not any more.
    #[error(
        "client {client} has no session {session}: no `add` has begun it (one that is refused begins none), or it has \
         ended by age or made room for newer ones; begin it with `add`"
    )]
    Unknown {
        /// Client.
        client: String,
        /// Session.
        session: String,
    },
    /// An add without prompt.
    #[error("the request has neither \"points\" nor \"bbox\"; one of them is needed")]
    NoPrompt,
    /// Prompts of a session cannot be in different CRSs.
    #[error(
        "the session is in {session}, the request in {request}; send {session}, or `clear` the session first"
    )]
    OtherCrs {
        /// The session's.
        session: CrsChoice,
        /// The request's.
        request: CrsChoice,
    },
    /// Prompts of a session cannot be for different folders.
    #[error(
        "the session is on folder {session}, the request on {request}; send {session} or none, or `clear` the \
         session first"
    )]
    OtherFolder {
        /// The session's.
        session: String,
        /// The request's.
        request: String,
    },
    /// Too many prompts.
    #[error(
        "the session would have {steps} prompts; at most {limit} are accepted: `save` or `clear` it first"
    )]
    TooLong {
        /// Prompts with those of the request.
        steps: usize,
        /// Prompts accepted.
        limit: usize,
    },
    /// There is no prompt to take back.
    #[error("the session has no prompt to take back")]
    NothingToUndo,
    /// There is no mask to save.
    #[error("the session has no prompt and so no mask to save; `add` one first")]
    NothingToSave,
    /// The stored state of a session cannot be read.
    #[error(
        "the stored session {name:?} cannot be read ({problem}) and is dropped; begin it again with `add`"
    )]
    Unreadable {
        /// Its name in the store.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl SessionError {
    /// The code that a response carries.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown { .. } => ErrorCode::UnknownSession,
            Self::NothingToSave | Self::NothingToUndo => ErrorCode::NothingToSave,
            Self::Unreadable { .. } => ErrorCode::Internal,
            Self::NoPrompt | Self::OtherCrs { .. } | Self::OtherFolder { .. } | Self::TooLong { .. } => {
                ErrorCode::BadRequest
            }
        }
    }
}
