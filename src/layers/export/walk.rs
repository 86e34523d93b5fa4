//! A layer's lines one after the other, each read when it is asked for: whoever sends objects at leisure holds none of
//! those that are still to come.

use std::fs;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::Path;

use super::ExportError;
use super::source::{Source, layers_in};
use crate::layers::line::{Line, classify, trim};
use crate::layers::lines::Lines;
use crate::layers::{DIRECTORY, Filter, LayerError};

/// Names of the layers in a state directory, in order.
///
/// # Errors
/// If the directory of layers cannot be listed.
pub(crate) fn layer_names(state: &Path) -> Result<Vec<String>, LayerError> {
    let directory = state.join(DIRECTORY);
    fs::read_dir(&directory).map_err(|e| LayerError::io("list", &directory, e))?;
    Ok(layers_in(&directory))
}

/// A way through a layer's file. A file that is written anew meanwhile is read as it was; what is appended is met, too.
pub(crate) struct Walk {
    source: Source,
    offset: u64,
}

impl Walk {
    /// Begins before the first line.
    ///
    /// # Errors
    /// If there is no such layer, or its file cannot be opened.
    pub fn open(state: &Path, layer: &str) -> Result<Self, ExportError> {
        Ok(Self { source: Source::open(state, layer, &Filter::default())?, offset: 0 })
    }

    /// The layer.
    pub fn layer(&self) -> &str {
        &self.source.layer
    }

    /// The next line that is a feature with an id. `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next_object(&mut self) -> Result<Option<String>, ExportError> {
        let path = self.source.path.clone();
        let failed = |error| LayerError::io("read", &path, error);
        self.source.file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
        let mut lines = Lines::at(BufReader::with_capacity(1 << 14, &self.source.file), self.offset);
        while let Some((span, line)) = lines.next().map_err(failed)? {
            if !span.ended {
                // It is just being written.
                break;
            }
            self.offset = span.offset + span.len;
            if let Line::Feature(Some(_)) = classify(line) {
                return Ok(Some(String::from_utf8_lossy(trim(line)).into_owned()));
            }
        }
        Ok(None)
    }

    /// Hands over the ids of all objects, from the first on.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn each_id(self, mut take: impl FnMut(&str)) -> Result<(), ExportError> {
        let path = self.source.path.clone();
        let failed = |error| LayerError::io("read", &path, error);
        (&self.source.file).seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut lines = Lines::at(BufReader::with_capacity(1 << 16, &self.source.file), 0);
        while let Some((_, line)) = lines.next().map_err(failed)? {
            if let Line::Feature(Some(id)) = classify(line) {
                take(&id);
            }
        }
        Ok(())
    }
}
