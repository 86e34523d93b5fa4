//! What each verb does: the part of a request that workers run. Reads folders, sessions and layers; changes
//! nothing itself, but says what is to be changed, so that the clerk can make it durable with the answer.

mod batch;
mod changing;
mod chip;
mod everything;
mod pieces;
mod prompting;
mod reading;
mod refining;
mod saving;
mod segment;
mod simplified;

pub(super) use batch::Batch;
pub(super) use everything::MOST_PROPERTIES;
pub(super) use pieces::{Slice, Stepped};
pub(super) use segment::MOST_CHIPS;

use super::context::Context;
use super::job::Job;
use super::performed::{Performed, Refusal};
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::Verb;

/// Bytes that an answer needs beside its features.
pub(super) const ENVELOPE: usize = 1024;

/// Bytes that an answer of so many sets aside for that: a small one less.
fn set_aside(bytes: usize) -> usize {
    ENVELOPE.min(bytes / 4)
}

/// Bytes by which a text may differ from one of the same object drawn again: times and tolerance.
const SLACK: usize = 64;

impl Context {
    /// Runs a request.
    pub fn perform(&self, job: &Job) -> Performed {
        let done = match job.address.verb {
            // Workers run it piece by piece.
            _ if job.is_background() || job.is_batch() => {
                let text = format!("{} is not run as a whole", job.address.verb);
                Err(Refusal(ErrorCode::Internal, text))
            }
            Verb::Segment => Ok(self.segment(job)),
            Verb::Add => self.add(job),
            Verb::Undo => self.undo(job),
            Verb::Clear => self.clear(job),
            Verb::Save => self.save(job),
            Verb::Unsave => self.unsave(job),
            Verb::Update => self.update(job),
            Verb::Delete => self.delete(job),
            Verb::List => self.list(job),
            Verb::Fetch => self.fetch(job),
            // The clerk has answered it.
            Verb::Cancel | Verb::Everything => {
                Err(Refusal(ErrorCode::Internal, format!("{} is not run by workers", job.address.verb)))
            }
        };
        done.unwrap_or_else(|refusal| Self::refusal(job, refusal))
    }

    fn refusal(job: &Job, Refusal(code, text): Refusal) -> Performed {
        Performed::answer(Response::error(job.id(), code, text))
    }
}
