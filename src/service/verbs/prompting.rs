//! `add`, `undo`, `clear`: a prompt set built step by step in a session.

use super::refining::input;
use crate::ErrorCode;
use crate::api::{Multimask, PromptItem, Response};
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::session::{Session, SessionError, SessionKey, Shown};

impl Context {
    pub(super) fn key(job: &Job) -> SessionKey {
        SessionKey::new(job.address.client.clone(), job.request.session.clone().unwrap_or_default())
    }

    pub(super) fn session(&self, key: &SessionKey) -> Result<Session, SessionError> {
        self.sessions().get(key, self.store.clock_ms()).cloned()
    }

    pub(super) fn add(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = match self.session(&key) {
            Ok(session) => session,
            Err(SessionError::Unknown { .. }) => Session::new(),
            Err(other) => return Err(other.into()),
        };
        session.add(&job.request.item, self.max_points)?;
        self.answer_with_mask(job, key, session)
    }

    pub(super) fn undo(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.undo()?;
        self.answer_with_mask(job, key, session)
    }

    pub(super) fn clear(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.clear();
        self.answer_with_mask(job, key, session)
    }

    /// What a session's prompts ask for. What the request does not say of the output, or of following the object over
    /// chips, is as in the last answer.
    pub(super) fn item_of(&self, job: &Job, session: &Session) -> Result<PromptItem, Refusal> {
        let (request, said) = (&job.request, &job.request.said);
        let shown = session.shown();
        let output = shown.map_or(request.item.output, |shown| said.output_over(shown.output));
        let stitch = match shown {
            Some(shown) if !said.has("stitch") => shown.stitch,
            _ => request.item.stitch,
        };
        if stitch.is_some() && output.multimask == Multimask::All {
            let text = "\"stitch\" follows one mask: it does not go with \"multimask\"; one of them is what the session \
                        was asked for before, so say false for it";
            return Err(Refusal(ErrorCode::BadRequest, text.to_owned()));
        }
        Ok(PromptItem {
            id: job.id(),
            folder: session.folder().map(str::to_owned).or_else(|| request.item.folder.clone()),
            crs: session.crs().unwrap_or(request.item.crs),
            prompt: session.prompt_set(),
            output,
            stitch,
            refine: false,
            properties: None,
            problem: None,
        })
    }

    /// The answer to a step: the new mask, or an empty one where no prompt is left. A step that cannot be
    /// decoded leaves the session as it was.
    fn answer_with_mask(
        &self,
        job: &Job,
        key: SessionKey,
        mut session: Session,
    ) -> Result<Performed, Refusal> {
        if session.is_empty() {
            let performed = Performed::answer(Response::empty_mask(job.id()));
            return Ok(Performed { session: Some((key, session)), ..performed });
        }
        let item = self.item_of(job, &session)?;
        let mask = self.mask_before(&key, &session)?;
        let segmentation = self.decode_from(&self.bounded(&item, 1), input(mask.as_ref()))?;
        let segmentation = self.within_bound(job, &item.output, segmentation)?;
        let (output, stitch) = (item.output, item.stitch);
        session.show(Shown { output, tolerance: segmentation.tolerance(), stitch });
        self.keep_mask(job, &segmentation, Some((&key, &session)));
        Ok(Performed { session: Some((key, session)), ..Performed::masks(job, segmentation) })
    }
}
