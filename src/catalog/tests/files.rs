//! Finding the chips' files.

use super::*;

#[test]
fn chips_of_a_moved_folder_are_found_in_every_layout() {
    for (row_path, on_card) in [
        ("/home/gis/out/layer/features/chip_000000.pt", "features/chip_000000.pt"),
        ("/home/gis/out/layer/features/chip_000000.pt", "layer/features/chip_000000.pt"),
        ("/home/gis/out/layer/features/chip_000000.pt", "chip_000000.pt"),
        (r"C:\Users\gis\out\layer\features\chip_000000.pt", "features/chip_000000.pt"),
        (r"C:\Users\gis\out\layer\features\chip_000000.pt", "layer/features/chip_000000.pt"),
        ("/home/gis/out/layer/feats/chip_000000.pt", "feats/chip_000000.pt"),
        ("/home/gis/out/layer/feats/chip_000000.pt", "features/chip_000000.pt"),
        ("features/other name.pt", "features/other name.pt"),
        ("chip.pt", "features/chip.pt"),
    ] {
        let card = tempfile::tempdir().unwrap();
        let mut rows = grid_rows(1, 1);
        rows[0].feature_path = Some(row_path.to_owned());
        ManifestBuilder::new(rows).write(card.path());
        let expected = card.path().join(on_card);
        touch(&expected);
        let folder = open_one(card.path());
        assert_eq!(folder.chip(0).unwrap().path(), expected, "{row_path}");
        assert_eq!(folder.presence().count_missing(), 0, "{row_path}");
    }
}

#[test]
fn chips_that_a_card_spells_in_upper_case_are_found() {
    for on_card in ["features/CHIP_1.PT", "FEATURES/CHIP_1.PT", "FEATURES/chip_1.pt", "CHIP_1.PT"] {
        let card = tempfile::tempdir().unwrap();
        let mut rows = grid_rows(1, 1);
        rows[0].feature_path = Some("/home/gis/out/layer/features/chip_1.pt".to_owned());
        let manifest = ManifestBuilder::new(rows).write(card.path());
        fs::rename(manifest, card.path().join("MANIFEST.PARQUET")).unwrap();
        let expected = card.path().join(on_card);
        touch(&expected);
        let folder = open_one(card.path());
        assert_eq!(folder.chip(0).unwrap().path(), expected);
        assert_eq!(folder.presence().count_missing(), 0, "{on_card}");
        // What is there as the manifest has it goes first.
        let as_is = card.path().join("features/chip_1.pt");
        touch(&as_is);
        assert_eq!(folder.chip(0).unwrap().path(), as_is);
    }
}

#[test]
fn the_layers_of_one_manifest_stay_apart() {
    let card = tempfile::tempdir().unwrap();
    let mut rows = grid_rows(2, 1);
    for (row, layer) in rows.iter_mut().zip(["north", "south"]) {
        row.chip_id = Some("chip_000000".to_owned());
        row.feature_path = Some(format!("/home/gis/{layer}/features/chip_000000.pt"));
        touch(&card.path().join(format!("{layer}/features/chip_000000.pt")));
    }
    // A file of the same name beside the manifest is neither of theirs.
    touch(&card.path().join("features/chip_000000.pt"));
    ManifestBuilder::new(rows).write(card.path());
    let folder = open_one(card.path());
    for (chip, layer) in folder.chips().zip(["north", "south"]) {
        assert_eq!(chip.path(), card.path().join(format!("{layer}/features/chip_000000.pt")));
    }
}

