//! Prompts in GeoJSON: a FeatureCollection, Features or geometries, on one line or over many, one after the other.

use std::path::Path;

use serde_json::{Value, json};

use super::read::{Drawn, DrawnFeature, PromptsError};
use crate::api::parse_bounded;
use crate::cli::segment::LIMITS;
use crate::cli::segment::batch::told;
use crate::cli::segment::documents::Documents;

pub(super) fn read(path: &Path, text: &[u8]) -> Result<Drawn, PromptsError> {
    // Bounded already, as a whole.
    let mut limits = LIMITS;
    limits.max_payload_bytes = text.len();
    let mut documents = Documents::new(text, text.len());
    let mut drawn = Drawn::default();
    let failed = |error: std::io::Error| PromptsError::unreadable(path, error.to_string());
    while let Some(document) = documents.next().map_err(failed)? {
        let place = format!("line {}", document.line);
        let tree = match parse_bounded(document.text.trim_ascii_end(), &limits) {
            Ok(tree) => tree,
            Err(error) => {
                let (place, problem) = told(&place, document.line, &error.into());
                drawn.features.push(DrawnFeature { place, feature: Err(problem) });
                continue;
            }
        };
        add(tree, place, &mut drawn);
    }
    Ok(drawn)
}

fn add(mut tree: Value, place: String, drawn: &mut Drawn) {
    if let Value::Array(list) = tree {
        for (index, entry) in list.into_iter().enumerate() {
            add(entry, format!("{place}, entry {index}"), drawn);
        }
        return;
    }
    let kind = tree["type"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "FeatureCollection" => {
            let crs = tree.get("crs").filter(|crs| !crs.is_null()).cloned();
            let Some(Value::Array(features)) = tree.get_mut("features").map(Value::take) else {
                let feature = Err("\"features\" is not an array".to_owned());
                drawn.features.push(DrawnFeature { place, feature });
                return;
            };
            let before = drawn.features.len();
            let numbered = features.into_iter().enumerate().map(|(index, mut feature)| {
                // Each is asked for alone, so each is told the CRS of all.
                if let (Some(crs), Value::Object(feature)) = (&crs, &mut feature)
                    && !feature.contains_key("crs")
                {
                    feature.insert("crs".to_owned(), crs.clone());
                }
                DrawnFeature { place: format!("feature {}", before + index + 1), feature: Ok(feature) }
            });
            drawn.features.extend(numbered);
        }
        "Feature" => drawn.features.push(DrawnFeature { place, feature: Ok(tree) }),
        "Point" | "MultiPoint" | "Polygon" | "MultiPolygon" => {
            let feature = Ok(json!({"type": "Feature", "geometry": tree, "properties": {}}));
            drawn.features.push(DrawnFeature { place, feature });
        }
        _ => {
            let told = if tree.get("points").or(tree.get("bbox")).or(tree.get("prompts")).is_some() {
                "is a request, no GeoJSON; requests are given as --request".to_owned()
            } else {
                format!("\"type\" is {}; a file of prompts holds Features", tree["type"])
            };
            drawn.features.push(DrawnFeature { place, feature: Err(told) });
        }
    }
}
