//! `export --qgis-project`: what lies in a QGIS project, and where from there. Its text is made in `layers::export`.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::CliError;
use super::footprint::{corners, only_folder};
use super::output::{Output, note};
use crate::catalog::Folder;
use crate::layers::export::{Project, qgis_project};
use crate::picture::{Wanted, rasters_beside};

/// Checks the name of a project: QGIS knows projects by their ending.
///
/// # Errors
/// Another ending than `.qgs`.
pub(super) fn check(path: &Path) -> Result<(), CliError> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("qgs")) {
        return Ok(());
    }
    Err(CliError::Usage(format!("{}: a QGIS project is written as .qgs", path.display())))
}

/// Writes a project with tables of a GeoPackage over the raster and the chips of a folder; the chips' outlines are a file
/// beside it. Both files are replaced where they are there.
///
/// # Errors
/// A folder that cannot be read or has a CRS without a code, names that are no text, or a file that cannot be written.
pub(super) fn write(path: &Path, package: &Path, layers: &[String], folder: &Path) -> Result<(), CliError> {
    let folder = only_folder(folder)?;
    let epsg = folder.crs().epsg.ok_or_else(|| {
        CliError::Usage(format!(
            "{} has a CRS without an EPSG code: add the GeoPackage to QGIS by hand",
            folder.name()
        ))
    })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = directory.canonicalize().map_err(CliError::file(directory))?;
    let seen = |file: &Path| {
        let whole = file.canonicalize().map_err(CliError::file(file))?;
        text(seen_from(&directory, &whole).as_os_str())
    };

    let title = text(path.file_stem().unwrap_or_default())?;
    let chips = path.with_file_name(format!("{title}-chips.geojson"));
    let mut out = Output::create(&chips)?;
    out.text(&outlines(&folder, epsg).to_string())?;
    out.finish()?;

    let raster = raster(&folder).as_deref().map(seen).transpose()?;
    if raster.is_none() {
        note(&"the project has no raster: copy it beside the folder, and export again");
    }
    let (package, chips, extent) = (seen(package)?, seen(&chips)?, folder.extent());
    let project = Project {
        title: &title,
        epsg,
        view: [extent.min_x, extent.min_y, extent.max_x, extent.max_y],
        package: &package,
        layers,
        chips: Some(&chips),
        raster: raster.as_deref(),
    };
    let mut out = Output::create(path)?;
    out.bytes(qgis_project(&project).as_bytes())?;
    out.finish()
}

/// The outlines of all chips in the folder's CRS, which the member `crs` of GeoJSON 2008 names, as GDAL reads it.
fn outlines(folder: &Folder, epsg: u32) -> Value {
    let features: Vec<Value> = folder
        .chips()
        .map(|chip| {
            let [a, b, c, d] = corners(&chip);
            let ring = [a, b, c, d, a].map(|(x, y)| [x, y]);
            json!({
                "type": "Feature",
                "properties": {"chip_id": chip.id},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            })
        })
        .collect();
    let crs = json!({"type": "name", "properties": {"name": format!("urn:ogc:def:crs:EPSG::{epsg}")}});
    json!({"type": "FeatureCollection", "crs": crs, "features": features})
}

/// The raster that `segment --overlay` shows.
fn raster(folder: &Folder) -> Option<PathBuf> {
    let wanted = Wanted { epsg: folder.crs().epsg, names: folder.raster_names() };
    let found = rasters_beside(folder.root(), &folder.chip(0)?, wanted);
    found.candidates.into_iter().next().map(|candidate| candidate.path)
}

/// A file as seen from a directory: all of a card can be moved together. Both are absolute.
fn seen_from(directory: &Path, file: &Path) -> PathBuf {
    let (mut from, mut to) = (directory.components().peekable(), file.components().peekable());
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let way: PathBuf = from.map(|_| Component::ParentDir).chain(to).collect();
    Path::new(".").join(way)
}

fn text(name: &OsStr) -> Result<String, CliError> {
    let told = || CliError::Usage(format!("{}: QGIS projects hold only names that are text", name.display()));
    name.to_str().map(str::to_owned).ok_or_else(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_seen_from_the_project() {
        let from = |directory: &str, file: &str| {
            seen_from(Path::new(directory), Path::new(file)).to_str().unwrap().to_owned()
        };
        assert_eq!(from("/card", "/card/ponds.gpkg"), "./ponds.gpkg");
        assert_eq!(from("/card/out", "/card/valley/scene.tif"), "./../valley/scene.tif");
        assert_eq!(from("/home/u", "/card/scene.tif"), "./../../card/scene.tif");
        assert_eq!(from("/", "/scene.tif"), "./scene.tif");
    }

    #[test]
    fn a_project_is_known_by_its_ending() {
        assert!(check(Path::new("a/card.QGS")).is_ok());
        for other in ["card.qgz", "card", "-"] {
            assert!(check(Path::new(other)).unwrap_err().to_string().contains("written as .qgs"));
        }
    }
}
