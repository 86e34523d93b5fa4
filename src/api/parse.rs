//! Request JSON to [`Request`]. Unknown keys are refused by name: a typo must not change a result.

use serde_json::{Map, Value};

use super::geojson_prompt;
use super::json::{JsonError, parse_bounded};
use super::limits::Limits;
use super::names::{NameError, check_folder_name, check_name};
use super::request::{
    CrsChoice, OnTooLarge, OutputOptions, PromptItem, PromptSet, Request, RequestId, Vectorization,
};
use crate::ErrorCode;
use crate::geo::Bounds;

/// Why a request is refused. The message names the key.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON, too long or too deep.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key that no request has.
    #[error("unknown key \"{key}\"{hint}")]
    UnknownKey {
        /// The key, with the path that leads to it.
        key: String,
        /// `; did you mean "..."?`, where a known key is near.
        hint: String,
    },
    /// A value of the wrong type or outside its range.
    #[error("\"{key}\" {problem}")]
    BadValue {
        /// The key, with the path that leads to it.
        key: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A name breaks the rules for names.
    #[error("\"{key}\" {problem}")]
    BadName {
        /// The key.
        key: &'static str,
        /// The rule.
        problem: NameError,
    },
    /// Two keys contradict each other, or one is missing.
    #[error("{0}")]
    Contradiction(String),
}

impl RequestError {
    /// The code that a response carries: all of these are the client's to mend.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::BadRequest
    }

    pub(super) fn bad(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::BadValue { key: key.into(), problem: problem.into() }
    }
}

type Parsed<T> = Result<T, RequestError>;

const REQUEST_KEYS: &[&str] = &[
    "id",
    "folder",
    "crs",
    "points",
    "labels",
    "bbox",
    "prompts",
    "output",
    "ttl_ms",
    "preview",
    "session",
    "layer",
    "properties",
    "request_id",
    "offset",
    "limit",
];
const ITEM_KEYS: &[&str] = &["id", "folder", "crs", "points", "labels", "bbox", "output"];
const OUTPUT_KEYS: &[&str] = &[
    "crs",
    "vectorization",
    "tolerance",
    "largest_only",
    "min_area_m2",
    "multimask",
    "max_bytes",
    "on_too_large",
];

/// Parses the payload of a request of any verb: the request JSON, or GeoJSON with a `geosam` member.
///
/// The prompt may be empty here; the verbs that need one say so. On failure the id is returned as far
/// as it could be read, so that the answer reaches the right asker.
///
/// # Errors
/// See [`RequestError`].
pub fn parse_request(payload: &[u8], limits: &Limits) -> Result<Request, (Option<RequestId>, RequestError)> {
    let tree = parse_bounded(payload, limits).map_err(|e| (None, e.into()))?;
    let Value::Object(object) = tree else {
        let found = kind_of(&tree);
        return Err((None, RequestError::bad("request", format!("is {found}; send a JSON object"))));
    };
    let id = readable_id(&object);
    if object.contains_key("type") {
        geojson_prompt::parse(object, limits).map_err(|e| (id, e))
    } else {
        request_from(object, limits).map_err(|e| (id, e))
    }
}

/// The id of a request that may be wrong in every other way.
fn readable_id(object: &Map<String, Value>) -> Option<RequestId> {
    let holder = object.get("geosam").and_then(Value::as_object).unwrap_or(object);
    id_from(holder.get("id")?).ok().flatten()
}

