//! Features to objects: each one, or all those that share a value of the property `object`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::read::Drawn;
use crate::api::{PromptItem, parse_request_with};
use crate::cli::segment::LIMITS;

/// The property that says which object a feature belongs to, and the one that says of a point whether it lies on it.
const OBJECT: &str = "object";
const LABEL: &str = "label";

/// One object to ask for.
#[derive(Debug)]
pub(super) struct Object {
    /// Where it stands in the file: `feature 3`, `object "pond 7" (lines 5, 6)`.
    pub place: String,
    /// The id of its first feature.
    pub id: Option<Value>,
    /// The properties of its features; of several values under one name the first.
    pub properties: Map<String, Value>,
    /// The prompt, or why there is none.
    pub prompt: Result<PromptItem, String>,
}

/// Features of one object, in the order of the file.
struct Group {
    name: Option<String>,
    places: Vec<String>,
    features: Vec<Result<Value, String>>,
}

/// The objects in the order of their first features.
pub(super) fn objects(drawn: Drawn, defaults: &PromptItem) -> Vec<Object> {
    let mut groups: Vec<Group> = Vec::new();
    let mut named: HashMap<String, usize> = HashMap::new();
    for drawn in drawn.features {
        let name = drawn.feature.as_ref().ok().and_then(name_of);
        let group = match &name {
            Some(name) => *named.entry(name.clone()).or_insert(groups.len()),
            None => groups.len(),
        };
        if group == groups.len() {
            groups.push(Group { name, places: Vec::new(), features: Vec::new() });
        }
        if let Some(group) = groups.get_mut(group) {
            group.places.push(drawn.place);
            group.features.push(drawn.feature);
        }
    }
    groups.into_iter().map(|group| object(group, defaults)).collect()
}

/// The value of `object` as text; none where it is missing or null.
fn name_of(feature: &Value) -> Option<String> {
    match &feature["properties"][OBJECT] {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn object(group: Group, defaults: &PromptItem) -> Object {
    let place = match (&group.name, &group.places[..]) {
        (None, places) => places.join(", "),
        (Some(name), [place]) => format!("{place}, object {name:?}"),
        (Some(name), [first, .., last]) => format!("object {name:?} ({first} to {last})"),
        (Some(name), []) => format!("object {name:?}"),
    };
    let mut properties = Map::new();
    let mut id = None;
    for feature in group.features.iter().flatten() {
        id = id.or_else(|| feature.get("id").filter(|id| !id.is_null()).cloned());
        for (name, value) in feature["properties"].as_object().into_iter().flatten() {
            if name != LABEL && !properties.contains_key(name) {
                properties.insert(name.clone(), value.clone());
            }
        }
    }
    let features: Result<Vec<Value>, String> = group.features.into_iter().map(|f| f.map(bare)).collect();
    Object { place, id, properties, prompt: features.and_then(|features| prompt(features, defaults)) }
}

/// A feature without what the interface would take for a part of the prompt or refuse.
fn bare(mut feature: Value) -> Value {
    let mut bare = json!({"type": "Feature", "geometry": feature["geometry"].take()});
    let label = &feature["properties"][LABEL];
    // Other programs keep numbers as they like: 1.0, "1", true.
    let label = match label {
        Value::Number(number) if number.as_f64() == Some(1.0) => json!(1),
        Value::Number(number) if number.as_f64() == Some(0.0) => json!(0),
        Value::Bool(label) => json!(u8::from(*label)),
        Value::String(text) if text.trim() == "1" => json!(1),
        Value::String(text) if text.trim() == "0" => json!(0),
        Value::String(text) if text.trim().is_empty() => Value::Null,
        other => other.clone(),
    };
    bare["properties"] = json!({LABEL: label});
    if let Some(crs) = feature.get_mut("crs") {
        bare["crs"] = crs.take();
    }
    bare
}

fn prompt(mut features: Vec<Value>, defaults: &PromptItem) -> Result<PromptItem, String> {
    if let [feature] = &features[..]
        && feature["geometry"].is_null()
    {
        return Err("has no geometry".to_owned());
    }
    let tree = match features.len() {
        1 => features.remove(0),
        _ => json!({"type": "FeatureCollection", "features": features}),
    };
    let request = parse_request_with(tree.to_string().as_bytes(), &LIMITS, defaults);
    request.map(|request| request.item).map_err(|(_, error)| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::read::DrawnFeature;
    use super::*;
    use crate::api::PromptSet;

    fn defaults() -> PromptItem {
        PromptItem {
            id: None,
            folder: None,
            crs: crate::api::CrsChoice::WGS84,
            prompt: PromptSet::default(),
            output: crate::api::OutputOptions::default(),
            stitch: None,
        }
    }

    fn of(features: &[Value]) -> Vec<Object> {
        let drawn = features.iter().enumerate().map(|(index, feature)| DrawnFeature {
            place: format!("feature {}", index + 1),
            feature: Ok(feature.clone()),
        });
        objects(Drawn { features: drawn.collect() }, &defaults())
    }

    fn point(x: f64, properties: Value) -> Value {
        json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, 47.0]}, "properties": properties})
    }

    #[test]
    fn features_of_one_object_are_one_prompt() {
        let objects = of(&[
            point(1.0, json!({"object": "a", "kind": "oak"})),
            point(2.0, json!({"note": "alone"})),
            point(3.0, json!({"object": "a", "label": 0, "kind": "other"})),
            point(4.0, json!({"object": 7, "label": "1"})),
            point(5.0, json!({"object": 7, "label": 0.0})),
        ]);
        let told: Vec<(&str, usize)> = objects
            .iter()
            .map(|o| (o.place.as_str(), o.prompt.as_ref().unwrap().prompt.points.len()))
            .collect();
        let expected = [
            ("object \"a\" (feature 1 to feature 3)", 2),
            ("feature 2", 1),
            ("object \"7\" (feature 4 to feature 5)", 2),
        ];
        assert_eq!(told, expected);
        assert_eq!(objects[0].properties["kind"], "oak");
        assert!(!objects[0].properties.contains_key("label"));
        assert_eq!(objects[2].prompt.as_ref().unwrap().prompt.foreground, [true, false]);
    }

    #[test]
    fn what_is_no_prompt_says_why() {
        let objects = of(&[
            json!({"type": "Feature", "geometry": null, "properties": {}}),
            json!({"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}}),
            point(1.0, json!({"label": 2})),
        ]);
        for (object, word) in objects.iter().zip(["geometry", "LineString", "label"]) {
            assert!(object.prompt.as_ref().unwrap_err().contains(word), "{:?}", object.prompt);
        }
    }
}
