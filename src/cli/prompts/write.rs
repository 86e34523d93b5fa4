//! Answers as Features, one an object: the outline of its mask, its own properties and those of the mask.

use serde_json::{Map, Value, json};

use super::objects::Object;
use crate::api::{Feature, LegacyCrs};
use crate::cli::CliError;
use crate::cli::features::FeatureWriter;

/// Writes the masks of an object, whose coordinates are in this CRS.
pub(super) fn write(
    writer: &mut FeatureWriter,
    object: &Object,
    crs: Option<&LegacyCrs>,
    masks: &[Feature],
) -> Result<(), CliError> {
    for mask in masks {
        writer.write(&text(object, mask), crs)?;
    }
    Ok(())
}

/// A mask of an object as the text of a Feature, with the object's own properties. "type" comes first: by it GDAL knows lines of
/// Features.
fn text(object: &Object, mask: &Feature) -> String {
    let mut properties = object.properties.clone();
    if let Value::Object(ours) = json!(mask.properties) {
        for (name, value) in ours {
            properties.insert(free_name(&object.properties, name), value);
        }
    }
    let id = object.id.as_ref().map(|id| format!("\"id\":{id},")).unwrap_or_default();
    let (geometry, properties) = (json!(mask.geometry), Value::Object(properties));
    format!("{{\"type\":\"Feature\",{id}\"geometry\":{geometry},\"properties\":{properties}}}")
}

/// The name of one of our properties beside an object's own, which are never lost.
fn free_name(own: &Map<String, Value>, name: String) -> String {
    if !own.contains_key(&name) {
        return name;
    }
    crate::free_name::free_name(&format!("geosam_{name}"), '_', |free| !own.contains_key(free))
}
