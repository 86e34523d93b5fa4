//! Layer files in the formats of other programs, feature by feature: GeoJSON, KML, FlatGeobuf, GeoPackage, fences of
//! ground stations, Cursor on Target; and QGIS projects that show them.
//!
//! A layer is read as it stands and not changed, also while the service adds to it: what comes after the export has
//! begun is not in it. Bad lines are left out and told, as in [`super::Layers`]; a layer of nothing else is not exported. What each program really accepts
//! is in `docs/ground-stations.md`. Not here: where the output goes and how a file is replaced.

mod colour;
mod columns;
pub(crate) mod cot;
mod error;
mod fences;
#[cfg(feature = "flatgeobuf")]
mod flatgeobuf;
mod format;
#[cfg(feature = "gpkg")]
mod gpkg;
mod kml;
mod objects;
mod qgis;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod walk;
pub(crate) mod xml;

use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use super::{Filter, LayerProblem};
pub use error::ExportError;
pub use format::Format;
pub use qgis::{Project, qgis_project};
use source::Source;
pub(crate) use walk::{Walk, layer_names};

/// How to export.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The format.
    pub format: Format,
    /// Fences: whether objects are to stay inside of, or to keep out of.
    pub inclusion: bool,
    /// The time, which Cursor on Target tells.
    pub now: SystemTime,
    /// Which features; the others are as if they were not there.
    pub filter: Filter,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// Features written.
    pub features: u64,
    /// Features left out, since they are no GeoJSON or the format cannot hold them.
    pub skipped: u64,
    /// Lines left out, since they are no features: a problem a layer.
    pub unread: Vec<LayerProblem>,
    /// Of the features those whose holes the format has no place for: their outer rings were written.
    pub holed: u64,
    /// Of the features those with more vertices than the format's readers take.
    pub large: u64,
    /// Properties whose columns have another name, and that name: readers would merge them with others, or the format has them taken.
    pub renamed: Vec<(String, String)>,
    /// Of several layers those that are left out, since nothing that was asked for is in them, or nothing can be read.
    pub empty: Vec<String>,
}

/// Writes a layer of a state directory as a stream. `name` tells the output in errors.
///
/// # Errors
/// If there is no such layer, it cannot be read, it has nothing that the format can hold, the output cannot be written,
/// or the format is no stream: [`Format::GeoPackage`] and [`Format::Poly`] have functions of their own.
pub fn export(
    state: &Path,
    layer: &str,
    settings: &Settings,
    out: &mut dyn Write,
    name: &Path,
) -> Result<Exported, ExportError> {
    let mut source = Source::open(state, layer, &settings.filter)?;
    let Settings { format, inclusion, now, .. } = *settings;
    let written = match format {
        Format::GeoJson => text::collection(&mut source, out),
        Format::GeoJsonLines => text::lines(&mut source, out),
        Format::Kml => kml::write(&mut source, out),
        Format::Kmz => kml::write_kmz(&mut source, out),
        #[cfg(feature = "flatgeobuf")]
        Format::FlatGeobuf => flatgeobuf::write(&mut source, out),
        #[cfg(not(feature = "flatgeobuf"))]
        Format::FlatGeobuf => Err(without(layer, format, "flatgeobuf").into()),
        Format::Plan => fences::plan(&mut source, inclusion, out),
        Format::Wpl => fences::wpl(&mut source, inclusion, out),
        Format::Cot => cot::write(&mut source, now, out),
        Format::GeoPackage => {
            Err(no_stream(layer, format, "it is a database; name a file with --output").into())
        }
        Format::Poly => {
            Err(no_stream(layer, format, "each is a file; name a directory with --output").into())
        }
    };
    written.map_err(|e| e.named(&|source| ExportError::Output { path: name.to_owned(), source }))
}

fn no_stream(layer: &str, format: Format, problem: &str) -> ExportError {
    ExportError::Format { layer: layer.to_owned(), format: format.name(), problem: problem.to_owned() }
}

#[cfg(not(all(feature = "flatgeobuf", feature = "gpkg")))]
fn without(layer: &str, format: Format, feature: &str) -> ExportError {
    let problem = format!("this build is without it (cargo feature `{feature}`); export geojson");
    ExportError::Format { layer: layer.to_owned(), format: format.name(), problem }
}

/// Writes a layer as Mission Planner's polygons: a file a part, in a directory that is there and empty.
///
/// # Errors
/// If there is no such layer, it cannot be read, it has no polygon, or a file cannot be written.
pub fn export_poly(
    state: &Path,
    layer: &str,
    filter: &Filter,
    directory: &Path,
) -> Result<Exported, ExportError> {
    fences::poly(&mut Source::open(state, layer, filter)?, directory)
}

/// Writes layers into a GeoPackage, each as a table: into an empty file, or, where `adding`, into one that is a GeoPackage
/// already, in place and in one transaction. A table of the same layer is then replaced, its style kept.
///
/// # Errors
/// If there is no such layer, one cannot be read or has a name that the format keeps for itself, none has a feature, or the
/// file cannot be written or is no GeoPackage. An existing GeoPackage is then as it was.
pub fn export_gpkg(
    state: &Path,
    layers: &[String],
    filter: &Filter,
    path: &Path,
    adding: bool,
) -> Result<Exported, ExportError> {
    let mut sources = Vec::with_capacity(layers.len());
    for layer in layers {
        sources.push(Source::open(state, layer, filter)?);
    }
    #[cfg(feature = "gpkg")]
    return gpkg::write(&mut sources, path, adding, None);
    #[cfg(not(feature = "gpkg"))]
    {
        let _ = (path, adding);
        Err(without(layers.first().map_or("", String::as_str), Format::GeoPackage, "gpkg"))
    }
}

/// Writes the features of a file, one a line, into an empty file as a GeoPackage of at most `most_bytes`, with one table called
/// `layer`.
///
/// # Errors
/// If the lines cannot be read, have no feature, or the GeoPackage cannot be written or would be larger.
#[cfg(feature = "gpkg")]
pub fn export_gpkg_lines(
    lines: &Path,
    layer: &str,
    path: &Path,
    most_bytes: u64,
) -> Result<Exported, ExportError> {
    gpkg::write(&mut [Source::of_lines(lines, layer)?], path, false, Some(most_bytes))
}

/// A failure that does not yet know the output's name.
enum Failure {
    Export(ExportError),
    Out(io::Error),
}

impl Failure {
    fn named(self, failed: &impl Fn(io::Error) -> ExportError) -> ExportError {
        match self {
            Self::Export(error) => error,
            Self::Out(source) => failed(source),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

/// A feature's id as text.
fn id_text(id: &geojson::feature::Id) -> String {
    match id {
        geojson::feature::Id::String(text) => text.clone(),
        geojson::feature::Id::Number(number) => number.to_string(),
    }
}
