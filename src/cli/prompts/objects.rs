//! Features to objects: each one, or all those that share a value of the property `object`.

use serde_json::{Map, Value, json};

use super::read::{Drawn, DrawnFeature};
use crate::api::{ObjectGroup, PromptItem, bare_feature, group_by_object, parse_request_with, properties_of};
use crate::cli::segment::LIMITS;

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
    let groups = group_by_object(drawn.features.iter().map(|drawn| drawn.feature.as_ref().ok()));
    let mut features: Vec<Option<DrawnFeature>> = drawn.features.into_iter().map(Some).collect();
    let group = |group: ObjectGroup| {
        let own = group.features.iter().filter_map(|&place| features.get_mut(place)?.take());
        let (places, features) = own.map(|drawn| (drawn.place, drawn.feature)).unzip();
        object(Group { name: group.name, places, features }, defaults)
    };
    groups.into_iter().map(group).collect()
}

fn object(group: Group, defaults: &PromptItem) -> Object {
    let place = match (&group.name, &group.places[..]) {
        (None, places) => places.join(", "),
        (Some(name), [place]) => format!("{place}, object {name:?}"),
        (Some(name), [first, .., last]) => format!("object {name:?} ({first} to {last})"),
        (Some(name), []) => format!("object {name:?}"),
    };
    let properties = properties_of(group.features.iter().flatten());
    let mut ids = group.features.iter().flatten().filter_map(|feature| feature.get("id"));
    let id = ids.find(|id| !id.is_null()).cloned();
    let features: Result<Vec<Value>, String> =
        group.features.into_iter().map(|feature| feature.map(bare_feature)).collect();
    Object { place, id, properties, prompt: features.and_then(|features| prompt(features, defaults)) }
}

fn prompt(mut features: Vec<Value>, defaults: &PromptItem) -> Result<PromptItem, String> {
    if let [feature] = &features[..]
        && feature["geometry"].is_null()
    {
        return Err("has no geometry".to_owned());
    }
    if features.iter().any(|feature| feature["geometry"]["coordinates"] == json!([])) {
        return Err("has an empty geometry".to_owned());
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
    use super::*;

    fn defaults() -> PromptItem {
        PromptItem::default()
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
            point(5.0, json!({"object": 7.0, "label": 0.0})),
            point(6.0, json!({"object": 7, "label": "1.0"})),
            point(7.0, json!({"object": 7, "label": "FALSE"})),
        ]);
        let told: Vec<(&str, usize)> = objects
            .iter()
            .map(|o| (o.place.as_str(), o.prompt.as_ref().unwrap().prompt.points.len()))
            .collect();
        let expected = [
            ("object \"a\" (feature 1 to feature 3)", 2),
            ("feature 2", 1),
            ("object \"7\" (feature 4 to feature 7)", 4),
        ];
        assert_eq!(told, expected);
        assert_eq!(objects[0].properties["kind"], "oak");
        assert!(!objects[0].properties.contains_key("label"));
        assert_eq!(objects[2].prompt.as_ref().unwrap().prompt.foreground, [true, false, true, false]);
    }

    #[test]
    fn what_is_no_prompt_says_why() {
        let objects = of(&[
            json!({"type": "Feature", "geometry": null, "properties": {}}),
            json!({"type": "Feature", "geometry": {"type": "MultiPoint", "coordinates": []}, "properties": {}}),
            json!({"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}}),
            point(1.0, json!({"label": 2})),
        ]);
        for (object, word) in objects.iter().zip(["geometry", "empty", "LineString", "label"]) {
            assert!(object.prompt.as_ref().unwrap_err().contains(word), "{:?}", object.prompt);
        }
    }
}
