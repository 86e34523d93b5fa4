//! What the page must see of the folders, as JSON. Everything here may look at cards, so it is called from threads that
//! may wait.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rasters::Rasters;
use crate::engine::ServedFolder;
use crate::geo::{Crs, Transform};
use crate::picture::{TILE, TiledRaster};
use crate::service::ShownFolder;

/// Most chips whose places are told.
const MOST_CHIPS: usize = 50_000;
/// Most numbers of one question about positions.
const MOST_NUMBERS: usize = 400_000;

/// `GET /api/folders`. `geopackage_bytes` is how many bytes of objects are made into a GeoPackage, where that is possible.
pub(super) fn list(
    root: &str,
    device: &str,
    geopackage_bytes: Option<usize>,
    folders: &[ShownFolder],
    rasters: &Rasters,
) -> String {
    let told: Vec<Value> = folders.iter().map(|folder| tell(folder, rasters)).collect();
    let mut list = json!({"root": root, "device": device, "folders": told});
    if let Some(most) = geopackage_bytes {
        list["geopackage_bytes"] = most.into();
    }
    list.to_string()
}

fn tell(shown: &ShownFolder, rasters: &Rasters) -> Value {
    let mut told = json!({"name": shown.name, "ready": shown.problem.is_none()});
    if let Some(problem) = &shown.problem {
        told["problem"] = problem.clone();
    }
    let Some(served) = &shown.folder else { return told };
    let folder = &served.folder;
    told["model"] = folder.checkpoint().into();
    told["refine"] = shown.takes_masks.into();
    told["crs"] = serde_json::to_value(folder.crs()).unwrap_or_default();
    told["extent"] = json!(<[f64; 4]>::from(folder.extent()));
    if let Some(chip) = folder.chip(0) {
        let (width, height) = chip.affine.pixel_size();
        told["pixel_size"] = json!([width, height]);
    }
    match rasters.of(&shown.name, served) {
        Ok(raster) => told["raster"] = grid(&raster),
        Err(problem) => told["raster_problem"] = problem.into(),
    }
    told
}

/// The grid of a raster's tiles.
fn grid(raster: &TiledRaster) -> Value {
    let (width, height) = raster.size();
    let affine = raster.affine();
    let mut grid = json!({
        "width": width,
        "height": height,
        "affine": [affine.a, affine.b, affine.c, affine.d, affine.e, affine.f],
        "tile": TILE,
        "levels": raster.levels(),
        "version": Rasters::version(raster),
    });
    if let Some(progress) = raster.progress().filter(|&progress| progress < 1.0) {
        grid["progress"] = progress.into();
    }
    grid
}

/// `GET /api/folders/<name>/chips.geojson`: footprints in the folder's CRS.
pub(super) fn chips(served: &ServedFolder) -> String {
    let mut text = String::from(r#"{"type":"FeatureCollection","features":["#);
    for (index, chip) in served.folder.chips().take(MOST_CHIPS).enumerate() {
        let corners = chip.footprint.bounds.corners().map(|(x, y)| [x, y]);
        let mut ring = chip.footprint.ring.unwrap_or(&corners).to_vec();
        ring.extend(ring.first().copied());
        let feature = json!({
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"id": chip.id},
        });
        // Writing to a text cannot fail.
        let _ = write!(text, "{}{feature}", if index == 0 { "" } else { "," });
    }
    text + "]}"
}

/// `POST /api/folders/<name>/from-wgs84`: longitude, latitude, longitude, ... to x, y, x, ... of the folder's CRS; nulls
/// for a position that it does not have.
///
/// # Errors
/// Says what is wrong with the question, or with the folder's CRS.
pub(super) fn from_wgs84(served: &ServedFolder, question: &[u8]) -> Result<String, String> {
    let wanted = "send a JSON array of longitude, latitude, longitude, latitude, and so on";
    let numbers: Vec<f64> = serde_json::from_slice(question).map_err(|_| wanted.to_owned())?;
    if !numbers.len().is_multiple_of(2) || numbers.len() > MOST_NUMBERS {
        return Err(format!("{wanted}, at most {MOST_NUMBERS} numbers"));
    }
    let crs = served.crs().map_err(|error| error.to_string())?;
    let transform = Transform::new(&Crs::wgs84(), crs).map_err(|error| error.to_string())?;
    let position = |pair: &[f64]| match pair {
        &[longitude, latitude] => transform.point(longitude, latitude).ok(),
        _ => None,
    };
    let positions = numbers.chunks_exact(2).map(position);
    let flat: Vec<Option<f64>> = positions.flat_map(|p| [p.map(|(x, _)| x), p.map(|(_, y)| y)]).collect();
    serde_json::to_string(&flat).map_err(|error| error.to_string())
}
