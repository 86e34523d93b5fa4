//! What the demo asks, and what it expects to be answered.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::client::{Answer, Asked, Client};
use super::place::Place;
use super::{DemoError, print};

/// The session and the layer of the demo.
const SESSION: &str = "field-1";
const LAYER: &str = "objects";

/// Plays everything. `false` if an answer was not as expected.
pub(super) fn play(
    client: &mut Client,
    place: &Place,
    broker: SocketAddr,
    out: &mut dyn Write,
) -> Result<bool, DemoError> {
    let folder = folder_name(client, place)?;
    writeln!(out, "broker   mqtt://{broker} (embedded, MQTT 5)")?;
    writeln!(out, "service  {}, online", client.topic("#"))?;
    writeln!(out, "folder   {folder}: {} chips, encoded with {}", place.chips, place.model)?;
    let mut stage = Stage { client, place, folder, out, scenes: 0, good: true };
    stage.single()?;
    stage.previews()?;
    stage.session()?;
    stage.list()?;
    stage.mistakes()?;
    let Stage { good, out, .. } = stage;
    let end = if good { "All was answered as expected." } else { "Something was not answered as expected." };
    writeln!(out, "\n{end}")?;
    out.flush()?;
    Ok(good)
}

/// The service's name for the folder: that of its directory, unless another one has it, too.
fn folder_name(client: &mut Client, place: &Place) -> Result<String, DemoError> {
    let asked = client.publish("list", json!({"id": "folders"}).to_string())?;
    let answer = client.answer(&asked)?;
    let folders = answer.body["folders"].as_array().map_or(&[][..], Vec::as_slice);
    let at = |folder: &&Value| folder["path"].as_str().is_some_and(|path| place.root.as_os_str() == path);
    let found = folders.iter().find(at).and_then(|folder| folder["name"].as_str());
    Ok(found.map_or_else(|| place.root.display().to_string(), str::to_owned))
}

struct Stage<'a> {
    client: &'a mut Client,
    place: &'a Place,
    folder: String,
    out: &'a mut dyn Write,
    scenes: usize,
    good: bool,
}

