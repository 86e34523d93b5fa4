//! Finding folders on a card.

use super::*;

#[test]
fn a_folder_its_manifest_and_the_directory_above_open_the_same() {
    let card = tempfile::tempdir().unwrap();
    let manifest = ManifestBuilder::new(grid_rows(2, 2)).write(&card.path().join("Bei Lu"));
    for path in [card.path(), &card.path().join("Bei Lu"), &manifest] {
        let folder = open_one(path);
        assert_eq!(folder.name(), "Bei%20Lu");
        assert_eq!(folder.manifest(), manifest);
        assert_eq!((folder.checkpoint(), folder.family()), ("sam2.1_t.pt", Family::Sam2));
        assert_eq!((folder.len(), folder.is_v1()), (4, false));
    }
}

#[test]
fn the_only_parquet_file_is_the_manifest_whatever_its_name() {
    let card = tempfile::tempdir().unwrap();
    let manifest = ManifestBuilder::new(grid_rows(1, 1)).write(card.path());
    let renamed = card.path().join("north.parquet");
    fs::rename(&manifest, &renamed).unwrap();
    fs::write(card.path().join("._north.parquet"), b"what macOS leaves on a card").unwrap();
    assert_eq!(open_one(card.path()).manifest(), renamed);
    fs::copy(&renamed, card.path().join("south.parquet")).unwrap();
    let error = Folder::discover(card.path()).unwrap_err();
    assert!(
        error.to_string().contains("several manifests are here (north.parquet, south.parquet)"),
        "{error}"
    );
    fs::copy(&renamed, &manifest).unwrap();
    assert_eq!(open_one(card.path()).manifest(), manifest, "manifest.parquet is preferred");
}

#[test]
fn an_archive_of_a_folder_is_told_to_be_unpacked() {
    let card = tempfile::tempdir().unwrap();
    let mut tar = vec![0u8; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (name, bytes, told) in [
        ("valley.zip", &b"PK\x03\x04\x14\0"[..], "this is a ZIP archive"),
        ("valley.parquet", b"PK\x03\x04\x14\0", "this is a ZIP archive"),
        ("valley.tar.gz", b"\x1F\x8B\x08\0", "this is compressed by gzip"),
        ("valley.7z", b"7z\xBC\xAF\x27\x1C\0\x04", "this is a 7z archive"),
        ("valley.tar", &tar, "this is a tar archive"),
    ] {
        let path = card.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = Folder::discover(&path).unwrap_err();
        assert_eq!(error.code(), ErrorCode::FolderNotReady);
        let text = error.to_string();
        assert!(text.contains(told) && text.contains("unpack it"), "{text}");
    }
    // Too short to be any.
    fs::write(card.path().join("short"), b"P").unwrap();
    let problems = Folder::discover(&card.path().join("short")).unwrap().problems;
    assert!(problems[0].to_string().contains("not a readable Parquet file"), "{problems:?}");
}

#[test]
fn what_was_left_in_place_of_a_manifest_is_told_as_what_it_is() {
    let card = tempfile::tempdir().unwrap();
    let manifest = card.path().join("manifest.parquet");
    for (bytes, told) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        ("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "it is a web page"),
        ("<html>", "it is a web page"),
    ] {
        fs::write(&manifest, bytes).unwrap();
        for path in [card.path(), &manifest] {
            let error = Folder::discover(path).unwrap().into_folders().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(told) && !text.contains("its copy is not complete"), "{text}");
            assert_eq!(error.code(), ErrorCode::FolderNotReady);
        }
    }
}

#[test]
fn a_chip_in_place_of_a_folder_is_told_with_the_folder_that_it_is_of() {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(card.path());
    // What torch.save names its first entry, after 30 bytes of the entry's header.
    let mut torch = b"PK\x03\x04".to_vec();
    torch.resize(30, 0);
    torch.extend(b"chip_000000/data.pkl");
    let features = card.path().join("features");
    fs::create_dir_all(&features).unwrap();
    for name in ["chip_000000.pt", "renamed.bin"] {
        let path = features.join(name);
        fs::write(&path, &torch).unwrap();
        let error = Folder::discover(&path).unwrap_err();
        let text = error.to_string();
        let folder = card.path().canonicalize().unwrap().display().to_string();
        assert!(text.contains("this is a chip or a checkpoint") && text.contains(&folder), "{text}");
        assert!(!text.contains("unpack"), "{text}");
        assert_eq!(error.code(), ErrorCode::FolderNotReady);
    }
}

#[test]
fn a_pipe_in_place_of_a_manifest_is_told_and_not_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join("sound"));
    fs::create_dir(card.path().join("pipe")).unwrap();
    let pipe = card.path().join("pipe/manifest.parquet");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for path in [card.path(), &card.path().join("pipe"), &pipe] {
        let found = Folder::discover(path).unwrap();
        assert_eq!(found.folders.len(), usize::from(path == card.path()));
        assert!(found.problems[0].to_string().contains("not a regular file"), "{:?}", found.problems);
    }
}

#[test]
fn one_bad_folder_does_not_hide_the_others() {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join("good"));
    touch(&card.path().join("bad/manifest.parquet"));
    touch(&card.path().join("pickled/manifest.pkl"));
    touch(&card.path().join("photos/a.jpg"));
    let discovery = Folder::discover(card.path()).unwrap();
    assert_eq!(discovery.folders.len(), 1);
    let problems: Vec<_> = discovery.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("bad/manifest.parquet: not a readable Parquet file"), "{problems:?}");
    assert!(problems[1].contains("to_parquet('manifest.parquet')"), "{problems:?}");
    assert_eq!(discovery.into_folders().unwrap().len(), 1);
}

