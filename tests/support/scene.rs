//! The demo scene and what is true of it: outlines of its objects, and answers as outlines.

use std::path::{Path, PathBuf};

use geo::{BoundingRect, Coord, LineString, MultiPolygon, Polygon};
use geosam_edge::catalog::{ChipRef, Folder};
use geosam_edge::geo::{Bounds, Crs, Transform};
use serde_json::Value;

pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo")
}

/// An object of the scene; everything in metres of the scene's CRS.
pub struct Object {
    pub kind: String,
    pub inside: (f64, f64),
    pub outline: MultiPolygon,
}

impl Object {
    pub fn bounds(&self) -> Bounds {
        let rect = self.outline.bounding_rect().expect("an object has an outline");
        Bounds::new(rect.min().x, rect.min().y, rect.max().x, rect.max().y)
    }
}

pub struct Scene {
    pub folder: Folder,
    pub objects: Vec<Object>,
}

impl Scene {
    pub fn open() -> Self {
        let folder = Folder::discover(&demo().join("features")).unwrap().into_folders().unwrap().remove(0);
        let to_utm = Transform::new(&Crs::wgs84(), &Crs::from_epsg(32632).unwrap()).unwrap();
        let truth: Value =
            serde_json::from_slice(&std::fs::read(demo().join("truth.geojson")).unwrap()).unwrap();
        let objects = truth["features"].as_array().unwrap().iter().map(|feature| Object {
            kind: feature["properties"]["kind"].as_str().unwrap().to_owned(),
            inside: position(&feature["properties"]["inside"], Some(&to_utm)),
            outline: outline(&feature["geometry"], Some(&to_utm)),
        });
        Self { objects: objects.collect(), folder }
    }

    pub fn of_kind(&self, kind: &str) -> Vec<&Object> {
        self.objects.iter().filter(|object| object.kind == kind).collect()
    }

    pub fn extent(&self) -> Bounds {
        self.folder.chips().map(|chip| footprint(&chip)).reduce(|all, chip| all.union(&chip)).unwrap()
    }

    /// The bounds of an object, as far as the scene reaches.
    pub fn box_of(&self, object: &Object) -> Bounds {
        let (bounds, scene) = (object.bounds(), self.extent());
        Bounds::new(
            bounds.min_x.max(scene.min_x),
            bounds.min_y.max(scene.min_y),
            bounds.max_x.min(scene.max_x),
            bounds.max_y.min(scene.max_y),
        )
    }
}

pub fn footprint(chip: &ChipRef) -> Bounds {
    let (height, width) = (chip.shape.0 as f64, chip.shape.1 as f64);
    let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
    Bounds::around(corners.map(|(col, row)| chip.affine.apply(col, row))).unwrap()
}

pub fn position(value: &Value, to: Option<&Transform>) -> (f64, f64) {
    let (x, y) = (value[0].as_f64().unwrap(), value[1].as_f64().unwrap());
    to.map_or((x, y), |to| to.point(x, y).unwrap())
}

pub fn outline(geometry: &Value, to: Option<&Transform>) -> MultiPolygon {
    let ring = |ring: &Value| -> LineString {
        let positions = ring.as_array().unwrap().iter();
        positions.map(|p| Coord::from(position(p, to))).collect()
    };
    let polygon = |rings: &Value| {
        let mut rings: Vec<LineString> = rings.as_array().unwrap().iter().map(ring).collect();
        Polygon::new(rings.remove(0), rings)
    };
    let coordinates = &geometry["coordinates"];
    if geometry["type"] == "Polygon" {
        return polygon(coordinates).into();
    }
    assert_eq!(geometry["type"], "MultiPolygon");
    MultiPolygon::new(coordinates.as_array().unwrap().iter().map(polygon).collect())
}

pub fn mask_of(answer: &Value) -> MultiPolygon {
    let features = answer["result"]["features"].as_array().unwrap();
    features.iter().flat_map(|feature| outline(&feature["geometry"], None)).collect()
}

/// A folder of the two chips that abut, in the manifest's order or the other way round.
pub fn abutting(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/abutting/{manifest}.parquet"));
    std::fs::copy(manifest, folder.path().join("manifest.parquet")).unwrap();
    std::fs::create_dir(folder.path().join("features")).unwrap();
    for chip in ["chip_000000.pt", "chip_000002.pt"] {
        let from = demo().join("features/features").join(chip);
        std::fs::copy(from, folder.path().join("features").join(chip)).unwrap();
    }
    folder
}

/// Bounds of the chips of a folder, in its CRS.
pub fn extent_of(folder: &Path) -> Bounds {
    let folder = Folder::discover(folder).unwrap().into_folders().unwrap().remove(0);
    folder.chips().map(|chip| footprint(&chip)).reduce(|all, chip| all.union(&chip)).unwrap()
}