impl Stage<'_> {
    fn single(&mut self) -> Result<(), DemoError> {
        self.scene("A point (the first request also prepares model and chip)")?;
        let point = self.place.at(0.5, 0.5)?;
        self.ask("segment", json!({"id": "point-1", "points": [point]}), is_mask, "a mask")?;
        self.scene("The same point again: model and chip are ready")?;
        self.ask("segment", json!({"id": "point-2", "points": [point]}), is_mask, "a mask")?;
        self.scene("A box, its polygons simplified")?;
        let bbox = self.place.between((0.3, 0.3), (0.6, 0.65))?;
        let output = json!({"vectorization": "simplified", "largest_only": true});
        self.ask("segment", json!({"id": "box-1", "bbox": bbox, "output": output}), is_mask, "a mask")
    }

    /// Several previews at once, as while a pointer moves: only the newest is worth the work.
    fn previews(&mut self) -> Result<(), DemoError> {
        self.scene("A burst of previews: a newer one takes the place of the one that waits")?;
        let mut burst = Vec::new();
        for step in 1..=6 {
            let point = self.place.at(0.2 + 0.1 * f64::from(step), 0.4)?;
            let id = format!("preview-{step}");
            let payload = self.payload(json!({"id": id, "points": [point], "preview": true}));
            burst.push(self.client.publish("segment", payload)?);
        }
        for asked in &burst {
            print::request(self.out, asked)?;
        }
        for (position, asked) in burst.iter().enumerate() {
            let answer = self.client.answer(asked)?;
            print::answer(self.out, &answer)?;
            let newest = position + 1 == burst.len();
            let fine = is_mask(&answer.body) || (!newest && has_code(&answer.body, "SUPERSEDED"));
            self.check(fine, if newest { "a mask" } else { "a mask or SUPERSEDED" })?;
        }
        Ok(())
    }

    fn session(&mut self) -> Result<(), DemoError> {
        self.scene("A session: two points, one taken back, the mask saved")?;
        let add = |id: &str, point: [f64; 2], label: u8| json!({"id": id, "session": SESSION, "points": [point], "labels": [label]});
        let (first, second) = (self.place.at(0.45, 0.5)?, self.place.at(0.7, 0.3)?);
        self.ask("add", add("add-1", first, 1), is_mask, "a mask")?;
        self.ask("add", add("add-2", second, 0), is_mask, "a mask")?;
        self.ask("undo", json!({"id": "undo-1", "session": SESSION}), is_mask, "a mask")?;
        let properties = json!({"note": "from the demo"});
        let save = json!({"id": "save-1", "session": SESSION, "layer": LAYER, "properties": properties});
        self.ask("save", save, |body| is_ok(body) && body["saved"]["id"].is_string(), "a saved object")?;
        let topic = self.client.topic(&format!("saved/{LAYER}"));
        let told = self.client.told(&topic)?;
        Ok(print::told(self.out, &topic, &told)?)
    }

    fn list(&mut self) -> Result<(), DemoError> {
        self.scene("What there is")?;
        let has_all = |body: &Value| {
            is_ok(body) && ["folders", "models", "layers"].iter().all(|list| body[list].get(0).is_some())
        };
        self.ask("list", json!({"id": "list-1"}), has_all, "folders, models and the layer")
    }

    fn mistakes(&mut self) -> Result<(), DemoError> {
        self.scene("Requests that are refused, each with a code")?;
        let point = self.place.at(0.5, 0.5)?;
        let misspelt = json!({"id": "bad-1", "point": [point]});
        self.ask("segment", misspelt, |body| has_code(body, "BAD_REQUEST"), "BAD_REQUEST")?;
        self.send(
            "segment",
            "{\"id\":\"bad-2\"".to_owned(),
            |body| has_code(body, "BAD_REQUEST"),
            "BAD_REQUEST",
        )?;
        let nowhere = json!({"id": "bad-3", "folder": "no-such-folder", "points": [point]});
        self.ask("segment", nowhere, |body| has_code(body, "UNKNOWN_FOLDER"), "UNKNOWN_FOLDER")
    }

    fn scene(&mut self, title: &str) -> Result<(), DemoError> {
        self.scenes += 1;
        Ok(print::heading(self.out, self.scenes, title)?)
    }

    /// Asks, waits, prints both, and judges the answer.
    fn ask(
        &mut self,
        verb: &str,
        request: Value,
        fine: impl Fn(&Value) -> bool,
        expected: &str,
    ) -> Result<(), DemoError> {
        let payload = self.payload(request);
        self.send(verb, payload, fine, expected)
    }

    fn send(
        &mut self,
        verb: &str,
        payload: String,
        fine: impl Fn(&Value) -> bool,
        expected: &str,
    ) -> Result<(), DemoError> {
        let asked: Asked = self.client.publish(verb, payload)?;
        print::request(self.out, &asked)?;
        let answer: Answer = self.client.answer(&asked)?;
        print::answer(self.out, &answer)?;
        self.check(fine(&answer.body), expected)
    }

    fn check(&mut self, fine: bool, expected: &str) -> Result<(), DemoError> {
        if !fine {
            self.good = false;
            print::unexpected(self.out, expected)?;
        }
        Ok(self.out.flush()?)
    }

    /// A request with a prompt names the folder, and the CRS where it is not WGS84.
    fn payload(&self, request: Value) -> String {
        let Value::Object(mut all) = request else { return request.to_string() };
        let prompts = all.contains_key("points") || all.contains_key("bbox");
        if prompts {
            all.entry("folder").or_insert_with(|| self.folder.clone().into());
            if let Some(crs) = self.place.crs {
                all.insert("crs".to_owned(), crs.into());
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
