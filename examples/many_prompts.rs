//! A grid of points on one chip, all at once and one after the other: what `benches/compare/many.py` measures.
//!
//! `many_prompts MODELS MODEL CHIP THREADS [ROUNDS] [--points-per-side 32] [--keep 0.88]` prints a line per round, in turns in
//! one process: milliseconds a prompt of single decodes (a sample of 32 of the grid's), of all with the bound, of all
//! without one, and how many of the grid were kept. The last line tells how far the answers are apart.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use geosam_edge::decoder::{Decoded, FramePrompt, FusedDecoder, Keep, MaskDecoder, PreparedChip};
use geosam_edge::features::{Crc, read_chip};
use geosam_edge::models::{ModelStore, load_weights};

/// Prompts that are asked for at a time: their answers take 1 MB each.
const PART: usize = 128;

/// Takes `--name VALUE` out of the arguments.
fn option(arguments: &mut Vec<String>, name: &str) -> Option<String> {
    let i = arguments.iter().position(|a| a == name)?;
    arguments.remove(i);
    (i < arguments.len()).then(|| arguments.remove(i))
}

fn milliseconds<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed().as_secs_f64() * 1e3, result))
}

/// All prompts, some at a time; how many answers there were.
fn all(decoder: &dyn MaskDecoder, chip: &PreparedChip, prompts: &[FramePrompt], keep: Keep) -> Result<usize> {
    let mut kept = 0;
    for part in prompts.chunks(PART) {
        kept += decoder.decode_many(chip, part, keep)?.iter().flatten().count();
    }
    Ok(kept)
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let side: usize = option(&mut arguments, "--points-per-side").map_or(Ok(32), |n| n.parse())?;
    let bound: f32 = option(&mut arguments, "--keep").map_or(Ok(0.88), |n| n.parse())?;
    let [models, model, chip, threads, rest @ ..] = arguments.as_slice() else {
        bail!("usage: many_prompts MODELS MODEL CHIP THREADS [ROUNDS] [--points-per-side 32] [--keep 0.88]")
    };
    let rounds = rest.first().map_or(Ok(5), |n| n.parse())?;
    let store = ModelStore::open(Path::new(models))?;
    let info = store.list().iter().find(|info| info.name == *model).context("no such model")?;
    let decoder = FusedDecoder::new(&load_weights(info)?, info.family, threads.parse()?)?;
    let prepared = decoder.prepare(&read_chip(Path::new(chip), Crc::Verify)?)?;

    let frame = info.family.frame() as f64;
    let at = |i: usize| (i as f64 + 0.5) * frame / side as f64;
    let prompts: Vec<FramePrompt> =
        (0..side * side).map(|i| FramePrompt::point(at(i % side), at(i / side))).collect();
    let sample: Vec<&FramePrompt> = prompts.iter().step_by((prompts.len() / 32).max(1)).collect();
    let keep = Keep { predicted_iou: bound, multimask: true };
    for _ in 0..rounds {
        let (single, _) = milliseconds(|| {
            for prompt in &sample {
                decoder.decode(&prepared, prompt)?;
            }
            Ok(())
        })?;
        let (bounded, kept) = milliseconds(|| all(&decoder, &prepared, &prompts, keep))?;
        let (unbounded, _) = milliseconds(|| all(&decoder, &prepared, &prompts, Keep::ALL))?;
        let each = prompts.len() as f64;
        println!(
            "single {:.3} bounded {:.3} unbounded {:.3} kept {kept} of {each}",
            single / sample.len() as f64,
            bounded / each,
            unbounded / each
        );
    }

    // Differences of logits in standard deviations, of scores, and how many answers differ in what is kept.
    let (mut logits, mut scores, mut pixels, mut other) = (0_f32, 0_f32, 0_usize, 0);
    for part in sample.chunks(8) {
        let part: Vec<FramePrompt> = part.iter().map(|prompt| (*prompt).clone()).collect();
        let answers = decoder.decode_many(&prepared, &part, Keep::ALL)?;
        for (prompt, answer) in part.iter().zip(answers) {
            let alone: Decoded = decoder.decode(&prepared, prompt)?;
            let answer = answer.context("every answer was asked for")?;
            let spread = alone.logits.std(0.0);
            let pairs = || answer.logits.iter().zip(&alone.logits);
            logits = pairs().fold(logits, |worst, (a, b)| worst.max((a - b).abs() / spread));
            pixels += pairs().filter(|(a, b)| (**a > 0.0) != (**b > 0.0)).count();
            let wants = |decoded: &Decoded| keep.wants(info.family, &decoded.scores);
            other += usize::from(wants(&answer) != wants(&alone));
            scores = answer
                .scores
                .iter()
                .zip(&alone.scores)
                .fold(scores, |worst, (a, b)| worst.max((a - b).abs()));
        }
    }
    println!(
        "logits {logits:e} scores {scores:e} pixels {pixels} kept otherwise {other} of {}",
        sample.len()
    );
    Ok(())
}
