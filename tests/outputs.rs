//! Where answers go: files that are replaced at once, devices and pipes that are written through, readers that go
//! away, signals in the middle.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::geosam_edge;

const POINT: &str = "9.17211953,47.65281208";

fn features() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/features").to_str().unwrap().to_owned()
}

/// A command on the demo's folder, in a directory of its own.
fn command(directory: &Path, words: &[&str]) -> Command {
    let mut command = geosam_edge();
    command.current_dir(directory).args(words);
    command
}

fn run(directory: &Path, words: &[&str]) -> Output {
    command(directory, words).output().unwrap()
}

/// Everything that writes one file under a name.
fn writers(features: &str) -> Vec<Vec<String>> {
    let words = |text: &[&str]| text.iter().map(|&word| word.to_owned()).collect();
    vec![
        words(&["segment", features, "--point", POINT, "--output"]),
        words(&["segment", features, "--point", POINT, "--output", "other", "--overlay"]),
        words(&["footprint", features, "--output"]),
        words(&["export", "ponds", "--state", "state", "--output"]),
    ]
}

fn state(directory: &Path) {
    fs::create_dir_all(directory.join("state/layers")).unwrap();
    let line = "{\"type\":\"Feature\",\"id\":\"a\",\"geometry\":null,\"properties\":{}}\n";
    fs::write(directory.join("state/layers/ponds.geojsonl"), line).unwrap();
}

fn write_to(directory: &Path, writer: &[String], target: &str) -> Output {
    let mut words: Vec<&str> = writer.iter().map(String::as_str).collect();
    words.push(target);
    run(directory, &words)
}

fn assert_ok(output: &Output, what: &dyn std::fmt::Debug) {
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_pipe_is_written_through_and_stays_a_pipe() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        let pipe = work.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reading = pipe.clone();
        let reader = std::thread::spawn(move || fs::read(reading).unwrap());
        assert_ok(&write_to(work.path(), &writer, "pipe"), &writer);
        assert!(reader.join().unwrap().len() > 50, "{writer:?}");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "{writer:?}");
    }
}

#[test]
fn a_device_is_written_through_and_stays_a_device() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        let node = work.path().join("null");
        // A device of our own: should the program be wrong, the machine keeps its /dev/null.
        let made = Command::new("mknod").arg(&node).args(["c", "1", "3"]).stderr(Stdio::null()).status();
        if !made.is_ok_and(|status| status.success()) || fs::write(&node, "x").is_err() {
            eprintln!("SKIPPED: only root may make devices, and not everywhere");
            return;
        }
        assert_ok(&write_to(work.path(), &writer, "null"), &writer);
        assert!(fs::symlink_metadata(&node).unwrap().file_type().is_char_device(), "{writer:?}");
    }
}

#[test]
fn a_link_is_followed_and_stays_a_link_whether_its_file_is_there_or_not() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        fs::create_dir(work.path().join("day")).unwrap();
        fs::write(work.path().join("day/real"), "old").unwrap();
        symlink("day/real", work.path().join("first")).unwrap();
        symlink("first", work.path().join("latest")).unwrap();
        symlink("day/none", work.path().join("new")).unwrap();
        for (name, real) in [("latest", "day/real"), ("new", "day/none")] {
            assert_ok(&write_to(work.path(), &writer, name), &writer);
            assert!(fs::symlink_metadata(work.path().join(name)).unwrap().is_symlink(), "{writer:?}");
            assert!(fs::metadata(work.path().join(real)).unwrap().len() > 50, "{writer:?}");
        }
        assert!(fs::symlink_metadata(work.path().join("first")).unwrap().is_symlink());
        assert_eq!(names(&work.path().join("day")), ["none", "real"]);
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        let file = work.path().join("shared");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert_ok(&write_to(work.path(), &writer, "shared"), &writer);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o664, "{writer:?}");
        assert!(fs::metadata(&file).unwrap().len() > 50);
    }
}

#[test]
fn a_name_as_long_as_file_systems_take_is_written_and_replaced() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        // The endings say what is drawn; 255 bytes with them.
        let ending = if writer.contains(&"--overlay".to_owned()) { ".png" } else { ".svg" };
        let ending = if writer[0] == "footprint" || ending == ".png" { ending } else { ".geojson" };
        let name = format!("{}{ending}", "\u{e9}".repeat((255 - ending.len()) / 2));
        for _ in 0..2 {
            assert_ok(&write_to(work.path(), &writer, &name), &writer);
            assert!(fs::metadata(work.path().join(&name)).unwrap().len() > 50, "{writer:?}");
        }
        assert!(names(work.path()).iter().all(|name| !name.starts_with('.')), "{writer:?}");
    }
    // A folder's copy, too.
    let work = tempfile::tempdir().unwrap();
    let name = "x".repeat(255);
    assert_ok(&run(work.path(), &["pack", &features, &name]), &"pack");
    assert_eq!(names(work.path()), [name]);
}

