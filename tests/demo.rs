//! The demo as a newcomer runs it: from the repository's directory, on the committed folders.
#![cfg(feature = "demo")]

use assert_cmd::Command;

#[test]
fn the_demo_shows_every_kind_of_request_and_its_answer() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_geosam-edge"));
    let done = demo.arg("demo").timeout(std::time::Duration::from_secs(300)).assert().success();
    let shown = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
    for expected in [
        "broker   mqtt://127.0.0.1:",
        "folder   folder_sam: 2 chips, encoded with mobile_sam.pt",
        "-> geosam/edge/request/demo/segment  {\"bbox\":[",
        "<- geosam/edge/response/demo/segment  SUPERSEDED: ",
        "-> geosam/edge/request/demo/undo  ",
        "saved in layer objects as ",
        "<- geosam/edge/saved/objects  {",
        "folders folder_sam, folder_sam2; ",
        "BAD_REQUEST: ",
        "UNKNOWN_FOLDER: ",
        "ms there and back",
        "All was answered as expected.",
    ] {
        assert!(shown.contains(expected), "{expected} is not in\n{shown}");
    }
    assert!(!shown.contains("!!"), "{shown}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_geosam-edge"));
    let done = demo.args(["demo", "/nowhere/at-all"]).assert().failure();
    let told = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(told.contains("/nowhere/at-all: there is no such folder"), "{told}");
}
