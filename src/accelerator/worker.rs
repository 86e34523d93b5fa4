//! The process of an engine: does what the service asks over the socket that is its standard input, until that is
//! closed. Standard output and error are the service's log.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ndarray::Array3;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::probe;
use super::report::Report;
use super::wire::{Ask, Tell, receive, send};
use crate::decoder::onnxruntime::{OnnxRuntimeOptions, OrtDecoder, facts};
use crate::decoder::{DecoderError, FusedDecoder, MaskDecoder, PreparedChip};
use crate::family::Family;
use crate::features::{ChipFeatures, HighRes};
use crate::models::{ModelStore, load_weights};

/// Serves one engine until the service is gone.
///
/// # Errors
/// Standard input is no socket, or the service talks nonsense.
pub fn work() -> io::Result<()> {
    leave_with_the_service()?;
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (ask, _) = receive::<Ask>(&mut stream)?;
    let Ask::Start { options, model } = ask else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the first message is no start"));
    };
    let start = Instant::now();
    let decoder = match engine(&mut stream, &options, &model, start) {
        Ok((decoder, report)) => {
            send(&mut stream, &Tell::Ready(report), &[])?;
            decoder
        }
        Err(message) => return send(&mut stream, &Tell::Failed(message), &[]),
    };
    let mut chips = HashMap::new();
    loop {
        let (ask, arrays) = match receive::<Ask>(&mut stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            received => received?,
        };
        match answer(&decoder, &mut chips, ask, arrays) {
            Ok((tell, logits)) => {
                let arrays: Vec<&[f32]> = logits.iter().map(Vec::as_slice).collect();
                send(&mut stream, &tell, &arrays)?;
            }
            Err(error) => send(&mut stream, &Tell::Failed(error.to_string()), &[])?,
        }
    }
}

/// Ends with the service, however that ends, and not before it: systemd signals all processes of a unit, and an answer
/// under way shall still be given. Where memory is short, this process goes and the service stays.
fn leave_with_the_service() -> io::Result<()> {
    let signalled = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&signalled))?;
    }
    // Raising one's own score needs no privilege (`proc(5)`); without it, the kernel takes the largest process.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    let service = parent_id();
    let watch = move || {
        while parent_id() == service {
            std::thread::sleep(Duration::from_millis(500));
        }
        std::process::exit(0);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(watch).map(drop)
}

/// Loads everything and decodes the probe on both engines.
fn engine(
    stream: &mut UnixStream,
    options: &OnnxRuntimeOptions,
    dir: &Path,
    start: Instant,
) -> Result<(OrtDecoder, Report), String> {
    let store = ModelStore::open(dir.parent().unwrap_or(dir)).map_err(|error| error.to_string())?;
    let model = store.list().iter().find(|model| model.dir == dir);
    let model = model.ok_or_else(|| format!("{}: there is no model here any more", dir.display()))?;
    let weights = load_weights(model).map_err(|error| error.to_string())?;
    let mut stage = |stage: &str| {
        // A service that is gone is noticed with the next message.
        let _ = send(stream, &Tell::Stage(stage.to_owned()), &[]);
    };
    let told = |error: DecoderError| error.to_string();
    let decoder = OrtDecoder::new(&weights, model.family, options, &mut stage).map_err(told)?;
    stage("decode the probe");
    let start_s = start.elapsed().as_secs_f64();
    let fused = FusedDecoder::new(&weights, model.family, options.threads).map_err(told)?;
    let (difference, [prepare_ms, decode_ms, fused_decode_ms]) =
        probe::compare(&decoder, &fused, decoder.most_tokens()).map_err(told)?;
    let facts = facts();
    let report = Report {
        provider: options.provider,
        onnxruntime: facts.onnxruntime,
        tensorrt: facts.tensorrt,
        engines: decoder.place().map(|place| place.engines()),
        start_s,
        prepare_ms,
        decode_ms,
        fused_decode_ms,
        difference,
    };
    Ok((decoder, report))
}

fn answer(
    decoder: &OrtDecoder,
    chips: &mut HashMap<u64, PreparedChip>,
    ask: Ask,
    arrays: Vec<Vec<f32>>,
) -> Result<(Tell, Option<Vec<f32>>), DecoderError> {
    let refused = |message: String| DecoderError::Engine { action: "understand a request", message };
    match ask {
        Ask::Start { .. } => Err(refused("the engine has started already".to_owned())),
        Ask::Prepare { chip, family } => {
            let features =
                features(family, arrays).ok_or_else(|| refused("arrays of other sizes".to_owned()))?;
            let prepared = decoder.prepare(&features)?;
            let bytes = prepared.bytes();
            chips.insert(chip, prepared);
            Ok((Tell::Prepared { bytes }, None))
        }
        Ask::Decode { chip, prompt, forget } => {
            for chip in forget {
                chips.remove(&chip);
            }
            let chip = chips.get(&chip).ok_or_else(|| refused("a chip that is not kept".to_owned()))?;
            let decoded = decoder.decode(chip, &prompt.into())?;
            let side = decoder.family().low_resolution();
            let (logits, _) = decoded.logits.into_raw_vec_and_offset();
            Ok((Tell::Decoded { scores: decoded.scores, side }, Some(logits)))
        }
    }
}

/// A chip's arrays in the shapes of its family.
fn features(family: Family, arrays: Vec<Vec<f32>>) -> Option<ChipFeatures> {
    let grid = family.grid();
    let mut arrays = arrays.into_iter();
    let mut next =
        |channels: usize, side: usize| Array3::from_shape_vec((channels, side, side), arrays.next()?).ok();
    let embedding = next(256, grid)?;
    let high_res = if family.has_high_resolution_maps() {
        Some(HighRes { quarter: next(32, 4 * grid)?, half: next(64, 2 * grid)? })
    } else {
        None
    };
    Some(ChipFeatures {
        family,
        checkpoint: String::new(),
        src_shape: (family.frame(), family.frame()),
        dst_shape: (family.frame(), family.frame()),
        embedding,
        high_res,
    })
}