pub(super) fn request_from(mut object: Map<String, Value>, limits: &Limits) -> Parsed<Request> {
    known_keys(&object, REQUEST_KEYS, "")?;
    let batch = match object.remove("prompts") {
        None | Some(Value::Null) => None,
        Some(Value::Array(entries)) => Some(entries),
        Some(other) => {
            return Err(RequestError::bad("prompts", format!("is {}; send an array", kind_of(&other))));
        }
    };
    let item = item_from(&object, None, "", limits)?;
    let batch = batch.map(|entries| batch_from(&entries, &item, limits)).transpose()?;
    if batch.is_some() && !item.prompt.is_empty() {
        return Err(RequestError::Contradiction(
            "a request has either \"prompts\" or its own \"points\" and \"bbox\", not both".to_owned(),
        ));
    }
    let properties = match object.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => {
            return Err(RequestError::bad("properties", format!("is {}; send an object", kind_of(&other))));
        }
    };
    Ok(Request {
        item,
        batch,
        ttl_ms: whole_number(&object, "ttl_ms")?,
        preview: boolean(&object, "", "preview")?.unwrap_or(false),
        session: name(&object, "session")?,
        layer: name(&object, "layer")?,
        properties,
        request_id: object.get("request_id").map(id_from).transpose()?.flatten(),
        offset: whole_number(&object, "offset")?,
        limit: whole_number(&object, "limit")?,
    })
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
        known_keys(object, ITEM_KEYS, &path)?;
        let item = item_from(object, Some(outer), &path, limits)?;
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
            check_folder_name(text).map_err(|problem| RequestError::BadName { key: "folder", problem })?;
            Some(text.clone())
        }
        Some(other) => return Err(wrong_type(path, "folder", other, "a string")),
    };
    Ok(PromptItem {
        id: given(object, "id").map(id_from).transpose()?.flatten(),
        folder,
        crs,
        prompt: prompt_from(object, path, limits)?,
        output,
    })
}

fn prompt_from(object: &Map<String, Value>, path: &str, limits: &Limits) -> Parsed<PromptSet> {
    let points = match given(object, "points") {
        None => Vec::new(),
        Some(Value::Array(list)) => {
            check_point_count(list.len(), path, limits)?;
            let point = |(i, v)| numbers::<2>(v, &format!("{path}points[{i}]"), "[x, y]");
            list.iter().enumerate().map(point).collect::<Parsed<Vec<_>>>()?
        }
        Some(other) => return Err(wrong_type(path, "points", other, "an array of [x, y]")),
    };
    let foreground = match given(object, "labels") {
        None => vec![true; points.len()],
        Some(Value::Array(list)) => {
            let label = |(i, v)| label_from(v, &format!("{path}labels[{i}]"));
            list.iter().enumerate().map(label).collect::<Parsed<Vec<_>>>()?
        }
        Some(other) => return Err(wrong_type(path, "labels", other, "an array of 1 and 0")),
    };
    if foreground.len() != points.len() {
        let problem =
            format!("has {} entries for {} points; give one label a point", foreground.len(), points.len());
        return Err(RequestError::bad(format!("{path}labels"), problem));
    }
    let bbox = given(object, "bbox").map(|value| bounds_from(value, &format!("{path}bbox"))).transpose()?;
    Ok(PromptSet { points, foreground, bbox })
}

pub(super) fn check_point_count(count: usize, path: &str, limits: &Limits) -> Parsed<()> {
    if count > limits.max_points {
        let problem = format!("has {count} points; at most {} are accepted", limits.max_points);
        return Err(RequestError::bad(format!("{path}points"), problem));
    }
    Ok(())
}

fn bounds_from(value: &Value, key: &str) -> Parsed<Bounds> {
    let [west, south, east, north] = numbers::<4>(value, key, "[west, south, east, north]")?;
    if west >= east {
        let problem = format!(
            "has west {west} not smaller than east {east}; the order is [west, south, east, north], and a \
             box across the antimeridian must be sent as two"
        );
        return Err(RequestError::bad(key, problem));
    }
    if south >= north {
        let problem = format!(
            "has south {south} not smaller than north {north}; the order is [west, south, east, north]"
        );
        return Err(RequestError::bad(key, problem));
    }
    Ok(Bounds::new(west, south, east, north))
}

pub(super) fn label_from(value: &Value, key: &str) -> Parsed<bool> {
    match value.as_u64() {
        Some(1) => Ok(true),
        Some(0) => Ok(false),
        _ => Err(RequestError::bad(key, format!("is {value}; a label is 1 (foreground) or 0 (background)"))),
    }
}

