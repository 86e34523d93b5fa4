//! `geosam-edge export`: a layer of saved objects for QGIS, Google Earth, a ground station or a field app.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ArgAction;

use super::CliError;
use super::ending::layer_format;
use super::export_project;
use super::export_told::tell;
use super::layer_filter::LayerFilterArgs;
use super::output::{Output, written_at};
use super::serve::ServeError;
use super::state_dir::state_dir;
use super::unfinished::Unfinished;
use crate::config::{COMPARED_NAME, Config, Overrides};
use crate::durable::{sync_dir, unfinished_name};
use crate::layers::Filter;
use crate::layers::export::{ExportError, Exported, Format, Settings, export, export_gpkg, export_poly};

const EXAMPLES: &str = "\
Examples:
  geosam-edge export ponds --output ponds.kml
  geosam-edge export ponds fields --output card.gpkg
  geosam-edge export ponds --output card.gpkg --append
  geosam-edge export ponds --output card.gpkg --qgis-project card.qgs --folder /card/valley
  geosam-edge export ponds --inclusion false --output keep-out.plan
  geosam-edge export ponds --client tablet --since 2026-05-01 --output today.geojson
  geosam-edge export ponds --format poly --output polygons

Exit status: 0 the layer is written, what the format cannot hold is told, 1 lines of its file are no objects (the others are
written), or nothing is written, 2 the command line is wrong.";

/// Write a layer of saved objects in a format that other programs read.
///
/// GeoJSON, FlatGeobuf and GeoPackage keep everything. The others keep what their readers know: what is lost (holes, objects
/// that are no polygons) is told. An empty layer is refused by all but GeoJSON, FlatGeobuf and KML; of several layers for a
/// GeoPackage those with nothing in them are left out and told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ExportArgs {
    /// Layer to export, as `save` named it; a GeoPackage takes several
    #[arg(required = true, value_name = "LAYER")]
    pub layers: Vec<String>,
    /// State directory of the service, which may be running [default: ./state, else that of the appliance]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Configuration of the service (TOML), for its state directory
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Format to write [default: by the ending of the output, else geojson]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// File to write, replaced only when the export is whole; `-` is standard output; for `poly` a directory to create
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Fences (`plan`, `wpl`): whether vehicles are to stay inside of the objects, or to keep out of them
    /// [default: false, keep out]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    pub inclusion: Option<bool>,
    /// Add to the GeoPackage that is there, in one step and while others have it open; a table of the layer's name is
    /// replaced, its style stays
    #[arg(long)]
    pub append: bool,
    /// Write a QGIS project, too: the layers of the GeoPackage in their colours, over raster and chips of the folder
    #[arg(long, value_name = "FILE.qgs", requires = "folder")]
    pub qgis_project: Option<PathBuf>,
    /// Feature folder, or its manifest, whose raster and chips the project shows
    #[arg(long, value_name = "FOLDER", requires = "qgis_project")]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    pub which: LayerFilterArgs,
}

impl ExportArgs {
    /// Exports the layer.
    ///
    /// # Errors
    /// If the layer cannot be read or the output cannot be written; an existing output file is then as it was.
    pub fn run(&self) -> Result<Exported, CliError> {
        let mut named = HashSet::new();
        let layers: Vec<String> = self.layers.iter().filter(|layer| named.insert(*layer)).cloned().collect();
        if layers.len() < self.layers.len() {
            // One that is named twice is one.
            return Self { layers, ..self.clone() }.run();
        }
        let format = match self.format {
            Some(format) => format,
            None => layer_format(&self.output)?,
        };
        self.check(format)?;
        let filter = self.which.filter()?;
        let state = self.state()?;
        for written in [Some(&self.output), self.qgis_project.as_ref()].into_iter().flatten() {
            check_not_of_the_state(written, &state)?;
        }
        let exported = match format {
            Format::GeoPackage => self.gpkg(&state, &filter)?,
            Format::Poly => self.poly(&state, &filter)?,
            format => self.stream(&state, format, filter)?,
        };
        if let (Some(project), Some(folder)) = (&self.qgis_project, &self.folder) {
            let written = self.layers.iter().filter(|layer| !exported.empty.contains(layer)).cloned();
            export_project::write(project, &self.output, &written.collect::<Vec<_>>(), folder)?;
        }
        tell(self, format, &exported);
        Ok(exported)
    }

