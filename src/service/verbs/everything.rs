//! `everything`: all objects of a folder, or of a part of it, into a layer, step by step.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::pieces::{Slice, Stepped};
use super::saving::MOST_WAITING;
use super::segment::explained;
use crate::ErrorCode;
use crate::api::{CrsChoice, OutputOptions, PromptItem, PromptSet, Response};
use crate::engine::{EngineError, FoundObject, Step, Survey};
use crate::layers::LayerOp;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::saved_feature::{self, Origin};
use crate::service::under_way::{Run, Work};
use crate::store::{Advance, LayerChange};

/// How long a step waits that the card, or a layer, does not let go on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the request's properties, since each object that is found on a chip gets a copy of them.
pub(in crate::service) const MOST_PROPERTIES: usize = 16 << 10;
/// Bytes of an object beside its geometry and the request's properties.
const REST: usize = 4 << 10;
/// Chips that could not be read and are told in the answer.
const MOST_TOLD: usize = 10;

/// Properties that the objects have of their own; a client's may not take their place.
const OWN: &[&str] = &[
    "id",
    "client",
    "request_id",
    "layer",
    "folder",
    "model",
    "model_type",
    "model_sha256",
    "score",
    "stability_score",
    "area_m2",
    "pixels",
    "touches_chip_edge",
    "tolerance",
    "chips",
    "complete",
    "incomplete_because",
    "software",
    "saved_at",
];

impl Context {
    /// Goes on with a search, to the end of a chip or until `pause` says that it is to give way.
    pub(super) fn everything(&self, job: &Job, run: Option<Run>, pause: &dyn Fn() -> bool) -> Slice {
        let Some(seq) = job.seq else {
            let text = "everything is run from the inbox only";
            return Slice::Over(Box::new(Self::refusal(job, Refusal(ErrorCode::Internal, text.to_owned()))));
        };
        let run = run.map_or_else(|| self.open_survey(job, seq), Ok);
        let slice = run.and_then(|run| self.step(job, seq, run, pause));
        slice.unwrap_or_else(|refusal| {
            // What has begun waits for the card to come back; what has not is refused as a prompt is.
            if job.under_way && !matches!(refusal.0, ErrorCode::BadRequest | ErrorCode::Internal) {
                tracing::warn!(code = %refusal.0, text = refusal.1, "everything waits: the next chip cannot be asked");
                return Slice::Later(Instant::now() + PATIENCE);
            }
            Slice::Over(Box::new(Self::refusal(job, refusal)))
        })
    }

    /// Begins a search, or goes on with one from before a restart.
    fn open_survey(&self, job: &Job, seq: u64) -> Result<Run, Refusal> {
        let request = &job.request;
        if let Some(name) = request.properties.keys().find(|name| OWN.contains(&name.as_str())) {
            let text =
                format!("\"properties\" has the key \"{name}\", which found objects have of their own");
            return Err(Refusal(ErrorCode::BadRequest, text));
        }
        let properties = serde_json::to_vec(&request.properties).map_or(0, |text| text.len());
        if properties > MOST_PROPERTIES {
            let text = format!(
                "\"properties\" have {properties} bytes; each object that is found gets a copy of them, so that at most \
                 {MOST_PROPERTIES} are accepted"
            );
            return Err(Refusal(ErrorCode::BadRequest, text));
        }
        let item = self.bounded(&request.item, 1);
        let most = self.answers.object().saturating_sub(properties + REST).max(1);
        let max_bytes = item.output.max_bytes.map(|bytes| bytes.min(most));
        // Layers are in WGS84.
        let output = OutputOptions { crs: CrsChoice::WGS84, max_bytes, ..item.output };
        let mut survey = self.survey(job, output)?;
        let rows = self.store.progress(seq)?;
        let mut found = 0;
        if rows.is_empty() {
            self.admit_to(&Self::layer(job), job)?;
        } else {
            let (own, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(row, _)| *row == FOUND_ROW);
            found = own.first().and_then(|(_, state)| serde_json::from_slice(state).ok()).unwrap_or(0);
            if !survey.resume(&rows)? {
                let text = "the folder is another one than when it was begun, or what was kept of it is damaged; what was \
                            found is in the layer; ask again under a new id";
                return Err(Refusal(ErrorCode::BadRequest, text.to_owned()));
            }
        }
        Ok(Run { survey: Box::new(survey), found })
    }

