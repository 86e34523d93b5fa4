//! `segment`: prompts in, masks out; and the decoding that the steps of a session share.

use std::sync::Arc;

use super::ENVELOPE;
use crate::ErrorCode;
use crate::api::{CrsChoice, OutputOptions, PromptItem, Response};
use crate::engine::Segmentation;
use crate::service::context::Context;
use crate::service::folders::{FolderView, NotReady};
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal, lies_in_the_request, set_queue_time};
use crate::service::pulse::Organ;
use crate::store::{Class, OutboxMessage};

impl Context {
    pub(super) fn segment(&self, job: &Job) -> Performed {
        let Some(entries) = &job.request.batch else {
            return self.segment_item(job, &self.bounded(&job.request.item, 1));
        };
        let mut messages = Vec::new();
        let mut results = Vec::with_capacity(entries.len());
        let mut keep = true;
        for entry in entries {
            self.pulse.beat(Organ::Decoder);
            // The whole answer is bounded, so each entry has its share.
            let item = self.bounded(entry, entries.len());
            match self.decode(&item) {
                Ok(segmentation) => {
                    messages.extend(self.mask_message(job, &segmentation, &item.output));
                    let mut response = segmentation.into_response(item.id.clone());
                    set_queue_time(&mut response, job);
                    results.push(response);
                }
                Err(Refusal(code, text)) => {
                    keep &= lies_in_the_request(code);
                    results.push(Response::error(item.id.clone(), code, text));
                }
            }
        }
        let answer = Performed::answer(Response::batch(job.id(), results));
        Performed { messages, keep, ..answer }
    }

    fn segment_item(&self, job: &Job, item: &PromptItem) -> Performed {
        match self.decode(item) {
            Ok(segmentation) => {
                let messages = self.mask_message(job, &segmentation, &item.output).into_iter().collect();
                Performed { messages, ..Performed::masks(job, segmentation) }
            }
            Err(Refusal(code, text)) => Performed::answer(Response::error(job.id(), code, text)),
        }
    }

    /// An item whose answer is bounded, as one of so many that share the bound.
    pub(super) fn bounded(&self, item: &PromptItem, of: usize) -> PromptItem {
        let limit = item.output.max_bytes.unwrap_or(self.max_answer_bytes);
        let share = (limit / of.max(1)).saturating_sub(ENVELOPE.min(limit / of.max(1) / 4));
        let output = OutputOptions { max_bytes: Some(share.max(1)), ..item.output };
        PromptItem { output, ..item.clone() }
    }

    pub(super) fn decode(&self, item: &PromptItem) -> Result<Segmentation, Refusal> {
        let view = self.served.view();
        if let Some(refusal) = not_ready(&view, item) {
            return Err(refusal);
        }
        self.engine.segment(&view.folders(), item).map_err(|error| {
            let code = error.code();
            let card = matches!(code, ErrorCode::ChipUnreadable | ErrorCode::CardError);
            let gone = view
                .ready
                .values()
                .filter(|f| item.folder.as_ref().is_none_or(|name| *name == f.name))
                .find(|f| !f.folder.manifest().exists());
            match gone.filter(|_| card) {
                Some(folder) => Refusal(
                    ErrorCode::CardError,
                    format!("the card with folder {} is gone; put it back in and ask again", folder.name),
                ),
                None => Refusal(code, format!("{error}{}", left_out(&view, item, code))),
            }
        })
    }

    /// The mask for maps that only listen: WGS84, whatever the request asked for; no previews.
    fn mask_message(&self, job: &Job, done: &Segmentation, asked: &OutputOptions) -> Option<OutboxMessage> {
        if job.is_preview() {
            return None;
        }
        let output = OutputOptions { crs: CrsChoice::WGS84, ..*asked };
        let collection = done.collection_as(&output).ok()?;
        let payload: Arc<[u8]> = serde_json::to_vec(&collection).ok()?.into();
        Some(OutboxMessage {
            content_type: Some("application/geo+json".to_owned()),
            ..OutboxMessage::new(Class::Mask, self.topics.mask(done.folder_name()), payload)
        })
    }
}

/// The refusal of a prompt that only a folder could answer which is not ready.
fn not_ready(view: &FolderView, item: &PromptItem) -> Option<Refusal> {
    let asked = match &item.folder {
        Some(name) => view.problems.get_key_value(name),
        None if view.ready.is_empty() => view.problems.first_key_value(),
        None => None,
    };
    let (name, NotReady { problem, .. }) = asked?;
    let code = match problem.code {
        model @ (ErrorCode::ModelMissing | ErrorCode::ModelMismatch) => model,
        _ => ErrorCode::FolderNotReady,
    };
    Some(Refusal(code, format!("folder {name} is not ready: {}", problem.message)))
}

/// What a refusal adds where folders that are not ready might have answered.
fn left_out(view: &FolderView, item: &PromptItem, code: ErrorCode) -> String {
    if item.folder.is_some() || code != ErrorCode::NoChipCovers || view.problems.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = view.problems.keys().map(String::as_str).collect();
    format!("; not ready, and not searched: {}", names.join(", "))
}
