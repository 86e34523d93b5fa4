//! How long the decoder takes on this machine, on random weights and features.
//!
//! `decode_time FAMILY THREADS [PROMPT_TOKENS [ROUNDS]]` prints a line per round: the milliseconds of one decode, and
//! (on Linux) those that its threads spent on a processor, which other programs disturb less.
//! - `--engine tract` (needs `--features tract`): with the plain graphs on tract instead of the fused executor;
//! - `--export DIR`: writes the same weights as ONNX files there first, the chip and the answer as `.npy` files;
//! - `--step`: waits for a line on standard input before each round, so that another process can take turns with it.

use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use geosam_edge::Family;
use geosam_edge::decoder::{FramePoint, FramePrompt, FusedDecoder, MaskDecoder, Weights, XorShift, graph};
use geosam_edge::features::{ChipFeatures, HighRes};
use geosam_edge::mask::write_npy;
use ndarray::{Array3, ArrayView3};

fn random(shape: [usize; 3], seed: u64) -> Array3<f32> {
    let mut random = XorShift::new(seed);
    Array3::from_shape_simple_fn(shape, || random.symmetric())
}

fn chip(family: Family) -> ChipFeatures {
    let grid = family.grid();
    let high_res = family.has_high_resolution_maps().then(|| HighRes {
        quarter: random([32, 4 * grid, 4 * grid], 2),
        half: random([2 * grid, 2 * grid, 64], 3).permuted_axes([2, 0, 1]),
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

/// Processor time of all threads so far, in milliseconds; 0 where the system does not tell.
fn processor_time() -> f64 {
    let nanoseconds = |entry: std::fs::DirEntry| -> Option<f64> {
        let stat = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse().ok()
    };
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    threads.flatten().filter_map(nanoseconds).sum::<f64>() / 1e6
}

/// Takes `--name VALUE` out of the arguments.
fn option(arguments: &mut Vec<String>, name: &str) -> Option<String> {
    let i = arguments.iter().position(|a| a == name)?;
    arguments.remove(i);
    (i < arguments.len()).then(|| arguments.remove(i))
}

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let step = arguments.iter().position(|a| a == "--step").map(|i| arguments.remove(i)).is_some();
    let export = option(&mut arguments, "--export");
    let engine = option(&mut arguments, "--engine").unwrap_or_else(|| "fused".to_owned());
    let [family, threads, rest @ ..] = arguments.as_slice() else {
        bail!(
            "usage: decode_time FAMILY THREADS [PROMPT_TOKENS [ROUNDS]] [--engine fused|tract] [--step] [--export DIR]"
        )
    };
    let family = Family::from_name(family).context("FAMILY is one of sam, sam2, sam3")?;
    let threads = threads.parse()?;
    let tokens = rest.first().map_or(Ok(2), |n| n.parse())?;
    let rounds = rest.get(1).map_or(Ok(20), |n| n.parse())?;

    let timed = |label: &str, started: Instant| {
        eprintln!("{label}: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    };
    let weights = Weights::random(family, 1);
    let started = Instant::now();
    let decoder: Box<dyn MaskDecoder> = match engine.as_str() {
        "fused" => Box::new(FusedDecoder::new(&weights, family, threads)?),
        #[cfg(feature = "tract")]
        "tract" => Box::new(geosam_edge::decoder::TractDecoder::new(&weights, family, threads)?),
        other => bail!("no engine {other}; tract needs --features tract"),
    };
    timed("new", started);

    let chip = chip(family);
    let started = Instant::now();
    let mut prepared = decoder.prepare(&chip)?;
    timed("prepare", started);
    for _ in 0..3 {
        let started = Instant::now();
        prepared = decoder.prepare(&chip)?;
        timed("prepare again", started);
    }

    let mut prompt = FramePrompt::default();
    while prompt.token_count(family) < tokens {
        let i = prompt.points.len() as f64;
        prompt.points.push(FramePoint { x: 100.0 + 37.5 * i, y: 900.25 - 41.0 * i, foreground: true });
    }
    let started = Instant::now();
    let decoded = decoder.decode(&prepared, &prompt)?;
    timed("first decode", started);
    if let Some(directory) = export {
        let directory = Path::new(&directory);
        graph::export(&weights, "random", directory)?;
        let write = |name: &str, values: ArrayView3<'_, f32>| -> Result<()> {
            Ok(write_npy(values, std::fs::File::create(directory.join(name))?)?)
        };
        write("image_embeddings.npy", chip.embedding.view())?;
        if let Some(maps) = &chip.high_res {
            write("high_res_feats_0.npy", maps.quarter.view())?;
            write("high_res_feats_1.npy", maps.half.view())?;
        }
        write("low_res_masks.npy", decoded.logits.view())?;
    }

    let mut lines = stdin().lock().lines();
    let (mut best, mut least) = (f64::INFINITY, f64::INFINITY);
    if step {
        println!("ready");
        stdout().flush()?;
    }
    for _ in 0..rounds {
        if step && lines.next().is_none() {
            break;
        }
        let (started, busy) = (Instant::now(), processor_time());
        decoder.decode(&prepared, &prompt)?;
        let milliseconds = started.elapsed().as_secs_f64() * 1e3;
        let busy = processor_time() - busy;
        (best, least) = (best.min(milliseconds), least.min(busy));
        println!("{milliseconds:.3} {busy:.3}");
        stdout().flush()?;
    }
    eprintln!("best: {best:.2} ms, {least:.2} ms of processor time");
    Ok(())
}
