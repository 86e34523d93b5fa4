//! The decoder's parts together, on random weights: no checkpoint and no chip needed.

use std::sync::Arc;

use ndarray::{Array2, Array3};
use tract_linalg::multithread::Executor;
use tract_onnx::prelude::Tensor;

use super::graph::{self, Audience, PromptTokens};
use super::tract::{Plan, tensor, values};
use super::*;
use crate::features::HighRes;

fn random(shape: [usize; 3], seed: u64) -> Array3<f32> {
    let mut random = XorShift::new(seed);
    Array3::from_shape_simple_fn(shape, || random.symmetric())
}

/// The same values with the channels last in memory, as geosam writes them.
pub(super) fn channels_last(array: &Array3<f32>) -> Array3<f32> {
    array.view().permuted_axes([1, 2, 0]).as_standard_layout().into_owned().permuted_axes([2, 0, 1])
}

pub(super) fn chip(family: Family) -> ChipFeatures {
    let grid = family.grid();
    let high_res = family.has_high_resolution_maps().then(|| HighRes {
        quarter: random([32, 4 * grid, 4 * grid], 11),
        half: channels_last(&random([64, 2 * grid, 2 * grid], 12)),
    });
    ChipFeatures {
        family,
        checkpoint: "random.pt".into(),
        src_shape: (512, 512),
        dst_shape: (family.frame(), family.frame()),
        embedding: channels_last(&random([256, grid, grid], 10)),
        high_res,
    }
}

fn decoder(family: Family) -> FusedDecoder {
    FusedDecoder::new(&Weights::random(family, 1), family, 1).unwrap()
}

/// A prompt of this many tokens, padding included: points of both labels, with a box where it has more than three.
pub(super) fn prompt(family: Family, n: usize) -> FramePrompt {
    let mut prompt = FramePrompt::default();
    if n > 3 {
        prompt.bbox = Some([100.5, 203.25, 700.0, 811.5]);
    }
    while prompt.token_count(family) < n {
        let i = prompt.points.len() as f64;
        let (x, y) = (31.5 + 37.0 * i, 900.25 - 41.0 * i);
        prompt.points.push(FramePoint { x, y, foreground: prompt.points.len() % 3 != 1 });
    }
    prompt
}

/// The same with a mask: logits in the range of real ones, no two alike.
pub(super) fn masked(family: Family, n: usize) -> FramePrompt {
    let side = family.low_resolution();
    let mut random = XorShift::new(77);
    let mask = Array2::from_shape_simple_fn((side, side), || 8.0 * random.symmetric());
    FramePrompt { mask: Some(mask), ..prompt(family, n) }
}

/// The usual graph on the same chip and prompt.
pub(super) fn usual(weights: &Weights, chip: &ChipFeatures, prompt: &FramePrompt) -> Decoded {
    let tokens = PromptEncoder::new(weights).unwrap().encode(prompt).unwrap();
    let n = tokens.nrows();
    let model = graph::whole(weights, PromptTokens::Fixed(n), Audience::Engine).unwrap();
    let plan = Plan::load_any(&model, &Executor::SingleThread).unwrap();
    let batched = |array: &Array3<f32>| -> Arc<Tensor> {
        let (c, h, w) = array.dim();
        tensor(&[1, c, h, w], array.as_standard_layout().as_slice().unwrap()).unwrap()
    };
    let mut inputs = vec![batched(&chip.embedding)];
    if let Some(maps) = &chip.high_res {
        inputs.extend([batched(&maps.quarter), batched(&maps.half)]);
    }
    inputs.push(tensor(&[1, n, 256], tokens.as_slice().unwrap()).unwrap());
    let side = weights.family().low_resolution();
    if weights.takes_masks() {
        let none = Array2::zeros((side, side));
        let mask = prompt.mask.as_ref().unwrap_or(&none);
        inputs.push(tensor(&[1, 1, side, side], mask.as_slice().unwrap()).unwrap());
        inputs.push(tensor(&[1], &[if prompt.mask.is_some() { 1.0 } else { 0.0 }]).unwrap());
    }
    let outputs = plan.run(inputs).unwrap();
    Decoded {
        logits: Array3::from_shape_vec((4, side, side), values(&outputs[0]).unwrap().to_vec()).unwrap(),
        scores: values(&outputs[1]).unwrap().try_into().unwrap(),
    }
}

