//! `list`, `fetch`: what there is, and what has been saved.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::ENVELOPE;
use crate::ErrorCode;
use crate::api::{CrsChoice, Request, Response, nesting};
use crate::layers::{Filter, LayerError};
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};

/// Features of a page when the request does not say.
const PAGE: u64 = 100;
/// Nesting of a feature that a client's parser takes; a line edited by hand may have any.
const DEEPEST: usize = 100;

impl Context {
    pub(super) fn list(&self, job: &Job) -> Result<Performed, Refusal> {
        let view = self.served.view();
        let folders: Value = view.names().filter_map(|name| view.told(name)).collect();
        let client = &job.address.client;
        let sessions: Vec<Value> = self
            .sessions()
            .iter()
            // What was saved or cleared is done with, though its name may be used on.
            .filter(|(key, session)| key.client == *client && !session.is_empty())
            .map(|(key, session)| {
                json!({"session": key.session, "folder": session.folder(), "prompts": session.counts()})
            })
            .collect();
        let mut members = Map::new();
        members.insert("folders".to_owned(), folders);
        members.insert("sessions".to_owned(), sessions.into());
        members.insert("layers".to_owned(), serde_json::to_value(self.layers.list()?).unwrap_or_default());
        members.insert("models".to_owned(), self.models().into());
        Ok(Performed { keep: false, ..Performed::answer(Response::reply(job.id(), members)) })
    }

    pub(super) fn fetch(&self, job: &Job) -> Result<Performed, Refusal> {
        let request = &job.request;
        let layer = request.layer.clone().unwrap_or_default();
        let bound = self.answers.of(&request.item.output);
        let offset = request.offset.unwrap_or(0);
        let limit = request.limit.unwrap_or(PAGE);
        let filter = filter_of(request)?;
        let room = bound.saturating_sub(ENVELOPE);
        let page = self.layers.fetch_where(&layer, offset, limit, room, &filter);
        let page = page.map_err(|error| match error {
            // It knows the room that is left for objects, not what was asked for.
            LayerError::ObjectTooLarge { layer, index, bytes, .. } if bound < self.answers.most => {
                let text = format!(
                    "object {index} of layer {layer} needs {} bytes with what an answer has around it, more than the {bound} \
                     of output.max_bytes; raise that, or take the layer with `geosam-edge export`",
                    bytes + ENVELOPE
                );
                Refusal(ErrorCode::TooLarge, text)
            }
            other => other.into(),
        })?;
        // As they stand in the file: read as values they would take many times their room.
        let readable = page.lines.iter().filter(|line| nesting(line.as_bytes()) <= DEEPEST);
        let features = readable.map(String::as_str).collect::<Vec<_>>().join(",");
        let mut members = Map::new();
        members.insert("layer".to_owned(), layer.into());
        members.insert("offset".to_owned(), page.offset.into());
        members.insert("total".to_owned(), page.total.into());
        members.insert("next".to_owned(), page.next.into());
        let answer = Performed::with_list(job.id(), members, "features", features.as_bytes());
        Ok(Performed { keep: false, ..answer })
    }
}

/// Which objects a `fetch` asks for.
fn filter_of(request: &Request) -> Result<Filter, Refusal> {
    if request.item.crs != CrsChoice::WGS84 {
        let text = "the \"bbox\" of fetch is in EPSG:4326, as saved objects are";
        return Err(Refusal(ErrorCode::BadRequest, text.to_owned()));
    }
    let ids: HashSet<String> = request.ids.iter().cloned().collect();
    Ok(Filter {
        ids: (!ids.is_empty()).then_some(ids),
        client: request.client.clone(),
        since: request.since,
        until: request.until,
        bbox: request.item.prompt.bbox,
    })
}