fn output_from(value: &Value, inherited: OutputOptions, path: &str) -> Parsed<OutputOptions> {
    let path = format!("{path}output.");
    let Value::Object(object) = value else {
        let key = path.trim_end_matches('.');
        return Err(RequestError::bad(key, format!("is {}; send an object", kind_of(value))));
    };
    known_keys(object, OUTPUT_KEYS, &path)?;
    let mut output = inherited;
    if let Some(value) = given(object, "crs") {
        output.crs = crs_from(value, &format!("{path}crs"))?;
    }
    if let Some(value) = given(object, "vectorization") {
        output.vectorization = match value.as_str() {
            Some("pixel") => Vectorization::Pixel,
            Some("simplified") => Vectorization::Simplified,
            _ => return Err(wrong_type(&path, "vectorization", value, "\"pixel\" or \"simplified\"")),
        };
    }
    if let Some(value) = given(object, "on_too_large") {
        output.on_too_large = match value.as_str() {
            Some("simplify") => OnTooLarge::Simplify,
            Some("error") => OnTooLarge::Error,
            _ => return Err(wrong_type(&path, "on_too_large", value, "\"simplify\" or \"error\"")),
        };
    }
    for (key, slot) in [("tolerance", &mut output.tolerance), ("min_area_m2", &mut output.min_area_m2)] {
        if let Some(value) = given(object, key) {
            *slot = value
                .as_f64()
                .filter(|n| n.is_finite() && *n >= 0.0)
                .ok_or_else(|| wrong_type(&path, key, value, "a number of 0 or more"))?;
        }
    }
    output.largest_only = boolean(object, &path, "largest_only")?.unwrap_or(output.largest_only);
    output.multimask = boolean(object, &path, "multimask")?.unwrap_or(output.multimask);
    if let Some(value) = given(object, "max_bytes") {
        let bytes = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let bytes = bytes.ok_or_else(|| wrong_type(&path, "max_bytes", value, "a whole number above 0"))?;
        output.max_bytes = Some(bytes);
    }
    Ok(output)
}

fn crs_from(value: &Value, key: &str) -> Parsed<CrsChoice> {
    value.as_str().and_then(CrsChoice::parse).ok_or_else(|| {
        RequestError::bad(
            key,
            format!("is {}; send \"EPSG:4326\" or the like, or \"source\"", excerpt(value)),
        )
    })
}

/// An id that can be echoed and name a file; `null` counts as none.
fn id_from(value: &Value) -> Parsed<Option<RequestId>> {
    let id = match value {
        Value::Null => return Ok(None),
        Value::String(text) => RequestId::Text(text.clone()),
        Value::Number(number) => RequestId::Number(number.clone()),
        other => return Err(wrong_type("", "id", other, "a string or a number")),
    };
    check_name(&id.to_string()).map_err(|problem| RequestError::BadName { key: "id", problem })?;
    Ok(Some(id))
}

fn name(object: &Map<String, Value>, key: &'static str) -> Parsed<Option<String>> {
    match given(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => {
            check_name(text).map_err(|problem| RequestError::BadName { key, problem })?;
            Ok(Some(text.clone()))
        }
        Some(other) => Err(wrong_type("", key, other, "a string")),
    }
}

fn whole_number(object: &Map<String, Value>, key: &str) -> Parsed<Option<u64>> {
    let number = |value: &Value| value.as_u64().ok_or_else(|| wrong_type("", key, value, "a whole number"));
    given(object, key).map(number).transpose()
}

fn boolean(object: &Map<String, Value>, path: &str, key: &str) -> Parsed<Option<bool>> {
    let flag = |value: &Value| value.as_bool().ok_or_else(|| wrong_type(path, key, value, "true or false"));
    given(object, key).map(flag).transpose()
}

pub(super) fn numbers<const N: usize>(value: &Value, key: &str, wanted: &str) -> Parsed<[f64; N]> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    let read: Option<Vec<f64>> = list.iter().map(|v| v.as_f64().filter(|n| n.is_finite())).collect();
    read.and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| RequestError::bad(key, format!("is {}; send {wanted}", excerpt(value))))
}

/// A key's value; `null` counts as absent.
fn given<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

pub(super) fn known_keys(object: &Map<String, Value>, known: &[&str], path: &str) -> Parsed<()> {
    let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let nearest = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&unknown.to_ascii_lowercase(), name), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    let hint = nearest.map_or_else(
        || format!("; known are {}", known.join(", ")),
        |(_, name)| format!("; did you mean \"{name}\"?"),
    );
    Err(RequestError::UnknownKey { key: format!("{path}{}", cut(unknown)), hint })
}

fn wrong_type(path: &str, key: &str, value: &Value, wanted: &str) -> RequestError {
    RequestError::bad(format!("{path}{key}"), format!("is {}; send {wanted}", excerpt(value)))
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value short enough for a message.
fn excerpt(value: &Value) -> String {
    match value {
        Value::Array(list) if list.len() > 6 => format!("an array of {}", list.len()),
        Value::Object(_) => kind_of(value).to_owned(),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(57).chain("...".chars()).collect()
}
