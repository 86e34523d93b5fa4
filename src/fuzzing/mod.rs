//! Ways in for the fuzz targets of `fuzz/` to readers that are private elsewhere, with what must hold of whatever they
//! read. Only in tests and with the cargo feature `fuzzing`; no program that ships has it.
//!
//! `seeds` makes the corpora that the targets begin with. Readers that are public are called by their targets.

#[cfg(test)]
mod seeds;

use std::path::Path;

use crate::api::PromptItem;
use crate::bus::{IncomingMessage, Properties, QoS};

pub use crate::bus::looked_through;
pub use crate::cot::markers_in;
pub use crate::service::{Judged, judged};

/// A message as a target makes one of its bytes: flags (bits 0 and 1: quality of service; 2: retained; 3: there are
/// correlation data; 4: there is a response topic), the topic led by its length in a byte, then, each led by its length,
/// what the flags name, and the payload. `None` where bytes are missing or a topic is no UTF-8.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<IncomingMessage> {
    let (&flags, mut rest) = bytes.split_first()?;
    let mut led = |there: bool| -> Option<Vec<u8>> {
        let (&length, tail) = rest.split_first().filter(|_| there)?;
        let (piece, tail) = tail.split_at_checked(length.into())?;
        rest = tail;
        Some(piece.to_vec())
    };
    let topic = String::from_utf8(led(true)?).ok()?;
    let correlation_data = led(flags & 8 != 0);
    let response_topic = led(flags & 16 != 0).map(String::from_utf8).transpose().ok()?;
    let qos = match flags & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    Some(IncomingMessage {
        topic,
        payload: rest.to_vec(),
        cut_from: None,
        qos,
        retain: flags & 4 != 0,
        dup: false,
        properties: Properties { correlation_data, response_topic, ..Properties::default() },
        ack: None,
    })
}

/// How many objects a file of prompts has, and how many of them are prompts; `None` where it cannot be read.
#[must_use]
pub fn prompts(bytes: &[u8]) -> Option<(usize, usize)> {
    crate::cli::prompts_in(Path::new("prompts"), bytes, &PromptItem::default())
}
