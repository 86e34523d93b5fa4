//! Request JSON to [`Request`]. Unknown keys are refused by name: a typo must not change a result.

use serde_json::{Map, Value};

use super::error::{Parsed, RequestError};
use super::everything::everything_from;
use super::geojson_prompt;
use super::json::{JsonError, read_bounded};
use super::keys::{ENTRY_KEYS, KEYS, names};
use super::limits::Limits;
use super::names::asked_folder;
use super::output::output_from;
use super::prompt::prompt_from;
use super::request::{CrsChoice, Multimask, OutputOptions, PromptItem, Request, RequestId, Said};
use super::values::{
    boolean, crs_from, given, id_from, instant, kind_of, known_keys, name, whole, whole_number, wrong_type,
};

/// Ids of saved objects in one request at the most.
pub const MAX_IDS: usize = 1000;
/// The longest id of a saved object, in bytes: a layer edited by hand may have any.
const LONGEST_OBJECT_ID: usize = 256;

/// Parses the payload of a request of any verb: the request JSON, or GeoJSON with a `geosam` member.
///
/// The prompt may be empty here; the verbs that need one say so. On failure the id is returned as far
/// as it could be read, so that the answer reaches the right asker.
///
/// # Errors
/// See [`RequestError`].
pub fn parse_request(payload: &[u8], limits: &Limits) -> Result<Request, (Option<RequestId>, RequestError)> {
    parse(payload, limits, None)
}

/// The same, where what a request does not say (folder, CRS, output) is as in `defaults`.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_request_with(
    payload: &[u8],
    limits: &Limits,
    defaults: &PromptItem,
) -> Result<Request, (Option<RequestId>, RequestError)> {
    parse(payload, limits, Some(defaults))
}

fn parse(
    payload: &[u8],
    limits: &Limits,
    defaults: Option<&PromptItem>,
) -> Result<Request, (Option<RequestId>, RequestError)> {
    let (tree, twice) = read_bounded(payload, limits).map_err(|e| (None, e.into()))?;
    let Value::Object(object) = tree else {
        let found = kind_of(&tree);
        return Err((None, RequestError::bad("request", format!("is {found}; send a JSON object"))));
    };
    let id = readable_id(&object);
    if let Some(key) = twice {
        // Of two ids neither is known to be the asker's.
        let id = id.filter(|_| !matches!(key.as_str(), "id" | "geosam" | "geosam.id"));
        return Err((id, JsonError::Twice { key }.into()));
    }
    if object.contains_key("type") {
        geojson_prompt::parse(object, limits, defaults).map_err(|e| (id, e))
    } else {
        request_from(object, limits, defaults).map_err(|e| (id, e))
    }
}

/// The longest id that is echoed where it is refused, in bytes.
const LONGEST_ECHO: usize = 256;

/// The id of a request that may be wrong in every other way: as it came, even where it breaks the rules for ids, so that
/// the asker knows whose refusal it is.
fn readable_id(object: &Map<String, Value>) -> Option<RequestId> {
    let holder = object.get("geosam").and_then(Value::as_object).unwrap_or(object);
    match holder.get("id")? {
        Value::String(text) if text.len() <= LONGEST_ECHO => Some(RequestId::Text(text.clone())),
        Value::Number(number) => Some(RequestId::Number(number.clone())),
        _ => None,
    }
}

