//! Endings of file names that say what a file holds: one that would lie is refused before anything is computed.

use std::path::Path;

use super::CliError;
use crate::layers::export::Format;

/// Formats that people may want, and how they get them.
const OTHERS: [(&[&str], &str); 8] = [
    (
        &["kml", "kmz", "fgb", "gpkg", "plan", "poly", "wpl", "cot"],
        "save the objects to a layer and `export` it, or write .geojson and convert it with ogr2ogr",
    ),
    (&["shp", "zip", "gml", "gpx", "dxf", "parquet"], "write .geojson and convert it with ogr2ogr"),
    (&["topojson", "xml"], "write .geojson and convert it"),
    (&["gz"], "write .geojson and compress it with gzip"),
    (&["csv", "txt", "xlsx", "ods"], "write .geojson and convert it with ogr2ogr"),
    (&["pt", "pth"], "chips and checkpoints are called so"),
    (&["png", "jpg", "jpeg"], "a picture is drawn by --overlay"),
    (&["tif", "tiff", "npy", "svg", "pdf"], "masks as pixels are written by --dump"),
];

/// Whether GeoJSON may be written to a file of this name.
///
/// # Errors
/// An ending that stands for another format, with the way to that one.
pub(super) fn check_geojson(path: &Path) -> Result<(), CliError> {
    let ending = ending(path);
    match OTHERS.iter().find(|(endings, _)| endings.contains(&ending.as_str())) {
        None => Ok(()),
        Some((_, way)) => {
            let message =
                format!("{}: GeoJSON is written (.geojson, .geojsonl), not .{ending}; {way}", path.display());
            Err(CliError::Usage(message))
        }
    }
}

/// Whether responses, one a line, may be written to a file of this name.
///
/// # Errors
/// An ending that stands for GeoJSON, or for another format.
pub(super) fn check_responses(path: &Path) -> Result<(), CliError> {
    match ending(path).as_str() {
        ending @ ("geojson" | "geojsonl" | "geojsons" | "ndgeojson") => Err(CliError::Usage(format!(
            "{}: what answers --request is responses as over MQTT, one a line, and no GeoJSON (.{ending}): name it .jsonl; for GeoJSON \
             give the prompts with --prompts",
            path.display()
        ))),
        _ => check_geojson(path),
    }
}

/// What a layer is exported as to a file of this name: what its ending stands for, GeoJSON where that says nothing.
///
/// # Errors
/// An ending that stands for something that layers are not exported as.
pub(super) fn layer_format(path: &Path) -> Result<Format, CliError> {
    let ending = ending(path);
    if let Some(format) = Format::of_ending(&ending) {
        return Ok(format);
    }
    if OTHERS.iter().any(|(endings, _)| endings.contains(&ending.as_str())) {
        let path = path.display();
        let way = if ending == "gz" { "compress" } else { "convert" };
        let message = format!(
            "{path}: layers are not written as .{ending} (see --format); write .gpkg or .geojson and {way} it"
        );
        return Err(CliError::Usage(message));
    }
    Ok(Format::default())
}

/// Whether a PNG may be written to a file of this name: without an ending, or with that one.
///
/// # Errors
/// Any other ending.
pub(super) fn check_png(path: &Path) -> Result<(), CliError> {
    match ending(path).as_str() {
        "png" | "" => Ok(()),
        other => {
            let message =
                format!("{}: the picture is written as PNG, not .{other}; name it .png", path.display());
            Err(CliError::Usage(message))
        }
    }
}

fn ending(path: &Path) -> String {
    // Devices and pipes have no ending that says anything.
    if path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return String::new();
    }
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}
