//! docs/mqtt.md, the schemas and asyncapi.yaml against the source and each other; and the page's examples, played.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::*;
use crate::ErrorCode;
use crate::api::{ENTRY_KEYS, KEYS, Key, OUTPUT_KEYS};
use crate::bus::Verb;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&text(&format!("docs/schemas/{name}.json"))).unwrap()
}

/// The rows of a table of docs/mqtt.md, by the beginning of its header.
fn table(header: &str) -> Vec<Vec<String>> {
    let page = text("docs/mqtt.md");
    let mut lines = page.lines().skip_while(|line| !line.starts_with(header));
    assert!(lines.next().is_some(), "there is no table {header}");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn plain(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A schema's type, as the page writes it.
fn type_of(schema: &Value) -> String {
    let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
    kinds.join(" or ")
}

fn verbs_of(cell: &str) -> Vec<String> {
    let all = || Verb::ALL.iter().map(|verb| verb.as_str().to_owned());
    match cell {
        "all" => all().collect(),
        "all but `cancel`" => all().filter(|verb| verb != "cancel").collect(),
        named => quoted(named).into_iter().map(str::to_owned).collect(),
    }
}

#[test]
fn the_page_the_schema_and_the_source_name_the_same_keys_with_their_types_defaults_and_verbs() {
    let schema = schema("request");
    let keys = &schema["$defs"]["keys"]["properties"];
    let rows = table("| key | type | default | verbs |");
    let names: Vec<&str> = rows.iter().map(|row| plain(&row[0])).collect();
    assert_eq!(names, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
    assert_eq!(keys.as_object().unwrap().len(), KEYS.len());
    for (row, key) in rows.iter().zip(KEYS) {
        let told = &keys[key.name];
        assert_eq!(row[1], type_of(told), "{}", key.name);
        assert_eq!(
            plain(&row[2]),
            told.get("default").map_or_else(String::new, Value::to_string),
            "{}",
            key.name
        );
        assert_eq!(verbs_of(&row[3]), key.verbs, "{}", key.name);
    }
    for verb in Verb::ALL {
        let told = schema["$defs"][verb.as_str()]["properties"].as_object().unwrap();
        let taken = KEYS.iter().filter(|key| key.verbs.contains(&verb.as_str())).map(|key| key.name);
        assert_eq!(
            told.keys().map(String::as_str).collect::<BTreeSet<_>>(),
            taken.collect::<BTreeSet<_>>(),
            "{verb}"
        );
    }
    let same = |keys: &[Key], told: &Value| {
        let names: BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
        assert_eq!(told.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    };
    same(ENTRY_KEYS, &schema["$defs"]["entry"]["properties"]);
    let page = text("docs/mqtt.md");
    let entry = page.lines().find(|line| line.starts_with("An entry of `prompts` has")).unwrap();
    assert!(ENTRY_KEYS.iter().all(|key| quoted(entry).contains(&key.name)), "{entry}");

    let output = &keys["output"]["properties"];
    assert_eq!(output.as_object().unwrap().len(), OUTPUT_KEYS.len());
    for (row, key) in table("| key | type | default | |").iter().zip(OUTPUT_KEYS) {
        assert_eq!(plain(&row[0]), *key);
        assert_eq!(row[1], type_of(&output[key]), "{key}");
        assert_eq!(plain(&row[2]), output[key]["default"].to_string(), "{key}");
    }
}

#[test]
fn what_the_schema_of_a_verb_refuses_the_board_refuses_too() {
    let schema = schema("request");
    let validator = |verb: Verb| {
        let only = serde_json::json!({"$defs": schema["$defs"], "$ref": format!("#/$defs/{verb}")});
        jsonschema::validator_for(&only).unwrap()
    };
    let limits = crate::api::Limits::default();
    let values = serde_json::json!({"id": "1", "folder": "f", "crs": "EPSG:4326", "points": [[1, 2]], "labels": [1], "bbox": [1, 2, 3, 4],
        "prompts": [{"points": [[1, 2]]}], "output": {"max_bytes": 1000}, "stitch": true, "max_chips": 4, "refine": true, "mask_of": "1", "ttl_ms": 5, "preview": true,
        "session": "s", "layer": "l", "properties": {"a": 1}, "ids": ["a"], "to_layer": "m", "client": "c",
        "since": "2026-05-01T12:00:00Z", "until": "2026-05-01T12:00:00Z", "offset": 1, "limit": 1, "everything": {"points_per_side": 4}, "chip": "c", "request_id": "1"});
    for verb in Verb::ALL {
        let validator = validator(verb);
        for key in KEYS {
            // All that the verb may need, and this key.
            let mut request = serde_json::json!({key.name: values[key.name]});
            let needed: &[&str] = match verb {
                Verb::Segment => &["points"],
                Verb::Add => &["id", "session", "points"],
                Verb::Undo | Verb::Clear => &["id", "session"],
                Verb::Save if key.name == "session" => &["id", "layer"],
                Verb::Save => &["id", "layer", "points"],
                Verb::Unsave => &["id", "session", "layer"],
                Verb::Update => &["id", "layer", "ids", "properties"],
                Verb::Delete => &["id", "layer", "ids"],
                Verb::Fetch => &["layer"],
                Verb::Everything if key.name == "chip" => &["id"],
                Verb::Everything => &["id", "layer"],
                _ => &[],
            };
            // A prompt in one of its ways, and what goes together.
            let skip = |name: &&&str| key.name == "prompts" && **name == "points";
            for name in needed.iter().filter(|name| !skip(name)) {
                request[*name] = values[*name].clone();
            }
            if key.name == "max_chips" {
                request["stitch"] = true.into();
            }
            if key.name == "labels" && verb != Verb::Segment && verb != Verb::Add && verb != Verb::Save {
                continue;
            }
            let parsed = crate::api::parse_request(request.to_string().as_bytes(), &limits).unwrap();
            let taken = crate::api::check_keys(verb.as_str(), &parsed.said).is_ok();
            assert_eq!(validator.is_valid(&request), taken, "{verb} {request}");
        }
    }
}

#[test]
fn the_page_and_the_schema_name_every_code_and_whether_it_may_be_asked_again() {
    let rows = table("| code | meaning |");
    let told: Vec<(&str, &str)> = rows.iter().map(|row| (plain(&row[0]), row[3].as_str())).collect();
    let codes: Vec<_> =
        ErrorCode::ALL.map(|code| (code.as_str(), if code.retryable() { "yes" } else { "no" })).into();
    assert_eq!(told, codes);
    assert!(rows.iter().all(|row| !row[1].is_empty() && !row[2].is_empty()));
    let schema = schema("response");
    let listed = schema["$defs"]["code"]["enum"].as_array().unwrap();
    assert_eq!(
        listed.iter().map(|code| code.as_str().unwrap()).collect::<Vec<_>>(),
        ErrorCode::ALL.map(ErrorCode::as_str)
    );
    // Nothing is left out of the list itself.
    assert_eq!(text("src/error_code.rs").matches("=> \"").count(), ErrorCode::ALL.len());
}

#[test]
fn the_page_and_asyncapi_name_every_verb_topic_and_event() {
    let (page, asyncapi) = (text("docs/mqtt.md"), text("docs/asyncapi.yaml"));
    let listed = |text: &str, key: &str| -> BTreeSet<String> {
        let found = text.split(key).find_map(|rest| rest.strip_prefix(" [")).unwrap();
        found[..found.find(']').unwrap()].split(',').map(|word| word.trim().to_owned()).collect()
    };
    let verbs = asyncapi.split("\n    verb:").nth(1).unwrap();
    assert_eq!(listed(verbs, "enum:"), Verb::ALL.map(|verb| verb.as_str().to_owned()).into());
    for verb in Verb::ALL {
        assert!(page.contains(&format!("### `{verb}`")), "{verb} has no heading");
    }

    let topics: BTreeSet<String> =
        table("| topic | who").iter().map(|row| plain(&row[0]).to_owned()).collect();
    let addresses = asyncapi.lines().filter_map(|line| line.trim().strip_prefix("address: "));
    for address in addresses.map(|address| address.replace('{', "<").replace('}', ">")) {
        match address.strip_prefix("geosam/<device>/") {
            Some(topic) => assert!(topics.contains(topic), "{topic} is not in the table"),
            None => assert!(page.contains(&format!("`{address}`")), "{address} is not on the page"),
        }
    }

    let events = listed(asyncapi.split("address: geosam/{device}/event/").nth(1).unwrap(), "enum:");
    let rows = table("| event | what");
    let told: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| quoted(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, events);
    let mut sources = String::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service")];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true if !path.ends_with("tests") => directories.push(path),
                false if !path.ends_with("tests.rs") => sources += &fs::read_to_string(path).unwrap(),
                _ => {}
            }
        }
    }
    for call in [".problem(\"", ".event(\""] {
        for rest in sources.split(call).skip(1) {
            let kind = &rest[..rest.find('"').unwrap()];
            assert!(events.contains(kind), "event/{kind} is not in asyncapi.yaml");
        }
    }
}

/// The blocks of JSON below the headings of verbs: requests and answers in turns, with the verb.
fn examples() -> Vec<(String, String)> {
    let page = text("docs/mqtt.md");
    let verbs = page.split("\n## ").find(|part| part.starts_with("Verbs\n")).unwrap();
    let mut examples = Vec::new();
    for part in verbs.split("\n### `").skip(1) {
        let verb = part[..part.find('`').unwrap()].to_owned();
        let blocks = part.split("```json\n").skip(1).map(|rest| rest[..rest.find("```").unwrap()].to_owned());
        examples.extend(blocks.map(|block| (verb.clone(), block)));
    }
    examples
}

/// The members of a value, of what is in them, and of the first element of its lists: what readers rely on.
fn shape(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                found.insert(format!("{path}.{name}"));
                shape(member, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(list) if !list.is_empty() => shape(&list[0], &format!("{path}[]"), found),
        _ => {}
    }
}

/// The ids of objects that an answer says are saved.
fn saved_ids(answer: &Value) -> Vec<String> {
    let results = answer["results"].as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    results.iter().filter_map(|result| result["saved"]["id"].as_str()).map(str::to_owned).collect()
}

/// An answer for readers: rings of four positions, places as on a board.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                let told = if name == "path" { "/media/geosam/features".into() } else { shortened(value) };
                (name.clone(), told)
            };
            members.iter().map(member).collect()
        }
        Value::Array(list) if list.len() > 4 && list[0].is_array() => {
            list[..3].iter().chain(list.last()).cloned().collect()
        }
        Value::Array(list) => list.iter().map(shortened).collect(),
        other => other.clone(),
    }
}

