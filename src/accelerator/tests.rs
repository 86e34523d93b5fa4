//! Engines that crash, hang, lie or are not there, played by shell scripts; and ONNX Runtime's own process, which the
//! tests of the program start (`tests/engines.rs`).

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::report::Report;
use super::wire::{Tell, send};
use super::*;
use crate::decoder::onnxruntime::Provider;
use crate::decoder::{CpuEngine, FramePrompt, MaskDecoder};
use crate::family::Family;
use crate::models::ModelStore;

fn options(library: &Path) -> OnnxRuntimeOptions {
    OnnxRuntimeOptions {
        library: library.to_owned(),
        provider: Provider::Cpu,
        threads: 1,
        fp16: false,
        device: 0,
        workspace_bytes: 0,
        engines: "/nowhere".into(),
    }
}

fn report(difference: f32) -> Report {
    Report {
        provider: Provider::Cpu,
        onnxruntime: Some("1.17.0".to_owned()),
        tensorrt: None,
        engines: None,
        start_s: 1.0,
        prepare_ms: 1.0,
        decode_ms: 1.0,
        fused_decode_ms: 1.0,
        difference: Difference { logits: difference, ..Difference::default() },
        takes_masks: true,
    }
}

/// A script that plays the process of an engine: it says these messages, then does something.
fn engine(dir: &Path, says: &[Tell], then: &str) -> Launch {
    let mut words = Vec::new();
    for tell in says {
        send(&mut words, tell, &[]).unwrap();
    }
    std::fs::write(dir.join("words"), words).unwrap();
    let script = dir.join("engine.sh");
    std::fs::write(&script, format!("cat {:?} >&0\n{then}\n", dir.join("words"))).unwrap();
    Launch {
        command: vec!["/bin/sh".into(), script],
        start: Duration::from_secs(20),
        answer: Duration::from_secs(20),
    }
}

fn model() -> ModelInfo {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    ModelStore::open(&models).unwrap().list().iter().find(|m| m.family == Family::Sam).unwrap().clone()
}

fn start(launch: &Launch) -> Result<RemoteDecoder, AcceleratorError> {
    RemoteDecoder::start(launch, &options(Path::new("/bin/sh")), Family::Sam, &model().dir)
}

fn stage(stage: &str) -> Tell {
    Tell::Stage(stage.to_owned())
}

#[test]
fn a_crash_while_the_library_is_loaded_costs_only_its_process_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let launch = engine(dir.path(), &[stage("load TensorRT")], "kill -SEGV $$");
    let message = start(&launch).unwrap_err().to_string();
    assert!(message.contains("signal: 11") && message.ends_with("when it was to load TensorRT"), "{message}");
}

#[test]
fn an_engine_that_hangs_while_it_is_built_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let launch = engine(dir.path(), &[stage("load or build the engines")], "exec sleep 1000");
    let launch = Launch { start: Duration::from_millis(500), ..launch };
    let message = start(&launch).unwrap_err().to_string();
    assert_eq!(message, "the engine did not load or build the engines within 500ms");
}

#[test]
fn a_refusal_is_told_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = Tell::Failed("ONNX Runtime 1.11.0 is too old".to_owned());
    let message = start(&engine(dir.path(), &[refusal], "")).unwrap_err().to_string();
    assert_eq!(message, "ONNX Runtime 1.11.0 is too old");
}

#[test]
fn an_engine_that_disagrees_with_the_fused_executor_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let launch = engine(dir.path(), &[Tell::Ready(report(0.02))], "exec sleep 1000");
    assert!(matches!(start(&launch), Err(AcceleratorError::Disagrees { .. })));
    // Half precision may differ by that much.
    let fp16 = OnnxRuntimeOptions { fp16: true, ..options(Path::new("/bin/sh")) };
    assert!(RemoteDecoder::start(&launch, &fp16, Family::Sam, &model().dir).is_ok());
}

#[test]
fn tensorrt_that_has_built_nothing_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let built_nothing = Report { engines: Some(0), ..report(0.0) };
    let launch = engine(dir.path(), &[Tell::Ready(built_nothing)], "exec sleep 1000");
    let tensorrt = OnnxRuntimeOptions { provider: Provider::TensorRt, ..options(Path::new("/bin/sh")) };
    let refused = RemoteDecoder::start(&launch, &tensorrt, Family::Sam, &model().dir);
    assert!(matches!(refused, Err(AcceleratorError::NoEngine)));
}