pub(super) fn difference(a: &Decoded, b: &Decoded) -> f32 {
    let logits = a.logits.iter().zip(&b.logits).map(|(a, b)| (a - b).abs());
    let scores = a.scores.iter().zip(&b.scores).map(|(a, b)| (a - b).abs());
    logits.chain(scores).fold(0.0, f32::max)
}

fn split_and_usual_agree(family: Family) {
    let weights = Weights::random(family, 1);
    let decoder = TractDecoder::new(&weights, family, 1).unwrap();
    let chip = chip(family);
    let prepared = decoder.prepare(&chip).unwrap();
    for n in [2, 3, 7, 20] {
        let prompt = prompt(family, n);
        assert_eq!(prompt.token_count(family), n);
        let split = decoder.decode(&prepared, &prompt).unwrap();
        let usual = usual(&weights, &chip, &prompt);
        let spread = usual.logits.std(0.0);
        assert!(spread > 0.01, "the logits say nothing: standard deviation {spread}");
        let difference = difference(&split, &usual);
        println!("{family}, {n} tokens: {difference:e} at a standard deviation of {spread}");
        assert!(difference < 1e-4, "{family}, {n} tokens: {difference}");
    }
}

#[test]
fn split_and_usual_graph_agree_for_sam() {
    split_and_usual_agree(Family::Sam);
}

#[test]
fn split_and_usual_graph_agree_for_sam2() {
    split_and_usual_agree(Family::Sam2);
}

#[test]
fn split_and_usual_graph_agree_for_sam3() {
    split_and_usual_agree(Family::Sam3);
}

/// The fused executor against the split graphs on tract, for every number of prompt tokens that is common.
fn fused_and_graphs_agree(family: Family) {
    let weights = Weights::random(family, 1);
    let graphs = TractDecoder::new(&weights, family, 1).unwrap();
    let fused = FusedDecoder::new(&weights, family, 1).unwrap();
    let chip = chip(family);
    let (of_graphs, of_fused) = (graphs.prepare(&chip).unwrap(), fused.prepare(&chip).unwrap());
    // Up and down again: a workspace that was larger before must not show.
    for n in (2..=10).chain([30, 258, 3]) {
        let prompt = prompt(family, n);
        let expected = graphs.decode(&of_graphs, &prompt).unwrap();
        let difference = difference(&fused.decode(&of_fused, &prompt).unwrap(), &expected);
        let spread = expected.logits.std(0.0);
        println!("{family}, {n} tokens: {difference:e} at a standard deviation of {spread}");
        assert!(difference < 1e-4 * spread, "{family}, {n} tokens: {difference} at {spread}");
    }
}

#[test]
fn fused_executor_and_graphs_agree_for_sam() {
    fused_and_graphs_agree(Family::Sam);
}

#[test]
fn fused_executor_and_graphs_agree_for_sam2() {
    fused_and_graphs_agree(Family::Sam2);
}

#[test]
fn fused_executor_and_graphs_agree_for_sam3() {
    fused_and_graphs_agree(Family::Sam3);
}

#[test]
fn memory_order_of_the_chip_does_not_change_the_answer() {
    let decoder = decoder(Family::Sam2);
    let written = chip(Family::Sam2);
    let mut transposed = written.clone();
    transposed.embedding = written.embedding.as_standard_layout().into_owned();
    if let Some(maps) = &mut transposed.high_res {
        maps.half = maps.half.as_standard_layout().into_owned();
        maps.quarter = channels_last(&maps.quarter);
    }
    let prompt = prompt(Family::Sam2, 3);
    let answer = |chip| decoder.decode(&decoder.prepare(chip).unwrap(), &prompt).unwrap();
    assert_eq!(answer(&written), answer(&transposed));
}

#[test]
fn threads_share_a_decoder_and_get_the_answers_of_one() {
    let family = Family::Sam;
    let decoder = decoder(family);
    let prepared = decoder.prepare(&chip(family)).unwrap();
    let alone: Vec<Decoded> =
        (2..6).map(|n| decoder.decode(&prepared, &prompt(family, n)).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (n, alone) in (2..6).zip(&alone) {
                    assert_eq!(&decoder.decode(&prepared, &prompt(family, n)).unwrap(), alone);
                }
            });
        }
    });
}

