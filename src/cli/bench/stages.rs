//! The stages of a prompt, each timed by itself and all together.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::Axis;

use super::{CliError, Stage};
use crate::api::{CrsChoice, OutputOptions, PromptItem, PromptSet};
use crate::decoder::{FramePoint, FramePrompt};
use crate::engine::{Engine, EngineError, EngineOptions, ServedFolder};
use crate::mask::{letterbox_gain, polygonize, upscale};

/// No more than a few chips: more would only tell how large the cache is.
pub(super) const CACHE_BYTES: usize = 256 << 20;

/// Times in the order in which they are reported.
#[derive(Default)]
struct Times {
    fresh: Vec<Duration>,
    cold: Vec<Duration>,
    read: Vec<Duration>,
    prepare: Vec<Duration>,
    decode: Vec<Duration>,
    upscale: Vec<Duration>,
    polygonize: Vec<Duration>,
    draw: Vec<Duration>,
    serialize: Vec<Duration>,
    hot: Vec<Duration>,
}

/// Measures all stages on chips spread over the folder.
pub(super) fn measure(
    folder: &Arc<ServedFolder>,
    options: &EngineOptions,
    chips: usize,
    rounds: usize,
) -> Result<Vec<Stage>, CliError> {
    let count = folder.folder.len();
    let chosen: Vec<usize> = (0..chips.min(count)).map(|i| i * count / chips.min(count)).collect();
    let mut times = Times::default();
    for _ in 0..rounds.min(3) {
        let start = Instant::now();
        let engine = Engine::open(options)?;
        if let Some(&first) = chosen.first() {
            drop_from_page_cache(folder, first)?;
            answer(&engine, folder, first)?;
            times.fresh.push(start.elapsed());
        }
    }
    let engine = Engine::open(options)?;
    for &chip in &chosen {
        // The decoder is there from here on.
        engine.decoders().for_folder(&folder.folder)?;
        for _ in 0..rounds {
            engine.forget(folder);
            drop_from_page_cache(folder, chip)?;
            time(&mut times.cold, || answer(&engine, folder, chip))?;
        }
        for _ in 0..rounds {
            time(&mut times.hot, || answer(&engine, folder, chip))?;
        }
        one_by_one(&mut times, &engine, folder, chip, rounds)?;
    }
    let Times { fresh, cold, read, prepare, decode, upscale, polygonize, draw, serialize, hot } = times;
    Ok(vec![
        Stage::new("fresh", "first prompt after start", fresh),
        Stage::new("cold", "first prompt on a chip", cold),
        Stage::new("read", "chip from the page cache", read),
        Stage::new("prepare", "once per chip", prepare),
        Stage::new("decode", "prompt to logits", decode),
        Stage::new("upscale", "logits to mask", upscale),
        Stage::new("polygonize", "mask to rings", polygonize),
        Stage::new("draw", "rings to coordinates", draw),
        Stage::new("serialize", "coordinates to JSON", serialize),
        Stage::new("hot", "prompt to JSON", hot),
    ])
}

fn time<T, E>(times: &mut Vec<Duration>, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let result = run();
    times.push(start.elapsed());
    result
}

/// A point in the middle of the chip.
fn prompt(folder: &ServedFolder, chip: usize) -> Result<PromptItem, EngineError> {
    let (x, y) = folder.chip(chip)?.center;
    Ok(PromptItem {
        id: None,
        folder: None,
        crs: CrsChoice::Source,
        prompt: PromptSet { points: vec![[x, y]], foreground: vec![true], bbox: None },
        output: OutputOptions::default(),
        stitch: None,
        refine: false,
        properties: None,
        problem: None,
    })
}

/// The whole way, to the bytes of the answer.
fn answer(engine: &Engine, folder: &Arc<ServedFolder>, chip: usize) -> Result<(), CliError> {
    let segmentation = engine.segment(std::slice::from_ref(folder), &prompt(folder, chip)?)?;
    black_box(json(segmentation.collection())?);
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, CliError> {
    serde_json::to_vec(value).map_err(std::io::Error::from).map_err(CliError::file("-"))
}

fn one_by_one(
    times: &mut Times,
    engine: &Engine,
    folder: &Arc<ServedFolder>,
    index: usize,
    rounds: usize,
) -> Result<(), CliError> {
    let chip = folder.chip(index)?;
    let decoder = engine.decoders().for_folder(&folder.folder)?;
    let (height, width) = chip.shape;
    let gain = letterbox_gain(chip.shape, chip.dst_shape);
    let point = FramePoint { x: width as f64 / 2.0 * gain, y: height as f64 / 2.0 * gain, foreground: true };
    let frame_prompt = FramePrompt { points: vec![point], ..FramePrompt::default() };
    let segmentation = engine.segment(std::slice::from_ref(folder), &prompt(folder, index)?)?;
    for _ in 0..rounds {
        let features = time(&mut times.read, || folder.read_features(index))?;
        let prepared = time(&mut times.prepare, || decoder.prepare(&features)).map_err(EngineError::from)?;
        let decoded = time(&mut times.decode, || decoder.decode(&prepared, &frame_prompt))
            .map_err(EngineError::from)?;
        let selected = decoded.select(decoder.family(), false);
        let logits = decoded.logits.index_axis(Axis(0), selected.first().map_or(0, |mask| mask.index));
        let mask = time(&mut times.upscale, || upscale(logits, chip.shape, chip.dst_shape, chip.shape))
            .map_err(EngineError::from)?;
        let start = Instant::now();
        black_box(polygonize(&mask));
        times.polygonize.push(start.elapsed());
        let collection = time(&mut times.draw, || segmentation.collection_as(&OutputOptions::default()))?;
        time(&mut times.serialize, || json(&collection).map(black_box))?;
    }
    Ok(())
}

/// Asks the system to forget a chip's file, so that the next reading comes from the card.
fn drop_from_page_cache(folder: &ServedFolder, chip: usize) -> Result<(), CliError> {
    let path = folder.chip(chip)?.path();
    let file = std::fs::File::open(&path).map_err(CliError::file(&path))?;
    // Advice only: where it is not taken, the file is read from memory.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    drop(file);
    Ok(())
}
