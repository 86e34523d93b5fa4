//! `save`, `unsave`: masks into a layer, and back out. A mask is a session's, or that of prompts in the request itself.

use serde_json::{Map, Value, json};

use super::refining::input;
use crate::ErrorCode;
use crate::api::{CrsChoice, Multimask, OutputOptions, PromptItem, Response};
use crate::engine::{MaskInput, MaskObject};
use crate::layers::LayerOp;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::saved_feature::{self, Origin};
use crate::store::{Class, LayerChange, OutboxMessage};

/// Bytes of objects that may wait for their layer files to be writable again; the card is small.
pub(super) const MOST_WAITING: u64 = 4 << 20;

/// An object that is about to be saved.
pub(super) struct Object {
    id: String,
    feature: Value,
    pub line: String,
    pub tolerance: Option<f64>,
    /// Over how many chips it was followed.
    pub chips: usize,
}

impl Context {
    pub(super) fn save(&self, job: &Job) -> Result<Performed, Refusal> {
        self.may_save(job)?;
        match job.request.item.prompt.is_empty() {
            true => self.save_session(job),
            false => self.save_prompt(job),
        }
    }

    /// Whether objects may be saved with the request's properties and in its layer now.
    pub(super) fn may_save(&self, job: &Job) -> Result<(), Refusal> {
        let waiting = self.store.depths().journal_bytes;
        if waiting > MOST_WAITING {
            let text = format!(
                "{waiting} bytes of saved objects are not in their layers yet, because a layer's file cannot be \
                 written; see the log for why, mend that, and save again"
            );
            return Err(Refusal(ErrorCode::CardError, text));
        }
        let request = &job.request;
        let of_items = request.batch.iter().flatten().filter_map(|item| item.properties.as_ref());
        // Those of Features that somebody drew are other programs' affair.
        let said = of_items.filter(|_| request.said.has("prompts"));
        said.chain([&request.properties]).try_for_each(own_properties_kept)?;
        Ok(self.admit_to(&Self::layer(job), job)?)
    }

    /// Saves what the last answer of the session showed, unless the request says another output, and empties the session.
    fn save_session(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.to_save()?;
        let item = self.item_of(job, &session)?;
        let said = &job.request.said.output;
        let asks_anew = ["vectorization", "tolerance", "finish", "max_bytes", "on_too_large"];
        let output = match session.shown() {
            Some(shown) if !asks_anew.iter().any(|key| said.contains_key(*key)) => {
                item.output.simplified_by(shown.tolerance)
            }
            _ => item.output,
        };
        let mask = self.mask_before(&key, &session)?;
        let from = input(mask.as_ref());
        let object =
            self.object(job, Self::object_id(job), (&item, from), output, &job.request.properties)?;
        session.clear();
        Ok(Performed { session: Some((key, session)), ..self.saved(job, object)? })
    }

    /// Saves the object of the request's own prompt.
    fn save_prompt(&self, job: &Job) -> Result<Performed, Refusal> {
        self.no_other_prompts(job)?;
        let item = &job.request.item;
        let asked = (item, MaskInput::None);
        let object = self.object(job, Self::object_id(job), asked, item.output, &job.request.properties)?;
        self.saved(job, object)
    }

    /// A prompt of the request and prompts of the session would be two objects.
    pub(super) fn no_other_prompts(&self, job: &Job) -> Result<(), Refusal> {
        let key = Self::key(job);
        if job.request.session.is_none() || self.session(&key).map_or(true, |session| session.is_empty()) {
            return Ok(());
        }
        let given = ["prompts", "points", "bbox"].into_iter().find(|key| job.request.said.has(key));
        let text = format!(
            "\"{}\" stands beside session {}, which has prompts of its own; leave one of them out",
            given.unwrap_or("points"),
            key.session
        );
        Err(Refusal(ErrorCode::BadRequest, text))
    }

