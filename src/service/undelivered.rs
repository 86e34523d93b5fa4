//! What becomes of a message that cannot be delivered, whatever the reason: one rule. Pure.
//!
//! The asker shall not wait for nothing: an answer is replaced by the same as a small error with a code. Such an
//! error is not replaced again, so nothing loops.

use serde::Deserialize;

use super::performed::to_bytes;
use crate::ErrorCode;
use crate::api::{RequestId, Response};
use crate::store::{Class, OutboxMessage};

/// Correlation data that a replacement carries at most; requests of older versions may have had more.
const MAX_CORRELATION: usize = super::admission::MAX_CORRELATION;

/// Why a message cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// Larger than what may wait for the broker, with the bytes of both.
    LargerThanOutbox { bytes: usize, limit: usize },
    /// Larger than what the broker takes, or is allowed to be sent; the limit as far as it is known.
    TooLarge { bytes: usize, limit: Option<usize> },
    /// Not smaller than one that a broker has refused for its size which announces no limit.
    LargerThanRefused { bytes: usize, refused: usize },
    /// The broker refuses it for good.
    Refused { reason: String },
    /// The broker ended so many connections in a row with it under way.
    EndsConnections { connections: u32, bytes: usize },
    /// The broker has ended connections on its topic lately, with a message of a size that it takes elsewhere.
    OnForbiddenTopic,
    /// The broker could not take it now, so many times, and took others meanwhile.
    Deferred { times: u32, reason: String },
    /// It cannot be said in MQTT.
    Unsayable { problem: String },
}

impl Cause {
    /// The code of the error that takes its place.
    const fn code(&self) -> ErrorCode {
        match self {
            Self::LargerThanOutbox { .. } | Self::TooLarge { .. } | Self::LargerThanRefused { .. } => {
                ErrorCode::TooLarge
            }
            _ => ErrorCode::Undeliverable,
        }
    }

    /// Whether the topic may be at fault, so that the error had better go elsewhere.
    const fn blames_topic(&self) -> bool {
        !matches!(self.code(), ErrorCode::TooLarge)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LargerThanOutbox { bytes, limit } => write!(
                f,
                "it has {bytes} bytes, more than the {limit} that may wait for the broker (limits.outbox_bytes)"
            ),
            Self::TooLarge { bytes, limit: Some(limit) } => {
                write!(f, "it has {bytes} bytes where the broker takes {limit}")
            }
            Self::LargerThanRefused { bytes, refused } => write!(
                f,
                "it has {bytes} bytes; the broker does not say how many it takes, and has refused {refused}"
            ),
            Self::TooLarge { bytes, limit: None } => write!(f, "the broker does not take its {bytes} bytes"),
            Self::Refused { reason } => write!(f, "the broker refuses it: {reason}"),
            Self::EndsConnections { connections, bytes } => write!(
                f,
                "the broker ended {connections} connections in a row on it ({bytes} bytes): its topic or its size \
                 may be forbidden"
            ),
            Self::OnForbiddenTopic => f.write_str(
                "the broker has ended connections on this topic in the last minutes: nothing is sent there for a while",
            ),
            Self::Deferred { times, reason } => {
                write!(f, "the broker could not take it {times} times, though it took others: {reason}")
            }
            Self::Unsayable { problem } => f.write_str(problem),
        }
    }
}

/// The small error that takes the place of an answer; `None` for what needs none: other messages, and such an error
/// itself.
pub(super) fn replacement(message: &OutboxMessage, cause: &Cause) -> Option<OutboxMessage> {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<RequestId>,
        status: Option<String>,
    }
    if message.class != Class::Answer {
        return None;
    }
    let answer = serde_json::from_slice::<Answer>(&message.payload).ok();
    let (id, status) = answer.map_or((None, None), |answer| (answer.id, answer.status));
    // An error that went to a response topic only fails there; the plain topic has its own copy.
    if status.as_deref() == Some("error") && message.payload.len() <= SMALL {
        return None;
    }
    let advice = match cause.code() {
        ErrorCode::TooLarge => "; set output.max_bytes lower, or ask for less",
        _ => "",
    };
    let text = format!("the answer cannot be delivered on {}: {cause}{advice}", shortened(&message.topic));
    let elsewhere = message.plain_topic.as_ref().filter(|_| cause.blames_topic());
    Some(OutboxMessage {
        topic: elsewhere.unwrap_or(&message.topic).clone(),
        payload: to_bytes(&Response::error(id, cause.code(), text)),
        correlation: message.correlation.clone().filter(|data| data.len() <= MAX_CORRELATION),
        plain_topic: None,
        ..message.clone()
    })
}

/// Bytes of an error that is not worth replacing.
const SMALL: usize = 4096;

fn shortened(topic: &str) -> String {
    if topic.chars().count() <= 80 {
        return topic.to_owned();
    }
    topic.chars().take(80).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn answer(payload: &str) -> OutboxMessage {
        OutboxMessage {
            plain_topic: Some("geosam/b/response/c/segment".to_owned()),
            correlation: Some(vec![7; 16]),
            ..OutboxMessage::new(Class::Answer, "reply/here", payload.as_bytes())
        }
    }

    fn code(message: &OutboxMessage) -> String {
        let value: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(value["id"], "a");
        value["error"]["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_answer_becomes_a_small_error_and_that_is_not_replaced_again() {
        let refused = Cause::Refused { reason: "TopicNameInvalid".to_owned() };
        let large = Cause::TooLarge { bytes: 9000, limit: Some(100) };
        let ok = answer(r#"{"id":"a","status":"ok"}"#);
        let elsewhere = replacement(&ok, &refused).unwrap();
        assert_eq!(
            (elsewhere.topic.as_str(), code(&elsewhere).as_str()),
            ("geosam/b/response/c/segment", "UNDELIVERABLE")
        );
        assert_eq!(elsewhere.correlation, ok.correlation);
        let there = replacement(&ok, &large).unwrap();
        assert_eq!((there.topic.as_str(), code(&there).as_str()), ("reply/here", "TOO_LARGE"));
        assert_eq!(replacement(&elsewhere, &refused), None);
        assert_eq!(replacement(&there, &large), None);
        assert!(there.payload.len() < 400);
    }

    #[test]
    fn correlation_data_that_does_not_fit_is_left_out() {
        let message =
            OutboxMessage { correlation: Some(vec![0; 4000]), ..answer(r#"{"id":"a","status":"ok"}"#) };
        let cause = Cause::TooLarge { bytes: 9000, limit: Some(4000) };
        assert_eq!(replacement(&message, &cause).unwrap().correlation, None);
    }

    #[test]
    fn what_is_no_answer_is_not_replaced() {
        let mask = OutboxMessage::new(Class::Mask, "geosam/b/mask/f", &b"{}"[..]);
        assert_eq!(replacement(&mask, &Cause::TooLarge { bytes: 9, limit: None }), None);
    }
}
