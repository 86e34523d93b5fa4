//! What must hold of every message that a stranger can send, for a fuzz target and its seeds.

use std::sync::Arc;
use std::time::Instant;

use super::admission::{Admission, IntakeRules, Receptions};
use super::performed::to_bytes;
use super::unanswered::{Recovered, recover};
use crate::api::{Limits, PromptItem};
use crate::bus::{IncomingMessage, Topics};
use crate::store::{OutboxMessage, Waiting};

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// None of the board's requests.
    Nothing,
    /// Refused with these messages.
    Refused(Vec<OutboxMessage>),
    /// To be run: whether what it asks for is durable.
    Taken(bool),
}

/// Judges a message as the board `geosam/edge` of the fleet `valley` does.
///
/// # Panics
/// Where a request that was made durable would be another one after a restart, or a refusal is no answer with a code:
/// what a fuzz target is to find.
#[must_use]
pub fn judged(message: IncomingMessage) -> Judged {
    let Ok(topics) = Topics::new("geosam", "edge", &["valley".to_owned()]) else { return Judged::Nothing };
    let rules = IntakeRules {
        topics,
        limits: Limits::default(),
        unsaid: PromptItem::default(),
        response_prefixes: vec!["geosam/edge/response/{client}/".to_owned()],
        previews: true,
        receptions: Receptions::new(),
    };
    match rules.judge(message, Instant::now()) {
        Admission::Refuse(reply, response) => {
            assert!(!response.is_ok(), "a refusal has a code");
            let answer = to_bytes(&response);
            assert!(!answer.is_empty(), "a refusal can be written");
            Judged::Refused(reply.messages(&answer))
        }
        Admission::Durable(job, entry) => {
            let waiting = Waiting { seq: 1, received_clock_ms: 0, entry: *entry };
            let recovered = recover(waiting, &rules.topics, &rules.limits, &rules.unsaid, 0);
            let Recovered::Run(again) = recovered else { panic!("what was admitted is run after a restart") };
            assert_eq!((&again.address, &again.request, again.key), (&job.address, &job.request, job.key));
            let nothing: Arc<[u8]> = Arc::from([]);
            assert_eq!(again.reply.messages(&nothing), job.reply.messages(&nothing));
            Judged::Taken(true)
        }
        Admission::Volatile(_) | Admission::Cancel(_) => Judged::Taken(false),
        Admission::Ignore | Admission::Strange | Admission::Ping(..) | Admission::Folder(_) => {
            Judged::Nothing
        }
    }
}
