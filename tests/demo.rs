//! The demo as a newcomer runs it: on the committed folder, wherever the working directory is.
#![cfg(feature = "demo")]

use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

fn demo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geosam-edge"));
    command.arg("demo").timeout(Duration::from_secs(300));
    command
}

#[test]
fn the_demo_shows_every_kind_of_request_its_answer_and_a_picture() {
    let pictures = tempfile::tempdir().unwrap();
    let directory = pictures.path().join("overlays");
    // Anywhere inside the repository.
    let somewhere = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    let done = demo().current_dir(somewhere).arg("--overlay").arg(&directory).assert().success();
    let shown = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    for expected in [
        "mqtt://127.0.0.1:",
        "features: 6 chips, encoded with demo.pt",
        "1. A point on a pond",
        "-> geosam/edge/request/demo/segment",
        "{\"folder\":\"features\",\"id\":\"point-1\",\"points\":[[9.1",
        "1 polygon, ",
        "3. A box around a building",
        "SUPERSEDED: ",
        "2 polygons, ",
        "-> geosam/edge/request/demo/undo",
        "saved in layer ponds as ",
        "<- geosam/edge/saved/ponds",
        "a road, followed beyond its chip into all others",
        " chips, goes on: raster_edge",
        "folders features; models demo.pt; layer ponds with 1 object(s)",
        "BAD_REQUEST: ",
        "UNKNOWN_FOLDER: ",
        " ms\n",
        "All was answered as expected.",
    ] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    assert!(!shown.contains("!!") && !shown.contains('\u{1b}'), "{shown}");
    for name in ["1-point-1.png", "3-box-1.png", "5-add-1.png", "5-add-2.png", "7-long-1.png"] {
        let file = std::fs::File::open(directory.join(name)).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        assert_eq!(reader.info().width, 1024, "{name}");
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        // The edge of the mask, which no scene has.
        assert!(pixels.chunks_exact(3).any(|rgb| rgb == [255, 0, 200]), "{name} has no mask");
    }
}

#[test]
fn the_demo_plays_on_any_folder() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut demo = demo();
    let done = demo.arg("--features").arg(fixtures.join("folder_sam2")).assert().success();
    let shown = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    assert!(shown.contains("A point on the middle of a chip") && shown.contains("sam2"), "{shown}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let done = demo().args(["--features", "/nowhere/at-all"]).assert().failure();
    let told = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(told.contains("/nowhere/at-all: there is no such folder"), "{told}");
}
