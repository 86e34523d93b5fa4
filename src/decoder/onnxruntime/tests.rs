//! What is special about ONNX Runtime; what every engine must do is in `decoder::suite`.

use std::path::Path;

use super::*;
use crate::decoder::Weights;
use crate::family::Family;

fn options(library: &Path) -> OnnxRuntimeOptions {
    OnnxRuntimeOptions {
        library: library.to_owned(),
        provider: Provider::Cpu,
        threads: 1,
        fp16: false,
        device: 0,
        workspace_bytes: 0,
        engines: library.with_file_name("engines"),
    }
}

fn refused(options: &OnnxRuntimeOptions) -> String {
    let weights = Weights::random(Family::Sam, 1);
    OrtDecoder::new(&weights, Family::Sam, options, &mut |_| {}).unwrap_err().to_string()
}

#[test]
fn a_missing_library_or_another_file_is_refused_with_its_path() {
    let missing = refused(&options(Path::new("/nowhere/libonnxruntime.so")));
    // Where the suite has loaded a library already, another one is refused for that.
    assert!(missing.contains("/nowhere/libonnxruntime.so"), "{missing}");
    assert!(missing.starts_with("the inference engine failed to load ONNX Runtime"), "{missing}");
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("libonnxruntime.so");
    std::fs::write(&text, "no library").unwrap();
    let other = refused(&options(&text));
    assert!(other.contains(&text.display().to_string()), "{other}");
}
