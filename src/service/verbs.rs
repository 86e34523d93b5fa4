//! What each verb does: the part of a request that workers run. Reads folders, sessions and layers; changes
//! nothing itself, but says what is to be changed, so that the clerk can make it durable with the answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::clerk::to_bytes;
use super::job::Job;
use super::pulse::{Organ, Pulse};
use super::saved::{self, Origin};
use super::served::Served;
use crate::ErrorCode;
use crate::api::{CrsChoice, OutputOptions, PromptItem, Response};
use crate::bus::{Topics, Verb};
use crate::engine::{Engine, EngineError, Segmentation};
use crate::layers::{LayerError, LayerOp, Layers};
use crate::session::{Session, SessionError, SessionKey, SessionTable};
use crate::store::{Class, LayerChange, OutboxMessage, SessionChange, Store, StoreError};

/// Features of a page when the request does not say.
const PAGE: u64 = 100;
/// Bytes that an answer needs beside its features.
const ENVELOPE: usize = 1024;

/// Everything that a request may need.
pub(super) struct Shop {
    pub engine: Engine,
    pub served: Served,
    pub store: Store,
    pub layers: Layers,
    pub topics: Topics,
    pub pulse: Arc<Pulse>,
    /// Bound on an answer whose request names none.
    pub max_answer_bytes: usize,
    /// Prompts of one session.
    pub max_points: usize,
    pub sessions: Mutex<SessionTable>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Performed {
    /// The answer as it goes out.
    pub answer: Arc<[u8]>,
    /// Whether it is no error.
    pub ok: bool,
    /// Whether the same request gets the same answer when it comes again.
    pub keep: bool,
    /// Messages beside the answer.
    pub messages: Vec<OutboxMessage>,
    /// A session's new state.
    pub session: Option<(SessionKey, Session)>,
    /// Changes of layers.
    pub layers: Vec<LayerChange>,
}

impl Performed {
    /// An answer that changes nothing.
    pub fn answer(response: Response) -> Self {
        let keep = match &response.outcome {
            crate::api::Outcome::Error { error, .. } => !error.retryable,
            _ => true,
        };
        Self {
            answer: to_bytes(&response),
            ok: response.is_ok(),
            keep,
            messages: Vec::new(),
            session: None,
            layers: Vec::new(),
        }
    }
}

/// A refusal with its code.
struct Refusal(ErrorCode, String);

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<LayerError> for Refusal {
    fn from(error: LayerError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl Shop {
    /// Runs a request.
    pub fn perform(&self, job: &Job) -> Performed {
        let done = match job.address.verb {
            Verb::Segment => Ok(self.segment(job)),
            Verb::Add => self.add(job),
            Verb::Undo => self.undo(job),
            Verb::Clear => self.clear(job),
            Verb::Save => self.save(job),
            Verb::Unsave => self.unsave(job),
            Verb::List => self.list(job),
            Verb::Fetch => self.fetch(job),
            // The clerk has answered it.
            Verb::Cancel => Err(Refusal(ErrorCode::Internal, "cancel is not run by workers".to_owned())),
        };
        done.unwrap_or_else(|Refusal(code, text)| Performed::answer(Response::error(job.id(), code, text)))
    }

    /// The models, as `info` and `list` tell them.
    pub fn models(&self) -> Vec<Value> {
        let told = |m: &crate::models::ModelInfo| json!({"name": m.name, "model": m.source_file, "model_type": m.family, "sha256": m.sha256});
        self.engine.decoders().models().iter().map(told).collect()
    }

    fn sessions(&self) -> MutexGuard<'_, SessionTable> {
        // The table's methods leave it whole.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a session's new state, and says what the store must change for it.
    pub fn keep_session(&self, key: &SessionKey, session: &Session) -> Vec<SessionChange> {
        let mut table = self.sessions();
        let ended = table.put(key.clone(), session.clone(), self.store.clock_ms());
        let deleted = ended.iter().map(|key| SessionChange::Delete { name: key.stored_name() });
        let put = table.stored(key).map(|state| SessionChange::Put { name: key.stored_name(), state });
        deleted.chain(put).collect()
    }

    /// Sessions that nobody has used for too long, as the store must forget them.
    pub fn expired_sessions(&self) -> Vec<SessionChange> {
        let old = self.sessions().expire(self.store.clock_ms());
        old.iter().map(|key| SessionChange::Delete { name: key.stored_name() }).collect()
    }

    fn segment(&self, job: &Job) -> Performed {
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
                    keep &= !code.retryable();
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
                Performed { messages, ..masks(job, segmentation) }
            }
            Err(Refusal(code, text)) => Performed::answer(Response::error(job.id(), code, text)),
        }
    }

    /// An item whose answer is bounded, as one of so many that share the bound.
    fn bounded(&self, item: &PromptItem, of: usize) -> PromptItem {
        let limit = item.output.max_bytes.unwrap_or(self.max_answer_bytes);
        let share = (limit / of.max(1)).saturating_sub(ENVELOPE.min(limit / of.max(1) / 4));
        let output = OutputOptions { max_bytes: Some(share.max(1)), ..item.output };
        PromptItem { output, ..item.clone() }
    }

    fn decode(&self, item: &PromptItem) -> Result<Segmentation, Refusal> {
        let view = self.served.view();
        if let Some(name) = &item.folder
            && let Some(problem) = view.problems.get(name)
        {
            let text = format!("folder {name} is not ready: {}", problem.message);
            return Err(Refusal(ErrorCode::FolderNotReady, text));
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
                None => Refusal(code, error.to_string()),
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

    fn key(job: &Job) -> SessionKey {
        SessionKey::new(job.address.client.clone(), job.request.session.clone().unwrap_or_default())
    }

    fn session(&self, key: &SessionKey) -> Result<Session, SessionError> {
        self.sessions().get(key, self.store.clock_ms()).cloned()
    }

    fn add(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = match self.session(&key) {
            Ok(session) => session,
            Err(SessionError::Unknown { .. }) => Session::new(),
            Err(other) => return Err(other.into()),
        };
        session.add(&job.request.item, self.max_points)?;
        self.answer_with_mask(job, key, session)
    }

    fn undo(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.undo()?;
        self.answer_with_mask(job, key, session)
    }

    fn clear(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.clear();
        self.answer_with_mask(job, key, session)
    }

    /// What a session's prompts ask for, with the output that this request wants.
    fn item_of(&self, job: &Job, session: &Session) -> PromptItem {
        let item = PromptItem {
            id: job.id(),
            folder: session.folder().map(str::to_owned).or_else(|| job.request.item.folder.clone()),
            crs: session.crs().unwrap_or(job.request.item.crs),
            prompt: session.prompt_set(),
            output: job.request.item.output,
        };
        self.bounded(&item, 1)
    }

    /// The answer to a step: the new mask, or an empty one where no prompt is left. A step that cannot be
    /// decoded leaves the session as it was.
    fn answer_with_mask(&self, job: &Job, key: SessionKey, session: Session) -> Result<Performed, Refusal> {
        let performed = if session.is_empty() {
            Performed::answer(Response::empty_mask(job.id()))
        } else {
            masks(job, self.decode(&self.item_of(job, &session))?)
        };
        Ok(Performed { session: Some((key, session)), ..performed })
    }

    fn save(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.to_save()?;
        let layer = job.request.layer.clone().unwrap_or_default();
        if let Some(name) = saved::clash(&job.request.properties) {
            let text =
                format!("\"properties\" has the key \"{name}\", which saved objects have of their own");
            return Err(Refusal(ErrorCode::BadRequest, text));
        }
        let mut item = self.item_of(job, &session);
        item.output.crs = CrsChoice::WGS84;
        // A saved object is one mask.
        item.output.multimask = false;
        let segmentation = self.decode(&item)?;
        let models = self.engine.decoders().models();
        let sha256 = models.iter().find(|m| m.source_file.eq_ignore_ascii_case(segmentation.checkpoint()));
        let id = Self::object_id(job);
        let origin = Origin {
            id: &id,
            client: &key.client,
            session: &key.session,
            layer: &layer,
            model_sha256: sha256.map_or("", |m| m.sha256.as_str()),
            saved_at: std::time::SystemTime::now(),
        };
        let feature = saved::feature(segmentation.collection(), &item, &job.request.properties, &origin);
        let Some(feature) = feature else {
            let text = "the session's mask is empty; there is nothing to save";
            return Err(Refusal(ErrorCode::NothingToSave, text.to_owned()));
        };
        let line = saved::line(&feature);
        let op = LayerOp::append(&layer, &id, line.clone())?;
        session.clear();
        let mut members = Map::new();
        members.insert("saved".to_owned(), json!({"layer": layer, "id": id, "feature": feature}));
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed {
            messages: vec![self.saved_message(&layer, line.into_bytes())],
            layers: vec![LayerChange { op, client: key.client.clone(), session: key.session.clone() }],
            session: Some((key, session)),
            ..answer
        })
    }

    fn unsave(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let layer = job.request.layer.clone().unwrap_or_default();
        if !self.layers.exists(&layer)? {
            return Err(Refusal(ErrorCode::UnknownLayer, format!("there is no layer {layer}")));
        }
        let Some(id) = self.store.last_saved(&layer, &key.client, &key.session)? else {
            let text = format!("session {} has no object in layer {layer} to take back", key.session);
            return Err(Refusal(ErrorCode::NothingToSave, text));
        };
        let op = LayerOp::remove(&layer, &id)?;
        let gone = json!({"id": id, "deleted": true});
        let mut members = Map::new();
        members.insert("unsaved".to_owned(), json!({"layer": layer, "id": id}));
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed {
            messages: vec![self.saved_message(&layer, gone.to_string().into_bytes())],
            layers: vec![LayerChange { op, client: key.client, session: key.session }],
            ..answer
        })
    }

    fn saved_message(&self, layer: &str, payload: Vec<u8>) -> OutboxMessage {
        OutboxMessage {
            content_type: Some("application/geo+json".to_owned()),
            ..OutboxMessage::new(Class::Saved, self.topics.saved(layer), payload)
        }
    }

    /// A new object's id. It becomes durable together with the object, so a request that is run again
    /// after a crash may choose another one. The place in the inbox is given once in the life of the
    /// state, and the clock tells one life from another.
    fn object_id(job: &Job) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match job.seq {
            Some(seq) => format!("{:x}-{seq}", now.as_millis()),
            None => format!("{:x}-q", now.as_nanos()),
        }
    }