#[test]
fn a_file_that_two_chips_of_different_places_would_have_is_neither_ones() {
    let card = tempfile::tempdir().unwrap();
    let mut rows = grid_rows(3, 1);
    for (row, flight) in rows.iter_mut().zip(["A", "B", "A"]) {
        row.chip_id = Some("chip_000000".to_owned());
        row.feature_path = Some(format!("/home/me/{flight}/features/chip_000000.pt"));
    }
    rows[2].feature_path = Some("/home/me/A/features/chip_000002.pt".to_owned());
    ManifestBuilder::new(rows).write(card.path());
    for name in ["chip_000000.pt", "chip_000002.pt"] {
        touch(&card.path().join("features").join(name));
    }
    let folder = open_one(card.path());
    for (chip, [one, other]) in folder.chips().zip([["A", "B"], ["B", "A"]]) {
        let told = chip.file().unwrap_err().to_string();
        let words = format!("of {one}/features and of {other}/features");
        assert!(told.contains(&words), "{told}");
    }
    assert!(folder.summary().shared_file.unwrap().contains("chip_000000.pt"));
    folder.chip(2).unwrap().file().unwrap();
    // As the files of both would lie.
    for flight in ["A", "B"] {
        touch(&card.path().join(flight).join("features/chip_000000.pt"));
    }
    let folder = open_one(card.path());
    folder.chips().for_each(|chip| drop(chip.file().unwrap()));
    assert_eq!(folder.summary().shared_file, None);
}

#[test]
fn layers_of_one_raster_may_have_their_files_in_one_directory() {
    let card = tempfile::tempdir().unwrap();
    let mut rows: Vec<_> = (0..2).flat_map(|_| grid_rows(1, 1)).collect();
    for (row, layer) in rows.iter_mut().zip(["rgb", "nir"]) {
        row.feature_path = Some(format!("/home/me/{layer}/features/chip_000000.pt"));
    }
    ManifestBuilder::new(rows).write(card.path());
    touch(&card.path().join("features/chip_000000.pt"));
    open_one(card.path()).chips().for_each(|chip| drop(chip.file().unwrap()));
}

#[test]
fn missing_chips_are_counted_and_named_and_the_rest_stays_usable() {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(3, 1)).write(card.path());
    touch(&card.path().join("features/chip_000001.pt"));
    let mut folder = open_one(card.path());
    let summary = folder.summary();
    assert_eq!(summary.missing.count, 2);
    assert_eq!(summary.missing.first, ["chip_000000.pt", "chip_000002.pt"]);
    assert_eq!((summary.size_bytes, summary.size_is_estimate), (8, false));
    assert_eq!(folder.presence().missing().collect::<Vec<_>>(), [0, 2]);
    assert!(folder.presence().has(1));
    assert!(folder.chip(0).unwrap().path().ends_with("features/chip_000000.pt"), "where it should be");
    touch(&card.path().join("features/chip_000000.pt"));
    assert_eq!(folder.presence().count_missing(), 2, "until the card is looked at again");
    folder.forget_presence();
    assert_eq!(folder.presence().count_missing(), 1);
}

#[test]
fn a_missing_file_is_told_from_a_card_that_is_gone() {
    let card = tempfile::tempdir().unwrap();
    let root = card.path().join("north");
    ManifestBuilder::new(grid_rows(2, 1)).write(&root);
    touch(&root.join("features/chip_000001.pt"));
    let folder = open_one(&root);
    assert_eq!(folder.chip(1).unwrap().file().unwrap(), root.join("features/chip_000001.pt"));
    let error = folder.chip(0).unwrap().file().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ChipUnreadable);
    assert!(
        error.to_string().contains("chip_000000.pt: the features of chip_000000 are not there"),
        "{error}"
    );
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(folder.chip(1).unwrap().file().unwrap_err().code(), ErrorCode::CardError);
}

#[test]
fn a_file_that_got_another_name_beside_one_of_its_id_is_its_own_chips() {
    let card = tempfile::tempdir().unwrap();
    let mut rows = grid_rows(3, 1);
    for (row, (id, file)) in
        rows.iter_mut().zip([("chip_0", "chip_0"), ("chip_0", "b_chip_0"), ("chip_1", "chip_1")])
    {
        row.chip_id = Some(id.to_owned());
        row.feature_path = Some(format!("features/{file}.pt"));
    }
    ManifestBuilder::new(rows).write(card.path());
    for name in ["chip_0.pt", "b_chip_0.pt", "chip_1.pt"] {
        touch(&card.path().join("features").join(name));
    }
    let folder = open_one(card.path());
    let check = |index: usize, name: &str| folder.chip(index).unwrap().check_written_as(name).is_ok();
    // Two folders were put into one, and the files of one renamed.
    assert!(check(0, "chip_0") && check(1, "chip_0") && check(2, "chip_1"));
    assert!(!check(0, "b_chip_0") && !check(1, "chip_1") && !check(2, "chip_0"));
}
