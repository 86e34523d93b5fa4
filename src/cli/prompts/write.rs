//! Answers as Features, one an object: the outline of its mask, its own properties and those of the mask.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::objects::Object;
use crate::api::{Feature, LegacyCrs};
use crate::cli::CliError;
use crate::cli::output::{Output, note};

/// Where the Features go.
pub(super) struct Writer {
    output: Output,
    /// A FeatureCollection, which is whole only at its end, in place of lines.
    is_collection: bool,
    is_begun: bool,
    crs: Option<LegacyCrs>,
}

impl Writer {
    /// Lines that are seen as they come; into a file that ends in `.geojson` or `.json` one FeatureCollection.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_collection = ending == "geojson" || ending == "json";
        let output = if is_collection { Output::create(path) } else { Output::growing(path) }?;
        Ok(Self { output, is_collection, is_begun: false, crs: None })
    }

    /// Writes the masks of an object, whose coordinates are in this CRS; there is one at least.
    pub(super) fn write(
        &mut self,
        object: &Object,
        crs: Option<&LegacyCrs>,
        masks: Vec<Feature>,
    ) -> Result<(), CliError> {
        if !self.is_begun {
            self.begin(crs)?;
        }
        for mask in masks {
            let feature = text(object, &mask);
            if self.is_collection {
                let comma = if self.is_begun { ",\n" } else { "\n" };
                self.output.bytes(format!("{comma}{feature}").as_bytes())?;
            } else {
                self.output.line(&feature)?;
            }
            self.is_begun = true;
        }
        Ok(())
    }

    fn begin(&mut self, crs: Option<&LegacyCrs>) -> Result<(), CliError> {
        self.crs = crs.cloned();
        if self.is_collection {
            let crs = crs.map(|crs| format!("\"crs\":{},", Value::from(crs.clone()))).unwrap_or_default();
            self.output.bytes(format!("{{\"type\":\"FeatureCollection\",{crs}\"features\":[").as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), CliError> {
        if self.is_collection {
            if !self.is_begun {
                self.begin(None)?;
            }
            self.output.bytes(b"\n]}\n")?;
        } else if let Some(crs) = &self.crs {
            note(&format_args!(
                "note: the coordinates are in {}, which lines of GeoJSON cannot say; tell it to who reads them, or \
                 write to a file that ends in .geojson",
                crs.name
            ));
        }
        self.output.finish()
    }
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
    if own.contains_key(&name) { format!("geosam_{name}") } else { name }
}