#[test]
fn a_program_that_is_not_there_or_talks_nonsense_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let launch = engine(dir.path(), &[], "echo something else entirely >&0; exec sleep 1000");
    assert!(matches!(start(&launch), Err(AcceleratorError::Ended { .. })));
    let nowhere = Launch { command: vec![dir.path().join("nowhere")], ..launch };
    let error = start(&nowhere).unwrap_err();
    // An emulated system (qemu-user) does not tell the parent that its child found no program.
    let emulated = std::env::var_os("GEOSAM_TEST_RUNNER").is_some();
    let found_out_later = emulated && matches!(error, AcceleratorError::Ended { .. });
    assert!(matches!(error, AcceleratorError::Spawn(_)) || found_out_later, "{error}");
}

#[test]
fn an_engine_that_dies_or_hangs_later_gives_errors_and_no_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let ready = [Tell::Ready(report(0.0)), Tell::Prepared { bytes: 5 }];
    let dying = start(&engine(dir.path(), &ready, "kill -KILL $$")).unwrap();
    let chip = super::probe::chip(Family::Sam);
    assert!(dying.prepare(&chip).and_then(|p| dying.decode(&p, &FramePrompt::point(1.0, 1.0))).is_err());

    let silent = engine(dir.path(), &ready[..1], "exec sleep 1000");
    let hanging = start(&Launch { answer: Duration::from_millis(500), ..silent }).unwrap();
    let error = hanging.prepare(&chip).unwrap_err().to_string();
    assert!(error.contains("did not prepare a chip within 500ms"), "{error}");
    // Its process is gone: nobody waits for it again.
    let error = hanging.prepare(&chip).unwrap_err().to_string();
    assert!(error.contains("ended"), "{error}");
}

#[test]
fn an_engine_that_answers_a_byte_at_a_time_is_late_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // It takes in what it is told, and answers with a header of 65536 bytes, of which one comes every now and then: each in
    // time, the whole never.
    let trickle = "exec 3<&0; cat <&3 >/dev/null & printf '\\000\\000\\001\\000' >&3; \
                   while printf x >&3; do sleep 0.05; done";
    let launch = engine(dir.path(), &[Tell::Ready(report(0.0))], trickle);
    let slow = start(&Launch { answer: Duration::from_millis(600), ..launch }).unwrap();
    let error = slow.prepare(&super::probe::chip(Family::Sam)).unwrap_err().to_string();
    assert!(error.contains("did not prepare a chip within 600ms"), "{error}");
}

/// A check whose engines are played by a script: what fused says, and what tract says, each followed by `then`.
fn self_check(dir: &Path, says: [Vec<u8>; 2], then: &str) -> (SelfCheck, Receiver<EngineNews>) {
    for (i, words) in says.iter().enumerate() {
        std::fs::write(dir.join(format!("words{i}")), words).unwrap();
    }
    let script = dir.join("engines.sh");
    let text = format!(
        "cd {dir:?}\nn=$(cat turn 2>/dev/null || echo 0)\necho $((n + 1)) > turn\ncat words$n >&0\n{then}\n"
    );
    std::fs::write(&script, text).unwrap();
    let patience = Duration::from_secs(20);
    let launch = Launch { command: vec!["/bin/sh".into(), script], start: patience, answer: patience };
    let (sender, news) = channel();
    let options = SelfCheckOptions { launch, threads: 1, remembered: dir.join("compared.json") };
    (SelfCheck::new(options, Arc::new(move |item| drop(sender.send(item)))), news)
}

/// The words of an engine whose logits are wrong by so many standard deviations.
fn tried(error: f32) -> Vec<u8> {
    let logits: Vec<f32> = (0..4 * 64).map(|i| if i % 2 == 0 { 1.0 + error } else { -1.0 }).collect();
    let performance = Performance {
        start_ms: 1.0,
        prepare_ms: 1.0,
        decode_ms: 1.0,
        peak_memory_mb: None,
        instruction_set: "AVX2".to_owned(),
    };
    let told = Tell::Tried { side: 8, scores: vec![[0.5; 4]; 3], performance };
    let mut words = Vec::new();
    send(&mut words, &told, &[&logits, &logits, &logits]).unwrap();
    words
}

fn processes_started(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("turn")).unwrap().trim().to_owned()
}

#[test]
fn the_fused_executor_decodes_once_it_agrees_with_tract_and_is_not_compared_again() {
    let dir = tempfile::tempdir().unwrap();
    let (check, news) = self_check(dir.path(), [tried(1e-5), tried(0.0)], "");
    let model = model();
    assert_eq!(check.in_use(), CpuEngine::Fused, "no model needs tract");
    assert_eq!(check.engine(&model), CpuEngine::Tract, "the first prompt does not wait");
    assert!(check.reason().is_some_and(|why| why.contains("is being compared")) || news.try_recv().is_ok());
    while check.engine(&model) == CpuEngine::Tract {
        assert_eq!(news.recv().unwrap(), EngineNews::Agreed { model: model.name.clone() });
    }
    assert_eq!((check.in_use(), check.reason()), (CpuEngine::Fused, None));

    let (again, news) = self_check(dir.path(), [Vec::new(), Vec::new()], "");
    assert_eq!(again.engine(&model), CpuEngine::Fused);
    assert!(news.try_recv().is_err(), "that all is well is no news");
    assert_eq!(processes_started(dir.path()), "2");
}

