//! A prompt drawn on any map: a GeoJSON Feature or FeatureCollection (RFC 7946) of Points and at most
//! one Polygon, whose bounds are the box. Options stand in the top-level member `geosam`.

use serde_json::{Map, Value};

use super::error::RequestError;
use super::limits::Limits;
use super::parse::request_from;
use super::prompt::{check_point_count, label_from};
use super::request::{PromptSet, Request};
use super::values::numbers;
use crate::geo::Bounds;

pub(super) fn parse(mut object: Map<String, Value>, limits: &Limits) -> Result<Request, RequestError> {
    let options = match object.remove("geosam") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options,
        Some(_) => {
            return Err(RequestError::bad("geosam", "is not an object; it holds id, folder, output ..."));
        }
    };
    for key in ["points", "labels", "bbox", "prompts"] {
        if options.contains_key(key) {
            let problem = "stands beside a GeoJSON geometry; give the prompt once";
            return Err(RequestError::bad(format!("geosam.{key}"), problem));
        }
    }
    let mut request = request_from(options, limits)?;
    let tree = Value::Object(object);
    match tree["type"].as_str() {
        Some("Feature") => add_feature(&tree, "Feature", &mut request.item.prompt)?,
        Some("FeatureCollection") => {
            let features = tree["features"].as_array().ok_or_else(|| {
                RequestError::bad("features", "is not an array, as a FeatureCollection needs")
            })?;
            check_point_count(features.len(), "", limits)?;
            for (index, feature) in features.iter().enumerate() {
                add_feature(feature, &format!("features[{index}]"), &mut request.item.prompt)?;
            }
        }
        _ => {
            let problem = format!("is {}; send a Feature or a FeatureCollection", tree["type"]);
            return Err(RequestError::bad("type", problem));
        }
    }
    Ok(request)
}

fn add_feature(feature: &Value, path: &str, prompt: &mut PromptSet) -> Result<(), RequestError> {
    let geometry = &feature["geometry"];
    let coordinates = &geometry["coordinates"];
    let key = format!("{path}.geometry.coordinates");
    match geometry["type"].as_str() {
        Some("Point") => {
            let label = match &feature["properties"]["label"] {
                Value::Null => true,
                value => label_from(value, &format!("{path}.properties.label"))?,
            };
            prompt.points.push(position(coordinates, &key)?);
            prompt.foreground.push(label);
        }
        Some("Polygon") => {
            if prompt.bbox.is_some() {
                return Err(RequestError::bad(path, "is a second Polygon; a prompt has at most one box"));
            }
            let exterior = coordinates.get(0).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let corners = exterior.iter().map(|p| position(p, &key)).collect::<Result<Vec<_>, _>>()?;
            let bounds = Bounds::around(corners.into_iter().map(|[x, y]| (x, y)));
            let bounds = bounds.filter(|b| b.min_x < b.max_x && b.min_y < b.max_y);
            prompt.bbox = Some(bounds.ok_or_else(|| RequestError::bad(&key, "encloses no area"))?);
        }
        _ => {
            let problem = format!("is {}; a prompt is made of Point and Polygon", geometry["type"]);
            return Err(RequestError::bad(format!("{path}.geometry.type"), problem));
        }
    }
    Ok(())
}

/// A position; a third number (height) is allowed by RFC 7946 and ignored.
fn position(value: &Value, key: &str) -> Result<[f64; 2], RequestError> {
    match value.as_array().map(Vec::as_slice) {
        Some([x, y, _height]) => numbers(&Value::Array(vec![x.clone(), y.clone()]), key, "[x, y]"),
        _ => numbers(value, key, "[x, y]"),
    }
}
