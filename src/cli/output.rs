//! Where a command writes: standard output for `-`, else a file that appears whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::CliError;

/// A destination that replaces a file only on [`Output::finish`].
pub(super) struct Output {
    path: PathBuf,
    partial: Option<PathBuf>,
    writer: Box<dyn Write>,
}

impl Output {
    /// Opens `-` or a file; the file's content stands beside it as `.part` until it is finished.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            let writer = Box::new(io::BufWriter::new(io::stdout().lock()));
            return Ok(Self { path: path.to_owned(), partial: None, writer });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let partial = path.with_file_name(name);
        let file = std::fs::File::create(&partial).map_err(CliError::file(&partial))?;
        Ok(Self { path: path.to_owned(), partial: Some(partial), writer: Box::new(io::BufWriter::new(file)) })
    }

    /// One JSON value as a line, flushed so that a reader at the other end of a pipe sees it.
    pub(super) fn json_line(&mut self, value: &impl serde::Serialize) -> Result<(), CliError> {
        let written = serde_json::to_writer(&mut self.writer, value)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.write_all(b"\n"))
            .and_then(|()| self.writer.flush());
        written.map_err(CliError::file(&self.path))
    }

    /// A text as it is, with a newline.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.writer, "{text}").map_err(CliError::file(&self.path))
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.writer.write_all(bytes).map_err(CliError::file(&self.path))
    }

    /// Puts the file into its place.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(CliError::file(&self.path))?;
        if let Some(partial) = &self.partial {
            std::fs::rename(partial, &self.path).map_err(CliError::file(&self.path))?;
        }
        Ok(())
    }
}
