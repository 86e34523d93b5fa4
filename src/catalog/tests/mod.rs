//! Folders as they lie on a card.

mod choosing;
mod corpus_folders;
mod files;
mod finding;
mod pixels;
mod summary;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::testing::{ManifestBuilder, Row, corpus, grid_rows, polygon_wkb};
use super::*;
use crate::geo::{Affine, Bounds};
use crate::{ErrorCode, Family};

fn open_all(path: &Path) -> Vec<Folder> {
    let discovery = Folder::discover(path).unwrap();
    assert!(discovery.problems.is_empty(), "{:?}", discovery.problems);
    discovery.folders
}

fn open_one(path: &Path) -> Folder {
    let mut folders = open_all(path);
    assert_eq!(folders.len(), 1);
    folders.remove(0)
}

fn folder_of(rows: Vec<Row>) -> (tempfile::TempDir, Folder) {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(rows).write(card.path());
    let folder = open_one(card.path());
    (card, folder)
}

fn touch(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"features").unwrap();
}

fn points(points: &[(f64, f64)]) -> PromptGeometry {
    PromptGeometry { points: points.to_vec(), bbox: None }
}

fn bbox(bbox: [f64; 4]) -> PromptGeometry {
    PromptGeometry { points: vec![], bbox: Some(bbox.into()) }
}
