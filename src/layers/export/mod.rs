//! Layer files in the formats of other programs, feature by feature: GeoJSON, GeoJSONL, KML, FlatGeobuf.
//!
//! A layer is read as it stands and not changed, also while the service adds to it: what comes after the export has
//! begun is not in it. Bad lines are left out and counted, as in [`super::Layers`].

#[cfg(feature = "flatgeobuf")]
mod columns;
#[cfg(feature = "flatgeobuf")]
mod flatgeobuf;
mod kml;
#[cfg(test)]
mod tests;
mod text;

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Take, Write};
use std::path::{Path, PathBuf};

use geojson::Feature;

use super::line::{Line, classify, trim};
use super::lines::Lines;
use super::{DIRECTORY, LayerError, layer_path, op};

/// A format to export to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// One GeoJSON FeatureCollection (RFC 7946).
    #[default]
    #[value(name = "geojson")]
    GeoJson,
    /// One GeoJSON Feature a line (GDAL's GeoJSONSeq), as layers are kept.
    #[value(name = "geojsonl")]
    GeoJsonLines,
    /// OGC KML 2.2, as Google Earth and ground stations read.
    #[value(name = "kml")]
    Kml,
    /// FlatGeobuf 3 with a spatial index, the fastest to open in QGIS.
    #[value(name = "flatgeobuf")]
    FlatGeobuf,
}

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Features written.
    pub features: u64,
    /// Lines left out, since they are no feature or the format cannot hold them.
    pub skipped: u64,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// No such layer.
    #[error("there is no layer {layer} in {}; {}", directory.display(), known_layers(known))]
    NoLayer {
        /// The layer.
        layer: String,
        /// Where it was looked for.
        directory: PathBuf,
        /// Those that are there.
        known: Vec<String>,
    },
    /// The output cannot be written.
    #[error("cannot write {}: {source}; check the path and the space left there", path.display())]
    Output {
        /// Where to.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The format cannot hold the layer.
    #[error("layer {layer} cannot be written as {format}: {problem}")]
    Format {
        /// The layer.
        layer: String,
        /// The format.
        format: &'static str,
        /// What is wrong and what to do about it.
        problem: String,
    },
}

fn known_layers(known: &[String]) -> String {
    if known.is_empty() {
        return "there are none: check --state".to_owned();
    }
    format!("there are {}", known.join(", "))
}

/// Writes a layer of a state directory. `name` tells the output in errors.
///
/// # Errors
/// If there is no such layer, it cannot be read, or the output cannot be written.
pub fn export(
    state: &Path,
    layer: &str,
    format: Format,
    out: &mut dyn Write,
    name: &Path,
) -> Result<Exported, ExportError> {
    let mut source = Source::open(state, layer)?;
    let failed = |source| ExportError::Output { path: name.to_owned(), source };
    match format {
        Format::GeoJson => text::collection(&mut source, out).map_err(|e| e.named(&failed)),
        Format::GeoJsonLines => text::lines(&mut source, out).map_err(|e| e.named(&failed)),
        Format::Kml => kml::write(&mut source, out).map_err(|e| e.named(&failed)),
        #[cfg(feature = "flatgeobuf")]
        Format::FlatGeobuf => flatgeobuf::write(&mut source, out).map_err(|e| e.named(&failed)),
        #[cfg(not(feature = "flatgeobuf"))]
        Format::FlatGeobuf => Err(ExportError::Format {
            layer: layer.to_owned(),
            format: "FlatGeobuf",
            problem: "this build is without it (cargo feature `flatgeobuf`); export geojson".to_owned(),
        }),
    }
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

/// A layer file as it was when the export began.
struct Source {
    layer: String,
    path: PathBuf,
    file: File,
    len: u64,
}

impl Source {
    fn open(state: &Path, layer: &str) -> Result<Self, ExportError> {
        op::check_layer(layer)?;
        let directory = state.join(DIRECTORY);
        let path = layer_path(&directory, layer);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (layer, known) = (layer.to_owned(), layers_in(&directory));
                return Err(ExportError::NoLayer { layer, directory, known });
            }
            other => other.map_err(|e| LayerError::io("open", &path, e))?,
        };
        let len = file.metadata().map_err(|e| LayerError::io("read", &path, e))?.len();
        Ok(Self { layer: layer.to_owned(), path, file, len })
    }

    fn lines(&mut self) -> Result<Features<'_>, ExportError> {
        let Self { path, file, len, .. } = self;
        file.seek(SeekFrom::Start(0)).map_err(|e| LayerError::io("read", path, e))?;
        let reader = BufReader::with_capacity(1 << 16, file.take(*len));
        Ok(Features { lines: Lines::at(reader, 0), path, skipped: 0 })
    }
}

/// The features of a source, bad lines left out.
struct Features<'a> {
    lines: Lines<BufReader<Take<&'a mut File>>>,
    path: &'a Path,
    skipped: u64,
}

impl Features<'_> {
    /// The next feature as text.
    fn next_text(&mut self) -> Result<Option<&[u8]>, ExportError> {
        loop {
            let next = self.lines.next().map_err(|e| LayerError::io("read", self.path, e))?;
            let Some((_, line)) = next else { return Ok(None) };
            match classify(line) {
                // Taken below: a line borrowed in a turn of the loop cannot be returned from it.
                Line::Feature(_) => break,
                Line::Bad(_) => self.skipped += 1,
                Line::Blank => {}
            }
        }
        Ok(Some(trim(self.lines.last())))
    }

    /// The next feature; one that is JSON but no GeoJSON is left out.
    fn next_feature(&mut self) -> Result<Option<Feature>, ExportError> {
        while let Some(text) = self.next_text()? {
            match serde_json::from_slice::<Feature>(text) {
                Ok(feature) => return Ok(Some(feature)),
                Err(_) => self.skipped += 1,
            }
        }
        Ok(None)
    }
}

fn layers_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".geojsonl").filter(|name| !name.starts_with('.')).map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort_unstable();
    names
}

/// A feature's id as text.
fn id_text(id: &geojson::feature::Id) -> String {
    match id {
        geojson::feature::Id::String(text) => text.clone(),
        geojson::feature::Id::Number(number) => number.to_string(),
    }
}
