//! A model on a card: its description and its weights, led by the length of the first. What is listed has the files
//! that it says; weights that are taken are of the shapes that the decoder reads.
#![no_main]

use std::fs;

use geosam_edge::models::{ModelStore, load_weights};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&length, rest)) = bytes.split_first() else { return };
    let (description, weights) = rest.split_at(usize::from(length).min(rest.len()));
    let Ok(models) = tempfile::tempdir() else { return };
    let directory = models.path().join("mobile_sam");
    fs::create_dir(&directory).expect("a directory of our own");
    fs::write(directory.join("model.toml"), description).expect("a directory of our own");
    fs::write(directory.join("decoder.safetensors"), weights).expect("a directory of our own");
    let Ok(store) = ModelStore::open(models.path()) else { return };
    for model in store.list() {
        assert!(model.decoder_path().is_file());
        let _ = load_weights(model).map(|weights| weights.iter().count());
    }
});