    /// The object of an item and what its mask starts from, drawn as `output` says, in WGS84.
    pub(super) fn object(
        &self,
        job: &Job,
        id: String,
        (item, from): (&PromptItem, MaskInput<'_>),
        output: OutputOptions,
        properties: &Map<String, Value>,
    ) -> Result<Object, Refusal> {
        let mut item = item.clone();
        // A saved object is one mask. What bounds it does not bound the answer that is not asked for.
        item.output = OutputOptions { crs: CrsChoice::WGS84, max_bytes: None, ..output };
        if item.output.multimask == Multimask::All {
            item.output.multimask = Multimask::Off;
        }
        let segmentation = self.decode_from(&item, from)?;
        let sha256 = self.engine.decoders().sha256_of(segmentation.checkpoint());
        let layer = Self::layer(job);
        let origin = Origin {
            id: &id,
            client: &job.address.client,
            session: job.request.session.as_deref(),
            layer: &layer,
            model_sha256: &sha256,
            saved_at: std::time::SystemTime::now(),
        };
        let feature =
            |object: &MaskObject| saved_feature::feature(object, &segmentation, &item, properties, &origin);
        // The bound is for the geometry, which alone can be drawn in fewer bytes; a line as a whole has one, too.
        let limit = self.answers.of(&output).min(self.answers.object());
        let rest = self.answers.object().saturating_sub(limit);
        let bytes = |object: &MaskObject| {
            let geometry = serde_json::to_vec(&object.geometry).map_or(0, |text| text.len());
            geometry.max(saved_feature::line(&feature(object)).len().saturating_sub(rest))
        };
        let options = OutputOptions { max_bytes: Some(limit), ..item.output };
        let object = segmentation.object(&options, bytes)?;
        let Some(object) = object else {
            let text = "the mask is empty; there is nothing to save";
            return Err(Refusal(ErrorCode::NothingToSave, text.to_owned()));
        };
        let feature = feature(&object);
        let line = saved_feature::line(&feature);
        let chips = segmentation.stitch().map_or(0, |report| report.chips.len());
        Ok(Object { id, feature, line, tolerance: object.tolerance, chips })
    }

    /// The answer to a `save` of one object.
    fn saved(&self, job: &Job, object: Object) -> Result<Performed, Refusal> {
        let layer = Self::layer(job);
        let answer = Performed::answer(Response::reply(job.id(), object.told(&layer, true)));
        let (message, change) = self.change_of(job, object)?;
        Ok(Performed { messages: vec![message], layers: vec![change], ..answer })
    }

    pub(super) fn change_of(
        &self,
        job: &Job,
        object: Object,
    ) -> Result<(OutboxMessage, LayerChange), Refusal> {
        let layer = Self::layer(job);
        let message = self.saved_message(&layer, object.line.clone().into_bytes());
        let op = LayerOp::append(&layer, &object.id, object.line)?;
        let session = job.request.session.clone().unwrap_or_default();
        Ok((message, LayerChange { op, client: job.address.client.clone(), session }))
    }

    pub(super) fn layer(job: &Job) -> String {
        job.request.layer.clone().unwrap_or_default()
    }

    pub(super) fn unsave(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let layer = Self::layer(job);
        if !self.layers.exists(&layer)? {
            return Err(Refusal(ErrorCode::UnknownLayer, format!("there is no layer {layer}")));
        }
        let Some(id) = self.store.last_saved(&layer, &key.client, &key.session)? else {
            let text = format!("session {} has no object in layer {layer} to take back", key.session);
            return Err(Refusal(ErrorCode::NothingToSave, text));
        };
        let op = LayerOp::remove(&layer, &id)?;
        let mut members = Map::new();
        members.insert("unsaved".to_owned(), json!({"layer": layer, "id": id}));
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed {
            messages: vec![self.deleted_message(&layer, &id)],
            layers: vec![LayerChange { op, client: key.client, session: key.session }],
            ..answer
        })
    }

    pub(super) fn saved_message(&self, layer: &str, payload: Vec<u8>) -> OutboxMessage {
        OutboxMessage {
            content_type: Some("application/geo+json".to_owned()),
            ..OutboxMessage::new(Class::Saved, self.topics.saved(layer), payload)
        }
    }

    pub(super) fn deleted_message(&self, layer: &str, id: &str) -> OutboxMessage {
        self.saved_message(layer, json!({"id": id, "deleted": true}).to_string().into_bytes())
    }

    /// A new object's id. It becomes durable together with the object, so a request that is run again
    /// after a crash may choose another one. The place in the inbox is given once in the life of the
    /// state, and the clock tells one life from another.
    pub(super) fn object_id(job: &Job) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        match job.seq {
            Some(seq) => format!("{:x}-{seq}", now.as_millis()),
            None => format!("{:x}-q", now.as_nanos()),
        }
    }
}

impl Object {
    /// What the answer tells of it.
    pub fn told(&self, layer: &str, with_feature: bool) -> Map<String, Value> {
        let mut saved = json!({"layer": layer, "id": self.id});
        if with_feature {
            saved["feature"] = self.feature.clone();
        } else {
            for name in ["score", "pixels", "area_m2"] {
                saved[name] = self.feature["properties"][name].clone();
            }
        }
        if let Some(tolerance) = self.tolerance {
            saved["tolerance"] = tolerance.into();
        }
        Map::from_iter([("saved".to_owned(), saved)])
    }
}

/// Refuses properties that would take the place of our own.
pub(super) fn own_properties_kept(properties: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(name) = saved_feature::clash(properties) else { return Ok(()) };
    let text = format!("\"properties\" has the key \"{name}\", which saved objects have of their own");
    Err(Refusal(ErrorCode::BadRequest, text))
}
