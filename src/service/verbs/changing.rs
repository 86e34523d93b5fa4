//! `update`, `delete`: objects that are saved already, by their ids. A request changes all of its objects or none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::saving::own_properties_kept;
use crate::ErrorCode;
use crate::api::Response;
use crate::layers::{Filter, LayerOp};
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::saved_feature;
use crate::store::LayerChange;

/// Ids that an error names.
const NAMED: usize = 5;

impl Context {
    pub(super) fn delete(&self, job: &Job) -> Result<Performed, Refusal> {
        let (layer, ids) = (Self::layer(job), &job.request.ids);
        self.is_written(&layer)?;
        let there = self.layers.which_of(&layer, ids)?;
        all_known(&layer, ids, |id| there.contains(id))?;
        let (mut messages, mut layers) = (Vec::new(), Vec::new());
        for id in ids {
            messages.push(self.deleted_message(&layer, id));
            layers.push(self.change(job, LayerOp::remove(&layer, id)?));
        }
        let mut members = Map::new();
        members.insert("deleted".to_owned(), json!({"layer": layer, "ids": ids}));
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed { messages, layers, ..answer })
    }

    pub(super) fn update(&self, job: &Job) -> Result<Performed, Refusal> {
        let (layer, request) = (Self::layer(job), &job.request);
        own_properties_kept(&request.properties)?;
        let to = request.to_layer.clone().unwrap_or_else(|| layer.clone());
        self.is_written(&layer)?;
        self.is_written(&to)?;
        if to != layer {
            self.admit_to(&to, job)?;
        }
        let lines = self.lines_of(&layer, &request.ids)?;
        let (mut messages, mut layers) = (Vec::new(), Vec::new());
        let changed_at = saved_feature::time_text(std::time::SystemTime::now());
        for id in &request.ids {
            let Some(line) = lines.get(id) else { continue };
            let before = line.len();
            let (line, owner) = changed(line, &request.properties, &to, &changed_at)?;
            self.stays_within_bounds(id, before, line.len())?;
            messages.extend((to != layer).then(|| self.deleted_message(&layer, id)));
            messages.push(self.saved_message(&to, line.clone().into_bytes()));
            if to == layer {
                layers.push(self.change(job, LayerOp::replace(&layer, id, line)?));
            } else {
                // `unsave` goes on to belong to who saved it.
                let op = LayerOp::append(&to, id, line)?;
                layers.push(LayerChange { op, client: owner.client, session: owner.session });
                layers.push(self.change(job, LayerOp::remove(&layer, id)?));
            }
        }
        let mut members = Map::new();
        members.insert("updated".to_owned(), json!({"layer": to, "ids": request.ids}));
        let answer = Performed::answer(Response::reply(job.id(), members));
        Ok(Performed { messages, layers, ..answer })
    }

    fn change(&self, job: &Job, op: LayerOp) -> LayerChange {
        LayerChange { op, client: job.address.client.clone(), session: String::new() }
    }

    /// The lines of objects of a layer, by id.
    fn lines_of(&self, layer: &str, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        let filter = Filter { ids: Some(ids.iter().cloned().collect()), ..Filter::default() };
        let page = self.layers.fetch_where(layer, 0, u64::MAX, self.answers.most, &filter)?;
        if page.next.is_some() {
            let text = format!(
                "the {} objects have more than the {} bytes that one request may change; change fewer at once",
                ids.len(),
                self.answers.most
            );
            return Err(Refusal(ErrorCode::TooLarge, text));
        }
        let by_id = |line: String| Some((crate::layers::id_of(&line)?, line));
        let lines: BTreeMap<String, String> = page.lines.into_iter().filter_map(by_id).collect();
        all_known(layer, ids, |id| lines.contains_key(id))?;
        Ok(lines)
    }

    /// An object that could not be fetched any more does not come about step by step, either. One that is too large already,
    /// from elsewhere, may shrink.
    fn stays_within_bounds(&self, id: &str, before: usize, after: usize) -> Result<(), Refusal> {
        let most = self.answers.object();
        if after <= most || after < before {
            return Ok(());
        }
        let text = format!(
            "object {id} would have {after} bytes; a saved object has at most {most} (`object_bytes` in info); take \
             properties out of it, or keep them elsewhere; nothing was changed"
        );
        Err(Refusal(ErrorCode::TooLarge, text))
    }

    /// What is to change must be in its file; what is still owed to it could not be seen there.
    fn is_written(&self, layer: &str) -> Result<(), Refusal> {
        if !self.behind().contains(layer) {
            return Ok(());
        }
        let text = format!(
            "the file of layer {layer} cannot be written, so that its objects are not all in it; see the log for why, mend \
             that, and ask again"
        );
        Err(Refusal(ErrorCode::CardError, text))
    }
}

fn all_known(layer: &str, ids: &[String], is_known: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let unknown: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !is_known(id)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let more = if unknown.len() > NAMED { ", ..." } else { "" };
    let text = format!(
        "layer {layer} has no object {}{more}; nothing was changed",
        unknown.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ")
    );
    Err(Refusal(ErrorCode::UnknownObject, text))
}

/// Who saved an object.
struct Owner {
    client: String,
    session: String,
}

/// An object's line with other properties, and in another layer.
fn changed(line: &str, changes: &Map<String, Value>, to: &str, at: &str) -> Result<(String, Owner), Refusal> {
    let unreadable =
        |error| Refusal(ErrorCode::CardError, format!("a line of the layer cannot be read: {error}"));
    let mut feature: Map<String, Value> = serde_json::from_str(line).map_err(unreadable)?;
    let mut properties = match feature.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    for (key, value) in changes {
        if value.is_null() {
            properties.remove(key);
        } else {
            properties.insert(key.clone(), value.clone());
        }
    }
    properties.insert("layer".to_owned(), to.into());
    properties.insert("updated_at".to_owned(), at.into());
    let text = |key: &str| properties.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let owner = Owner { client: text("client"), session: text("session") };
    feature.insert("properties".to_owned(), properties.into());
    Ok((saved_feature::line_of(&feature), owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_object_keeps_what_the_change_does_not_name() {
        let line = r#"{"type":"Feature","id":"a","bbox":[1,2,3,4],"geometry":{"type":"Point","coordinates":[14.4280001,48.9959999]},"properties":{"client":"c1","session":"s1","layer":"ponds","kind":"pond","note":"x"}}"#;
        let changes = json!({"kind": "lake", "note": null, "depth": 2});
        let (line, owner) =
            changed(line, changes.as_object().unwrap(), "lakes", "now").unwrap_or_else(|_| panic!());
        assert_eq!((owner.client.as_str(), owner.session.as_str()), ("c1", "s1"));
        assert!(line.starts_with(r#"{"type":"Feature","id":"a","#), "{line}");
        assert!(line.contains("[14.4280001,48.9959999]") && line.contains(r#""bbox":[1,2,3,4]"#), "{line}");
        let feature: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({"client": "c1", "session": "s1", "layer": "lakes", "kind": "lake", "depth": 2, "updated_at": "now"});
        assert_eq!(feature["properties"], expected);
    }
}
