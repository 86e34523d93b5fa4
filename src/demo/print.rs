//! How requests and answers are shown to a person: one line each, long payloads cut in the middle.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::client::{Answer, Asked};

/// Characters of a payload that are shown.
const SHOWN: usize = 150;

pub(super) fn heading(out: &mut dyn Write, number: usize, title: &str) -> io::Result<()> {
    writeln!(out, "\n{number}. {title}")
}

pub(super) fn request(out: &mut dyn Write, asked: &Asked) -> io::Result<()> {
    writeln!(out, "   -> {}  {}", asked.topic, shortened(&asked.payload))
}

pub(super) fn answer(out: &mut dyn Write, answer: &Answer) -> io::Result<()> {
    writeln!(out, "   <- {}  {}", answer.topic, outcome(&answer.body))?;
    let mut times = format!("{} there and back, {}", ms(answer.round_trip), size(answer.bytes));
    if let Some(timing) = answer.body["timing_ms"].as_object() {
        let parts = ["queue", "load", "decode", "vectorize"].map(|part| {
            let time = timing.get(part).and_then(Value::as_f64).unwrap_or_default();
            format!("{part} {time:.1}")
        });
        let _ = write!(times, "; in the service: {} ms", parts.join(", "));
    }
    writeln!(out, "      {times}")
}

/// A message that the service published besides the answer.
pub(super) fn told(out: &mut dyn Write, topic: &str, payload: &[u8]) -> io::Result<()> {
    writeln!(out, "   <- {topic}  {}", shortened(&String::from_utf8_lossy(payload)))
}

/// Where an answer differs from what was expected.
pub(super) fn unexpected(out: &mut dyn Write, expected: &str) -> io::Result<()> {
    writeln!(out, "   !! expected {expected}")
}

/// The sense of a response in a few words.
fn outcome(body: &Value) -> String {
    if let Some(error) = body["error"].as_object() {
        let text = |name| error.get(name).and_then(Value::as_str).unwrap_or("?");
        return format!("{}: {}", text("code"), text("message"));
    }
    if body["masks"].is_array() {
        return mask(body);
    }
    if let Some(saved) = body["saved"].as_object() {
        let text = |name| saved.get(name).and_then(Value::as_str).unwrap_or("?");
        let area = &body["saved"]["feature"]["properties"]["area_m2"];
        return format!("saved in layer {} as {}{}", text("layer"), text("id"), area_text(area.as_f64()));
    }
    if body["folders"].is_array() {
        return list(body);
    }
    shortened(&body.to_string())
}

fn mask(body: &Value) -> String {
    let features = body["result"]["features"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(report) = body["masks"].get(0) else { return "an empty mask: no prompt is left".to_owned() };
    let areas = features.iter().map(|feature| feature["properties"]["area_m2"].as_f64());
    let score = report["score"].as_f64().unwrap_or_default();
    let chip = report["chip_id"].as_str().unwrap_or("?");
    let noun = if features.len() == 1 { "polygon" } else { "polygons" };
    let area = area_text(areas.sum());
    format!("{} {noun}{area}, score {score:.3}, {chip}", features.len())
}

fn area_text(area: Option<f64>) -> String {
    area.map_or_else(String::new, |area| format!(", {area:.1} m2"))
}

fn list(body: &Value) -> String {
    let entries = |list: &str| body[list].as_array().map_or(&[][..], Vec::as_slice);
    let mut facts = Vec::new();
    let mut fact = |what: &str, entries: Vec<&Value>, name: &str| {
        let names: Vec<&str> = entries.iter().filter_map(|entry| entry[name].as_str()).collect();
        if !names.is_empty() {
            facts.push(format!("{what} {}", names.join(", ")));
        }
    };
    let (ready, others) = entries("folders").iter().partition(|folder| folder["ready"] == true);
    fact("folders", ready, "name");
    fact("not ready", others, "name");
    fact("models", entries("models").iter().collect(), "model");
    fact("sessions", entries("sessions").iter().collect(), "session");
    facts.push(format!("layers: {}", entries("layers").len()));
    facts.join("; ")
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn size(bytes: usize) -> String {
    if bytes < 10_000 { format!("{bytes} bytes") } else { format!("{:.1} kB", bytes as f64 / 1e3) }
}

/// A payload whose middle is left out where it is long.
fn shortened(payload: &str) -> String {
    let count = payload.chars().count();
    if count <= SHOWN {
        return payload.to_owned();
    }
    let head: String = payload.chars().take(SHOWN - 30).collect();
    let tail: String = payload.chars().skip(count - 25).collect();
    format!("{head} ... {tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_long_payload_shows_its_beginning_and_its_end() {
        let long = format!("{{{}}}", "é".repeat(1000));
        let shown = shortened(&long);
        assert!(shown.chars().count() <= SHOWN && shown.starts_with("{é") && shown.ends_with("é}"));
        assert_eq!(shortened("{}"), "{}");
    }

    #[test]
    fn an_answer_is_told_in_words() {
        let feature = json!({"properties": {"area_m2": 12.25}});
        let masks = json!([{"score": 0.5, "chip_id": "chip_1"}]);
        let ok = json!({"masks": masks, "result": {"features": [feature, feature]}});
        assert_eq!(outcome(&ok), "2 polygons, 24.5 m2, score 0.500, chip_1");
        let folders = json!([{"name": "a", "ready": true}, {"name": "b", "ready": false}]);
        let list = json!({"folders": folders, "models": [], "layers": [{}]});
        assert_eq!(outcome(&list), "folders a; not ready b; layers: 1");
        let error = json!({"error": {"code": "BAD_REQUEST", "message": "no"}});
        assert_eq!(outcome(&error), "BAD_REQUEST: no");
    }
}
