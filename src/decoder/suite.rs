//! One suite for every engine: what a [`MaskDecoder`] must do, whoever computes. The yardstick is the usual graph, in
//! one piece, on tract; an engine may differ from it by [`TOLERANCE`] times the standard deviation of the logits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use super::tests::{channels_last, chip, difference, masked, prompt, usual};
use super::*;
use crate::models::{ModelInfo, ModelStore, load_weights};

/// Engines differ in the order of their sums: some 1e-6 of the logits' spread.
const TOLERANCE: f32 = 1e-4;

/// Makes an engine with weights, for two threads; nothing where its library is not there.
type Make = fn(&dyn WeightSource, Family) -> Option<Box<dyn MaskDecoder>>;

fn tract(weights: &dyn WeightSource, family: Family) -> Option<Box<dyn MaskDecoder>> {
    Some(Box::new(TractDecoder::new(weights, family, 2).unwrap()))
}

fn fused(weights: &dyn WeightSource, family: Family) -> Option<Box<dyn MaskDecoder>> {
    Some(Box::new(FusedDecoder::new(weights, family, 2).unwrap()))
}

#[cfg(feature = "tensorrt")]
fn onnxruntime(weights: &dyn WeightSource, family: Family) -> Option<Box<dyn MaskDecoder>> {
    let options = crate::decoder::onnxruntime::OnnxRuntimeOptions {
        library: onnxruntime_library()?,
        provider: crate::decoder::onnxruntime::Provider::Cpu,
        threads: 2,
        fp16: false,
        device: 0,
        workspace_bytes: 0,
        engines: PathBuf::new(),
    };
    let decoder = crate::decoder::onnxruntime::OrtDecoder::new(weights, family, &options, &mut |_| {});
    Some(Box::new(decoder.unwrap()))
}

/// The library to test with, `$GEOSAM_ONNXRUNTIME`. Says loudly where there is none, and fails where there must be.
#[cfg(feature = "tensorrt")]
fn onnxruntime_library() -> Option<PathBuf> {
    use std::io::Write as _;
    if let Some(library) = std::env::var_os("GEOSAM_ONNXRUNTIME") {
        return Some(library.into());
    }
    let missing = "GEOSAM_ONNXRUNTIME does not name a libonnxruntime.so (docs/tensorrt.md)";
    assert!(std::env::var_os("GEOSAM_REQUIRE_ONNXRUNTIME").is_none(), "{missing}");
    // Past the test harness, which would swallow the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    None
}

/// A model of the project's own fixtures.
fn fixture(name: &str) -> ModelInfo {
    let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    let store = ModelStore::open(&models).unwrap();
    store.list().iter().find(|model| model.name == name).unwrap().clone()
}

/// The usual graph's answer on random weights; computed once for all engines.
fn reference(family: Family, n: usize) -> Decoded {
    static ANSWERS: Mutex<Option<HashMap<(Family, usize), Decoded>>> = Mutex::new(None);
    if let Some(answer) = ANSWERS.lock().unwrap().as_ref().and_then(|all| all.get(&(family, n))) {
        return answer.clone();
    }
    let answer = usual(&Weights::random(family, 1), &chip(family), &prompt(family, n));
    ANSWERS.lock().unwrap().get_or_insert_default().insert((family, n), answer.clone());
    answer
}

#[track_caller]
fn assert_same(engine: &Decoded, reference: &Decoded, what: &str) {
    let spread = reference.logits.std(0.0);
    let difference = difference(engine, reference);
    println!("{what}: {difference:e} at a standard deviation of {spread}");
    assert!(difference < TOLERANCE * spread.max(1.0), "{what}: {difference} at {spread}");
}

/// Prompts of 2 to 10 tokens, and a long list of points.
fn agrees_with_the_usual_graph(make: Make, family: Family, tokens: impl Iterator<Item = usize>) {
    let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
    let prepared = decoder.prepare(&chip(family)).unwrap();
    for n in tokens {
        let decoded = decoder.decode(&prepared, &prompt(family, n)).unwrap();
        assert_same(&decoded, &reference(family, n), &format!("{family}, {n} tokens"));
    }
}

