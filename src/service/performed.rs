//! What came of a request: the answer, and what is to be changed with it. A refusal is one, too.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use super::job::Job;
use crate::ErrorCode;
use crate::api::{Outcome, RequestId, Response};
use crate::engine::{EngineError, Segmentation};
use crate::layers::LayerError;
use crate::session::{Session, SessionError, SessionKey};
use crate::store::{LayerChange, OutboxMessage, StoreError};

/// What came of a request.
#[derive(Debug)]
pub(super) struct Performed {
    /// The answer as it goes out.
    pub answer: Arc<[u8]>,
    /// Whether it is no error.
    pub ok: bool,
    /// Whether the same request gets the same answer when it comes again.
    pub keep: bool,
    /// Messages beside the answer.
    pub messages: Vec<OutboxMessage>,
    /// A session's new state.
    pub session: Option<(SessionKey, Session)>,
    /// Changes of layers.
    pub layers: Vec<LayerChange>,
}

impl Performed {
    /// An answer that changes nothing.
    pub fn answer(response: Response) -> Self {
        Self {
            answer: to_bytes(&response),
            ok: response.is_ok(),
            keep: refused_with(&response).is_none_or(lies_in_the_request),
            messages: Vec::new(),
            session: None,
            layers: Vec::new(),
        }
    }
}

impl Performed {
    /// The answer to a request that was running each time when the program ended. It is kept, so that the same request
    /// does not begin it all again when it comes again.
    pub fn given_up(job: &Job) -> Self {
        tracing::error!(
            client = job.address.client,
            verb = %job.address.verb,
            seq = job.seq,
            "a request was running when the program ended, twice, and is not run again"
        );
        let text = "it was running when the program ended, twice, and is not run again; ask for less, or, if it was \
                    not to blame, send it again under a new id; please report it with the program's log";
        let mut response = Response::error(job.id(), ErrorCode::Internal, text);
        if let Outcome::Error { error, .. } = &mut response.outcome {
            error.retryable = false;
        }
        Self { keep: true, ..Self::answer(response) }
    }

    /// The answer to a request that met a fault of ours.
    pub fn failed_inside(job: &Job) -> Self {
        tracing::error!(client = job.address.client, verb = %job.address.verb, "a request failed inside");
        let text = "the request failed inside the program; please report it with its log";
        Self::answer(Response::error(job.id(), ErrorCode::Internal, text))
    }

    /// The answer to a preview that a newer one has displaced.
    pub fn superseded(job: &Job) -> Self {
        let text = "a newer preview of this client took its place";
        Self::answer(Response::error(job.id(), ErrorCode::Superseded, text))
    }

    /// The answer to a request that its client has taken back.
    pub fn cancelled(job: &Job) -> Self {
        let text = match job.is_background() && job.changes_state() {
            true => "the request was taken back by its client; what it has found is in the layer",
            false => "the request was taken back by its client",
        };
        // What changes nothing may be asked again, as after any other refusal of its kind.
        Self {
            keep: job.changes_state(),
            ..Self::answer(Response::error(job.id(), ErrorCode::Cancelled, text))
        }
    }

    /// An answer with a list that is written already, its items joined by commas: nothing of it is held twice.
    pub fn with_list(id: Option<RequestId>, members: Map<String, Value>, name: &str, items: &[u8]) -> Self {
        let mut answer = serde_json::to_vec(&Response::reply(id, members)).unwrap_or_default();
        // A response is an object with at least its id.
        answer.pop();
        answer.reserve_exact(name.len() + items.len() + 8);
        answer.extend_from_slice(format!(",\"{name}\":[").as_bytes());
        answer.extend_from_slice(items);
        answer.extend_from_slice(b"]}");
        Self {
            answer: answer.into(),
            ok: true,
            keep: true,
            messages: Vec::new(),
            session: None,
            layers: Vec::new(),
        }
    }

    /// The masks of a request, as they were asked for.
    pub fn masks(job: &Job, segmentation: Segmentation) -> Self {
        let mut response = segmentation.into_response(job.id());
        set_queue_time(&mut response, job);
        Self::answer(response)
    }
}

/// A response as it goes out.
pub(super) fn to_bytes(response: &Response) -> Arc<[u8]> {
    // Every part of a response is a string, a finite number or a list of them: none can fail to be written.
    serde_json::to_vec(response).unwrap_or_default().into()
}

/// The code of a response that is an error.
fn refused_with(response: &Response) -> Option<ErrorCode> {
    match &response.outcome {
        Outcome::Error { error, .. } => Some(error.code),
        _ => None,
    }
}

/// Whether a refusal is the request's own fault, so that the same request gets the same answer again. What
/// lies in the board today (load, card, folders, models, layers) may be mended tomorrow.
pub(super) const fn lies_in_the_request(code: ErrorCode) -> bool {
    let of_the_board = matches!(
        code,
        ErrorCode::UnknownFolder
            | ErrorCode::TooManyLayers
            | ErrorCode::LayerFull
            | ErrorCode::NoChipCovers
            | ErrorCode::ModelMissing
            | ErrorCode::ModelMismatch
            | ErrorCode::ChipUnreadable
    );
    !code.retryable() && !of_the_board
}

/// A refusal with its code.
pub(super) struct Refusal(pub ErrorCode, pub String);

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<LayerError> for Refusal {
    fn from(error: LayerError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(error.code(), error.to_string())
    }
}

/// The time from receipt to here, less what was spent on the request itself.
pub(super) fn set_queue_time(response: &mut Response, job: &Job) {
    if let Outcome::Mask { timing_ms, .. } = &mut response.outcome {
        let total = Instant::now().saturating_duration_since(job.received).as_secs_f64() * 1e3;
        let own = timing_ms.load + timing_ms.decode + timing_ms.vectorize;
        timing_ms.queue = ((total - own).max(0.0) * 1e3).round() / 1e3;
    }
}
