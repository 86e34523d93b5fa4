//! Micro-benchmarks of the stages of a prompt: `cargo bench`, or `cargo bench --bench stages -- draw` for one of them.
//!
//! The folder is the demo's, the rough mask is made here. What a whole prompt takes beside other programs is measured by
//! `benches/compare/run.py`, and on a board by `geosam-edge bench`.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use geosam_edge::api::{CrsChoice, OutputOptions, PromptItem, PromptSet};
use geosam_edge::catalog::{Folder, PromptGeometry};
use geosam_edge::decoder::{FramePoint, FramePrompt};
use geosam_edge::engine::{Engine, EngineChoice, EngineOptions, ServedFolder};
use geosam_edge::features::{Crc, read_chip};
use geosam_edge::geo::{Affine, Crs, Projector, geodesic_area};
use geosam_edge::mask::{Mask, PixelPolygon, Simplifier, polygonize, upscale};
use ndarray::Array2;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo")
}

/// Low-resolution logits of waves, with noise on them or without.
fn logits(noise: f32) -> Array2<f32> {
    let mut state = 1_u64;
    Array2::from_shape_fn((256, 256), |(row, col)| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let random = (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0;
        let (y, x) = (row as f32 / 9.0, col as f32 / 9.0);
        (x + y / 3.0).sin() + (y - x / 2.0).sin() + (x * 0.7 + y * 1.1).cos() + noise * random
    })
}

fn mask_of(logits: &Array2<f32>) -> Mask {
    upscale(logits.view(), (1024, 1024), (1024, 1024), (1024, 1024)).expect("a mask of a chip")
}

/// Mask to text: what follows the decoder.
fn drawing(c: &mut Criterion) {
    let grid = Affine::new([0.5, 0.0, 512_000.0, 0.0, -0.5, 5_278_000.0]);
    let utm = Crs::from_epsg(32632).expect("a known CRS");
    for (name, noise) in [("smooth", 0.1), ("rough", 3.0)] {
        let logits = logits(noise);
        let mask = mask_of(&logits);
        let polygons = polygonize(&mask);
        let mut projector = Projector::new(grid, &utm, &Crs::wgs84()).expect("a usable transform");
        let mut draw = |polygons: &[PixelPolygon]| -> Vec<_> {
            let one = |p: &PixelPolygon| projector.polygon(p.rings.exterior(), p.rings.holes());
            polygons.iter().map(one).collect::<Result<_, _>>().expect("positions on the globe")
        };
        let drawn = draw(&polygons);
        let mut group = c.benchmark_group(name);
        group.sample_size(20);
        group.bench_function("upscale", |b| b.iter(|| mask_of(black_box(&logits))));
        group.bench_function("polygonize", |b| b.iter(|| polygonize(black_box(&mask))));
        group.bench_function("draw", |b| b.iter(|| draw(black_box(&polygons))));
        group.bench_function("area", |b| {
            b.iter(|| drawn.iter().map(|d| geodesic_area(black_box(&d.geometry))).sum::<f64>());
        });
        group.bench_function("serialize", |b| {
            b.iter(|| {
                drawn.iter().map(|d| serde_json::to_vec(&d.geometry).map_or(0, |v| v.len())).sum::<usize>()
            });
        });
        let mut simplifier = Simplifier::default();
        group.bench_function("simplify", |b| {
            b.iter(|| {
                polygons.iter().map(|p| simplifier.simplify(&p.rings, 1.5).vertex_count()).sum::<usize>()
            });
        });
        group.finish();
    }
}

/// The demo's folder: choosing, reading, preparing, decoding, and all of it.
fn prompts(c: &mut Criterion) {
    let folders = Folder::discover(&demo().join("features")).and_then(|found| found.into_folders());
    let folder = folders.expect("the demo's folder").remove(0);
    let served = Arc::new(ServedFolder::new(folder.name().to_owned(), folder));
    let options = EngineOptions {
        models: demo().join("models"),
        engine: EngineChoice::Auto,
        threads: 1,
        cache_bytes: 64 << 20,
    };
    let engine = Engine::open(&options).expect("the demo's models");
    let chip = served.chip(0).expect("a chip");
    let path = chip.path();
    let (x, y) = chip.center;
    let prompt = PromptGeometry { points: vec![(x, y)], bbox: None };
    let item = PromptItem {
        id: None,
        folder: None,
        crs: CrsChoice::Source,
        prompt: PromptSet { points: vec![[x, y]], foreground: vec![true], bbox: None },
        output: OutputOptions::default(),
        stitch: None,
        refine: false,
        properties: None,
        problem: None,
    };
    let decoder = engine.decoders().for_folder(&served.folder).expect("the demo's decoder");
    let features = read_chip(&path, Crc::Verify).expect("a sound chip");
    let prepared = decoder.prepare(&features).expect("a chip of this family");
    let point = FramePoint { x: 512.0, y: 512.0, foreground: true };
    let frame = FramePrompt { points: vec![point], ..FramePrompt::default() };

    let mut group = c.benchmark_group("demo");
    group.sample_size(20);
    group.bench_function("choose", |b| b.iter(|| served.folder.choose(black_box(&prompt))));
    group.bench_function("read", |b| b.iter(|| read_chip(black_box(&path), Crc::Verify)));
    group.bench_function("prepare", |b| b.iter(|| decoder.prepare(black_box(&features))));
    group.bench_function("decode", |b| b.iter(|| decoder.decode(black_box(&prepared), &frame)));
    group.bench_function("hot prompt", |b| {
        b.iter(|| engine.segment(std::slice::from_ref(&served), black_box(&item)).map(|s| s.chip()));
    });
    group.finish();
}

criterion_group!(stages, drawing, prompts);
criterion_main!(stages);