/// The weights and a chip of a folder that geosam wrote.
fn agrees_on_a_folder(make: Make, model: &str, folder: &str) {
    let model = fixture(model);
    let weights = load_weights(&model).unwrap();
    let Some(decoder) = make(&weights, model.family) else { return };
    let file = format!("tests/fixtures/{folder}/features/chip_000000.pt");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let chip = crate::features::read_chip(&file, crate::features::Crc::Verify).unwrap();
    let prepared = decoder.prepare(&chip).unwrap();
    let copied = Weights::copied(&weights, model.family).unwrap();
    for n in [2, 8] {
        let prompt = prompt(model.family, n);
        let reference = usual(&copied, &chip, &prompt);
        let decoded = decoder.decode(&prepared, &prompt).unwrap();
        assert_same(&decoded, &reference, &format!("{folder}, {n} tokens"));
        let select = |decoded: &Decoded| decoded.select(model.family, false)[0].index;
        assert_eq!(select(&decoded), select(&reference));
    }
}

/// A mask prompt, which the usual graph takes through its convolutions and the engines as a correction.
fn starts_from_a_mask(make: Make, family: Family, tokens: &[usize]) {
    let weights = Weights::random(family, 1);
    let Some(decoder) = make(&weights, family) else { return };
    assert!(decoder.takes_masks());
    let chip = chip(family);
    let prepared = decoder.prepare(&chip).unwrap();
    for &n in tokens {
        let prompt = masked(family, n);
        let expected = usual(&weights, &chip, &prompt);
        let without = reference(family, n);
        assert!(difference(&expected, &without) > 0.1 * without.logits.std(0.0), "the mask says nothing");
        let decoded = decoder.decode(&prepared, &prompt).unwrap();
        assert_same(&decoded, &expected, &format!("{family}, {n} tokens and a mask"));
        // And no trace of it stays behind.
        let decoded = decoder.decode(&prepared, &self::prompt(family, n)).unwrap();
        assert_same(&decoded, &without, &format!("{family}, {n} tokens after a mask"));
    }
}

fn masks_that_do_not_fit_are_refused(make: Make) {
    let family = Family::Sam;
    let weights = Weights::random(family, 1);
    let Some(decoder) = make(&weights, family) else { return };
    let prepared = decoder.prepare(&chip(family)).unwrap();
    let refused = |decoder: &dyn MaskDecoder, prepared: &PreparedChip, mask: ndarray::Array2<f32>| {
        let prompt = FramePrompt { mask: Some(mask), ..prompt(family, 2) };
        decoder.decode(prepared, &prompt).unwrap_err()
    };
    let error = refused(decoder.as_ref(), &prepared, ndarray::Array2::zeros((256, 255)));
    assert_eq!(error.code(), crate::ErrorCode::BadRequest);
    assert!(error.to_string().contains("256 x 255") && error.to_string().contains("256 x 256"), "{error}");
    let mut damaged = ndarray::Array2::zeros((256, 256));
    damaged[[3, 4]] = f32::NAN;
    let error = refused(decoder.as_ref(), &prepared, damaged);
    assert!(matches!(error, DecoderError::MaskNotFinite), "{error}");
    // A mask says where to start, not what is meant.
    let alone = FramePrompt { mask: Some(ndarray::Array2::zeros((256, 256))), ..FramePrompt::default() };
    assert!(matches!(decoder.decode(&prepared, &alone), Err(DecoderError::EmptyPrompt)));

    let Some(old) = make(&weights.without_masks(), family) else { return };
    assert!(!old.takes_masks());
    let prepared = old.prepare(&chip(family)).unwrap();
    let error = refused(old.as_ref(), &prepared, ndarray::Array2::zeros((256, 256)));
    assert_eq!(error.code(), crate::ErrorCode::ModelMismatch);
    assert!(error.to_string().contains("import the checkpoint again"), "{error}");
    assert_same(&old.decode(&prepared, &prompt(family, 2)).unwrap(), &reference(family, 2), "an old import");
}

