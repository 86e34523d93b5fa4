//! What the demo asks, and what it expects to be answered.

use std::path::Path;

use serde_json::{Value, json};

use super::DemoError;
use super::client::{Answer, Asked, Client};
use super::paint::{self, Picture};
use super::place::Place;
use super::print::Printer;
use super::targets::Target;

/// The session and the layer of the demo.
const SESSION: &str = "field-1";
const LAYER: &str = "ponds";

/// Plays everything. `false` if an answer was not as expected.
pub(super) fn play(
    client: &mut Client,
    place: &Place,
    broker: std::net::SocketAddr,
    pictures: Option<&Path>,
    mut printer: Printer<'_>,
) -> Result<bool, DemoError> {
    let folder = folder_name(client, place)?;
    let served = &place.served.folder;
    printer.fact("broker", &format!("mqtt://{broker}, embedded, MQTT 5"))?;
    printer.fact("service", &format!("{}, online", client.topic("#")))?;
    printer
        .fact("folder", &format!("{folder}: {} chips, encoded with {}", served.len(), served.checkpoint()))?;
    let mut stage = Stage { client, place, folder, printer, pictures, good: true };
    stage.single()?;
    stage.previews()?;
    stage.session()?;
    stage.list()?;
    stage.whole()?;
    stage.mistakes()?;
    let Stage { good, mut printer, .. } = stage;
    let end = if good { "All was answered as expected." } else { "Something was not answered as expected." };
    printer.end(good, end)?;
    Ok(good)
}

/// The service's name for the folder: that of its directory, unless another one has it, too.
fn folder_name(client: &mut Client, place: &Place) -> Result<String, DemoError> {
    let asked = client.publish("list", json!({"id": "folders"}).to_string())?;
    let answer = client.answer(&asked)?;
    let root = place.served.folder.root();
    let folders = answer.body["folders"].as_array().map_or(&[][..], Vec::as_slice);
    let at = |folder: &&Value| folder["path"].as_str().is_some_and(|path| root.as_os_str() == path);
    let found = folders.iter().find(at).and_then(|folder| folder["name"].as_str());
    Ok(found.map_or_else(|| root.display().to_string(), str::to_owned))
}

struct Stage<'a, 'o> {
    client: &'a mut Client,
    place: &'a Place,
    folder: String,
    printer: Printer<'o>,
    pictures: Option<&'a Path>,
    good: bool,
}

impl Stage<'_, '_> {
    fn single(&mut self) -> Result<(), DemoError> {
        let Target { name, at, .. } = &self.place.targets.point;
        let picture = Picture { points: &[*at], labels: &[1], bbox: None };
        self.printer
            .heading(&format!("A point on {name}; the first request also loads the model and the chip"))?;
        let answer = self.ask("segment", json!({"id": "point-1", "points": [at]}), is_mask, "a mask")?;
        self.show(&answer, Some(&picture))?;
        self.printer.heading("The same point again: model and chip are ready")?;
        self.ask("segment", json!({"id": "point-2", "points": [at]}), is_mask, "a mask")?;
        let Target { name, bounds, .. } = &self.place.targets.boxed;
        self.printer.heading(&format!("A box around {name}, its outline simplified"))?;
        let output = json!({"vectorization": "simplified", "largest_only": true});
        let request = json!({"id": "box-1", "bbox": bounds, "output": output});
        let answer = self.ask("segment", request, is_mask, "a mask")?;
        self.show(&answer, Some(&Picture { points: &[], labels: &[], bbox: Some(*bounds) }))
    }

    /// Several previews at once, as while a pointer moves: only the newest is worth the work.
    fn previews(&mut self) -> Result<(), DemoError> {
        let targets = &self.place.targets;
        let title = "A burst of previews, as a pointer moves to";
        let title =
            format!("{title} {}: a newer one takes the place of the one that waits", targets.path_end);
        self.printer.heading(&title)?;
        let mut burst = Vec::new();
        for (step, point) in targets.path.iter().enumerate() {
            let id = format!("preview-{}", step + 1);
            let payload = self.payload(json!({"id": id, "points": [point], "preview": true}));
            burst.push(self.client.publish("segment", payload)?);
        }
        for (position, asked) in burst.iter().enumerate() {
            let answer = self.client.answer(asked)?;
            self.printer.request(asked)?;
            self.printer.answer(&answer)?;
            let newest = position + 1 == burst.len();
            let fine = is_mask(&answer.body) || (!newest && has_code(&answer.body, "SUPERSEDED"));
            self.check(fine, if newest { "a mask" } else { "a mask or SUPERSEDED" })?;
            if newest {
                self.show(&answer, None)?;
            }
        }
        Ok(())
    }

