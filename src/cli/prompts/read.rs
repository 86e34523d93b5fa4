//! Which format a file of prompts has, told by its content, and what can be wrong with it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{csv, encoding, geojson};
use crate::api::NotUtf8;
use crate::cli::CliError;
use crate::stand_in::stand_in;

/// Most bytes of a file: some million points.
const MOST_BYTES: u64 = 256 << 20;

/// The features of a file.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub features: Vec<DrawnFeature>,
}

/// One feature as GeoJSON, or why it is none.
#[derive(Debug)]
pub(super) struct DrawnFeature {
    /// Where it stands, for messages: `feature 3`, `line 5`.
    pub place: String,
    pub feature: Result<Value, String>,
}

/// Why a file of prompts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptsError {
    /// Nothing is in it.
    #[error("{path}: {problem}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it has instead, and what to do.
        problem: &'static str,
    },
    /// None of its features is a prompt.
    #[error("{path}: none of {count} objects is a prompt; {place}: {reason}")]
    NoPrompt {
        /// The file.
        path: PathBuf,
        /// Its objects.
        count: usize,
        /// The first one.
        place: String,
        /// What is wrong with that.
        reason: String,
    },
    /// A table without the columns that a prompt needs.
    #[error(
        "{path}: has no {missing}; its columns are {found}. Points need lon and lat, boxes west, south, east and north, \
         any geometry wkt"
    )]
    Columns {
        /// The table.
        path: PathBuf,
        /// What is missing, as in `column lat`.
        missing: String,
        /// The columns that are there.
        found: String,
    },
    /// Its text is in another encoding.
    #[error(
        "{path}: line {}, column {}: {at}; save the file as UTF-8: in Excel as \"CSV UTF-8\", in LibreOffice and QGIS with the encoding UTF-8", at.line, at.column
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where it is not UTF-8.
        at: NotUtf8,
    },
    /// The format is another one, or the file is damaged.
    #[error("{path}: {problem}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl PromptsError {
    pub(super) fn unreadable(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unreadable { path: path.to_owned(), problem: problem.into() }
    }
}

/// What standard input is called.
const PIPED: &str = "standard input";

/// Reads a file of prompts, `-` for standard input.
pub(super) fn read(path: &Path) -> Result<Drawn, CliError> {
    let mut bytes = Vec::new();
    let is_piped = path == Path::new("-");
    let read = if is_piped {
        std::io::stdin().take(MOST_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(CliError::file(path))?;
    let path = if is_piped { Path::new(PIPED) } else { path };
    if bytes.len() as u64 > MOST_BYTES {
        let problem = format!("has more than {} MB; split it", MOST_BYTES >> 20);
        return Err(PromptsError::unreadable(path, problem).into());
    }
    let drawn = features(path, &bytes)?;
    if drawn.features.is_empty() {
        return Err(
            PromptsError::Empty { path: path.to_owned(), problem: nothing_in(&bytes, is_piped) }.into()
        );
    }
    Ok(drawn)
}

/// What there is where there are no features.
fn nothing_in(bytes: &[u8], is_piped: bool) -> &'static str {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    match text.first() {
        None if is_piped => "nothing came; pipe in GeoJSON, FlatGeobuf or CSV with points, boxes or areas",
        None => "is empty; give a file of GeoJSON, FlatGeobuf or CSV with points, boxes or areas",
        Some(b'{' | b'[' | 0x1E) => "has no features; save the layer again with its features",
        _ if text.starts_with(b"fgb") => "has no features; save the layer again with its features",
        _ => "has names of columns and no rows below them; write a point, a box or a geometry in each row",
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn is_spreadsheet(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ["xlsx", "xlsm", "ods"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Whether XML begins as GPX does.
fn is_gpx(text: &[u8]) -> bool {
    text.windows(4).take(1024).any(|window| window == b"<gpx")
}

/// The features of a file's bytes.
pub(super) fn features(path: &Path, bytes: &[u8]) -> Result<Drawn, PromptsError> {
    // What came through a pipe has no name that a program could be given.
    let name = if path == Path::new(PIPED) { "FILE".to_owned() } else { quoted(path) };
    let refuse = |told: String| Err(PromptsError::unreadable(path, told));
    let convert = |what: &str| {
        refuse(format!(
            "is {what}, which is not read; write it anew: ogr2ogr -t_srs EPSG:4326 prompts.geojson {name}"
        ))
    };
    // GeoJSON has one layer.
    let pick = |what: &str, layer: &str| {
        refuse(format!(
            "is {what}, which is not read; write the layer with your prompts anew (ogrinfo -q {name} lists them): ogr2ogr -t_srs \
             EPSG:4326 prompts.geojson {name} {layer}"
        ))
    };
    if let Some(text) = encoding::utf16(path, bytes)? {
        return features(path, text.as_bytes());
    }
    if let Some(stand_in) = stand_in(bytes) {
        return refuse(format!("is {stand_in}"));
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match text.trim_ascii_start() {
        [b'f', b'g', b'b', ..] => flatgeobuf(path, bytes),
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', ..] => pick("a GeoPackage", "LAYER"),
        [0x1F, 0x8B, ..] => refuse(format!("is compressed by gzip; unpack it first: gunzip -k {name}")),
        [0, 0, 0x27, 0x0A, ..] => convert("a Shapefile"),
        [b'P', b'A', b'R', b'1', ..] => convert("a Parquet file"),
        [3, ..] if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("dbf")) => {
            convert("the table of a Shapefile")
        }
        [b'P', b'K', 3, 4, ..] if is_spreadsheet(path) => {
            refuse("is a spreadsheet; save it as CSV UTF-8, with columns lon and lat".to_owned())
        }
        [b'P', b'K', 3, 4, ..] => convert("a ZIP archive (of a Shapefile, or KMZ)"),
        [b'<', ..] if is_gpx(text) => pick("GPX", "waypoints"),
        [b'<', ..] => pick("XML (KML)", "LAYER"),
        [] => Ok(Drawn::default()),
        [first, ..] => {
            encoding::check(path, text)?;
            match first {
                b'{' | b'[' | 0x1E => geojson::read(path, text),
                _ => csv::read(path, text),
            }
        }
    }
}

#[cfg(feature = "flatgeobuf")]
fn flatgeobuf(path: &Path, bytes: &[u8]) -> Result<Drawn, PromptsError> {
    super::flatgeobuf::read(path, bytes)
}

#[cfg(not(feature = "flatgeobuf"))]
fn flatgeobuf(path: &Path, _: &[u8]) -> Result<Drawn, PromptsError> {
    let told = "is FlatGeobuf, which this build is without (cargo feature `flatgeobuf`); save it as GeoJSON";
    Err(PromptsError::unreadable(path, told))
}
