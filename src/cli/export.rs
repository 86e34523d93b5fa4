//! `geosam-edge export`: a layer of saved objects for QGIS, Google Earth or a ground station.

use std::path::{Path, PathBuf};

use super::CliError;
use super::output::Output;
use super::state_dir::state_dir;
use crate::layers::export::{Exported, Format, export};

/// Write a layer of saved objects in a format that other programs read.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Layer to export, as `save` named it
    pub layer: String,
    /// State directory of the service, which may be running [default: ./state, else that of the appliance]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Format to write
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// File to write, replaced only when the export is whole; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

impl ExportArgs {
    /// Exports the layer.
    ///
    /// # Errors
    /// If the layer cannot be read or the output cannot be written; an existing output file is then as it was.
    pub fn run(&self) -> Result<Exported, CliError> {
        let mut out = Output::create(&self.output)?;
        let name =
            if self.output == Path::new("-") { Path::new("standard output") } else { self.output.as_path() };
        let exported = export(&state_dir(self.state.as_deref()), &self.layer, self.format, &mut out, name)?;
        out.finish()?;
        let Exported { features, skipped } = exported;
        let left_out = if skipped == 0 { String::new() } else { format!(", {skipped} lines left out") };
        tracing::info!(layer = self.layer, output = %self.output.display(), "{features} features{left_out}");
        Ok(exported)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        export: ExportArgs,
    }

    fn run(state: &Path, arguments: &[&str]) -> Result<Exported, CliError> {
        let line =
            ["export", "--state", state.to_str().unwrap()].into_iter().chain(arguments.iter().copied());
        Line::try_parse_from(line).unwrap().export.run()
    }

    #[test]
    fn an_export_replaces_its_file_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let layers = dir.path().join("layers");
        fs::create_dir(&layers).unwrap();
        fs::write(layers.join("ponds.geojsonl"), "{\"type\":\"Feature\",\"id\":\"a\"}\nbad\n").unwrap();
        let out = dir.path().join("out.kml");
        fs::write(&out, "old").unwrap();
        let path = out.to_str().unwrap();
        let error = run(dir.path(), &["roads", "--format", "kml", "-o", path]).unwrap_err();
        assert!(error.to_string().contains("no layer roads"), "{error}");
        assert_eq!(fs::read(&out).unwrap(), b"old");
        let exported = run(dir.path(), &["ponds", "--format", "kml", "-o", path]).unwrap();
        assert_eq!(exported, Exported { features: 1, skipped: 1 });
        assert!(fs::read_to_string(&out).unwrap().starts_with("<?xml"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing left over");
        let error = run(dir.path(), &["ponds", "-o", "/nowhere/out.geojson"]).unwrap_err().to_string();
        assert!(error.contains("cannot write /nowhere/out.geojson"), "{error}");
    }

    #[test]
    fn formats_have_the_names_that_people_know() {
        for format in ["geojson", "geojsonl", "kml", "flatgeobuf"] {
            assert!(Line::try_parse_from(["export", "ponds", "--format", format]).is_ok(), "{format}");
        }
        assert!(Line::try_parse_from(["export", "ponds", "--format", "shp"]).is_err());
    }
}
