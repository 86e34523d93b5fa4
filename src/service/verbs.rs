//! What each verb does: the part of a request that workers run. Reads folders, sessions and layers; changes
//! nothing itself, but says what is to be changed, so that the clerk can make it durable with the answer.

mod batch;
mod changing;
mod everything;
mod prompting;
mod reading;
mod refining;
mod saving;
mod segment;
mod simplified;

pub(super) use everything::{Slice, Stepped};

use super::context::Context;
use super::job::Job;
use super::performed::{Performed, Refusal};
use crate::ErrorCode;
use crate::api::Response;
use crate::bus::Verb;

/// Bytes that an answer needs beside its features.
const ENVELOPE: usize = 1024;

impl Context {
    /// Runs a request.
    pub fn perform(&self, job: &Job) -> Performed {
        let done = match job.address.verb {
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
            // Workers run it step by step.
            Verb::Everything => {
                Err(Refusal(ErrorCode::Internal, "everything is not run as a whole".to_owned()))
            }
            // The clerk has answered it.
            Verb::Cancel => Err(Refusal(ErrorCode::Internal, "cancel is not run by workers".to_owned())),
        };
        done.unwrap_or_else(|Refusal(code, text)| Performed::answer(Response::error(job.id(), code, text)))
    }
}