#[test]
fn standard_output_by_its_device_keeps_what_stands_in_its_file() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("all.geojsonl");
    fs::write(&file, "first\n").unwrap();
    let append = || fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut command =
        command(work.path(), &["segment", &features(), "--point", POINT, "--output", "/dev/stdout"]);
    assert!(command.stdout(append()).status().unwrap().success());
    writeln!(append(), "last").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, "first", "last"));
    assert!(lines[1].contains("FeatureCollection"));
}

#[test]
fn a_destination_that_is_none_is_refused_under_the_name_that_was_given() {
    let features = features();
    for writer in writers(&features) {
        let work = tempfile::tempdir().unwrap();
        state(work.path());
        fs::create_dir(work.path().join("day")).unwrap();
        let before = names(work.path());
        for (name, status, words) in [
            ("day/", 2, "day/ is a directory; name a file in it"),
            ("day", 2, "day is a directory; name a file in it"),
            ("night/", 2, "night/ is a directory; name a file in it"),
            (
                "night/a",
                1,
                "cannot write night/a: No such file or directory (os error 2); make the directory night first",
            ),
        ] {
            let refused = write_to(work.path(), &writer, name);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(status), "{writer:?} {told}");
            assert!(told.contains(words) && !told.contains(".tmp"), "{writer:?} {told}");
        }
        let after: Vec<String> = names(work.path()).into_iter().filter(|name| name != "other").collect();
        assert_eq!(after, before, "{writer:?}: nothing is left");
        assert_eq!(names(&work.path().join("day")), [""; 0]);
    }
}

#[test]
fn a_signal_in_the_middle_leaves_the_old_file_and_nothing_else() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        if is_ignored(number) {
            eprintln!("SKIPPED: these tests run where SIG{signal} is ignored");
            continue;
        }
        let work = tempfile::tempdir().unwrap();
        fs::write(work.path().join("out"), "old").unwrap();
        let mut command =
            command(work.path(), &["segment", &features(), "--request", "-", "--output", "out"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{{\"points\": [[{POINT}]]}}").unwrap();
        // The answer is begun when there is something beside the old file.
        wait_until("an answer is begun", || names(work.path()).len() == 2);
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(kill.unwrap().success());
        let status = child.wait().unwrap();
        assert!(!status.success(), "{status}");
        assert_eq!(names(work.path()), ["out"], "{signal}");
        assert_eq!(fs::read(work.path().join("out")).unwrap(), b"old");
    }
}

/// Whether a signal is ignored here, and so by the programs that are started (proc(5), `SigIgn`).
fn is_ignored(signal: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn a_job_that_ignores_hangups_goes_on_after_one() {
    let work = tempfile::tempdir().unwrap();
    let mut command = Command::new("nohup");
    let program = command_path();
    command.arg(program).args(["segment", &features(), "--request", "-", "--output", "out"]);
    command.current_dir(work.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{{\"points\": [[{POINT}]]}}").unwrap();
    wait_until("an answer is begun", || !names(work.path()).is_empty());
    let kill = Command::new("kill").args(["-s", "HUP", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    writeln!(stdin, "{{\"points\": [[{POINT}]]}}").unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(work.path().join("out")).unwrap().lines().count(), 2);
}

/// A busy machine may take its time.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 120, "{what}: it never was so");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn command_path() -> PathBuf {
    geosam_edge().get_program().into()
}

/// Runs a command whose standard output, or both outputs, nobody reads.
fn without_reader(directory: &Path, words: &[&str], both: bool) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(directory, words);
    let stderr = if both { Stdio::from(writer.try_clone().unwrap()) } else { Stdio::piped() };
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(stderr).spawn().unwrap();
    let mut told = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut told).unwrap();
    }
    (child.wait().unwrap().code(), told)
}

#[test]
fn a_reader_that_goes_away_is_no_fault_of_any_command() {
    let work = tempfile::tempdir().unwrap();
    state(work.path());
    let features = features();
    let models = Path::new(&features).with_file_name("models");
    let models = models.to_str().unwrap();
    let commands: Vec<Vec<&str>> = vec![
        vec!["segment", &features, "--point", POINT],
        vec!["info", &features],
        vec!["footprint", &features],
        vec!["verify", &features],
        vec!["export", "ponds", "--state", "state"],
        vec!["export-onnx", "demo", "--models", models, "--output", "onnx"],
        vec!["pack", &features, "packed"],
        vec!["serve", "--check", "--state", "state"],
        vec!["bench", &features, "--chips", "1", "--rounds", "1", "--threads", "1"],
    ];
    for words in &commands {
        let (status, told) = without_reader(work.path(), words, false);
        assert_eq!(status, Some(0), "{words:?}: {told}");
        assert!(!told.contains("panicked") && !told.contains("pipe"), "{words:?}: {told}");
    }
    assert!(work.path().join("packed/manifest.parquet").is_file(), "the copy is complete");
    for (words, expected) in
        [(["info", "/nowhere"], 1), (["verify", "/nowhere"], 1), (["segment", &features], 2)]
    {
        assert_eq!(without_reader(work.path(), &words, true).0, Some(expected), "{words:?}");
    }
}

#[test]
fn who_reads_one_answer_of_many_gets_it() {
    let work = tempfile::tempdir().unwrap();
    let requests = format!("{{\"points\": [[{POINT}]]}}\n").repeat(200);
    fs::write(work.path().join("requests"), requests).unwrap();
    let mut command = command(work.path(), &["segment", &features(), "--request", "requests"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"status\":\"ok\""), "{first}");
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success() && told.is_empty(), "{told}");
}