pub(super) fn request_from(
    mut object: Map<String, Value>,
    limits: &Limits,
    defaults: Option<&PromptItem>,
) -> Parsed<Request> {
    known_keys(&object, &names(KEYS), "")?;
    let mut said = Said {
        keys: said_keys(&object),
        output: given(&object, "output").and_then(Value::as_object).cloned().unwrap_or_default(),
        entry_keys: Vec::new(),
    };
    let batch = match object.remove("prompts") {
        None | Some(Value::Null) => None,
        Some(Value::Array(entries)) => Some(entries),
        Some(other) => {
            return Err(RequestError::bad("prompts", format!("is {}; send an array", kind_of(&other))));
        }
    };
    let item = item_from(&object, defaults, "", limits)?;
    if let Some(entries) = &batch {
        said.entry_keys = entries.iter().filter_map(Value::as_object).flat_map(said_keys).collect();
        said.entry_keys.sort_unstable();
        said.entry_keys.dedup();
    }
    let batch = batch.map(|entries| batch_from(&entries, &item, limits)).transpose()?;
    if batch.is_some() && !item.prompt.is_empty() {
        return Err(RequestError::Contradiction(
            "a request has either \"prompts\" or its own \"points\" and \"bbox\", not both".to_owned(),
        ));
    }
    let mask_of = mask_of(&object)?;
    one_prompt_of_a_mask(batch.is_some() && mask_of.is_some())?;
    let properties = properties_of(&object, "")?;
    Ok(Request {
        item,
        batch,
        said,
        mask_of,
        ttl_ms: whole_number(&object, "ttl_ms")?,
        preview: boolean(&object, "", "preview")?.unwrap_or(false),
        session: name(&object, "session")?,
        layer: name(&object, "layer")?,
        properties,
        request_id: object.get("request_id").map(id_from).transpose()?.flatten(),
        offset: whole_number(&object, "offset")?,
        limit: whole_number(&object, "limit")?,
        everything: given(&object, "everything").map(everything_from).transpose()?,
        chip: chip_from(&object)?,
        ids: ids_from(&object)?,
        to_layer: name(&object, "to_layer")?,
        client: name(&object, "client")?,
        since: instant(&object, "since")?,
        until: instant(&object, "until")?,
    })
}

/// The id of a chip, as its manifest has it.
fn chip_from(object: &Map<String, Value>) -> Parsed<Option<String>> {
    match given(object, "chip") {
        None => Ok(None),
        Some(Value::String(id)) if (1..=LONGEST_ECHO).contains(&id.len()) => Ok(Some(id.clone())),
        Some(other) => Err(wrong_type("", "chip", other, "the id of a chip, a string of 1 to 256 bytes")),
    }
}

/// The answer whose mask a request starts from.
fn mask_of(object: &Map<String, Value>) -> Parsed<Option<RequestId>> {
    let Some(value) = given(object, "mask_of") else { return Ok(None) };
    if boolean(object, "", "refine")? == Some(false) {
        let problem = "\"mask_of\" says whose mask to refine, and \"refine\": false to refine none; leave one of them out";
        return Err(RequestError::Contradiction(problem.to_owned()));
    }
    id_from(value).map_err(|error| RequestError::bad("mask_of", format!("is no id of an answer: {error}")))
}

/// Many prompts do not start from one mask.
pub(super) fn one_prompt_of_a_mask(is_of_many: bool) -> Parsed<()> {
    if !is_of_many {
        return Ok(());
    }
    let problem =
        "\"mask_of\" goes with one prompt, not with many; \"refine\": true refines each by its own mask";
    Err(RequestError::Contradiction(problem.to_owned()))
}

/// The keys that an object gives a value to; that it is no preview asks for nothing.
fn said_keys(object: &Map<String, Value>) -> Vec<String> {
    let says = |(key, value): &(&String, &Value)| !value.is_null() && (*key != "preview" || **value != false);
    object.iter().filter(says).map(|(key, _)| key.clone()).collect()
}

fn properties_of(object: &Map<String, Value>, path: &str) -> Parsed<Map<String, Value>> {
    match given(object, "properties") {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(other) => Err(wrong_type(path, "properties", other, "an object")),
    }
}

