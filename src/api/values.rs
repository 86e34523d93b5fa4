//! Single values of a request's keys, each with a message that says which key, what it holds and what would be right.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::error::{Parsed, RequestError};
use super::names::check_name;
use super::request::{CrsChoice, RequestId};
use crate::geo::GeoError;
use crate::rfc3339;

/// A CRS: a text, a bare code, PROJJSON, or the named CRS of GeoJSON 2008.
pub(super) fn crs_from(value: &Value, key: &str) -> Parsed<CrsChoice> {
    let member = |kind: &str, name: &str| (value["type"] == kind).then(|| &value["properties"][name]);
    let named = member("name", "name").or_else(|| member("EPSG", "code")).unwrap_or(value);
    let text = match named {
        Value::String(text) => text.clone(),
        Value::Number(_) => whole(named).map(|code| code.to_string()).unwrap_or_default(),
        Value::Object(_) if named["type"] != "link" => named.to_string(),
        _ => String::new(),
    };
    CrsChoice::parse(&text).map_err(|error| match error {
        source @ GeoError::UnknownCrs { .. } => RequestError::UnknownCrs { key: key.to_owned(), source },
        _ => {
            let found = excerpt(named);
            RequestError::bad(key, format!("is {found}; send \"EPSG:4326\" or the like, or \"source\""))
        }
    })
}

/// 2^53: above it floating-point numbers leave whole ones out.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A whole number, also one written as 1.0 or 1e3: many writers of JSON know floating-point numbers only.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let from_float =
        |number: f64| ((0.0..=EXACT).contains(&number) && number.fract() == 0.0).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(from_float))
}

/// An id that can be echoed and name a file; `null` counts as none.
pub(super) fn id_from(value: &Value) -> Parsed<Option<RequestId>> {
    let id = match value {
        Value::Null => return Ok(None),
        Value::String(text) => RequestId::Text(text.clone()),
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|v| v.abs() > EXACT) => {
            let problem = "is a number of more digits than JSON's readers keep; send it as a string";
            return Err(RequestError::bad("id", problem));
        }
        Value::Number(number) => RequestId::Number(number.clone()),
        other => return Err(wrong_type("", "id", other, "a string or a number")),
    };
    check_name(&id.to_string()).map_err(|problem| RequestError::BadName { key: "id", problem })?;
    Ok(Some(id))
}

pub(super) fn name(object: &Map<String, Value>, key: &'static str) -> Parsed<Option<String>> {
    match given(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => {
            check_name(text).map_err(|problem| RequestError::BadName { key, problem })?;
            Ok(Some(text.clone()))
        }
        Some(other) => Err(wrong_type("", key, other, "a string")),
    }
}

pub(super) fn whole_number(object: &Map<String, Value>, key: &str) -> Parsed<Option<u64>> {
    let number = |value: &Value| whole(value).ok_or_else(|| wrong_type("", key, value, "a whole number"));
    given(object, key).map(number).transpose()
}

/// A date and time of day, in UTC or with an offset from it.
pub(super) fn instant(object: &Map<String, Value>, key: &str) -> Parsed<Option<SystemTime>> {
    let wanted = "a time such as \"2026-05-01T12:00:00Z\" or \"2026-05-01T14:00:00+02:00\"";
    let time = |value: &Value| {
        let time = value.as_str().and_then(rfc3339::time);
        time.ok_or_else(|| wrong_type("", key, value, wanted))
    };
    given(object, key).map(time).transpose()
}

pub(super) fn boolean(object: &Map<String, Value>, path: &str, key: &str) -> Parsed<Option<bool>> {
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
pub(super) fn given<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
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

pub(super) fn wrong_type(path: &str, key: &str, value: &Value, wanted: &str) -> RequestError {
    RequestError::bad(format!("{path}{key}"), format!("is {}; send {wanted}", excerpt(value)))
}

pub(super) const fn kind_of(value: &Value) -> &'static str {
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
pub(super) fn excerpt(value: &Value) -> String {
    match value {
        Value::Array(list) if list.len() > 6 => format!("an array of {}", list.len()),
        Value::Object(_) => kind_of(value).to_owned(),
        other => cut(&other.to_string()),
    }
}

pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= 60 {
        return text.to_owned();
    }
    text.chars().take(57).chain("...".chars()).collect()
}
