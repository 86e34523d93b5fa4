//! `add`, `undo`, `clear`: a prompt set built step by step in a session.

use crate::api::{PromptItem, Response};
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::session::{Session, SessionError, SessionKey};

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

    /// What a session's prompts ask for, with the output that this request wants.
    pub(super) fn item_of(&self, job: &Job, session: &Session) -> PromptItem {
        let item = PromptItem {
            id: job.id(),
            folder: session.folder().map(str::to_owned).or_else(|| job.request.item.folder.clone()),
            crs: session.crs().unwrap_or(job.request.item.crs),
            prompt: session.prompt_set(),
            output: job.request.item.output,
            stitch: job.request.item.stitch,
            properties: None,
        };
        self.bounded(&item, 1)
    }

    /// The answer to a step: the new mask, or an empty one where no prompt is left. A step that cannot be
    /// decoded leaves the session as it was.
    fn answer_with_mask(&self, job: &Job, key: SessionKey, session: Session) -> Result<Performed, Refusal> {
        let performed = if session.is_empty() {
            Performed::answer(Response::empty_mask(job.id()))
        } else {
            Performed::masks(job, self.decode(&self.item_of(job, &session))?)
        };
        Ok(Performed { session: Some((key, session)), ..performed })
    }
}
