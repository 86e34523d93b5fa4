//! The engines, in the service as users run it: what is told when it cannot be used, that it is used when
//! it can, and that nothing it does stops the service. ONNX Runtime's CPU provider stands in for TensorRT; libraries
//! that are broken in their own ways are made with the C compiler.

#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/service.rs"]
mod service;

use std::time::Duration;

use mosquitto::{Mosquitto, Setup, patience};
use serde_json::Value;
use service::{Board, Ears, POINT, SMALL, code};

/// A broker, a board with an engine, and ears that hear both; nothing where there is no mosquitto.
#[cfg(feature = "tensorrt")]
fn scene(settings: &str) -> Option<(Mosquitto, Board, Ears)> {
    let broker = Mosquitto::start(Setup::default())?;
    let mut board =
        Board::new(&broker, "b1", &format!("[decoder]\nengine = \"tensorrt\"\n[tensorrt]\n{settings}"));
    let mut ears = Ears::on(&broker);
    board.start();
    ears.online(&board);
    Some((broker, board, ears))
}

/// The message of the event, whenever it comes.
fn event(ears: &mut Ears, kind: &str) -> String {
    let topic = format!("geosam/b1/event/{kind}");
    // An unoptimised program decodes the probe six times first, beside the other tests.
    let event = ears.wait_patiently(kind, patience() * 9, |m| m.topic == topic).json();
    event["message"].as_str().expect("a message").to_owned()
}

/// Waits until `info` names this engine.
#[cfg(feature = "tensorrt")]
fn in_use(ears: &mut Ears, engine: &str) {
    ears.wait(engine, |m| m.topic == "geosam/b1/info" && m.json()["engine"] == engine);
}

