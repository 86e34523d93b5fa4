//! A file of `torch.save` in memory: container, pickle, checksums, the chip in it, and its tensors.
#![no_main]

use std::path::Path;

use geosam_edge::features::chip_of;
use geosam_edge::features::torch::TorchArchive;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(archive) = TorchArchive::from_reader(data, data.len() as u64, Path::new("fuzz.pt")) else { return };
    let _ = archive.verify();
    let _ = chip_of(&archive);
    let root = archive.root();
    for (name, value) in root.items().take(16).chain([("root", root)]) {
        if let Some(tensor) = value.as_tensor() {
            let _ = archive.verify_storage(tensor);
            if let Ok(array) = archive.read_f32(name, tensor) {
                assert!(array.shape().iter().map(|&d| d as u64).eq(tensor.shape.iter().copied()));
            }
        }
    }
});
