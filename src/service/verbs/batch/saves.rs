//! A batch of `save`: each object is saved or refused by itself, and all at once when the last is drawn.

use serde_json::json;

use super::{Chips, answer, append};
use crate::ErrorCode;
use crate::api::{PromptItem, Response};
use crate::engine::MaskInput;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal, lies_in_the_request, to_bytes};
use crate::service::saved_feature;
use crate::service::verbs::simplified::Simplified;
use crate::store::{LayerChange, OutboxMessage};

/// How far a batch of `save` has come.
pub(in crate::service) struct SaveBatch {
    /// Entries that are done.
    done: usize,
    /// Their answers, joined by commas.
    results: Vec<u8>,
    messages: Vec<OutboxMessage>,
    layers: Vec<LayerChange>,
    /// Bytes of the objects.
    bytes: usize,
    chips: Chips,
    simplified: Simplified,
    keep: bool,
}

impl Context {
    pub(super) fn begin_saves(&self, job: &Job) -> Result<SaveBatch, Refusal> {
        self.may_save(job)?;
        self.no_other_prompts(job)?;
        Ok(SaveBatch {
            done: 0,
            results: Vec::new(),
            messages: Vec::new(),
            layers: Vec::new(),
            bytes: 0,
            chips: self.batch_chips(),
            simplified: Simplified::default(),
            keep: true,
        })
    }

    /// Draws the next object; says whether there was one.
    pub(super) fn next_save(
        &self,
        job: &Job,
        items: &[PromptItem],
        batch: &mut SaveBatch,
    ) -> Result<bool, Refusal> {
        let index = batch.done;
        let Some(item) = items.get(index) else { return Ok(false) };
        batch.done += 1;
        let item = &batch.chips.bound(item.clone());
        let mut properties = job.request.properties.clone();
        properties.extend(item.properties.clone().unwrap_or_default());
        let mut properties = saved_feature::beside_own(properties);
        if let Some(id) = item.id.as_ref().filter(|_| job.request.said.has("objects")) {
            // What a drawn Feature was called, by which its layer is joined with this one.
            properties.entry("feature_id").or_insert_with(|| json!(id));
        }
        let id = format!("{}-{index}", Self::object_id(job));
        let saved = self.object(job, id, (item, MaskInput::None), item.output, &properties).and_then(|object| {
            batch.bytes += object.line.len();
            if batch.bytes > self.answers.most {
                let text = "the objects before it are all that one request may save; save it with a request of its own";
                return Err(Refusal(ErrorCode::TooLarge, text.to_owned()));
            }
            Ok(object)
        });
        let response = match saved {
            Ok(object) => {
                batch.chips.used(object.chips);
                batch.simplified.note(object.tolerance, item.output.simplification());
                let response = Response::reply(item.id.clone(), object.told(&Self::layer(job), false));
                let (message, change) = self.change_of(job, object)?;
                batch.messages.push(message);
                batch.layers.push(change);
                response
            }
            Err(Refusal(code, text)) => {
                batch.keep &= lies_in_the_request(code);
                Response::error(item.id.clone(), code, text)
            }
        };
        append(&mut batch.results, &to_bytes(&response));
        Ok(true)
    }
}

impl SaveBatch {
    pub(super) fn answered(self, job: &Job) -> Performed {
        let Self { results, messages, layers, simplified, keep, .. } = self;
        // What has been saved must not be saved again, whatever the others were refused for.
        let keep = keep || !layers.is_empty();
        Performed { keep, messages, layers, ..answer(job, &results, &simplified) }
    }
}
