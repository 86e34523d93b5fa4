//! A FeatureCollection in which each Feature is an object of its own, or all those that share a value of the property
//! `object`: `"geosam": {"objects": "each"}` in a request, and what files of prompts mean.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::error::{Parsed, RequestError};
use super::geojson_prompt;
use super::limits::Limits;
use super::parse::{one_prompt_of_a_mask, request_from};
use super::request::{PromptItem, Request};
use super::values::id_from;

/// The property that says which object a feature belongs to, and the one that says of a point whether it lies on it.
const OBJECT: &str = "object";
const LABEL: &str = "label";

/// Options that each object has; the others belong to the request.
const OF_OBJECTS: &[&str] = &["folder", "crs", "output", "stitch", "max_chips", "refine"];

/// Features that make one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectGroup {
    /// The value of `object`.
    pub name: Option<String>,
    /// Places of the features, in order; never empty.
    pub features: Vec<usize>,
}

/// Which features make one object: the objects in the order of their first features.
pub(crate) fn group_by_object<'a>(features: impl Iterator<Item = Option<&'a Value>>) -> Vec<ObjectGroup> {
    let mut groups: Vec<ObjectGroup> = Vec::new();
    let mut named: HashMap<String, usize> = HashMap::new();
    for (place, feature) in features.enumerate() {
        let name = feature.and_then(object_name);
        let known = name.as_ref().and_then(|name| named.get(name)).copied();
        match known.and_then(|at| groups.get_mut(at)) {
            Some(group) => group.features.push(place),
            None => {
                named.extend(name.clone().map(|name| (name, groups.len())));
                groups.push(ObjectGroup { name, features: vec![place] });
            }
        }
    }
    groups
}

/// The value of `object` as text; none where it is missing or null.
fn object_name(feature: &Value) -> Option<String> {
    match &feature["properties"][OBJECT] {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        // 1 and 1.0 are one number, however a writer of JSON has put it.
        number => {
            let whole = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 1e15);
            Some(whole.map_or_else(|| number.to_string(), |whole| whole.to_string()))
        }
    }
}

/// The properties of an object: of several values under one name the first; labels are none of them.
pub(crate) fn properties_of<'a>(features: impl Iterator<Item = &'a Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    for feature in features {
        for (name, value) in feature["properties"].as_object().into_iter().flatten() {
            if name != LABEL && !properties.contains_key(name) {
                properties.insert(name.clone(), value.clone());
            }
        }
    }
    properties
}

/// A feature without what the interface would take for a part of the prompt or refuse.
pub(crate) fn bare_feature(mut feature: Value) -> Value {
    let geometry = feature.get_mut("geometry").map(Value::take).unwrap_or_default();
    let mut bare = json!({"type": "Feature", "geometry": geometry});
    let label = &feature["properties"][LABEL];
    // Other programs keep numbers as they like: 1.0, "1", true; in tables, "1.0" and TRUE.
    let label = match label {
        Value::Number(number) if number.as_f64() == Some(1.0) => json!(1),
        Value::Number(number) if number.as_f64() == Some(0.0) => json!(0),
        Value::Bool(label) => json!(u8::from(*label)),
        Value::String(text) => match text.trim() {
            "" => Value::Null,
            text if text.eq_ignore_ascii_case("true") || text.parse() == Ok(1.0) => json!(1),
            text if text.eq_ignore_ascii_case("false") || text.parse() == Ok(0.0) => json!(0),
            _ => label.clone(),
        },
        other => other.clone(),
    };
    bare["properties"] = json!({LABEL: label});
    if let Some(crs) = feature.get_mut("crs") {
        bare["crs"] = crs.take();
    }
    bare
}

fn refused(key: &str, why: &str) -> PromptItem {
    PromptItem { problem: Some(format!("{key} is no prompt: {why}")), ..PromptItem::default() }
}

/// An error about the features of one object, with their places in the whole collection.
fn in_the_whole(error: &str, places: &[usize]) -> String {
    const FEATURE: &str = "features[";
    let Some((before, rest)) = error.split_once(FEATURE) else { return error.to_owned() };
    let Some((index, after)) = rest.split_once(']') else { return error.to_owned() };
    let place = index.parse().ok().and_then(|index: usize| places.get(index));
    place.map_or_else(|| error.to_owned(), |place| format!("{before}{FEATURE}{place}]{after}"))
}

/// The request: a batch of one entry an object. One that is no prompt is refused by itself, by its place.
pub(super) fn parse(
    mut object: Map<String, Value>,
    options: Map<String, Value>,
    limits: &Limits,
    defaults: Option<&PromptItem>,
) -> Parsed<Request> {
    if object.get("type").is_none_or(|kind| kind != "FeatureCollection") {
        let problem = "is \"each\", which is for a FeatureCollection";
        return Err(RequestError::bad("geosam.objects", problem));
    }
    let features = match object.remove("features") {
        Some(Value::Array(features)) if features.is_empty() => {
            return Err(RequestError::bad("features", "is empty; send at least one Feature"));
        }
        Some(Value::Array(features)) => features,
        _ => return Err(RequestError::bad("features", "is not an array, as a FeatureCollection needs")),
    };
    let groups = group_by_object(features.iter().map(Some));
    if groups.len() > limits.max_prompts {
        let problem = format!("has {} objects; at most {} are accepted", groups.len(), limits.max_prompts);
        return Err(RequestError::bad("features", problem));
    }
    let of_objects: Map<String, Value> = options
        .iter()
        .filter(|(key, _)| OF_OBJECTS.contains(&key.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let mut request = request_from(options, limits, defaults)?;
    one_prompt_of_a_mask(request.mask_of.is_some())?;
    let crs = object.remove("crs").unwrap_or(Value::Null);
    let mut batch = Vec::with_capacity(groups.len());
    for group in groups {
        let own: Vec<&Value> = group.features.iter().filter_map(|&place| features.get(place)).collect();
        let first = group.features.first().copied().unwrap_or(0);
        let key = || format!("features[{first}]");
        let id = own.iter().find_map(|feature| feature.get("id").filter(|id| !id.is_null()));
        let id = match id.map(id_from).transpose() {
            Ok(id) => id.flatten(),
            Err(error) => {
                batch.push(refused(&key(), &format!("its id cannot be echoed: {error}")));
                continue;
            }
        };
        if own.iter().any(|feature| feature.get("type").is_none_or(|kind| kind != "Feature")) {
            batch.push(refused(&key(), "it is no Feature"));
            continue;
        }
        let tree = json!({
            "type": "FeatureCollection",
            "crs": crs,
            "features": own.iter().map(|&feature| bare_feature(feature.clone())).collect::<Vec<_>>(),
            "geosam": of_objects,
        });
        let Value::Object(tree) = tree else { continue };
        let item = match geojson_prompt::parse(tree, limits, defaults) {
            Ok(parsed) if parsed.item.prompt.is_empty() => refused(&key(), "it has no geometry"),
            Ok(parsed) => parsed.item,
            Err(_) if own.iter().all(|feature| feature["geometry"].is_null()) => {
                // Unlocated (RFC 7946, 3.2), as tables have them.
                refused(&key(), "it has no geometry")
            }
            Err(error) => refused(&key(), &in_the_whole(&error.to_string(), &group.features)),
        };
        let properties = Some(properties_of(own.into_iter()));
        batch.push(PromptItem { id, properties, ..item });
    }
    request.batch = Some(batch);
    // As it stands in `geosam`: the verbs that take no batch refuse it by that name.
    request.said.keys.push("objects".to_owned());
    Ok(request)
}