#[test]
fn what_file_systems_and_other_programs_keep_on_a_card_is_no_folder_and_no_fault() {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join("valley"));
    let table = ManifestBuilder::new(grid_rows(1, 1)).without("feature_path").without("chip_center_x");
    fs::rename(table.write(&card.path().join("basemap")), card.path().join("basemap/buildings.parquet"))
        .unwrap();
    fs::copy(card.path().join("basemap/buildings.parquet"), card.path().join("roads.parquet")).unwrap();
    touch(&card.path().join("basemap/broken.parquet"));
    touch(&card.path().join("notebooks/cache.pkl"));
    touch(&card.path().join("cache.pkl"));
    for name in ["lost+found", "System Volume Information", "$RECYCLE.BIN"] {
        // Nobody else may list the first; as root one sees it by what would be a fault elsewhere.
        touch(&card.path().join(name).join("manifest.pkl"));
    }
    let discovery = Folder::discover(card.path()).unwrap();
    assert!(discovery.problems.is_empty(), "{:?}", discovery.problems);
    assert_eq!(discovery.folders.iter().map(Folder::name).collect::<Vec<_>>(), ["valley"]);
}

#[test]
fn a_table_that_is_meant_as_a_manifest_says_what_it_lacks() {
    let card = tempfile::tempdir().unwrap();
    let table = ManifestBuilder::new(grid_rows(1, 1)).without("feature_path").without("chip_center_x");
    let manifest = table.write(card.path());
    let lacking = || Folder::discover(card.path()).unwrap().into_folders().unwrap_err().to_string();
    assert!(lacking().contains("feature_path"), "{}", lacking());
    fs::rename(&manifest, card.path().join("other.parquet")).unwrap();
    assert!(lacking().contains("other.parquet: no manifest of geosam"), "{}", lacking());
    // A copy that broke off is a fault, where there are features.
    let broken = tempfile::tempdir().unwrap();
    touch(&broken.path().join("a/north.parquet"));
    touch(&broken.path().join("a/features/chip_000000.pt"));
    let problems = Folder::discover(broken.path()).unwrap().problems;
    assert!(problems[0].to_string().contains("not a readable Parquet file"), "{problems:?}");
}

#[test]
fn folders_of_equal_names_are_told_apart() {
    let card = tempfile::tempdir().unwrap();
    // Both names have no letter that may stand in a topic before the 64th byte.
    for name in ["ééééééééééééé", "éééééééééééééé"] {
        ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join(name));
    }
    let folders = open_all(card.path());
    assert_eq!(folders.len(), 2);
    assert_ne!(folders[0].name(), folders[1].name());
    for folder in folders {
        assert_eq!(crate::api::check_folder_name(folder.name()), Ok(()));
    }
}

#[test]
fn a_directory_of_several_names_is_one_folder_called_by_its_own() {
    let card = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join("valley"));
    ManifestBuilder::new(grid_rows(2, 1)).write(&elsewhere.path().join("hill"));
    touch(&card.path().join("bad/manifest.parquet"));
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, card.path().join(name)).unwrap();
    link(Path::new("valley"), "a_link_before_it");
    link(Path::new("a_link_before_it"), "z_link_to_a_link");
    link(Path::new("bad"), "also_bad");
    link(Path::new("."), "loop");
    link(Path::new("nowhere"), "dangling");
    // Of links alone the first name.
    link(&elsewhere.path().join("hill"), "peak");
    link(&elsewhere.path().join("hill"), "mountain");
    let discovery = Folder::discover(card.path()).unwrap();
    let names: Vec<&str> = discovery.folders.iter().map(Folder::name).collect();
    assert_eq!(names, ["mountain", "valley"]);
    assert_eq!(discovery.problems.len(), 1, "{:?}", discovery.problems);
    assert!(discovery.problems[0].to_string().contains("/bad/manifest.parquet"), "{:?}", discovery.problems);
    // A copy is another folder.
    ManifestBuilder::new(grid_rows(1, 1)).write(&card.path().join("copy"));
    assert_eq!(Folder::discover(card.path()).unwrap().folders.len(), 3);
    // Who names a link gets the folder behind it.
    assert_eq!(open_one(&card.path().join("z_link_to_a_link")).name(), "z_link_to_a_link");
}

#[test]
fn where_nothing_is_found_the_search_is_told() {
    let card = tempfile::tempdir().unwrap();
    let error = Folder::discover(card.path()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownFolder);
    assert!(error.to_string().contains("looked for manifest.parquet"), "{error}");
    let error = Folder::discover(&card.path().join("not/there")).unwrap_err();
    assert!(error.to_string().contains("cannot find the folder"), "{error}");
}

#[test]
fn who_picks_the_features_is_led_to_the_folder() {
    let card = tempfile::tempdir().unwrap();
    ManifestBuilder::new(grid_rows(1, 1)).write(card.path());
    touch(&card.path().join("features/chip_000000.pt"));
    for path in ["features", "features/chip_000000.pt"] {
        let error = Folder::discover(&card.path().join(path)).unwrap_err().to_string();
        let root = card.path().canonicalize().unwrap();
        assert!(error.ends_with(&format!("holds the manifest, {}", root.display())), "{error}");
    }
}