/// JSON in lines that a page can hold: what fits into one stands on one.
fn print(value: &Value, indent: usize) -> String {
    let line = value.to_string().replace("\":", "\": ").replace(",\"", ", \"");
    let (open, parts, close) = match value {
        _ if line.len() + indent < 150 => return line,
        Value::Object(members) => {
            let part = |(name, value): (&String, &Value)| format!("\"{name}\": {}", print(value, indent + 1));
            ('{', members.iter().map(part).collect::<Vec<_>>(), '}')
        }
        Value::Array(list) => ('[', list.iter().map(|value| print(value, indent + 1)).collect(), ']'),
        _ => return line,
    };
    format!("{open}{}{close}", parts.join(&format!(",\n{}", " ".repeat(indent + 1))))
}

#[test]
fn the_examples_of_the_page_are_answered_as_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let (dir, (client, events, broker)) = (tempfile::tempdir().unwrap(), bus(None));
    let options = ServiceOptions {
        features: vec![root.join("features")],
        models: root.join("models"),
        state: dir.path().join("state"),
        device: "board-7".to_owned(),
        ..ServiceOptions::default()
    };
    let service = Service::start(options, client.clone(), events).unwrap();
    let scene = Scene { service, client, broker, dir };
    scene.broker.connect(true);
    scene.until("online", || scene.broker.retained("geosam/board-7/state").as_deref() == Some(b"online"));

    let request_schema = schema("request");
    let answers = jsonschema::validator_for(&schema("response")).unwrap();
    let mut seen = BTreeSet::new();
    // GEOSAM_WRITE_EXAMPLES=1 writes what is answered into the page.
    let mut written = std::env::var_os("GEOSAM_WRITE_EXAMPLES").map(|_| text("docs/mqtt.md"));
    // Ids of saved objects as the page has them, and as they are here.
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for pair in examples().chunks(2) {
        let [(verb, request), (_, answer)] = pair else { panic!("a request without an answer") };
        let (original, mut request) = (request.clone(), request.clone());
        for (told, real) in &ids {
            request = request.replace(told, real);
        }
        let asked: Value =
            serde_json::from_str(&request).unwrap_or_else(|e| panic!("{verb}: {e}: {request}"));
        let of_verb =
            serde_json::json!({"$defs": request_schema["$defs"], "$ref": format!("#/$defs/{verb}")});
        assert!(jsonschema::validator_for(&of_verb).unwrap().is_valid(&asked), "{verb}: {request}");
        let topic = format!("geosam/board-7/response/survey/{verb}");
        let heard = || {
            let published = scene.broker.published();
            let answers = published.iter().filter(|m| m.topic == topic);
            answers
                .map(|m| serde_json::from_slice::<Value>(&m.payload).unwrap())
                .find(|a| a["id"] == asked["id"] && a["status"] != "progress")
        };
        scene
            .broker
            .publish(OutgoingMessage::new(format!("geosam/board-7/request/survey/{verb}"), request.clone()));
        scene.until(&request, || heard().is_some());
        let real = heard().unwrap();
        if let Some(page) = &mut written {
            // The ids of the page are those of this run.
            ids.extend(
                saved_ids(&real)
                    .into_iter()
                    .enumerate()
                    .filter(|_| verb == "save")
                    .map(|(n, id)| (format!("ID-{n}"), id)),
            );
            *page = page.replacen(&original, &request, 1).replacen(answer, &print(&shortened(&real), 0), 1);
            continue;
        }
        let told: Value = serde_json::from_str(answer).unwrap_or_else(|e| panic!("{verb}: {e}: {answer}"));
        answers.validate(&told).unwrap_or_else(|e| panic!("{verb}: {e} at {}: {answer}", e.instance_path()));
        let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
        shape(&told, "", &mut expected);
        shape(&real, "", &mut found);
        assert_eq!(found, expected, "{verb}: {real}");
        assert_eq!((&real["id"], &real["status"]), (&told["id"], &told["status"]), "{verb}: {real}");
        ids.extend(saved_ids(&told).into_iter().zip(saved_ids(&real)));
        seen.insert(verb.clone());
    }
    scene.service.stop();
    if let Some(page) = written {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mqtt.md"), page).unwrap();
        return;
    }
    assert_eq!(seen, Verb::ALL.map(|verb| verb.as_str().to_owned()).into());
}