    fn session(&mut self) -> Result<(), DemoError> {
        let [first, second] = &self.place.targets.pair;
        let title =
            format!("A session: {}, a second one, which is taken back, and the mask is saved", first.name);
        self.printer.heading(&title)?;
        let add = |id: &str, target: &Target| json!({"id": id, "session": SESSION, "points": [target.at]});
        let (one, both) = ([first.at], [first.at, second.at]);
        let answer = self.ask("add", add("add-1", first), is_mask, "a mask")?;
        self.show(&answer, Some(&Picture { points: &one, labels: &[1], bbox: None }))?;
        let answer = self.ask("add", add("add-2", second), is_mask, "a mask")?;
        self.show(&answer, Some(&Picture { points: &both, labels: &[1, 1], bbox: None }))?;
        let answer = self.ask("undo", json!({"id": "undo-1", "session": SESSION}), is_mask, "a mask")?;
        self.show(&answer, None)?;
        let properties = json!({"note": "from the demo"});
        let save = json!({"id": "save-1", "session": SESSION, "layer": LAYER, "properties": properties});
        self.ask("save", save, |body| is_ok(body) && body["saved"]["id"].is_string(), "a saved object")?;
        let topic = self.client.topic(&format!("saved/{LAYER}"));
        let told = self.client.told(&topic)?;
        Ok(self.printer.told(&topic, &told)?)
    }

    fn list(&mut self) -> Result<(), DemoError> {
        self.printer.heading("What there is")?;
        let has_all = |body: &Value| {
            is_ok(body) && ["folders", "models", "layers"].iter().all(|list| body[list].get(0).is_some())
        };
        self.ask("list", json!({"id": "list-1"}), has_all, "folders, models and the layer").map(drop)
    }

    /// An object that no chip holds.
    fn whole(&mut self) -> Result<(), DemoError> {
        let Target { name, at, .. } = &self.place.targets.long;
        self.printer.heading(&format!("{name}, followed beyond its chip into all others"))?;
        let request = json!({"id": "long-1", "points": [at], "stitch": true});
        let is_followed = |body: &Value| is_mask(body) && body["chips"].get(0).is_some();
        let answer = self.ask("segment", request, is_followed, "a mask over chips")?;
        self.show(&answer, Some(&Picture { points: &[*at], labels: &[1], bbox: None }))
    }

    fn mistakes(&mut self) -> Result<(), DemoError> {
        self.printer.heading("Requests that are refused, each with a code and a reason")?;
        let point = self.place.targets.point.at;
        let bad = |body: &Value| has_code(body, "BAD_REQUEST");
        self.ask("segment", json!({"id": "bad-1", "point": [point]}), bad, "BAD_REQUEST")?;
        self.send("segment", "{\"id\":\"bad-2\"".to_owned(), bad, "BAD_REQUEST")?;
        let nowhere = json!({"id": "bad-3", "folder": "no-such-folder", "points": [point]});
        self.ask("segment", nowhere, |body| has_code(body, "UNKNOWN_FOLDER"), "UNKNOWN_FOLDER").map(drop)
    }

    /// Asks, waits, prints both, and judges the answer.
    fn ask(
        &mut self,
        verb: &str,
        request: Value,
        fine: impl Fn(&Value) -> bool,
        expected: &str,
    ) -> Result<Answer, DemoError> {
        let payload = self.payload(request);
        self.send(verb, payload, fine, expected)
    }

    fn send(
        &mut self,
        verb: &str,
        payload: String,
        fine: impl Fn(&Value) -> bool,
        expected: &str,
    ) -> Result<Answer, DemoError> {
        let asked: Asked = self.client.publish(verb, payload)?;
        self.printer.request(&asked)?;
        let answer: Answer = self.client.answer(&asked)?;
        self.printer.answer(&answer)?;
        self.check(fine(&answer.body), expected)?;
        Ok(answer)
    }

    /// Draws the mask of an answer, in the terminal and into a file.
    fn show(&mut self, answer: &Answer, picture: Option<&Picture<'_>>) -> Result<(), DemoError> {
        if !is_mask(&answer.body) {
            return Ok(());
        }
        let lines = paint::drawing(&paint::answered(&answer.body, self.place)?);
        let mut told = None;
        if let (Some(directory), Some(picture)) = (self.pictures, picture) {
            let id = answer.body["id"].as_str().unwrap_or("mask");
            let path = directory.join(format!("{}-{id}.png", self.printer.chapter()));
            picture.write(&answer.body, self.place, &path)?;
            told = Some(path.display().to_string());
        }
        self.printer.drawing(&lines, told.as_deref())?;
        Ok(self.printer.flush()?)
    }

    fn check(&mut self, fine: bool, expected: &str) -> Result<(), DemoError> {
        if !fine {
            self.good = false;
            self.printer.unexpected(expected)?;
        }
        Ok(self.printer.flush()?)
    }

    /// A request with a prompt names the folder, and the CRS where it is not WGS84.
    fn payload(&self, request: Value) -> String {
        let Value::Object(mut all) = request else { return request.to_string() };
        let prompts = all.contains_key("points") || all.contains_key("bbox");
        if prompts {
            all.entry("folder").or_insert_with(|| self.folder.clone().into());
            if let Some(crs) = self.place.crs {
                all.insert("crs".to_owned(), crs.into());
                all.entry("output").or_insert_with(|| json!({}))["crs"] = crs.into();
            }
        }
        Value::Object(all).to_string()
    }
}

fn is_ok(body: &Value) -> bool {
    body["status"] == "ok"
}

fn is_mask(body: &Value) -> bool {
    is_ok(body) && body["masks"].get(0).is_some()
}

fn has_code(body: &Value, code: &str) -> bool {
    body["error"]["code"] == code
}
