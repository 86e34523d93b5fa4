//! `geosam-edge export`: a layer of saved objects for QGIS, Google Earth or a ground station.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::durable::Replacement;
use crate::layers::export::{ExportError, Exported, Format, export};

/// Write a layer of saved objects in a format that other programs read.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Layer to export, as `save` named it
    pub layer: String,
    /// State directory of the service; it may be running
    #[arg(long, value_name = "DIR", default_value = "state")]
    pub state: PathBuf,
    /// Format to write
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// File to write, replaced only when the export is whole; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

impl ExportArgs {
    /// Exports the layer. A reader of standard output that has seen enough is no error.
    ///
    /// # Errors
    /// If the layer cannot be read or the output cannot be written; an existing output file is then as it was.
    pub fn run(&self) -> Result<Exported, ExportError> {
        let exported = if self.output == Path::new("-") { self.to_stdout() } else { self.to_file() }?;
        let Exported { features, skipped } = exported;
        let left_out = if skipped == 0 { String::new() } else { format!(", {skipped} lines left out") };
        tracing::info!(layer = self.layer, output = %self.output.display(), "{features} features{left_out}");
        Ok(exported)
    }

    fn to_stdout(&self) -> Result<Exported, ExportError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let result = export(&self.state, &self.layer, self.format, &mut out, Path::new("standard output"));
        let result = result.and_then(|exported| {
            let failed = |source| ExportError::Output { path: PathBuf::from("standard output"), source };
            out.flush().map_err(failed)?;
            Ok(exported)
        });
        match result {
            Err(ExportError::Output { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Exported::default())
            }
            other => other,
        }
    }

    fn to_file(&self) -> Result<Exported, ExportError> {
        let failed = |source| ExportError::Output { path: self.output.clone(), source };
        let mut out = Replacement::begin(&self.output).map_err(failed)?;
        let exported = export(&self.state, &self.layer, self.format, &mut out, &self.output)?;
        out.finish().map_err(failed)?;
        Ok(exported)
    }
}
