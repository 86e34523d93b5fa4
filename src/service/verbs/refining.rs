//! Masks to start from: that of an earlier answer by its id, that of a session's prompts by making it again where it is not
//! kept any more.

use std::sync::Arc;

use super::segment::explained;
use crate::ErrorCode;
use crate::api::{CrsChoice, OutputOptions, PromptItem, RequestId};
use crate::engine::{LowResMask, MaskInput, Segmentation};
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::masks::OfSession;
use crate::service::performed::Refusal;
use crate::service::pulse::Organ;
use crate::session::{Session, SessionKey};

/// What a session's answer starts from, as far as it is to be refined: a mask, or none where there is none yet.
pub(super) type Before = Option<Option<Arc<LowResMask>>>;

/// The same for the engine.
pub(super) fn input(before: Option<&Option<Arc<LowResMask>>>) -> MaskInput<'_> {
    match before {
        None => MaskInput::None,
        Some(None) => MaskInput::Missing,
        Some(Some(mask)) => MaskInput::IfFits(mask),
    }
}

impl Context {
    /// The mask of an earlier answer to this client.
    pub(super) fn mask_of(&self, job: &Job, id: &RequestId) -> Result<Arc<LowResMask>, Refusal> {
        let client = &job.address.client;
        self.masks.of_answer(client, &id.to_string()).ok_or_else(|| {
            let text = format!(
                "no mask of an answer {id} to {client} is kept: those of its last {} answers to segment (no batches, no \
                 previews), add and undo are, and none over a restart; send the prompt without \"mask_of\", and refine that \
                 answer",
                self.masks.limits().per_client
            );
            Refusal(ErrorCode::UnknownMask, text)
        })
    }

    /// Keeps the mask of an answer; of one to a session with its prompts, as they are now.
    pub(super) fn keep_mask(
        &self,
        job: &Job,
        segmentation: &Segmentation,
        session: Option<(&SessionKey, &Session)>,
    ) {
        // Of a pointer that moves there are many, and nobody goes back to one.
        if job.is_preview() {
            return;
        }
        let multimask = |session: &Session| session.shown().map(|shown| shown.output.multimask);
        let session = session
            .map(|(key, session)| OfSession::new(key, session, multimask(session).unwrap_or_default()));
        if let Some(mask) = segmentation.low_res_mask() {
            self.masks.keep(&job.address.client, job.id().map(|id| id.to_string()), session, mask);
        }
    }

    /// What the answer to a session's prompts starts from. A mask that is not kept any more is decoded again, from those before
    /// it where they are not kept either.
    pub(super) fn mask_before(&self, key: &SessionKey, session: &Session) -> Result<Before, Refusal> {
        if session.refining().is_none() {
            return Ok(None);
        }
        let mut to_decode = Vec::new();
        let mut mask = None;
        let mut earliest = session.clone();
        while let Some(refining) = earliest.refining().copied().filter(|refining| refining.from > 0) {
            let prompts = earliest.before(refining.from);
            let wanted = OfSession::new(key, &prompts, refining.multimask);
            mask = self.masks.of_session(&key.client, &wanted);
            if mask.is_some() {
                break;
            }
            to_decode.push(wanted);
            earliest = prompts;
        }
        for wanted in to_decode.into_iter().rev() {
            self.pulse.beat(Organ::Decoder);
            let item = PromptItem {
                folder: wanted.prompts.folder().map(str::to_owned),
                crs: wanted.prompts.crs().unwrap_or(CrsChoice::WGS84),
                prompt: wanted.prompts.prompt_set(),
                output: OutputOptions { multimask: wanted.multimask, ..OutputOptions::default() },
                ..PromptItem::default()
            };
            let before = wanted.prompts.refining().map(|_| mask.take());
            let view = self.ready_view(&item)?;
            let found = self.engine.low_res_mask(&view.folders(), &item, input(before.as_ref()));
            let found = found.map_err(|error| explained(&view, &item, &error))?;
            if let Some(found) = &found {
                self.masks.keep(&key.client, None, Some(wanted), found.clone());
            }
            mask = found.map(Arc::new);
        }
        Ok(Some(mask))
    }
}
