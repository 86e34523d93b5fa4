//! `save`, `unsave`: a session's mask into a layer, and back out.

use serde_json::{Map, json};

use crate::ErrorCode;
use crate::api::{CrsChoice, Multimask, Response};
use crate::engine::MaskObject;
use crate::layers::LayerOp;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::saved_feature::{self, Origin};
use crate::store::{Class, LayerChange, OutboxMessage};

/// Bytes of objects that may wait for their layer files to be writable again; the card is small.
pub(super) const MOST_WAITING: u64 = 4 << 20;

impl Context {
    pub(super) fn save(&self, job: &Job) -> Result<Performed, Refusal> {
        let key = Self::key(job);
        let mut session = self.session(&key)?;
        session.to_save()?;
        let waiting = self.store.depths().journal_bytes;
        if waiting > MOST_WAITING {
            let text = format!(
                "{waiting} bytes of saved objects are not in their layers yet, because a layer's file cannot be \
                 written; see the log for why, mend that, and save again"
            );
            return Err(Refusal(ErrorCode::CardError, text));
        }
        let layer = job.request.layer.clone().unwrap_or_default();
        if let Some(name) = saved_feature::clash(&job.request.properties) {
            let text =
                format!("\"properties\" has the key \"{name}\", which saved objects have of their own");
            return Err(Refusal(ErrorCode::BadRequest, text));
        }
        let mut item = self.item_of(job, &session);
        item.output.crs = CrsChoice::WGS84;
        // A saved object is one mask.
        if item.output.multimask == Multimask::All {
            item.output.multimask = Multimask::Off;
        }
        // The bound is for the object, which is not written as the Features of an answer are.
        let options = item.output;
        item.output.max_bytes = None;
        let segmentation = self.decode(&item)?;
        let sha256 = self.model_sha256(segmentation.checkpoint());
        let id = Self::object_id(job);
        let origin = Origin {
            id: &id,
            client: &key.client,
            session: &key.session,
            layer: &layer,
            model_sha256: &sha256,
            saved_at: std::time::SystemTime::now(),
        };
        let feature = |object: &MaskObject| {
            saved_feature::feature(object, &segmentation, &item, &job.request.properties, &origin)
        };
        let object = segmentation
            .object(&options, |object| saved_feature::line(&feature(object)).len())
            .map_err(|error| Refusal(error.code(), error.to_string()))?;
        let Some(object) = object else {
            let text = "the session's mask is empty; there is nothing to save";
            return Err(Refusal(ErrorCode::NothingToSave, text.to_owned()));
        };
        let feature = feature(&object);
        let line = saved_feature::line(&feature);
        let op = LayerOp::append(&layer, &id, line.clone())?;
        // Last, so that only what is saved takes a place.
        self.layers.admit(&layer, self.max_layers)?;
        session.clear();
        let mut members = Map::new();
        let mut saved = json!({"layer": layer, "id": id, "feature": feature});
        if let Some(tolerance) = object.tolerance {
            saved["tolerance"] = tolerance.into();
        }
        members.insert("saved".to_owned(), saved);
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed {
            messages: vec![self.saved_message(&layer, line.into_bytes())],
            layers: vec![LayerChange { op, client: key.client.clone(), session: key.session.clone() }],
            session: Some((key, session)),
            ..answer
        })
    }

    pub(super) fn unsave(&self, job: &Job) -> Result<Performed, Refusal> {
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

    /// The checksum of a model; empty where it is not there (any more).
    pub(super) fn model_sha256(&self, checkpoint: &str) -> String {
        let models = self.engine.decoders().models();
        let model = models.into_iter().find(|m| m.source_file.eq_ignore_ascii_case(checkpoint));
        model.map(|model| model.sha256).unwrap_or_default()
    }

    pub(super) fn saved_message(&self, layer: &str, payload: Vec<u8>) -> OutboxMessage {
        OutboxMessage {
            content_type: Some("application/geo+json".to_owned()),
            ..OutboxMessage::new(Class::Saved, self.topics.saved(layer), payload)
        }
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