    /// The state directory: as it is said, else as the configuration says it.
    fn state(&self) -> Result<PathBuf, CliError> {
        match (&self.state, &self.config) {
            (None, Some(config)) => {
                Ok(Config::load(Some(config), &Overrides::default()).map_err(ServeError::from)?.state)
            }
            (state, _) => Ok(state_dir(state.as_deref())),
        }
    }

    /// Flags that the format does not know.
    fn check(&self, format: Format) -> Result<(), CliError> {
        let refused = |told: &str| Err(CliError::Usage(told.to_owned()));
        if self.layers.len() > 1 && format != Format::GeoPackage {
            return refused("several layers go into a GeoPackage alone (.gpkg); export one after another");
        }
        if self.append && format != Format::GeoPackage {
            return refused("--append is for GeoPackages (.gpkg); other files are replaced");
        }
        if let Some(project) = &self.qgis_project {
            if format != Format::GeoPackage {
                return refused("--qgis-project shows a GeoPackage: name one with --output (.gpkg)");
            }
            export_project::check(project)?;
        }
        if self.inclusion.is_some() && !format.has_fences() {
            return refused("--inclusion is for fences: --format plan or wpl");
        }
        if format == Format::Poly && (self.output == Path::new("-") || self.format.is_none()) {
            return refused("polygons of Mission Planner are a file each: --format poly --output DIRECTORY");
        }
        if format == Format::GeoPackage && self.output == Path::new("-") {
            return refused("a GeoPackage is a database and no stream: name a file with --output");
        }
        Ok(())
    }

    fn layer(&self) -> &str {
        // clap demands one.
        self.layers.first().map_or("", String::as_str)
    }

    fn stream(&self, state: &Path, format: Format, filter: Filter) -> Result<Exported, CliError> {
        let mut out = Output::create(&self.output)?;
        let name =
            if self.output == Path::new("-") { Path::new("standard output") } else { self.output.as_path() };
        let inclusion = self.inclusion.unwrap_or(false);
        let settings = Settings { format, inclusion, now: SystemTime::now(), filter };
        let exported = export(state, self.layer(), &settings, &mut out, name)?;
        out.finish()?;
        Ok(exported)
    }

    fn gpkg(&self, state: &Path, filter: &Filter) -> Result<Exported, CliError> {
        if self.append && self.output.is_file() {
            return Ok(export_gpkg(state, &self.layers, filter, &self.output, true)?);
        }
        let no_file = || {
            let path = self.output.display();
            CliError::Usage(format!("{path}: a GeoPackage is a file, in a directory that you may write to"))
        };
        // Before it is opened: a pipe would wait for its reader.
        if self.output.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Err(no_file());
        }
        let out = Output::create(&self.output)?;
        let temporary = out.temporary().ok_or_else(no_file)?;
        check_nobody_has_it_open(&self.output)?;
        let exported =
            export_gpkg(state, &self.layers, filter, temporary, false).map_err(|error| match error {
                ExportError::Database { problem, .. } => {
                    ExportError::Database { path: self.output.clone(), problem }
                }
                other => other,
            })?;
        out.finish()?;
        Ok(exported)
    }

    /// A directory that appears under its name when all its files are there.
    fn poly(&self, state: &Path, filter: &Filter) -> Result<Exported, CliError> {
        let failed = |source| CliError::Output { path: self.output.clone(), source };
        let name = self.output.file_name().ok_or_else(|| {
            CliError::Usage(format!("{}: names no directory to create", self.output.display()))
        })?;
        // Polygons of an earlier export would look like those of this one.
        if self.output.symlink_metadata().is_ok() && !is_empty_directory(&self.output) {
            let text = "is there already, and not empty; choose another directory, or remove it first";
            return Err(CliError::Usage(format!("{}: {text}", self.output.display())));
        }
        let parent = self.output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = Unfinished::directory(&parent.join(unfinished_name(name)));
        fs::create_dir(unfinished.path()).map_err(failed)?;
        let exported = export_poly(state, self.layer(), filter, unfinished.path())?;
        sync_dir(unfinished.path()).map_err(failed)?;
        fs::rename(unfinished.path(), &self.output).map_err(failed)?;
        unfinished.done();
        sync_dir(parent).map_err(failed)?;
        Ok(exported)
    }
}

