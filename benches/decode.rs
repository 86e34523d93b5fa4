//! Micro-benchmarks of the decoder on random weights: one prompt on a prepared chip, and the preparation of a chip.
//!
//! `cargo bench --bench decode`, beside the plain graphs on tract (a default feature);
//! `benches/compare/decode.py` compares with ONNX Runtime.

use criterion::{Criterion, criterion_group, criterion_main};
use geosam_edge::Family;
use geosam_edge::decoder::{FramePrompt, FusedDecoder, MaskDecoder, Weights, XorShift};
use geosam_edge::features::{ChipFeatures, HighRes};
use ndarray::Array3;

fn random(shape: [usize; 3], seed: u64) -> Array3<f32> {
    let mut random = XorShift::new(seed);
    Array3::from_shape_simple_fn(shape, || random.symmetric())
}

fn chip(family: Family) -> ChipFeatures {
    let grid = family.grid();
    let high_res = family.has_high_resolution_maps().then(|| HighRes {
        quarter: random([32, 4 * grid, 4 * grid], 2),
        half: random([64, 2 * grid, 2 * grid], 3),
    });
    ChipFeatures {
        family,
        checkpoint: "random.pt".into(),
        src_shape: (family.frame(), family.frame()),
        dst_shape: (family.frame(), family.frame()),
        // Channels last in memory, as geosam writes it.
        embedding: random([grid, grid, 256], 1).permuted_axes([2, 0, 1]),
        high_res,
    }
}

fn decode(criterion: &mut Criterion) {
    for family in [Family::Sam, Family::Sam2] {
        let weights = Weights::random(family, 1);
        let chip = chip(family);
        let engines: Vec<(&str, Box<dyn MaskDecoder>)> = vec![
            ("fused, 1 thread", Box::new(FusedDecoder::new(&weights, family, 1).expect("complete weights"))),
            ("fused, 2 threads", Box::new(FusedDecoder::new(&weights, family, 2).expect("complete weights"))),
            #[cfg(feature = "tract")]
            (
                "tract, 1 thread",
                Box::new(
                    geosam_edge::decoder::TractDecoder::new(&weights, family, 1).expect("complete weights"),
                ),
            ),
        ];
        let prompt = FramePrompt::point(400.0, 600.0);
        for (name, decoder) in &engines {
            let prepared = decoder.prepare(&chip).expect("a sound chip");
            criterion.bench_function(&format!("decode {family}, {name}"), |b| {
                b.iter(|| decoder.decode(&prepared, &prompt));
            });
            criterion.bench_function(&format!("prepare {family}, {name}"), |b| {
                b.iter(|| decoder.prepare(&chip));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = decode
}
criterion_main!(benches);
