//! A layer file as it was when the export began, feature by feature, as far as they are asked for.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Take};
use std::path::{Path, PathBuf};

use geojson::Feature;

use super::{ExportError, Exported};
use crate::layers::line::{BREAKS_OFF, Line, classify, trim};
use crate::layers::lines::{DESCRIBED, Lines};
use crate::layers::{DIRECTORY, Filter, LayerError, LayerProblem, layer_path, op};
use crate::regular_file;

/// A layer file as it was when the export began.
pub(super) struct Source {
    pub layer: String,
    pub(super) path: PathBuf,
    pub(super) file: File,
    len: u64,
    filter: Filter,
}

impl Source {
    pub fn open(state: &Path, layer: &str, filter: &Filter) -> Result<Self, ExportError> {
        op::check_layer(layer)?;
        let directory = state.join(DIRECTORY);
        let path = layer_path(&directory, layer);
        let file = match regular_file::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (layer, known) = (layer.to_owned(), layers_in(&directory));
                return Err(ExportError::NoLayer { layer, directory, known });
            }
            other => other.map_err(|e| LayerError::io("open", &path, e))?,
        };
        Self::of_file(layer, path, file, filter.clone())
    }

    /// Lines that stand elsewhere, as those of a layer.
    #[cfg(feature = "gpkg")]
    pub fn of_lines(lines: &Path, layer: &str) -> Result<Self, ExportError> {
        op::check_layer(layer)?;
        let file = regular_file::open(lines).map_err(|e| LayerError::io("open", lines, e))?;
        Self::of_file(layer, lines.to_owned(), file, Filter::default())
    }

    fn of_file(layer: &str, path: PathBuf, file: File, filter: Filter) -> Result<Self, ExportError> {
        let len = file.metadata().map_err(|e| LayerError::io("read", &path, e))?.len();
        Ok(Self { layer: layer.to_owned(), path, file, len, filter })
    }

    /// The features that are asked for from the first on, each time.
    pub fn lines(&mut self) -> Result<Features<'_>, ExportError> {
        let Self { layer, path, file, len, filter } = self;
        file.seek(SeekFrom::Start(0)).map_err(|e| LayerError::io("read", path, e))?;
        let reader = BufReader::with_capacity(1 << 16, file.take(*len));
        let lines = Lines::at(reader, 0);
        Ok(Features {
            lines,
            layer,
            path,
            filter,
            number: 0,
            met: false,
            skipped: 0,
            bad: 0,
            first: Vec::new(),
        })
    }
}

/// The features of a source that are asked for, bad lines left out.
pub(super) struct Features<'a> {
    lines: Lines<BufReader<Take<&'a mut File>>>,
    layer: &'a str,
    path: &'a Path,
    filter: &'a Filter,
    /// Lines so far.
    number: u64,
    /// Whether any was a feature, asked for or not.
    met: bool,
    /// Features left out so far that are no GeoJSON, and a last line that is just being written.
    pub skipped: u64,
    /// Lines left out so far that are no features.
    bad: u64,
    /// The first of them.
    first: Vec<(u64, &'static str)>,
}

impl Features<'_> {
    /// The next feature as text.
    ///
    /// # Errors
    /// If the file cannot be read; at its end, if not one of its lines was a feature.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, ExportError> {
        loop {
            let next = self.lines.next().map_err(|e| LayerError::io("read", self.path, e))?;
            let Some((span, line)) = next else {
                return match self.unread().filter(|_| !self.met) {
                    Some(problem) => Err(ExportError::Unreadable(problem)),
                    None => Ok(None),
                };
            };
            self.number += 1;
            match classify(line) {
                // Taken below: a line borrowed in a turn of the loop cannot be returned from it.
                Line::Feature(id) => {
                    self.met = true;
                    if self.filter.fits(id.as_deref(), trim(line)) {
                        break;
                    }
                }
                Line::Blank => {}
                // The service is just writing it, or will write it again.
                Line::Bad(BREAKS_OFF) if !span.ended => self.skipped += 1,
                Line::Bad(problem) => {
                    self.bad += 1;
                    if self.first.len() < DESCRIBED {
                        self.first.push((self.number, problem));
                    }
                }
            }
        }
        Ok(Some(trim(self.lines.last())))
    }

    /// The lines left out so far that are no features.
    fn unread(&self) -> Option<LayerProblem> {
        let (layer, lines, first) = (self.layer.to_owned(), self.bad, self.first.clone());
        (lines > 0).then_some(LayerProblem::BadLines { layer, lines, first })
    }

    /// Adds what was left out.
    pub fn count(&self, exported: &mut Exported) {
        exported.skipped += self.skipped;
        exported.unread.extend(self.unread());
    }

    /// The next feature; one that is JSON but no GeoJSON is left out.
    pub fn next_feature(&mut self) -> Result<Option<Feature>, ExportError> {
        while let Some(text) = self.next_text()? {
            match serde_json::from_slice::<Feature>(text) {
                Ok(feature) => return Ok(Some(feature)),
                Err(_) => self.skipped += 1,
            }
        }
        Ok(None)
    }
}

pub(super) fn layers_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".geojsonl").filter(|name| !name.starts_with('.')).map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort_unstable();
    names
}