fn is_empty_directory(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// SQLite keeps a journal beside a database that is open. A file in the place of the old one would be taken for the one
/// that the journal belongs to.
fn check_nobody_has_it_open(path: &Path) -> Result<(), CliError> {
    let Ok(file) = path.canonicalize() else { return Ok(()) };
    for suffix in ["-wal", "-journal"] {
        let mut journal = file.clone().into_os_string();
        journal.push(suffix);
        if Path::new(&journal).exists() {
            let problem = format!(
                "another program has it open ({} is there); close it there, or use --append",
                Path::new(&journal).display()
            );
            return Err(ExportError::Database { path: path.to_owned(), problem }.into());
        }
    }
    Ok(())
}

/// Refuses to write over what the service keeps: saved objects that are there once.
fn check_not_of_the_state(output: &Path, state: &Path) -> Result<(), CliError> {
    // A link is written through to where it leads.
    let (Ok(output_is), Ok(state)) = (written_at(output), state.canonicalize()) else { return Ok(()) };
    let is_a_layer = state.join("layers").canonicalize().is_ok_and(|layers| output_is.starts_with(layers));
    let name = output_is.file_name().unwrap_or_default().to_string_lossy();
    let is_kept = output_is.parent() == Some(&state) && KEPT.iter().any(|kept| name.starts_with(kept));
    if is_a_layer || is_kept {
        let text = "is where the service keeps its state, which would be lost; name a file elsewhere";
        return Err(CliError::Usage(format!("--output {} {text}", output.display())));
    }
    Ok(())
}

/// Files in the state directory beside the layers, and what is set aside of them.
const KEPT: [&str; 4] =
    [crate::store::FILE_NAME, crate::cot::LEDGER_NAME, COMPARED_NAME, crate::service::ATTEMPTS_NAME];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const FEATURE: &str = "{\"type\":\"Feature\",\"id\":\"a\",\"geometry\":{\"type\":\"Polygon\",\"coordinates\":\
        [[[9,47],[9.1,47],[9.1,47.1],[9,47]]]},\"properties\":{}}\n";

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

    fn state(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let layers = dir.path().join("layers");
        fs::create_dir(&layers).unwrap();
        fs::write(layers.join("ponds.geojsonl"), text).unwrap();
        dir
    }

    #[test]
    fn an_export_replaces_its_file_only_when_it_is_whole() {
        let dir = state("{\"type\":\"Feature\",\"id\":\"a\"}\nbad\n");
        let out = dir.path().join("out.kml");
        fs::write(&out, "old").unwrap();
        let path = out.to_str().unwrap();
        let error = run(dir.path(), &["roads", "--format", "kml", "-o", path]).unwrap_err();
        assert!(error.to_string().contains("no layer roads"), "{error}");
        assert_eq!(fs::read(&out).unwrap(), b"old");
        let exported = run(dir.path(), &["ponds", "--format", "kml", "-o", path]).unwrap();
        assert_eq!((exported.features, exported.skipped, exported.unread.len()), (1, 0, 1));
        assert!(fs::read_to_string(&out).unwrap().starts_with("<?xml"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing left over");
        let error = run(dir.path(), &["ponds", "-o", "/nowhere/out.geojson"]).unwrap_err().to_string();
        assert!(error.contains("cannot write /nowhere/out.geojson"), "{error}");
    }

    #[test]
    fn a_layer_of_which_nothing_can_be_read_leaves_the_earlier_export() {
        let dir = state("{\"type\":\"FeatureCollection\",\"features\":[]}\n");
        for name in ["out.geojson", "out.geojsonl", "out.kml", "out.wpl"] {
            let out = dir.path().join(name);
            fs::write(&out, "old").unwrap();
            let error = run(dir.path(), &["ponds", "-o", out.to_str().unwrap()]).unwrap_err();
            let told = error.to_string();
            assert!(told.contains("line 1, it is a FeatureCollection") && error.status() == 1, "{told}");
            assert!(told.contains("ogr2ogr -f GeoJSONSeq") && told.contains("nothing is written"), "{told}");
            assert_eq!(fs::read(&out).unwrap(), b"old");
        }
    }

    #[test]
    fn the_configuration_says_where_the_state_is() {
        let dir = state(FEATURE);
        let config = dir.path().join("edge.toml");
        fs::write(&config, format!("state = {:?}\n", dir.path().to_str().unwrap())).unwrap();
        let out = dir.path().join("out.geojson");
        let words = ["export", "ponds", "--config", config.to_str().unwrap(), "-o", out.to_str().unwrap()];
        assert_eq!(Line::try_parse_from(words).unwrap().export.run().unwrap().features, 1);
        fs::write(&config, "stat = 1\n").unwrap();
        let error = Line::try_parse_from(words).unwrap().export.run().unwrap_err();
        assert!(error.to_string().contains("edge.toml"), "{error}");
    }

    #[test]
    fn formats_have_the_names_that_people_know() {
        for format in
            ["geojson", "geojsonl", "kml", "kmz", "flatgeobuf", "gpkg", "plan", "poly", "wpl", "cot"]
        {
            assert!(Line::try_parse_from(["export", "ponds", "--format", format]).is_ok(), "{format}");
        }
        assert!(Line::try_parse_from(["export", "ponds", "--format", "shp"]).is_err());
    }

    #[test]
    fn without_a_format_the_ending_of_the_file_says_it() {
        let dir = state(FEATURE);
        let head = |name: &str| {
            let path = dir.path().join(name);
            run(dir.path(), &["ponds", "-o", path.to_str().unwrap()]).unwrap();
            fs::read(path).unwrap().into_iter().take(15).collect::<Vec<u8>>()
        };
        assert_eq!(head("a.KML"), b"<?xml version=\"");
        assert_eq!(head("a.kmz")[..2], *b"PK");
        assert_eq!(head("a.wpl"), b"QGC WPL 110\n0\t0");
        assert_eq!(head("a.plan"), b"{\"fileType\":\"Pl");
        assert_eq!(head("a.jsonl"), b"{\"type\":\"Featur");
        for plain in ["a.geojson", "a.json", "a.out", "a"] {
            assert_eq!(head(plain), b"{\"type\":\"Featur", "{plain}");
        }
        for (other, told) in [
            ("a.shp", "not written as .shp"),
            ("a.geojson.gz", "not written as .gz"),
            ("a.topojson", "not written as .topojson"),
            ("a.xml", "not written as .xml"),
            ("a.poly", "--format poly --output DIRECTORY"),
        ] {
            let path = dir.path().join(other);
            let error = run(dir.path(), &["ponds", "-o", path.to_str().unwrap()]).unwrap_err();
            assert!(error.to_string().contains(told) && error.status() == 2, "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_flag_of_another_format_is_refused() {
        let dir = state(FEATURE);
        for (words, told) in [
            (&["ponds", "--inclusion", "true"][..], "--format plan or wpl"),
            (&["ponds", "--append", "-o", "a.kml"], "for GeoPackages"),
            (&["ponds", "fields"], "several layers"),
            (&["ponds", "--format", "gpkg"], "name a file"),
            (&["ponds", "--format", "poly"], "--output DIRECTORY"),
            (&["ponds", "-o", "a.kml", "--qgis-project", "a.qgs", "--folder", "f"], "shows a GeoPackage"),
            (&["ponds", "-o", "a.gpkg", "--qgis-project", "a.qgz", "--folder", "f"], "written as .qgs"),
        ] {
            let error = run(dir.path(), words).unwrap_err();
            assert!(error.to_string().contains(told) && error.status() == 2, "{error}");
        }
    }

    #[cfg(feature = "gpkg")]
    #[test]
    fn a_project_shows_the_layers_over_raster_and_chips() {
        let dir = state(FEATURE);
        let (package, project) = (dir.path().join("card.gpkg"), dir.path().join("card.qgs"));
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/demo/features");
        let words = ["ponds", "-o", package.to_str().unwrap(), "--qgis-project", project.to_str().unwrap()];
        run(dir.path(), &[&words[..], &["--folder", folder]].concat()).unwrap();
        let text = fs::read_to_string(&project).unwrap();
        for told in [
            "<datasource>./card.gpkg|layername=ponds</datasource>",
            "<datasource>./card-chips.geojson</datasource>",
            "/models/demo/scene.tif</datasource>",
            "<authid>EPSG:32632</authid>",
            "<xmin>512000</xmin><ymin>5277232</ymin><xmax>513024</xmax><ymax>5278000</ymax>",
        ] {
            assert!(text.contains(told), "{told} in {text}");
        }
        let chips = fs::read_to_string(dir.path().join("card-chips.geojson")).unwrap();
        let chips: serde_json::Value = serde_json::from_str(&chips).unwrap();
        assert_eq!(chips["features"].as_array().unwrap().len(), 6);
        assert_eq!(chips["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::32632");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing left over");
    }

    #[test]
    fn polygons_go_into_a_directory_that_has_nothing_else() {
        let dir = state(FEATURE);
        let out = dir.path().join("polygons");
        let words = ["ponds", "--format", "poly", "-o", out.to_str().unwrap()];
        fs::create_dir(&out).unwrap();
        assert_eq!(run(dir.path(), &words).unwrap().features, 1);
        let text = fs::read_to_string(out.join("ponds-1.poly")).unwrap();
        assert_eq!(text, "#saved by geosam-edge: a\n47 9\n47 9.1\n47.1 9.1\n");
        let error = run(dir.path(), &words).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        fs::write(dir.path().join("layers/ponds.geojsonl"), "").unwrap();
        let other = dir.path().join("other");
        let words = ["ponds", "--format", "poly", "-o", other.to_str().unwrap()];
        let error = run(dir.path(), &words).unwrap_err().to_string();
        assert!(error.contains("it is empty") && !other.exists(), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing left over");
    }

    #[test]
    fn what_the_service_keeps_is_never_written_over() {
        let state = state(FEATURE);
        let layer = state.path().join("layers/ponds.geojsonl");
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link.geojsonl");
        std::os::unix::fs::symlink(&layer, &link).unwrap();
        let dangling = elsewhere.path().join("dangling.geojsonl");
        std::os::unix::fs::symlink(state.path().join("layers/later.geojsonl"), &dangling).unwrap();
        fs::write(state.path().join("state.redb"), "rows").unwrap();
        for output in
            [&layer, &link, &dangling, &state.path().join("layers/new.kml"), &state.path().join("state.redb")]
        {
            let error = run(state.path(), &["ponds", "--id", "none", "--output", output.to_str().unwrap()])
                .unwrap_err();
            assert!(error.status() == 2 && error.to_string().contains("keeps its state"), "{error}");
        }
        assert_eq!(fs::read_to_string(&layer).unwrap(), FEATURE);
        assert_eq!(fs::read_to_string(state.path().join("state.redb")).unwrap(), "rows");
        let beside = state.path().join("ponds.kml");
        run(state.path(), &["ponds", "--output", beside.to_str().unwrap()]).unwrap();
        assert!(beside.exists());
    }
}
