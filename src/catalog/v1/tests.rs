//! Folders of Geo-SAM v1, their index fresh, stale or gone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::ErrorCode;
use crate::catalog::testing::V1Tiff;
use crate::catalog::{CatalogError, Folder, PromptGeometry};
use crate::geo::{Affine, Bounds};

const NAME: &str = "sam_feat_vit_l_bands_1_2_3_0123456789abcdef";

/// Bounds of chip `i`: 1024 pixels of 10 m, every 512 pixels eastwards.
fn bounds(i: usize) -> [f64; 4] {
    let west = 500_000.0 + 5_120.0 * i as f64;
    [west, 4_000_000.0, west + 10_240.0, 4_010_240.0]
}

fn file(i: usize) -> String {
    format!("sam_feat_vit_l_{i:064}.tif")
}

/// A CSV as the encoder writes it, with these rows.
fn index(rows: impl IntoIterator<Item = usize>) -> String {
    let mut csv = ",minx,maxx,miny,maxy,mint,maxt,filepath,crs,res,model_type\n".to_owned();
    for i in rows {
        let [w, s, e, n] = bounds(i);
        writeln!(csv, "{i},{w},{e},{s},{n},0.0,9.223372036854776e+18,{},EPSG:32647,10.0,vit_l", file(i))
            .unwrap();
    }
    csv
}

fn card(files: usize, csv: Option<&str>) -> tempfile::TempDir {
    let card = tempfile::tempdir().unwrap();
    let directory = card.path().join(NAME);
    fs::create_dir(&directory).unwrap();
    for i in 0..files {
        let mut tiff = V1Tiff::new(bounds(i));
        tiff.tags[2].1 = "vit_l".to_owned();
        tiff.write(&directory.join(file(i)));
    }
    if let Some(csv) = csv {
        fs::write(directory.join(format!("{NAME}.csv")), csv).unwrap();
    }
    card
}

fn open(card: &Path) -> Folder {
    let discovery = Folder::discover(card).unwrap();
    discovery.into_folders().unwrap().remove(0)
}

fn assert_is_row_of_chips(folder: &Folder, count: usize) {
    assert!(folder.is_v1());
    assert_eq!((folder.checkpoint(), folder.family()), ("sam_l.pt", crate::Family::Sam));
    assert_eq!((folder.crs().epsg, folder.len()), (Some(32647), count));
    for (i, chip) in folder.chips().enumerate() {
        let [w, s, e, n] = bounds(i);
        assert_eq!(format!("{}.tif", chip.id), file(i));
        assert_eq!(chip.footprint.bounds, Bounds::new(w, s, e, n));
        assert_eq!((chip.shape, chip.dst_shape), ((1024, 1024), (1024, 1024)));
        assert_eq!(chip.affine, Affine::new([10.0, 0.0, w, 0.0, -10.0, n]));
        assert_eq!(chip.path(), folder.root().join(file(i)));
    }
}

#[test]
fn the_index_tells_the_chips_and_the_same_is_read_off_the_files() {
    for csv in [Some(index(0..3)), None] {
        let card = card(3, csv.as_deref());
        let folder = open(card.path());
        assert_is_row_of_chips(&folder, 3);
        let summary = folder.summary();
        assert_eq!((summary.missing.count, summary.stride, summary.v1), (0, [Some(512), None], true));
        assert_eq!(open(&card.path().join(NAME)).len(), 3);
    }
}

#[test]
fn files_beside_a_stale_index_count() {
    // Chip 1 twice, chip 2 not at all, chip 3 without its file.
    let card = card(3, Some(&index([0, 1, 1, 3])));
    fs::write(card.path().join(NAME).join("notes.tif"), b"not a raster").unwrap();
    let mut other = V1Tiff::new(bounds(9));
    other.bands = 3;
    other.write(&card.path().join(NAME).join("source.tif"));
    let folder = open(card.path());
    assert_is_row_of_chips(&folder, 3);
    assert_eq!(folder.absent_v1_files(), [file(3), "notes.tif".to_owned()]);
    let summary = folder.summary();
    assert_eq!((summary.missing.count, summary.missing.first), (2, vec![file(3), "notes.tif".to_owned()]));
}

#[test]
fn absolute_paths_of_windows_and_a_renamed_folder_are_found() {
    let csv = index(0..2).replace("sam_feat_vit_l_0", r"C:\features\sam_feat_vit_l_0");
    let card = card(2, Some(&csv));
    let renamed = card.path().join("north");
    fs::rename(card.path().join(NAME), &renamed).unwrap();
    let folder = open(&renamed);
    assert_is_row_of_chips(&folder, 2);
    assert_eq!(folder.manifest(), renamed.join(format!("{NAME}.csv")));
    assert_is_row_of_chips(&open(folder.manifest()), 2);
}