/// Many prompts at a time, of several lengths, one with a mask.
fn many_prompts_are_decoded_as_each_alone(make: Make, family: Family) {
    let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
    let prepared = decoder.prepare(&chip(family)).unwrap();
    let prompts =
        [prompt(family, 2), masked(family, 3), prompt(family, 2), prompt(family, 20), prompt(family, 6)];
    let alone: Vec<Decoded> =
        prompts.iter().map(|prompt| decoder.decode(&prepared, prompt).unwrap()).collect();
    let all = decoder.decode_many(&prepared, &prompts, Keep::ALL).unwrap();
    assert_eq!(all.len(), prompts.len());
    for (many, alone) in all.iter().zip(&alone) {
        assert_same(many.as_ref().unwrap(), alone, &format!("{family}, one of many"));
    }
    // A bound that some reach.
    let best = |decoded: &Decoded| decoded.scores[1..].iter().copied().fold(f32::MIN, f32::max);
    let mut scores: Vec<f32> = alone.iter().map(best).collect();
    scores.sort_by(f32::total_cmp);
    let keep = Keep { predicted_iou: (scores[2] + scores[3]) / 2.0, multimask: true };
    let kept = decoder.decode_many(&prepared, &prompts, keep).unwrap();
    for (i, (kept, alone)) in kept.iter().zip(&alone).enumerate() {
        assert_eq!(kept.is_some(), keep.wants(family, &alone.scores), "prompt {i} of {scores:?}");
    }
    assert!(decoder.decode_many(&prepared, &[], keep).unwrap().is_empty());
    let with_a_bad_one = [prompt(family, 2), FramePrompt::default()];
    let error = decoder.decode_many(&prepared, &with_a_bad_one, keep).unwrap_err();
    assert!(matches!(error, DecoderError::EmptyPrompt), "{error}");
}

fn memory_order_does_not_matter(make: Make) {
    let family = Family::Sam2;
    let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
    let written = chip(family);
    let mut transposed = written.clone();
    transposed.embedding = written.embedding.as_standard_layout().into_owned();
    if let Some(maps) = &mut transposed.high_res {
        maps.half = maps.half.as_standard_layout().into_owned();
        maps.quarter = channels_last(&maps.quarter);
    }
    let answer = |chip| decoder.decode(&decoder.prepare(chip).unwrap(), &prompt(family, 3)).unwrap();
    assert_eq!(answer(&written), answer(&transposed));
}

fn a_chip_may_be_handed_over(make: Make) {
    for family in [Family::Sam, Family::Sam2] {
        let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
        let lent = decoder.prepare(&chip(family)).unwrap();
        let handed_over = decoder.prepare_owned(chip(family)).unwrap();
        let answer = |prepared| decoder.decode(prepared, &prompt(family, 3)).unwrap();
        assert_eq!(answer(&lent), answer(&handed_over));
        let mut broken = chip(family);
        broken.embedding[[0, 0, 0]] = f32::NAN;
        assert!(matches!(decoder.prepare_owned(broken), Err(DecoderError::ChipNotFinite { .. })));
    }
}

fn threads_may_share_it(make: Make) {
    let family = Family::Sam;
    let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
    let prepared = decoder.prepare(&chip(family)).unwrap();
    let alone: Vec<Decoded> =
        (2..5).map(|n| decoder.decode(&prepared, &prompt(family, n)).unwrap()).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (n, alone) in (2..5).zip(&alone) {
                    assert_eq!(&decoder.decode(&prepared, &prompt(family, n)).unwrap(), alone);
                }
            });
        }
    });
}

