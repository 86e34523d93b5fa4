//! `segment`: one prompt in, masks out; and the decoding that the steps of a session share. Batches are in `batch`.

use std::sync::Arc;

use super::{SLACK, set_aside};
use crate::ErrorCode;
use crate::api::{CrsChoice, OutputOptions, PromptItem, Response};
use crate::engine::{EngineError, MaskInput, Segmentation};
use crate::service::context::Context;
use crate::service::folders::{FolderProblem, FolderView, NotReady};
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::store::{Class, OutboxMessage};

/// Chips that one object is followed over at the most, whatever its request says: each holds 0.4 MB until it is answered.
pub(in crate::service) const MOST_CHIPS: u16 = 64;

impl Context {
    pub(super) fn segment(&self, job: &Job) -> Performed {
        let item = &self.bounded(&job.request.item, 1);
        let mask = job.request.mask_of.as_ref().map(|id| self.mask_of(job, id)).transpose();
        let decoded = mask.and_then(|mask| match mask {
            Some(mask) => self.decode_from(item, MaskInput::Given(&mask)),
            None => self.decode(item),
        });
        let decoded = decoded.and_then(|drawn| self.within_bound(job, &job.request.item.output, drawn));
        match decoded {
            Ok(segmentation) => {
                self.keep_mask(job, &segmentation, None);
                let messages = self.mask_message(job, &segmentation, &item.output).into_iter().collect();
                Performed { messages, ..Performed::masks(job, segmentation) }
            }
            // It costs nothing to find again, and what is refused today may be there tomorrow.
            Err(Refusal(code, text)) => {
                Performed { keep: false, ..Performed::answer(Response::error(job.id(), code, text)) }
            }
        }
    }

    /// An item whose answer is bounded, as one of so many that share the bound.
    pub(super) fn bounded(&self, item: &PromptItem, of: usize) -> PromptItem {
        let limit = self.answers.of(&item.output);
        let own = limit / of.max(1);
        let share = own.saturating_sub(set_aside(own));
        let output = OutputOptions { max_bytes: Some(share.max(1)), ..item.output };
        PromptItem { output, ..item.clone() }
    }

    /// The same masks, drawn again where they and what stands around them have more bytes than were asked for: a small bound
    /// leaves less for the polygons than [`Context::bounded`] could know.
    pub(super) fn within_bound(
        &self,
        job: &Job,
        asked: &OutputOptions,
        drawn: Segmentation,
    ) -> Result<Segmentation, Refusal> {
        let limit = self.answers.of(asked);
        let around = drawn.bytes_around(job.id()) + SLACK;
        let room = limit.saturating_sub(around);
        // Polygons are measured only where more stands around them than was set aside.
        if around <= set_aside(limit) || drawn.polygon_bytes() <= room {
            return Ok(drawn);
        }
        Ok(drawn.drawn(&OutputOptions { max_bytes: Some(room.max(1)), ..*asked })?)
    }

    pub(super) fn decode(&self, item: &PromptItem) -> Result<Segmentation, Refusal> {
        self.decode_from(item, MaskInput::asked_by(item))
    }

    pub(super) fn decode_from(
        &self,
        item: &PromptItem,
        input: MaskInput<'_>,
    ) -> Result<Segmentation, Refusal> {
        let view = self.ready_view(item)?;
        let item = &PromptItem { stitch: item.stitch.map(|most| most.min(MOST_CHIPS)), ..item.clone() };
        self.segmented(&view, item, input).map_err(|error| explained(&view, item, &error))
    }

    /// The folders, where those that an item may be answered from are ready.
    pub(super) fn ready_view(&self, item: &PromptItem) -> Result<Arc<FolderView>, Refusal> {
        if let Some(problem) = &item.problem {
            return Err(Refusal(ErrorCode::BadRequest, problem.clone()));
        }
        let view = self.served.view();
        match not_ready(&view, item) {
            Some(refusal) => Err(refusal),
            None => Ok(view),
        }
    }

    fn segmented(
        &self,
        view: &FolderView,
        item: &PromptItem,
        input: MaskInput<'_>,
    ) -> Result<Segmentation, EngineError> {
        #[cfg(test)]
        if let Some(memo) = self.memo.get().filter(|_| matches!(input, MaskInput::None)) {
            let prompt = serde_json::to_string(&(&item.prompt, &item.output)).unwrap();
            if let Some(known) = memo.lock().unwrap().get(&prompt) {
                return Ok(known.clone());
            }
            let segmentation = self.engine.segment(&view.folders(), item)?;
            memo.lock().unwrap().insert(prompt, segmentation.clone());
            return Ok(segmentation);
        }
        self.engine.segment_from(&view.folders(), item, input)
    }

    /// The mask for maps that only listen: WGS84, whatever the request asked for; no previews.
    pub(super) fn mask_message(
        &self,
        job: &Job,
        done: &Segmentation,
        asked: &OutputOptions,
    ) -> Option<OutboxMessage> {
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

/// A refusal, with what the folders that are not ready have to do with it.
pub(super) fn explained(view: &FolderView, item: &PromptItem, error: &EngineError) -> Refusal {
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
        None => Refusal(code, format!("{error}{}", left_out(view, item, code))),
    }
}

/// The refusal of a prompt that only folders could answer which are not ready. All of them are named: which of them
/// the prompt lies in is not known.
fn not_ready(view: &FolderView, item: &PromptItem) -> Option<Refusal> {
    if !view.looked {
        let text = "the feature folders have not been looked at yet: a card does not answer";
        return Some(Refusal(ErrorCode::FolderNotReady, text.to_owned()));
    }
    let may_answer = |name: &String| match &item.folder {
        Some(asked) => asked == name,
        None => view.ready.is_empty(),
    };
    let asked: Vec<(&String, &FolderProblem)> = view
        .problems
        .iter()
        .filter(|(name, _)| may_answer(name))
        .map(|(name, NotReady { problem, .. })| (name, problem))
        .collect();
    let of_model = |code| matches!(code, ErrorCode::ModelMissing | ErrorCode::ModelMismatch);
    let (_, first) = asked.first()?;
    let same = of_model(first.code) && asked.iter().all(|(_, problem)| problem.code == first.code);
    let code = if same { first.code } else { ErrorCode::FolderNotReady };
    let told = asked.iter().map(|(name, problem)| format!("folder {name} is not ready: {}", problem.message));
    Some(Refusal(code, told.collect::<Vec<_>>().join("; ")))
}

/// What a refusal adds where folders that are not ready might have answered.
fn left_out(view: &FolderView, item: &PromptItem, code: ErrorCode) -> String {
    if item.folder.is_some() || code != ErrorCode::NoChipCovers || view.problems.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = view.problems.keys().map(String::as_str).collect();
    format!("; not ready, and not searched: {}", names.join(", "))
}
