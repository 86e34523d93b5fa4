//! Which keys a request of each verb takes. What a key means stands in docs/mqtt.md, its type and default in
//! docs/schemas/request.json; tests hold both against the tables here.

use super::error::{Parsed, RequestError};
use super::request::Said;

/// A key of a request, and the verbs that take it.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Verbs, in the order of the contract.
    pub verbs: &'static [&'static str],
}

const fn key(name: &'static str, verbs: &'static [&'static str]) -> Key {
    Key { name, verbs }
}

/// All verbs, in the order of the contract.
const ALL: &[&str] = &[
    "segment",
    "add",
    "undo",
    "clear",
    "save",
    "unsave",
    "update",
    "delete",
    "list",
    "fetch",
    "everything",
    "cancel",
];
/// Those that wait for their turn: all but `cancel`, the last.
const QUEUED: &[&str] = ALL.split_at(ALL.len() - 1).0;
const PROMPTING: &[&str] = &["segment", "add", "save"];
const DRAWING: &[&str] = &["segment", "add", "undo", "save"];

/// The keys of a request, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key("id", ALL),
    key("folder", &["segment", "add", "save", "everything"]),
    key("crs", &["segment", "add", "save", "everything"]),
    key("points", PROMPTING),
    key("labels", PROMPTING),
    key("bbox", &["segment", "add", "save", "fetch", "everything"]),
    key("prompts", &["segment", "save"]),
    key("output", &["segment", "add", "undo", "save", "fetch"]),
    key("stitch", DRAWING),
    key("max_chips", DRAWING),
    key("refine", &["segment", "add"]),
    key("mask_of", &["segment"]),
    key("ttl_ms", QUEUED),
    key("preview", &["segment"]),
    key("session", &["add", "undo", "clear", "save", "unsave"]),
    key("layer", &["save", "unsave", "update", "delete", "fetch", "everything"]),
    key("properties", &["save", "update", "everything"]),
    key("ids", &["update", "delete", "fetch"]),
    key("to_layer", &["update"]),
    key("client", &["fetch"]),
    key("since", &["fetch"]),
    key("until", &["fetch"]),
    key("offset", &["fetch"]),
    key("limit", &["fetch"]),
    key("everything", &["everything"]),
    key("chip", &["everything"]),
    key("request_id", &["cancel"]),
];

/// The keys of an entry of `prompts`, with the verbs that take them.
pub const ENTRY_KEYS: &[Key] = &[
    key("id", BATCHES),
    key("folder", BATCHES),
    key("crs", BATCHES),
    key("points", BATCHES),
    key("labels", BATCHES),
    key("bbox", BATCHES),
    key("output", BATCHES),
    key("stitch", BATCHES),
    key("max_chips", BATCHES),
    key("properties", &["save"]),
];
const BATCHES: &[&str] = &["segment", "save"];

/// Names of the keys of a table.
pub(super) fn names(keys: &'static [Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name).collect()
}

/// Refuses the first key of a request that its verb does not take: passed over in silence it would be believed to have
/// been heeded.
///
/// # Errors
/// The key, and the verbs that take it.
pub fn check_keys(verb: &str, said: &Said) -> Parsed<()> {
    let foreign = |keys: &'static [Key], said: &[String]| {
        keys.iter().find(|key| !key.verbs.contains(&verb) && said.iter().any(|name| name == key.name))
    };
    let refused = |key: &Key, path: &str| RequestError::ForeignKey {
        key: format!("{path}{}", key.name),
        takers: joined(key.verbs),
        verb: verb.to_owned(),
    };
    if let Some(key) = foreign(KEYS, &said.keys) {
        return Err(refused(key, ""));
    }
    if let Some(key) = foreign(ENTRY_KEYS, &said.entry_keys) {
        return Err(refused(key, "prompts[]."));
    }
    check_output(verb, said)
}

/// The keys of `output` that a verb has no use for.
fn check_output(verb: &str, said: &Said) -> Parsed<()> {
    let other = said.output.keys().find(|key| verb == "fetch" && *key != "max_bytes");
    match other {
        Some(key) => Err(RequestError::Contradiction(format!(
            "\"output.{key}\" does not go with fetch, which gives objects as they were saved; of \"output\" it takes \
             \"max_bytes\""
        ))),
        None => Ok(()),
    }
}

/// Words in a sentence.
fn joined(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