fn what_does_not_fit_is_refused(make: Make) {
    let family = Family::Sam2;
    let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
    assert_eq!(decoder.family(), family);
    let refused = |chip: &ChipFeatures| decoder.prepare(chip).unwrap_err();
    assert_eq!(refused(&chip(Family::Sam)).code(), crate::ErrorCode::ModelMismatch);
    let mut without_maps = chip(family);
    without_maps.high_res = None;
    assert_eq!(refused(&without_maps).code(), crate::ErrorCode::ChipUnreadable);
    let mut damaged = chip(family);
    damaged.embedding[[3, 1, 2]] = f32::NAN;
    assert!(matches!(refused(&damaged), DecoderError::ChipNotFinite { .. }));
    let mut absurd = chip(family);
    absurd.embedding.fill(f32::MAX);
    let answer = decoder.prepare(&absurd).and_then(|p| decoder.decode(&p, &prompt(family, 3)));
    assert!(matches!(answer, Err(DecoderError::NotFinite { .. })), "{answer:?}");

    let prepared = decoder.prepare(&chip(family)).unwrap();
    for prompt in [
        FramePrompt::default(),
        FramePrompt::point(f64::NAN, 1.0),
        FramePrompt::bbox([0.0, 0.0, f64::INFINITY, 1.0]),
    ] {
        let error = decoder.decode(&prepared, &prompt).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::BadRequest, "{error}");
    }
    let Some(other) = make(&Weights::random(family, 2), family) else { return };
    let error = other.decode(&prepared, &prompt(family, 3)).unwrap_err();
    assert!(matches!(error, DecoderError::ForeignPreparedChip { .. }), "{error}");
}

fn a_chip_knows_what_it_occupies(make: Make) {
    for (family, megabytes) in [(Family::Sam, 10), (Family::Sam2, 23)] {
        let Some(decoder) = make(&Weights::random(family, 1), family) else { return };
        assert_eq!(decoder.prepare(&chip(family)).unwrap().bytes() / 1_000_000, megabytes);
    }
}

macro_rules! suite {
    ($engine:ident) => {
        mod $engine {
            use super::*;

            const MAKE: Make = super::$engine;

            #[test]
            fn it_agrees_with_the_usual_graph_for_sam() {
                agrees_with_the_usual_graph(MAKE, Family::Sam, (2..=10).chain([40]));
            }

            #[test]
            fn it_agrees_with_the_usual_graph_for_sam2() {
                agrees_with_the_usual_graph(MAKE, Family::Sam2, (2..=10).chain([40]));
            }

            #[test]
            fn it_agrees_with_the_usual_graph_for_sam3() {
                // Its graph is that of SAM 2 on another grid.
                agrees_with_the_usual_graph(MAKE, Family::Sam3, [2, 9, 40].into_iter());
            }

            #[test]
            fn it_starts_from_a_mask_as_the_usual_graph_does() {
                starts_from_a_mask(MAKE, Family::Sam, &[2, 3, 40]);
                starts_from_a_mask(MAKE, Family::Sam2, &[2, 40]);
                starts_from_a_mask(MAKE, Family::Sam3, &[9]);
            }

            #[test]
            fn masks_that_do_not_fit_are_refused_by_name() {
                masks_that_do_not_fit_are_refused(MAKE);
            }

            #[test]
            fn many_prompts_have_the_answers_of_each_alone() {
                many_prompts_are_decoded_as_each_alone(MAKE, Family::Sam);
                many_prompts_are_decoded_as_each_alone(MAKE, Family::Sam2);
            }

            #[test]
            fn it_agrees_on_folders_that_geosam_wrote() {
                agrees_on_a_folder(MAKE, "mobile_sam", "folder_sam");
                agrees_on_a_folder(MAKE, "sam2_t", "folder_sam2");
            }

            #[test]
            fn memory_order_of_a_chip_does_not_matter() {
                memory_order_does_not_matter(MAKE);
            }

            #[test]
            fn a_chip_that_is_handed_over_is_prepared_as_one_that_is_lent() {
                a_chip_may_be_handed_over(MAKE);
            }

            #[test]
            fn threads_share_it_and_get_the_answers_of_one() {
                threads_may_share_it(MAKE);
            }

            #[test]
            fn chips_and_prompts_that_do_not_fit_are_refused() {
                what_does_not_fit_is_refused(MAKE);
            }

            #[test]
            fn a_prepared_chip_knows_its_size() {
                a_chip_knows_what_it_occupies(MAKE);
            }
        }
    };
}

suite!(tract);
suite!(fused);
#[cfg(feature = "tensorrt")]
suite!(onnxruntime);