fn ask(broker: &Mosquitto, board: &Board, ears: &mut Ears, id: &str) -> Value {
    let request = format!(r#"{{"id":"{id}",{POINT},{SMALL}}}"#);
    broker.publish(&board.request("c1", "segment"), request.as_bytes(), &[]);
    let answer = ears.answer(id);
    assert_eq!(code(&answer), "ok", "{answer}");
    answer
}

/// A broker, a board that chooses its engine itself and was started in this environment, and ears that hear both. Nothing
/// where there is no mosquitto, and under an emulator, where a program starts no other.
#[cfg(feature = "tract")]
fn choosing(environment: &[(&str, &str)]) -> Option<(Mosquitto, Board, Ears)> {
    if std::env::var_os("GEOSAM_TEST_RUNNER").is_some() {
        return None;
    }
    let broker = Mosquitto::start(Setup::default())?;
    let settings = "[decoder]\nengine = \"auto\"\n[health]\ninterval_s = 1";
    let mut board = Board::new(&broker, "b1", settings);
    let mut ears = Ears::on(&broker);
    board.start_in(environment);
    ears.online(&board);
    Some((broker, board, ears))
}

#[cfg(feature = "tract")]
#[test]
fn a_board_takes_the_fused_executor_once_it_agrees_with_tract_and_remembers_that() {
    let Some((broker, mut board, mut ears)) = choosing(&[]) else { return };
    // Whoever decodes it: the first prompt does not wait.
    ask(&broker, &board, &mut ears, "1");
    ears.wait_patiently("fused", patience() * 9, |m| {
        m.topic == "geosam/b1/info" && m.json()["engine"] == "fused"
    });
    ask(&broker, &board, &mut ears, "2");
    let told = "the fused executor agrees with tract on this processor";
    assert!(board.log().contains(told), "{}", board.log());
    assert!(board.stop(), "SIGTERM ends it well");

    // What was said before is not for what follows.
    drop(ears.rest(Duration::from_millis(300)));
    board.start();
    ears.online(&board);
    assert_eq!(ears.topic("geosam/b1/info").json()["engine"], "fused");
    assert_eq!(ears.topic("geosam/b1/health").json()["engine"], "fused");
    assert_eq!(board.log().matches(told).count(), 1, "compared once");
    let rest = ears.rest(Duration::from_millis(300));
    assert!(!rest.iter().any(|m| m.topic.ends_with("/engine_fallback")), "nothing is wrong");
}

// Only a development build can break its kernels.
#[cfg(all(feature = "tract", debug_assertions))]
#[test]
fn a_board_whose_kernel_is_wrong_decodes_with_tract_and_says_why() {
    let Some((broker, mut board, mut ears)) = choosing(&[("GEOSAM_TEST_BREAK_A_KERNEL", "1")]) else {
        return;
    };
    let wrong = "mobile_sam is decoded by tract: on this processor";
    for start in 1..=2 {
        let message = event(&mut ears, "engine_fallback");
        assert!(message.starts_with(wrong) && message.contains("disagrees"), "{message}");
        let says_why = |m: &mosquitto::Received| {
            m.json()["engine"] == "tract" && m.json()["engine_reason"] == message.as_str()
        };
        ears.wait("info", |m| m.topic == "geosam/b1/info" && says_why(m));
        ears.wait("health", |m| m.topic == "geosam/b1/health" && says_why(m));
        ask(&broker, &board, &mut ears, &start.to_string());
        assert!(board.stop(), "SIGTERM ends it well");
        // The verdict holds for this program and processor, and is told again.
        board.start();
    }
}

#[cfg(feature = "tensorrt")]
#[test]
fn a_library_that_is_missing_is_told_and_the_processor_decodes() {
    let Some((broker, mut board, mut ears)) = scene("library = \"/nowhere/libonnxruntime.so\"") else {
        return;
    };
    let message = event(&mut ears, "engine_fallback");
    let expected = "/nowhere/libonnxruntime.so is not there; docs/tensorrt.md says which library to install";
    assert!(message.starts_with(expected), "{message}");
    in_use(&mut ears, "fused");
    ask(&broker, &board, &mut ears, "1");
    assert!(board.log().contains(&message), "the log tells it too");
    assert!(board.stop(), "SIGTERM ends it well");
}

#[cfg(feature = "tensorrt")]
mod with_libraries {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::Instant;

    use super::*;

    /// The library to test with, `$GEOSAM_ONNXRUNTIME`. Says loudly where there is none, and fails where there must be.
    fn library() -> Option<PathBuf> {
        use std::io::Write as _;
        if let Some(library) = std::env::var_os("GEOSAM_ONNXRUNTIME") {
            return Some(library.into());
        }
        let missing = "GEOSAM_ONNXRUNTIME does not name a libonnxruntime.so (docs/tensorrt.md)";
        assert!(std::env::var_os("GEOSAM_REQUIRE_ONNXRUNTIME").is_none(), "{missing}");
        // Past the test harness, which would swallow the output of a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
        None
    }

    /// A shared library made of some lines of C.
    fn made_of(dir: &Path, code: &str) -> PathBuf {
        let (source, library) = (dir.join("library.c"), dir.join("libonnxruntime.so"));
        std::fs::write(&source, code).expect("the source");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
        assert!(cc.status().expect("cc runs").success());
        library
    }

    /// The processes that the board has started and that run.
    fn children_of(board: &Board) -> Vec<String> {
        let parent = board.id().expect("it runs");
        let children = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok).filter(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // After the name in parentheses: state, parent (proc(5)).
            let after_name = stat.rsplit(") ").next().unwrap_or_default();
            after_name.split(' ').nth(1) == Some(&parent.to_string())
        });
        children.map(|child| child.file_name().into_string().expect("a number")).collect()
    }

    /// The process of the engine: the child that stays. Others come and go, while fused and tract are compared.
    fn engine_of(board: &Board) -> String {
        let start = Instant::now();
        loop {
            match children_of(board).as_slice() {
                [only] => return only.clone(),
                children => assert!(start.elapsed() < patience() * 9, "children {children:?}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells of a library that cannot be used, and that prompts are answered all the same.
    fn falls_back(library: &Path, settings: &str, expected: &str) {
        let settings = format!("provider = \"cpu\"\nlibrary = {library:?}\n{settings}");
        let Some((broker, mut board, mut ears)) = scene(&settings) else { return };
        ask(&broker, &board, &mut ears, "1");
        let message = event(&mut ears, "engine_fallback");
        assert!(message.contains(expected), "{message}");
        in_use(&mut ears, "fused");
        ask(&broker, &board, &mut ears, "2");
        assert!(board.stop(), "SIGTERM ends it well");
    }

    #[test]
    fn a_library_that_crashes_when_it_is_loaded_does_not_crash_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let code = "__attribute__((constructor)) static void go(void) { *(volatile int *)0 = 1; }\n";
        falls_back(&made_of(dir.path(), code), "", "signal: 11");
    }

    #[test]
    fn a_library_that_hangs_when_it_is_loaded_does_not_hang_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let code =
            "#include <unistd.h>\n__attribute__((constructor)) static void go(void) { for (;;) pause(); }\n";
        falls_back(&made_of(dir.path(), code), "build_timeout_s = 10", "within 10s");
    }

    #[test]
    fn a_library_that_is_too_old_is_told_with_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let code = "static const char *version(void) { return \"1.11.0\"; }\n\
                    static const struct { void *api; const char *(*version)(void); } base = { 0, version };\n\
                    const void *OrtGetApiBase(void) { return &base; }\n";
        falls_back(
            &made_of(dir.path(), code),
            "",
            "is ONNX Runtime 1.11.0, which is too old: 1.17 or newer is needed",
        );
    }

    #[test]
    fn a_library_without_tensorrt_is_told() {
        let Some(library) = library() else { return };
        let Some((broker, board, mut ears)) = scene(&format!("library = {library:?}")) else { return };
        // The library from PyPI is for CPUs.
        let message = event(&mut ears, "engine_fallback");
        assert!(message.contains("failed to load TensorRT"), "{message}");
        in_use(&mut ears, "fused");
        ask(&broker, &board, &mut ears, "1");
    }

    #[test]
    fn the_engines_process_ends_with_the_service() {
        let Some(library) = library() else { return };
        let settings = format!("provider = \"cpu\"\nlibrary = {library:?}");
        let Some((_broker, mut board, mut ears)) = scene(&settings) else { return };
        for end in [|board: &mut Board| assert!(board.stop()), Board::kill] {
            event(&mut ears, "engine_ready");
            let process = PathBuf::from("/proc").join(engine_of(&board));
            end(&mut board);
            let start = Instant::now();
            while process.exists() {
                assert!(start.elapsed() < patience(), "{} is still there", process.display());
                std::thread::sleep(Duration::from_millis(50));
            }
            board.start();
        }
        let rest = ears.rest(Duration::from_millis(300));
        assert!(!rest.iter().any(|m| m.topic.ends_with("/engine_fallback")), "an end is no fallback");
    }

    #[test]
    fn prompts_move_to_the_engine_and_back_when_its_process_dies() {
        let Some(library) = library() else { return };
        let settings = format!("provider = \"cpu\"\nlibrary = {library:?}");
        let Some((broker, mut board, mut ears)) = scene(&settings) else { return };
        let summary = event(&mut ears, "engine_ready");
        assert!(summary.starts_with("mobile_sam: ONNX Runtime 1."), "{summary}");
        in_use(&mut ears, "onnxruntime-cpu");
        let engine = ask(&broker, &board, &mut ears, "1");
        let process = engine_of(&board);
        assert!(ask(&broker, &board, &mut ears, "2")["timing_ms"]["load"] == 0.0, "the chip is kept");

        assert!(Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
        let fused = ask(&broker, &board, &mut ears, "3");
        let message = event(&mut ears, "engine_fallback");
        assert!(
            message.contains("mobile_sam is decoded on the processor") && message.contains("signal: 9"),
            "{message}"
        );
        in_use(&mut ears, "fused");
        ask(&broker, &board, &mut ears, "4");

        // The same answer from both, as far as engines agree: 1e-4 of a score, 1 pixel in 1000.
        let mask = |answer: &Value, of: &str| answer["masks"][0][of].as_f64().expect("a number");
        assert!((mask(&engine, "score") - mask(&fused, "score")).abs() < 1e-4);
        let pixels = mask(&fused, "pixels");
        assert!((mask(&engine, "pixels") - pixels).abs() <= pixels / 1000.0, "{engine} and {fused}");
        assert!(board.stop(), "SIGTERM ends it well");
    }
}
