//! How requests and answers are shown to a person: topic and payload, the sense of the answer, its times.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::client::{Answer, Asked};

/// Characters of a payload that are shown.
const SHOWN: usize = 150;

/// Looks of a text on a terminal that has colours.
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Where the story goes.
pub(super) struct Printer<'a> {
    out: &'a mut dyn Write,
    colours: bool,
    chapters: usize,
}

impl<'a> Printer<'a> {
    /// `colours` for a terminal that a person looks at.
    pub fn new(out: &'a mut dyn Write, colours: bool) -> Self {
        Self { out, colours, chapters: 0 }
    }

    fn look(&self, style: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A line of the cast: who plays.
    pub fn fact(&mut self, name: &str, text: &str) -> io::Result<()> {
        let name = self.look(DIM, &format!("{name:<9}"));
        writeln!(self.out, "  {name}{text}")
    }

    pub fn heading(&mut self, title: &str) -> io::Result<()> {
        self.chapters += 1;
        let title = self.look(BOLD, &format!("{}. {title}", self.chapters));
        writeln!(self.out, "\n{title}")
    }

    /// The number of the chapter.
    pub fn chapter(&self) -> usize {
        self.chapters
    }

    pub fn request(&mut self, asked: &Asked) -> io::Result<()> {
        let arrow = self.look(CYAN, "->");
        writeln!(self.out, "\n  {arrow} {}", asked.topic)?;
        let payload = self.look(DIM, &shortened(&asked.payload));
        writeln!(self.out, "     {payload}")
    }

    pub fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        let arrow = self.look(CYAN, "<-");
        let topic = &answer.topic;
        writeln!(self.out, "  {arrow} {topic}  after {}", ms(answer.round_trip))?;
        let sense =
            self.look(if answer.body["error"].is_null() { GREEN } else { YELLOW }, &outcome(&answer.body));
        writeln!(self.out, "     {sense}")?;
        if let Some(times) = times(&answer.body) {
            let text = self.look(DIM, &format!("{times}; {}", size(answer.bytes)));
            writeln!(self.out, "     {text}")?;
        }
        Ok(())
    }

    /// A drawing of the mask, and the file with its picture.
    pub fn drawing(&mut self, lines: &[String], picture: Option<&str>) -> io::Result<()> {
        for line in lines {
            let line = self.look(GREEN, line);
            writeln!(self.out, "       {line}")?;
        }
        picture.map_or(Ok(()), |path| writeln!(self.out, "     picture: {path}"))
    }

    /// A message that the service published besides the answer.
    pub fn told(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let arrow = self.look(CYAN, "<-");
        writeln!(self.out, "  {arrow} {topic}  for everybody who listens")?;
        let payload = self.look(DIM, &shortened(&String::from_utf8_lossy(payload)));
        writeln!(self.out, "     {payload}")
    }

    /// Where an answer differs from what was expected.
    pub fn unexpected(&mut self, expected: &str) -> io::Result<()> {
        let text = self.look(RED, &format!("!! expected {expected}"));
        writeln!(self.out, "     {text}")
    }

    /// The end of the story.
    pub fn end(&mut self, good: bool, text: &str) -> io::Result<()> {
        let text = self.look(if good { BOLD } else { RED }, text);
        writeln!(self.out, "\n{text}")?;
        self.out.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
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

/// Where the time went in the service.
fn times(body: &Value) -> Option<String> {
    let timing = body["timing_ms"].as_object()?;
    let parts = ["queue", "load", "decode", "vectorize"].map(|part| {
        let time = timing.get(part).and_then(Value::as_f64).unwrap_or_default();
        format!("{part} {time:.1}")
    });
    Some(format!("{} ms", parts.join(" + ")))
}

fn mask(body: &Value) -> String {
    let features = body["result"]["features"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(report) = body["masks"].get(0) else { return "an empty mask: no prompt is left".to_owned() };
    let areas = features.iter().map(|feature| feature["properties"]["area_m2"].as_f64());
    let score = report["score"].as_f64().unwrap_or_default();
    let chip = report["chip_id"].as_str().unwrap_or("?");
    let noun = if features.len() == 1 { "polygon" } else { "polygons" };
    let area = area_text(areas.sum());
    let on = match body["chips"].as_array().map(Vec::len) {
        None | Some(0 | 1) => chip.to_owned(),
        Some(chips) => format!("over {chips} chips"),
    };
    let because = body["incomplete_because"].as_array().map_or(&[][..], Vec::as_slice);
    let because: Vec<&str> = because.iter().filter_map(Value::as_str).collect();
    let end = if because.is_empty() { String::new() } else { format!(", goes on: {}", because.join(", ")) };
    format!("{} {noun}{area}, score {score:.3}, {on}{end}", features.len())
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
    let layers = entries("layers").iter().filter_map(|layer| {
        Some(format!("layer {} with {} object(s)", layer["name"].as_str()?, layer["features"].as_u64()?))
    });
    facts.extend(layers);
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
    let mut shown: String = payload.chars().take(SHOWN - 30).collect();
    // Writing to a string cannot fail.
    let _ = write!(shown, " ... {}", payload.chars().skip(count - 25).collect::<String>());
    shown
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
        let list = json!({"folders": folders, "models": [], "layers": [{"name": "l", "features": 1}]});
        assert_eq!(outcome(&list), "folders a; not ready b; layer l with 1 object(s)");
        let error = json!({"error": {"code": "BAD_REQUEST", "message": "no"}});
        assert_eq!(outcome(&error), "BAD_REQUEST: no");
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        let shown = |colours| {
            let mut out = Vec::new();
            Printer::new(&mut out, colours).heading("Title").unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(false), "\n1. Title\n");
        assert!(shown(true).contains("\u{1b}[1m1. Title"));
    }
}
