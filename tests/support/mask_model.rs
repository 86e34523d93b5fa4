//! The fixtures' models with parameters for masks as prompts, which they were imported without: made up, but enough to tell
//! whether a mask is taken, and which.

use std::path::Path;

use geosam_edge::models::{ModelStore, parameters};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

/// Writes the model of a directory into another, with the parameters.
pub fn with_mask_parameters(from: &Path, to: &Path) {
    let name = from.file_name().expect("a model's directory");
    let store = ModelStore::open(from.parent().expect("a models directory")).expect("models");
    let model = store.list().iter().find(|model| *model.name == *name.to_string_lossy()).expect("the model");
    let bytes = std::fs::read(from.join("decoder.safetensors")).expect("its parameters");
    let there = SafeTensors::deserialize(&bytes).expect("safetensors");
    let mut state = 9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let missing = parameters(model.family).into_iter().filter(|p| p.name.contains(".mask_downscaling."));
    let missing: Vec<_> = missing
        .map(|p| {
            let values = (0..p.shape.iter().product::<usize>())
                .flat_map(|_| next().to_le_bytes())
                .collect::<Vec<u8>>();
            (p.name, p.shape, values)
        })
        .collect();
    assert_eq!(missing.len(), 10);
    let added = missing.iter().map(|(name, shape, values)| (name.clone(), view(shape, values)));
    let known = there.tensors().into_iter().filter(|(name, _)| !name.contains(".mask_downscaling."));
    let all: Vec<_> = known.chain(added).collect();
    let written = safetensors::serialize(all, None).expect("safetensors");
    std::fs::create_dir_all(to).expect("a directory");
    let text = std::fs::read_to_string(from.join("model.toml")).expect("its description");
    let before = format!("{:08x}", crc32fast::hash(&bytes));
    assert!(text.contains(&before));
    std::fs::write(
        to.join("model.toml"),
        text.replace(&before, &format!("{:08x}", crc32fast::hash(&written))),
    )
    .expect("its description");
    std::fs::write(to.join("decoder.safetensors"), written).expect("its parameters");
}

fn view<'a>(shape: &[usize], values: &'a [u8]) -> TensorView<'a> {
    TensorView::new(Dtype::F32, shape.to_vec(), values).expect("a tensor")
}