/// Ids of saved objects, each once.
fn ids_from(object: &Map<String, Value>) -> Parsed<Vec<String>> {
    let list = match given(object, "ids") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if (1..=MAX_IDS).contains(&list.len()) => list,
        Some(Value::Array(list)) => {
            let problem = format!("has {} entries; send 1 to {MAX_IDS}", list.len());
            return Err(RequestError::bad("ids", problem));
        }
        Some(other) => return Err(wrong_type("", "ids", other, "an array of ids of saved objects")),
    };
    let mut ids: Vec<String> = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let id = match value {
            Value::String(text) if (1..=LONGEST_OBJECT_ID).contains(&text.len()) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(wrong_type("", &format!("ids[{index}]"), other, "the id of a saved object")),
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn batch_from(entries: &[Value], outer: &PromptItem, limits: &Limits) -> Parsed<Vec<PromptItem>> {
    if entries.is_empty() {
        return Err(RequestError::bad("prompts", "is empty; send at least one prompt"));
    }
    if entries.len() > limits.max_prompts {
        let problem = format!("has {} entries; at most {} are accepted", entries.len(), limits.max_prompts);
        return Err(RequestError::bad("prompts", problem));
    }
    let entry_from = |(index, entry): (usize, &Value)| {
        let path = format!("prompts[{index}].");
        let Value::Object(object) = entry else {
            let problem = format!("is {}; send an object", kind_of(entry));
            return Err(RequestError::bad(format!("prompts[{index}]"), problem));
        };
        known_keys(object, &names(ENTRY_KEYS), &path)?;
        let mut item = item_from(object, Some(outer), &path, limits)?;
        item.properties = given(object, "properties").map(|_| properties_of(object, &path)).transpose()?;
        if item.prompt.is_empty() {
            let problem = "has neither \"points\" nor \"bbox\"; one of them is needed";
            return Err(RequestError::bad(format!("prompts[{index}]"), problem));
        }
        Ok(item)
    };
    entries.iter().enumerate().map(entry_from).collect()
}

/// The keys that a single request and an entry of a batch share; the entry inherits from `outer`.
fn item_from(
    object: &Map<String, Value>,
    outer: Option<&PromptItem>,
    path: &str,
    limits: &Limits,
) -> Parsed<PromptItem> {
    let crs = match given(object, "crs") {
        Some(value) => crs_from(value, &format!("{path}crs"))?,
        None => outer.map_or(CrsChoice::WGS84, |o| o.crs),
    };
    let output = match given(object, "output") {
        Some(value) => output_from(value, outer.map_or_else(OutputOptions::default, |o| o.output), path)?,
        None => outer.map_or_else(OutputOptions::default, |o| o.output),
    };
    let folder = match given(object, "folder") {
        None => outer.and_then(|o| o.folder.clone()),
        Some(Value::String(text)) => {
            let key = "folder";
            Some(asked_folder(text).map_err(|problem| RequestError::BadName { key, problem })?)
        }
        Some(other) => return Err(wrong_type(path, "folder", other, "a string")),
    };
    Ok(PromptItem {
        id: given(object, "id").map(id_from).transpose()?.flatten(),
        folder,
        crs,
        prompt: prompt_from(object, path, crs, limits)?,
        output,
        stitch: stitch_from(object, outer.and_then(|o| o.stitch), &output, path)?,
        refine: boolean(object, path, "refine")?.unwrap_or_else(|| outer.is_some_and(|o| o.refine)),
        properties: None,
        problem: None,
    })
}

/// Chips of one object at the most, where the request does not say.
pub const MAX_CHIPS: u16 = 16;
/// The most that a request may say.
const MOST_CHIPS: u64 = 1024;

/// Whether the object is followed over chips, and over how many.
fn stitch_from(
    object: &Map<String, Value>,
    inherited: Option<u16>,
    output: &OutputOptions,
    path: &str,
) -> Parsed<Option<u16>> {
    let asked = boolean(object, path, "stitch")?;
    let is_wanted = asked.unwrap_or(inherited.is_some());
    let max_chips = given(object, "max_chips").map(|value| {
        let chips = whole(value).filter(|n| (1..=MOST_CHIPS).contains(n)).and_then(|n| u16::try_from(n).ok());
        chips.ok_or_else(|| wrong_type(path, "max_chips", value, "a whole number from 1 to 1024"))
    });
    let max_chips = max_chips.transpose()?;
    if max_chips.is_some() && !is_wanted {
        return Err(RequestError::bad(format!("{path}max_chips"), "bounds \"stitch\", which is not true"));
    }
    if is_wanted && output.multimask == Multimask::All {
        if asked.is_none() && max_chips.is_none() {
            // What is the default for all requests gives way to what this one asks for.
            return Ok(None);
        }
        return Err(RequestError::Contradiction(
            "\"stitch\" follows one mask: it does not go with \"multimask\": true; \"best\" is one mask"
                .to_owned(),
        ));
    }
    Ok(is_wanted.then(|| max_chips.or(inherited).unwrap_or(MAX_CHIPS)))
}