    fn list(&self, job: &Job) -> Result<Performed, Refusal> {
        let view = self.served.view();
        let ready = view.ready.values().map(|folder| {
            let mut summary = serde_json::to_value(folder.summary()).unwrap_or_default();
            summary["ready"] = true.into();
            summary
        });
        let problems = view.problems.iter();
        let problems = problems.map(|(name, p)| json!({"name": name, "ready": false, "problem": p}));
        let client = &job.address.client;
        let sessions: Vec<Value> = self
            .sessions()
            .iter()
            .filter(|(key, _)| key.client == *client)
            .map(|(key, session)| {
                json!({"session": key.session, "folder": session.folder(), "prompts": session.counts()})
            })
            .collect();
        let mut members = Map::new();
        members.insert("folders".to_owned(), ready.chain(problems).collect());
        members.insert("sessions".to_owned(), sessions.into());
        members.insert("layers".to_owned(), serde_json::to_value(self.layers.list()?).unwrap_or_default());
        members.insert("models".to_owned(), self.models().into());
        Ok(Performed { keep: false, ..Performed::answer(Response::reply(job.id(), members)) })
    }

    fn fetch(&self, job: &Job) -> Result<Performed, Refusal> {
        let request = &job.request;
        let layer = request.layer.clone().unwrap_or_default();
        let bound = request.item.output.max_bytes.unwrap_or(self.max_answer_bytes);
        let offset = request.offset.unwrap_or(0);
        let limit = request.limit.unwrap_or(PAGE);
        let page = self.layers.fetch(&layer, offset, limit, bound.saturating_sub(ENVELOPE))?;
        let features: Vec<Value> =
            page.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut members = Map::new();
        members.insert("layer".to_owned(), layer.into());
        members.insert("offset".to_owned(), page.offset.into());
        members.insert("total".to_owned(), page.total.into());
        members.insert("next".to_owned(), page.next.into());
        members.insert("features".to_owned(), features.into());
        Ok(Performed { keep: false, ..Performed::answer(Response::reply(job.id(), members)) })
    }
}

fn masks(job: &Job, segmentation: Segmentation) -> Performed {
    let mut response = segmentation.into_response(job.id());
    set_queue_time(&mut response, job);
    Performed::answer(response)
}

/// The time from receipt to here, less what was spent on the request itself.
fn set_queue_time(response: &mut Response, job: &Job) {
    if let crate::api::Outcome::Mask { timing_ms, .. } = &mut response.outcome {
        let total = Instant::now().saturating_duration_since(job.received).as_secs_f64() * 1e3;
        let own = timing_ms.load + timing_ms.decode + timing_ms.vectorize;
        timing_ms.queue = ((total - own).max(0.0) * 1e3).round() / 1e3;
    }
}