    /// What a request wants to be searched, drawn like this.
    pub(super) fn survey(&self, job: &Job, output: OutputOptions) -> Result<Survey, Refusal> {
        let item = &job.request.item;
        let prompt = PromptSet { bbox: item.prompt.bbox, ..PromptSet::default() };
        let item = PromptItem { output, prompt, ..item.clone() };
        let view = self.ready_view(&item)?;
        let survey = self.engine.survey(&view.folders(), &item, job.request.everything.unwrap_or_default());
        survey.map_err(|error| explained(&view, &item, &error))
    }

    fn step(&self, job: &Job, seq: u64, mut run: Run, pause: &dyn Fn() -> bool) -> Result<Slice, Refusal> {
        if self.store.depths().journal_bytes > MOST_WAITING {
            // Its layer, or another one, cannot be written; what it finds would wait in the store.
            self.under_way.keep(job, Work::Survey(run));
            return Ok(Slice::Later(Instant::now() + PATIENCE));
        }
        match self.engine.advance(&mut run.survey, pause).map_err(|error| told(&run.survey, &error))? {
            Step::Paused => {
                self.under_way.keep(job, Work::Survey(run));
                Ok(Slice::Paused)
            }
            Step::Done => Ok(Slice::Over(Box::new(Self::everything_found(job, &run)))),
            Step::Chip(objects) => {
                let (mut messages, mut layers) = (Vec::new(), Vec::new());
                let layer = Self::layer(job);
                let sha256 = self.engine.decoders().sha256_of(run.survey.folder().folder.checkpoint());
                for object in objects {
                    run.found += 1;
                    let id = format!("{}-{}", Self::object_id(job), run.found);
                    let feature = self.found_feature(job, &run.survey, &object, &id, &sha256);
                    let line = saved_feature::line(&feature);
                    let op = LayerOp::append(&layer, &id, line.clone())?;
                    messages.push(self.saved_message(&layer, line.into_bytes()));
                    // `unsave` takes back what a session has saved.
                    layers.push(LayerChange {
                        op,
                        client: job.address.client.clone(),
                        session: String::new(),
                    });
                }
                let mut rows = run.survey.changed_rows();
                rows.push((FOUND_ROW, Some(run.found.to_string().into_bytes())));
                let (done, total) = run.survey.progress();
                let progress = json!({"id": job.id(), "status": "progress", "done": done, "total": total, "objects": run.found});
                self.under_way.keep(job, Work::Survey(run));
                let advance = Advance { inbox: seq, rows, messages, layers };
                Ok(Slice::Step(Box::new(Stepped {
                    advance,
                    progress: progress.to_string().into_bytes().into(),
                })))
            }
        }
    }

    fn everything_found(job: &Job, run: &Run) -> Performed {
        let (skipped, count) = run.survey.skipped();
        let mut found = json!({
            "layer": job.request.layer,
            "folder": run.survey.folder().name,
            "objects": run.found,
            "chips": run.survey.progress().1,
            "chips_skipped": count,
        });
        if count > 0 {
            let told = skipped.iter().take(MOST_TOLD);
            found["skipped"] =
                told.map(|(chip, problem)| json!({"chip_id": chip, "problem": problem})).collect::<Value>();
        }
        let members = Map::from_iter([("everything".to_owned(), found)]);
        Performed::answer(Response::reply(job.id(), members))
    }

    fn found_feature(
        &self,
        job: &Job,
        survey: &Survey,
        object: &FoundObject,
        id: &str,
        sha256: &str,
    ) -> Value {
        let mut properties = job.request.properties.clone();
        properties.extend(object.properties(survey.folder()));
        let origin = Origin {
            id,
            client: &job.address.client,
            session: None,
            layer: &Self::layer(job),
            model_sha256: sha256,
            saved_at: std::time::SystemTime::now(),
        };
        properties.extend(origin.properties());
        properties.insert("request_id".to_owned(), json!(job.id()));
        json!({"type": "Feature", "id": id, "geometry": object.object.geometry, "properties": properties})
    }
}

/// The row of our own beside the survey's: how many objects are in the layer.
const FOUND_ROW: u64 = u64::MAX;

fn told(survey: &Survey, error: &EngineError) -> Refusal {
    let folder = survey.folder();
    if !folder.folder.manifest().exists() {
        let text = format!("the card with folder {} is gone; put it back in", folder.name);
        return Refusal(ErrorCode::CardError, text);
    }
    Refusal(error.code(), error.to_string())
}