#[test]
fn more_threads_inside_give_the_same_answer_to_the_last_bit() {
    let family = Family::Sam2;
    let answer = |threads| {
        let decoder = FusedDecoder::new(&Weights::random(family, 1), family, threads).unwrap();
        let prepared = decoder.prepare(&chip(family)).unwrap();
        decoder.decode(&prepared, &prompt(family, 3)).unwrap()
    };
    let one = answer(1);
    for threads in [0, 2, 3, 20] {
        assert_eq!(answer(threads), one, "{threads} threads");
    }
}

#[test]
fn a_chip_prepared_with_other_weights_is_refused() {
    let family = Family::Sam;
    let others: [Box<dyn MaskDecoder>; 2] = [
        Box::new(FusedDecoder::new(&Weights::random(family, 2), family, 1).unwrap()),
        // Another engine, whose prepared chips are its own affair.
        Box::new(TractDecoder::new(&Weights::random(family, 1), family, 1).unwrap()),
    ];
    for other in others {
        let prepared = other.prepare(&chip(family)).unwrap();
        let error = decoder(family).decode(&prepared, &prompt(family, 2)).unwrap_err();
        assert!(matches!(error, DecoderError::ForeignPreparedChip { .. }), "{error}");
    }
}

#[test]
fn chips_that_do_not_fit_are_refused_by_what_is_wrong() {
    let decoder = decoder(Family::Sam2);
    let refused = |chip: &ChipFeatures| decoder.prepare(chip).unwrap_err();

    let error = refused(&chip(Family::Sam));
    assert_eq!(error.code(), crate::ErrorCode::ModelMismatch, "{error}");

    let mut small = chip(Family::Sam2);
    small.embedding = random([256, 74, 74], 1);
    let error = refused(&small);
    assert!(error.to_string().contains("[256, 74, 74]"), "{error}");
    assert_eq!(error.code(), crate::ErrorCode::ChipUnreadable);

    let mut without_maps = chip(Family::Sam2);
    without_maps.high_res = None;
    assert!(refused(&without_maps).to_string().contains("high-resolution"));

    let mut damaged = chip(Family::Sam2);
    damaged.embedding[[3, 1, 2]] = f32::NAN;
    assert!(matches!(refused(&damaged), DecoderError::ChipNotFinite { .. }));
}

#[test]
fn answers_that_are_not_finite_are_an_error() {
    let decoder = decoder(Family::Sam);
    let mut absurd = chip(Family::Sam);
    absurd.embedding.fill(f32::MAX);
    let answer =
        decoder.prepare(&absurd).and_then(|prepared| decoder.decode(&prepared, &prompt(Family::Sam, 2)));
    assert!(matches!(answer, Err(DecoderError::NotFinite { .. })), "{answer:?}");
}

#[test]
fn prompts_that_say_nothing_are_refused() {
    let family = Family::Sam;
    let decoder = decoder(family);
    let prepared = decoder.prepare(&chip(family)).unwrap();
    let refused = |prompt: &FramePrompt| decoder.decode(&prepared, prompt).unwrap_err().code();
    assert_eq!(refused(&FramePrompt::default()), crate::ErrorCode::BadRequest);
    assert_eq!(refused(&FramePrompt::point(f64::NAN, 1.0)), crate::ErrorCode::BadRequest);
    assert_eq!(refused(&FramePrompt::bbox([0.0, 0.0, f64::INFINITY, 1.0])), crate::ErrorCode::BadRequest);
}

#[test]
fn a_prepared_chip_knows_what_it_occupies() {
    let megabytes = |family| decoder(family).prepare(&chip(family)).unwrap().bytes() / 1_000_000;
    assert_eq!(megabytes(Family::Sam), 10);
    assert_eq!(megabytes(Family::Sam2), 23);
}

#[test]
fn few_plans_are_kept_and_the_latest_ones() {
    let decoder = TractDecoder::new(&Weights::random(Family::Sam, 1), Family::Sam, 1).unwrap();
    decoder.warm_up().unwrap();
    assert_eq!(decoder.kept_plans(), [3, 2]);
    let prepared = decoder.prepare(&chip(Family::Sam)).unwrap();
    for n in [4, 5, 2, 6, 7] {
        decoder.decode(&prepared, &prompt(Family::Sam, n)).unwrap();
    }
    assert_eq!(decoder.kept_plans(), [7, 6, 2, 5]);
}
