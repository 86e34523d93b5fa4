//! The service as users run it: the program `serve` as a process of its own, beside mosquitto, with
//! mosquitto's clients as the peer. Every message that a test hears is checked against docs/schemas.
#![allow(dead_code, reason = "each test binary uses its own part")]

#[path = "program.rs"]
pub mod program;

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::mosquitto::{Mosquitto, Peer, Received, patience};

/// A small answer: tests look at few vertices.
pub const SMALL: &str = r#""output":{"vectorization":"simplified","tolerance":30,"largest_only":true}"#;
/// A prompt inside `folder_sam`.
pub const POINT: &str = r#""folder":"folder_sam","crs":"EPSG:32633","points":[[458120,5427215]]"#;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A board: its state directory, its configuration, and its process while it runs.
pub struct Board {
    pub device: String,
    dir: TempDir,
    state: PathBuf,
    child: Option<Child>,
    /// Whether its configuration says which engine decodes.
    engine: bool,
}

impl Board {
    /// A board that serves `folder_sam` with further lines of configuration; it is not started yet.
    pub fn new(broker: &Mosquitto, device: &str, more: &str) -> Self {
        Self::with_features(broker, device, &fixture("folder_sam"), more)
    }

    /// A board with a feature directory of its own. `more` starts with keys of `[broker]`.
    pub fn with_features(broker: &Mosquitto, device: &str, features: &Path, more: &str) -> Self {
        Self::configured(&broker.url(), device, features, &fixture("models"), more)
    }

    /// A board with directories of its own, at a broker that need not be there.
    pub fn configured(url: &str, device: &str, features: &Path, models: &Path, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = dir.path().join("state");
        Self::configured_in(dir, url, device, features, models, state, more)
    }

    /// The same with its state somewhere else, which is not taken away with the board.
    pub fn with_state(
        url: &str,
        device: &str,
        features: &Path,
        models: &Path,
        state: &Path,
        more: &str,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::configured_in(dir, url, device, features, models, state.to_owned(), more)
    }

    fn configured_in(
        dir: TempDir,
        url: &str,
        device: &str,
        features: &Path,
        models: &Path,
        state: PathBuf,
        more: &str,
    ) -> Self {
        let text = format!(
            "device = {device:?}\nfeatures = [{features:?}]\nmodels = {models:?}\nstate = {state:?}\n\
             [broker]\nurl = {url:?}\n{more}\n",
        );
        std::fs::write(dir.path().join("edge.toml"), text).expect("the configuration");
        Self { device: device.to_owned(), dir, state, child: None, engine: more.contains("engine = ") }
    }

    pub fn start(&mut self) {
        self.start_in(&[]);
    }

    /// Starts it with variables in its environment.
    pub fn start_in(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let child = program::geosam_edge()
            .args(["serve", "--config"])
            .arg(self.dir.path().join("edge.toml"))
            // Comparing the engines first is for the tests of the engines: it costs seconds of a busy processor.
            .args(if self.engine { &[][..] } else { &["--engine", "fused"] })
            .env("GEOSAM_TEST_PASSWORD", "secret")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(log.expect("the log"))
            .spawn();
        self.child = Some(child.expect("the program starts"));
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Pulls the plug: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it as systemd would, and says whether it ended well.
    pub fn stop(&mut self) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        child.wait().expect("a status").success()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until it has logged something.
    pub fn wait_for_log(&self, text: &str) {
        let start = Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < patience() * 3, "{text:?} is not logged");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// What it has noted of the requests that are running.
    pub fn running(&self) -> String {
        std::fs::read_to_string(self.state.join("running")).unwrap_or_default()
    }

    /// The objects of a layer, as they stand in its file.
    pub fn layer(&self, name: &str) -> Vec<Value> {
        let path = self.state.join("layers").join(format!("{name}.geojsonl"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of a layer")).collect()
    }

    /// The topic of a request to this board.
    pub fn request(&self, client: &str, verb: &str) -> String {
        format!("geosam/{}/request/{client}/{verb}", self.device)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.device, self.log());
        }
    }
}

/// A peer that hears all, and remembers what a test has not asked for yet.
pub struct Ears {
    peer: Peer,
    heard: Vec<Received>,
}

impl Ears {
    /// Hears everything below `geosam/`, also what was sent while the broker was down.
    pub fn on(broker: &Mosquitto) -> Self {
        Self::with(broker, &["-c", "-x", "3600"])
    }

    pub fn with(broker: &Mosquitto, more: &[&str]) -> Self {
        Self { peer: broker.subscribe("geosam/#", more), heard: Vec::new() }
    }