#[test]
fn an_index_rewritten_by_the_plugin_tells_tokens_and_the_file_tells_pixels() {
    // The plugin has no column model_type and writes the resolution of the feature file.
    let csv = index(0..2).replace(",model_type", "").replace(",vit_l\n", "\n").replace(",10.0\n", ",160.0\n");
    let card = card(2, Some(&csv));
    assert_is_row_of_chips(&open(card.path()), 2);
}

#[test]
fn a_small_raster_has_a_chip_of_its_own_shape() {
    let [w, s, ..] = bounds(0);
    let small = [w, s, w + 7_000.0, s + 5_000.0];
    let directory = tempfile::tempdir().unwrap();
    let mut tiff = V1Tiff::new(small);
    tiff.tags[0].1 = "(3, 500, 700)".to_owned();
    tiff.write(&directory.path().join("sam_feat_vit_b_0.tif"));
    let folder = open(directory.path());
    let chip = folder.chip(0).unwrap();
    assert_eq!((chip.shape, folder.checkpoint()), ((500, 700), "sam_b.pt"));
    assert_eq!(chip.affine, Affine::new([10.0, 0.0, w, 0.0, -10.0, s + 5_000.0]));
}

#[test]
fn chips_are_chosen_by_meeting_the_prompt_not_by_covering_it() {
    let card = card(3, Some(&index(0..3)));
    let folder = open(card.path());
    let prompt =
        |[w, s, e, n]: [f64; 4]| PromptGeometry { points: vec![], bbox: Some(Bounds::new(w, s, e, n)) };
    // Covered by none: the middle is at the centre of chip 1.
    let wide = prompt([499_000.0, 4_001_000.0, 521_480.0, 4_002_000.0]);
    assert_eq!(folder.choose(&wide).unwrap(), 1);
    assert!(matches!(
        folder.chip(1).unwrap().box_to_pixel(&wide.bbox.unwrap()),
        Err(CatalogError::OutsideChip { .. })
    ));
    // Touching is meeting.
    assert_eq!(folder.choose(&prompt([499_000.0, 4_001_000.0, 500_000.0, 4_002_000.0])).unwrap(), 0);
    // Points: near the middle of their bounds, not near their mean.
    let points = vec![(505_000.0, 4_005_000.0), (505_000.0, 4_005_000.0), (511_000.0, 4_005_000.0)];
    let crowd = PromptGeometry { points, bbox: None };
    assert_eq!(folder.choose(&crowd).unwrap(), 1);
    let far = prompt([400_000.0, 4_001_000.0, 400_001.0, 4_002_000.0]);
    assert_eq!(folder.choose(&far).unwrap_err().code(), ErrorCode::NoChipCovers);
}

#[test]
fn other_directories_of_rasters_and_tables_are_no_folders() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("points.csv"), "id,x,y\n1,2,3\n").unwrap();
    let mut rgb = V1Tiff::new(bounds(0));
    rgb.bands = 3;
    rgb.write(&directory.path().join("rgb.tif"));
    let error = Folder::discover(directory.path()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownFolder);
}

#[test]
fn what_is_wrong_with_an_index_is_told_by_row() {
    for (change, word) in [
        (("500000,", "x,"), "row 0: minx is \"x\", not a finite number"),
        (("510240,", "1,"), "row 0: maxx or maxy is not greater"),
        (
            ("EPSG:32647,10.0,vit_l\n1,", "EPSG:32648,10.0,vit_l\n1,"),
            "crs is EPSG:32648 in row 0 and EPSG:32647 in row 1",
        ),
        ((",vit_l\n1,", ",vit_h\n1,"), "model_type is sam_h.pt in row 0 and sam_l.pt in row 1"),
    ] {
        let (from, to) = change;
        let card = card(2, Some(&index(0..2).replacen(from, to, 1)));
        let error = Folder::discover(card.path()).unwrap().into_folders().unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.code(), ErrorCode::FolderNotReady);
    }
}

#[test]
fn a_folder_that_names_no_model_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut tiff = V1Tiff::new(bounds(0));
    tiff.tags.pop();
    tiff.write(&directory.path().join("chip.tif"));
    let error = Folder::discover(directory.path()).unwrap().into_folders().unwrap_err();
    assert!(matches!(error, CatalogError::V1ModelUnknown { .. }), "{error}");
}

#[test]
fn a_file_that_tells_no_pixels_is_refused() {
    for shape in ["(3, 0, 700)", "(3, 1024, 99999999)"] {
        let directory = tempfile::tempdir().unwrap();
        let mut tiff = V1Tiff::new(bounds(0));
        tiff.tags[0].1 = shape.to_owned();
        tiff.write(&directory.path().join("sam_feat_vit_b_0.tif"));
        let error = Folder::discover(directory.path()).unwrap().into_folders().unwrap_err();
        assert!(error.to_string().contains("it says that its chip has"), "{error}");
    }
}
