//! What a request may cost, whatever it asks for: memory above what the service has used before, by the kernel's own
//! account of the process (`VmHWM` in `proc(5)`).

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::io::Write as _;
use std::time::Duration;

use mosquitto::{Mosquitto, Setup};
use serde_json::{Value, json};
use service::{Board, Ears, POINT, code};

/// The bound that docs/mqtt.md names.
const MOST: u64 = 64 << 20;
/// What is asked for: all there is.
const ALL: &str = r#""output":{"max_bytes":1000000000000}"#;

struct Scene {
    broker: Mosquitto,
    board: Board,
    ears: Ears,
}

/// A board that has answered a prompt: its decoder is built and a chip is prepared.
fn scene() -> Option<Scene> {
    // Each answer of megabytes is delivered to the peer; mosquitto's own bounds are not the matter here.
    let broker = Mosquitto::start(Setup::default())?;
    let mut board = Board::new(&broker, "b1", "");
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    let mut scene = Scene { broker, board, ears };
    let answer = scene.ask("segment", "warm", &format!("{POINT},{ALL}"));
    assert_eq!(code(&answer), "ok");
    Some(scene)
}

impl Scene {
    fn ask(&mut self, verb: &str, id: &str, members: &str) -> Value {
        let payload = format!(r#"{{"id":"{id}",{members}}}"#);
        self.broker.publish(&self.board.request("c1", verb), payload.as_bytes(), &[]);
        let message = self
            .ears
            .wait_patiently(id, Duration::from_secs(300), |m| service::is_answer(m) && m.json()["id"] == id);
        message.json()
    }

    /// The most memory that the process has had, in bytes.
    fn peak(&self) -> u64 {
        let id = self.board.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// Asks, and says what came and how much memory it took beyond what was used before.
    fn cost(&mut self, verb: &str, id: &str, members: &str) -> (Value, u64) {
        let before = self.peak();
        let answer = self.ask(verb, id, members);
        let cost = self.peak() - before;
        println!("{verb} {id}: {:.1} MB, answer of {} bytes", cost as f64 / 1e6, answer.to_string().len());
        assert!(cost <= MOST, "{verb} took {cost} bytes");
        (answer, cost)
    }

    fn layer(&self, name: &str, bytes: usize) {
        let path = self.board.state().join("layers").join(format!("{name}.geojsonl"));
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("the layer"));
        let ring: Vec<Value> = (0..500).map(|n| json!([9.17 + f64::from(n) * 1e-7, 47.65])).collect();
        let (mut written, mut id) = (0, 0);
        while written < bytes {
            let geometry = json!({"type": "Polygon", "coordinates": [ring]});
            let line =
                format!(r#"{{"type":"Feature","id":"x{id}","geometry":{geometry},"properties":{{}}}}"#);
            writeln!(file, "{line}").expect("it is written");
            written += line.len() + 1;
            id += 1;
        }
        file.flush().expect("it is written");
    }
}

#[test]
fn a_page_of_everything_takes_bounded_memory_and_is_a_page() {
    let Some(mut scene) = scene() else { return };
    scene.layer("big", 100 << 20);
    let (page, _) = scene.cost("fetch", "all", &format!(r#""layer":"big","limit":1000000000,{ALL}"#));
    assert_eq!(code(&page), "ok");
    assert!(page["next"].as_u64().is_some_and(|next| next > 10), "there is more");
    let (list, _) = scene.cost("list", "list", r#""preview":false"#);
    assert_eq!(list["layers"][0]["name"], "big");
}

#[test]
fn a_batch_of_everything_takes_bounded_memory_and_is_answered() {
    let Some(mut scene) = scene() else { return };
    let prompt = format!(r#"{{{POINT},"output":{{"multimask":true,"max_bytes":1000000000000}}}}"#);
    let prompts = vec![prompt; 256].join(",");
    let (answer, _) = scene.cost("segment", "batch", &format!(r#""prompts":[{prompts}]"#));
    let results = answer["results"].as_array().expect("its results");
    assert_eq!(results.len(), 256);
    // Masks of noise: a 256th part of an answer holds few of them, however coarse.
    assert!(results.iter().all(|result| ["ok", "TOO_LARGE"].contains(&code(result))), "{answer}");
}

#[test]
fn a_payload_of_many_small_values_takes_bounded_memory() {
    let Some(mut scene) = scene() else { return };
    assert_eq!(code(&scene.ask("add", "a", &format!(r#""session":"s",{POINT},{ALL}"#))), "ok");
    let properties = (0..15_000).map(|n| format!(r#""{n}":[]"#)).collect::<Vec<_>>().join(",");
    let members = format!(r#""session":"s","layer":"ponds","properties":{{{properties}}}"#);
    let (saved, _) = scene.cost("save", "s", &members);
    assert_eq!(code(&saved), "ok", "{}", &saved.to_string()[..200]);
}