#[test]
#[cfg(feature = "gpkg")]
fn a_geopackage_is_replaced_as_a_file_and_never_written_as_a_stream() {
    let work = tempfile::tempdir().unwrap();
    state(work.path());
    let export = |target: &str| {
        run(work.path(), &["export", "ponds", "--state", "state", "--format", "gpkg", "-o", target])
    };
    assert!(Command::new("mkfifo").arg(work.path().join("pipe")).status().unwrap().success());
    for (target, words) in
        [("-", "no stream"), ("pipe", "a GeoPackage is a file"), ("state", "is a directory")]
    {
        let refused = export(target);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && told.contains(words), "{target}: {told}");
    }
    fs::write(work.path().join("real"), "old").unwrap();
    fs::set_permissions(work.path().join("real"), fs::Permissions::from_mode(0o664)).unwrap();
    symlink("real", work.path().join("latest.gpkg")).unwrap();
    assert_ok(&export("latest.gpkg"), &"a link");
    assert!(fs::symlink_metadata(work.path().join("latest.gpkg")).unwrap().is_symlink());
    assert!(fs::read(work.path().join("real")).unwrap().starts_with(b"SQLite format 3\0"));
    assert_eq!(fs::metadata(work.path().join("real")).unwrap().mode() & 0o7777, 0o664);
    // A journal beside it belongs to a program that has the file open.
    fs::write(work.path().join("real-wal"), "x").unwrap();
    let before = fs::read(work.path().join("real")).unwrap();
    let refused = export("latest.gpkg");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("another program has it open"), "{told}");
    assert!(fs::read(work.path().join("real")).unwrap() == before);
    // A name that SQLite would take for an address.
    fs::create_dir(work.path().join("file:out?mode=memory")).unwrap();
    assert_ok(&export("file:out?mode=memory/a.gpkg"), &"a name like an address");
    assert!(work.path().join("file:out?mode=memory/a.gpkg").is_file());
    assert_eq!(
        names(work.path()),
        ["file:out?mode=memory", "latest.gpkg", "pipe", "real", "real-wal", "state"]
    );
}

#[test]
fn polygons_in_a_directory_are_all_there_or_none() {
    let work = tempfile::tempdir().unwrap();
    state(work.path());
    let words = ["export", "ponds", "--state", "state", "--format", "poly", "-o", "polygons"];
    let refused = run(work.path(), &words);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && told.contains("its only line is no object"), "{told}");
    assert_eq!(names(work.path()), ["state"]);
    let polygon = r#"{"type":"Polygon","coordinates":[[[9,47],[9.1,47],[9.1,47.1],[9,47]]]}"#;
    let line = format!("{{\"type\":\"Feature\",\"id\":\"a\",\"geometry\":{polygon},\"properties\":{{}}}}\n");
    fs::write(work.path().join("state/layers/ponds.geojsonl"), line).unwrap();
    assert_ok(&run(work.path(), &words), &words);
    assert_eq!(names(&work.path().join("polygons")), ["ponds-1.poly"]);
    assert_eq!(run(work.path(), &words).status.code(), Some(2), "it is not empty");
    assert_eq!(names(work.path()), ["polygons", "state"]);
}

#[test]
fn an_export_of_a_layer_with_lines_that_are_no_objects_fails_and_writes_the_others() {
    let work = tempfile::tempdir().unwrap();
    state(work.path());
    let layer = work.path().join("state/layers/ponds.geojsonl");
    let line = fs::read_to_string(&layer).unwrap();
    let words = ["export", "ponds", "--state", "state", "--output", "out.geojson"];
    fs::write(&layer, format!("{{\n\"features\": [\n{line}]\n}}\n")).unwrap();
    let output = run(work.path(), &words);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("line 1, ") && told.contains("ogr2ogr -f GeoJSONSeq"), "{told}");
    assert!(told.contains("1 object of ponds written to out.geojson"), "{told}");
    let written = fs::read(work.path().join("out.geojson")).unwrap();
    fs::write(&layer, "{\"type\":\"FeatureCollection\",\"features\":[]}\n").unwrap();
    assert_eq!(run(work.path(), &words).status.code(), Some(1));
    assert_eq!(fs::read(work.path().join("out.geojson")).unwrap(), written, "the earlier export stays");
}