#[test]
fn a_fused_executor_that_disagrees_leaves_the_model_to_tract_for_good_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    for start in 0..2 {
        let (check, news) = self_check(dir.path(), [tried(0.02), tried(0.0)], "");
        assert_eq!(check.engine(&model), CpuEngine::Tract);
        let Ok(EngineNews::Fallback { model: Some(name), message }) = news.recv() else { panic!("no news") };
        assert_eq!(name, model.name);
        assert!(message.contains("is decoded by tract") && message.contains("disagrees"), "{message}");
        assert_eq!(check.engine(&model), CpuEngine::Tract);
        assert_eq!((check.in_use(), check.reason()), (CpuEngine::Tract, Some(message)));
        assert_eq!(processes_started(dir.path()), "2", "after start {start}");
    }
}

#[test]
fn a_fused_executor_that_crashes_on_this_processor_ends_no_service_and_is_tried_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let model = model();
    for starts in ["1", "2"] {
        let (check, news) = self_check(dir.path(), [Vec::new(), Vec::new()], "kill -ILL $$");
        assert_eq!(check.engine(&model), CpuEngine::Tract);
        let Ok(EngineNews::Fallback { message, .. }) = news.recv() else { panic!("no news") };
        assert!(message.contains("fused cannot be tried") && message.contains("signal: 4"), "{message}");
        assert_eq!(processes_started(dir.path()), starts);
    }
}

#[test]
fn a_model_that_is_taken_away_while_it_is_compared_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    // The process waits for the model to go.
    let (check, news) = self_check(
        dir.path(),
        [Vec::new(), Vec::new()],
        "while [ ! -e gone ]; do sleep 0.01; done; kill -ILL $$",
    );
    let model = model();
    assert_eq!(check.engine(&model), CpuEngine::Tract);
    check.keep(&[]);
    std::fs::write(dir.path().join("gone"), "").unwrap();
    assert!(news.recv_timeout(Duration::from_millis(500)).is_err());
    assert_eq!(check.in_use(), CpuEngine::Fused);
}

fn accelerator(launch: Launch, required: bool, library: &Path) -> (Accelerator, Receiver<EngineNews>) {
    let (sender, news) = channel();
    let options = AcceleratorOptions { onnxruntime: options(library), required, launch };
    (Accelerator::new(options, Arc::new(move |item| drop(sender.send(item)))), news)
}

#[test]
fn a_missing_library_is_news_only_to_those_who_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("libonnxruntime.so");
    let launch = engine(dir.path(), &[], "");
    let (quiet, news) = accelerator(launch.clone(), false, &nowhere);
    assert!(quiet.decoder(&model()).is_none());
    assert!(news.try_recv().is_err());
    let (loud, news) = accelerator(launch, true, &nowhere);
    let Ok(EngineNews::Fallback { model: None, message }) = news.try_recv() else { panic!("no news") };
    let expected =
        if cfg!(feature = "tensorrt") { "libonnxruntime.so is not there" } else { "built without" };
    assert!(message.contains(expected), "{message}");
    assert_eq!(loud.in_use(), None);
}

#[cfg(feature = "tensorrt")]
#[test]
fn a_model_moves_over_when_its_engine_is_ready_and_back_when_it_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let launch = engine(dir.path(), &[Tell::Ready(report(0.0))], "exec sleep 1000");
    let (accelerator, news) = accelerator(launch, true, Path::new("/bin/sh"));
    let model = model();
    assert!(accelerator.decoder(&model).is_none(), "the processor serves meanwhile");
    assert_eq!(accelerator.in_use(), None);
    let Ok(EngineNews::Ready { model: name, summary }) = news.recv() else { panic!("it does not start") };
    assert_eq!(name, model.name);
    assert!(summary.contains("ONNX Runtime 1.17.0"), "{summary}");
    assert!(accelerator.decoder(&model).is_some());
    assert_eq!(accelerator.in_use(), Some("onnxruntime-cpu"));

    accelerator.give_up(&model, "the GPU is lost");
    accelerator.give_up(&model, "the GPU is still lost");
    let Ok(EngineNews::Fallback { message, .. }) = news.recv() else { panic!("it is not told") };
    assert_eq!(message, format!("{} is decoded on the processor: the GPU is lost", model.name));
    assert!(news.try_recv().is_err(), "told once");
    assert!(accelerator.decoder(&model).is_none(), "not tried again");
    assert_eq!(accelerator.in_use(), None);
    assert_eq!(accelerator.reason(), Some(message));
}
