//! Answers as Features, one an object: the outline of its mask, its own properties and those of the mask.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::objects::Object;
use crate::api::{FeatureCollection, LegacyCrs, MaskProperties};
use crate::cli::CliError;
use crate::cli::output::{Output, note};
use crate::geo::Geometry;

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

    /// Writes the masks of an object; there is one at least.
    pub(super) fn write(&mut self, object: &Object, answer: &FeatureCollection) -> Result<(), CliError> {
        if !self.is_begun {
            self.begin(answer.crs.as_ref())?;
        }
        let last = answer.features.iter().map(|f| f.properties.mask).max().unwrap_or(0);
        for mask in 0..=last {
            let Some(feature) = feature(object, answer, mask) else { continue };
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

/// One mask of an answer as the text of a Feature; `None` where it has no polygon. "type" comes first: by it GDAL knows
/// lines of Features.
fn feature(object: &Object, answer: &FeatureCollection, mask: usize) -> Option<String> {
    let parts: Vec<_> = answer.features.iter().filter(|f| f.properties.mask == mask).collect();
    let first = &parts.first()?.properties;
    let mut polygons = Vec::new();
    for part in &parts {
        match &part.geometry {
            Geometry::Polygon(rings) => polygons.push(rings.clone()),
            Geometry::MultiPolygon(several) => polygons.extend(several.iter().cloned()),
        }
    }
    let geometry = match <[_; 1]>::try_from(polygons) {
        Ok([rings]) => Geometry::Polygon(rings),
        Err(polygons) => Geometry::MultiPolygon(polygons),
    };
    let areas = parts.iter().map(|f| f.properties.area_m2);
    let area = areas.sum::<Option<f64>>().map(|area| (area * 100.0).round() / 100.0);
    let sum = MaskProperties {
        area_m2: area,
        pixels: parts.iter().map(|f| f.properties.pixels).sum(),
        touches_chip_edge: parts.iter().any(|f| f.properties.touches_chip_edge),
        ..first.clone()
    };
    let mut properties = object.properties.clone();
    if let Value::Object(ours) = json!(sum) {
        for (name, value) in ours {
            properties.insert(free_name(&object.properties, name), value);
        }
    }
    let id = object.id.as_ref().map(|id| format!("\"id\":{id},")).unwrap_or_default();
    let (geometry, properties) = (json!(geometry), Value::Object(properties));
    Some(format!("{{\"type\":\"Feature\",{id}\"geometry\":{geometry},\"properties\":{properties}}}"))
}

/// The name of one of our properties beside an object's own, which are never lost.
fn free_name(own: &Map<String, Value>, name: String) -> String {
    if own.contains_key(&name) { format!("geosam_{name}") } else { name }
}
