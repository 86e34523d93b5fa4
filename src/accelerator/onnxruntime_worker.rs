//! ONNX Runtime in its own process: loads the library, decodes the probe, then what the service asks.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use ndarray::{Array2, Array3};

use super::probe;
use super::report::Report;
use super::trial::model_in;
use super::wire::{Ask, Tell, receive, send};
use crate::decoder::onnxruntime::{OnnxRuntimeOptions, OrtDecoder, facts};
use crate::decoder::{DecoderError, FramePrompt, FusedDecoder, MaskDecoder, PreparedChip};
use crate::family::Family;
use crate::features::{ChipFeatures, HighRes};
use crate::models::load_weights;

/// Serves one engine until the service is gone.
pub(super) fn serve(stream: &mut UnixStream, options: &OnnxRuntimeOptions, model: &Path) -> io::Result<()> {
    let start = Instant::now();
    let decoder = match engine(stream, options, model, start) {
        Ok((decoder, report)) => {
            send(stream, &Tell::Ready(report), &[])?;
            decoder
        }
        Err(message) => return send(stream, &Tell::Failed(message), &[]),
    };
    let mut chips = HashMap::new();
    loop {
        let (ask, arrays) = match receive::<Ask>(stream) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            received => received?,
        };
        match answer(&decoder, &mut chips, ask, arrays) {
            Ok((tell, logits)) => {
                let arrays: Vec<&[f32]> = logits.iter().map(Vec::as_slice).collect();
                send(stream, &tell, &arrays)?;
            }
            Err(error) => send(stream, &Tell::Failed(error.to_string()), &[])?,
        }
    }
}

/// Loads everything and decodes the probe on both engines.
fn engine(
    stream: &mut UnixStream,
    options: &OnnxRuntimeOptions,
    dir: &Path,
    start: Instant,
) -> Result<(OrtDecoder, Report), String> {
    let model = model_in(dir)?;
    let weights = load_weights(&model).map_err(|error| error.to_string())?;
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
        takes_masks: decoder.takes_masks(),
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
        Ask::Start { .. } | Ask::Try { .. } => Err(refused("the engine has started already".to_owned())),
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
            let side = decoder.family().low_resolution();
            let mut prompt = FramePrompt::from(prompt);
            if let Some(mask) = arrays.into_iter().next() {
                let mask = Array2::from_shape_vec((side, side), mask);
                prompt.mask = Some(mask.map_err(|error| refused(error.to_string()))?);
            }
            let decoded = decoder.decode(chip, &prompt)?;
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
