//! Features as they come: lines of GeoJSON that are seen at once, or one FeatureCollection that is whole at its end.

use std::path::Path;

use serde_json::Value;

use super::CliError;
use super::output::{Output, note};
use crate::api::LegacyCrs;

/// Where Features go. An ordinary file that was there is replaced by the first line, or where it is one FeatureCollection by
/// [`FeatureWriter::finish`]; dropped before, it is left as it was.
pub(super) struct FeatureWriter {
    output: Output,
    /// A FeatureCollection in place of lines.
    is_collection: bool,
    is_begun: bool,
    crs: Option<LegacyCrs>,
}

impl FeatureWriter {
    /// Lines; into a file that ends in `.geojson` or `.json` one FeatureCollection.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let is_collection = ending == "geojson" || ending == "json";
        let output = if is_collection { Output::create(path) } else { Output::growing(path) }?;
        Ok(Self { output, is_collection, is_begun: false, crs: None })
    }

    /// Writes the text of a Feature, whose coordinates are in a CRS.
    ///
    /// # Errors
    /// One in another CRS than those before: a file has one.
    pub(super) fn write(&mut self, feature: &str, crs: Option<&LegacyCrs>) -> Result<(), CliError> {
        if !self.is_begun {
            self.begin(crs)?;
        } else if self.crs.as_ref() != crs {
            let told = |crs: Option<&LegacyCrs>| crs.map_or("EPSG:4326", |crs| &crs.name).to_owned();
            return Err(CliError::Usage(format!(
                "the answers are in several CRSs, {} and {}, and a file has one; give --output-crs another one than \"source\"",
                told(self.crs.as_ref()),
                told(crs)
            )));
        }
        if self.is_collection {
            let comma = if self.is_begun { ",\n" } else { "\n" };
            self.output.bytes(format!("{comma}{feature}").as_bytes())?;
        } else {
            self.output.line(feature)?;
        }
        self.is_begun = true;
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