    /// The first message that fits.
    pub fn wait(&mut self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        self.wait_patiently(what, patience() * 2, fits)
    }

    /// The same for what takes its time.
    pub fn wait_patiently(
        &mut self,
        what: &str,
        patience: Duration,
        fits: impl Fn(&Received) -> bool,
    ) -> Received {
        let start = Instant::now();
        let mut index = 0;
        loop {
            if let Some(found) = (index..self.heard.len()).find(|i| fits(&self.heard[*i])) {
                return self.heard.remove(found);
            }
            index = self.heard.len();
            match self.peer.within(Duration::from_millis(200)) {
                Some(message) => {
                    validate(&message);
                    self.heard.push(message);
                }
                None if start.elapsed() < patience => {}
                None => {
                    let topics: Vec<_> = self.heard.iter().map(|m| (&m.topic, m.text())).collect();
                    panic!("{what} does not come; there is {topics:#?}");
                }
            }
        }
    }

    pub fn topic(&mut self, topic: &str) -> Received {
        self.wait(topic, |m| m.topic == topic)
    }

    /// The board serves.
    pub fn online(&mut self, board: &Board) {
        let topic = format!("geosam/{}/state", board.device);
        self.wait("online", |m| m.topic == topic && m.payload == b"online");
    }

    /// The answer to the request with this id, wherever it is sent.
    pub fn answer(&mut self, id: &str) -> Value {
        let message = self.wait(&format!("the answer to {id}"), |m| is_answer(m) && m.json()["id"] == id);
        message.json()
    }

    /// What was heard until it has been still for a while, and was not asked for.
    pub fn rest(&mut self, silence: Duration) -> Vec<Received> {
        let mut since = Instant::now();
        while since.elapsed() < silence {
            let Some(message) = self.peer.within(silence) else { break };
            validate(&message);
            // Health never ends.
            if !message.topic.ends_with("/health") {
                since = Instant::now();
            }
            self.heard.push(message);
        }
        std::mem::take(&mut self.heard)
    }
}

pub fn is_answer(message: &Received) -> bool {
    message.topic.contains("/response/")
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|e| panic!("{}: {e}", self.topic))
    }
}

/// The code of an error, or "ok".
pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| answer["status"].as_str().unwrap_or("nothing"))
}

/// Checks a message against the schema of its topic.
pub fn validate(message: &Received) {
    let levels: Vec<&str> = message.topic.split('/').collect();
    let kind = if levels.get(1) == Some(&"fleet") { levels.get(3) } else { levels.get(2) };
    let kind = *kind.expect("a topic of the contract");
    if kind == "request" || message.payload.is_empty() && kind == "folder" {
        return;
    }
    if kind == "state" {
        assert!(["online", "offline"].contains(&message.text().as_str()), "{message:?}");
        return;
    }
    let validator = validators().get(kind).unwrap_or_else(|| panic!("no schema for {}", message.topic));
    if let Err(error) = validator.validate(&message.json()) {
        panic!("{} is not as its schema says: {error} at {}", message.topic, error.instance_path());
    }
}

fn validators() -> &'static HashMap<&'static str, jsonschema::Validator> {
    static VALIDATORS: OnceLock<HashMap<&'static str, jsonschema::Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let kinds = ["event", "folder", "health", "info", "mask", "response", "saved"];
        let compiled = |kind| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schemas/{kind}.json"));
            let text = std::fs::read_to_string(path).expect("the schema");
            let schema = serde_json::from_str(&text).expect("the schema is JSON");
            (kind, jsonschema::validator_for(&schema).expect("the schema is one"))
        };
        kinds.into_iter().map(compiled).collect()
    })
}

/// Publishes many messages on one topic over one connection of mosquitto_pub.
pub fn publish_lines(broker: &Mosquitto, topic: &str, lines: &[String]) {
    let port = broker.port().to_string();
    let mut child = Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-q", "1", "-t", topic, "-l"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("mosquitto_pub runs");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).expect("the payloads");
    drop(stdin);
    assert!(child.wait().expect("a status").success());
}

/// Many prompts in one request, to keep the decoder busy for a while.
pub fn long_batch(id: &str, prompts: usize) -> String {
    let output = SMALL.replace('}', r#","max_bytes":4000000}"#);
    let prompt = format!("{{{POINT},{output}}}");
    format!(r#"{{"id":"{id}","prompts":[{}]}}"#, vec![prompt; prompts].join(","))
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("it is copied");
        }
    }
}
