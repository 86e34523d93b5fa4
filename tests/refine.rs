//! Masks as prompts: an answer that starts from the mask of another one, on the command line.

#[path = "support/mask_model.rs"]
mod mask_model;
mod support;

use std::path::{Path, PathBuf};

use geosam_edge::catalog::Folder;
use geosam_edge::decoder::{FramePoint, FramePrompt, FusedDecoder, MaskDecoder as _, WeightSource};
use geosam_edge::features::{Crc, read_chip};
use geosam_edge::models::{ModelStore, load_weights};
use mask_model::with_mask_parameters;
use ndarray::{Array2, Array3, Axis};
use serde_json::{Value, json};
use support::npz::Npy;
use support::{fixtures, geosam_edge, run_with_input, stdout_of};
use tempfile::TempDir;

/// A models directory whose `mobile_sam` takes masks, and whose `sam2_t` does.
fn models() -> TempDir {
    let models = tempfile::tempdir().unwrap();
    for name in ["mobile_sam", "sam2_t"] {
        with_mask_parameters(&fixtures().join("models").join(name), &models.path().join(name));
    }
    models
}

fn logits(dump: &Path, id: &str) -> Array3<f32> {
    let npy = Npy::parse(&std::fs::read(dump.join(format!("{id}.logits.npy"))).unwrap());
    Array3::from_shape_vec((npy.shape[0], npy.shape[1], npy.shape[2]), npy.f32().to_vec()).unwrap()
}

/// Answers requests of a folder, and the directory of their logits.
fn asked(folder: &str, models: &Path, flags: &[&str], requests: &[Value]) -> (Vec<Value>, TempDir) {
    let dump = tempfile::tempdir().unwrap();
    let folder = fixtures().join(folder);
    let mut arguments = vec!["segment", folder.to_str().unwrap(), "--models", models.to_str().unwrap()];
    arguments.extend(["--crs", "source", "--request", "-", "--dump", dump.path().to_str().unwrap()]);
    arguments.extend(flags);
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let output = run_with_input(&arguments, &lines);
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), dump)
}

/// The place of a pixel of a chip, and the chip's path.
fn place(folder: &str, chip: usize, (col, row): (f64, f64)) -> ([f64; 2], PathBuf) {
    let folder = Folder::discover(&fixtures().join(folder)).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chip(chip).unwrap();
    let (x, y) = chip.affine.apply(col, row);
    ([x, y], chip.file().unwrap())
}

/// What the decoder gives for points in frame pixels and a mask, asked by itself.
fn decoded(
    name: &str,
    models: &Path,
    chip: &Path,
    points: &[(f64, f64, bool)],
    mask: Option<Array2<f32>>,
) -> Array3<f32> {
    let store = ModelStore::open(models).unwrap();
    let model = store.list().iter().find(|model| model.name == name).unwrap();
    let weights = load_weights(model).unwrap();
    let decoder = FusedDecoder::new(&weights as &dyn WeightSource, model.family, 1).unwrap();
    let prepared = decoder.prepare(&read_chip(chip, Crc::Verify).unwrap()).unwrap();
    let point = |&(x, y, foreground): &(f64, f64, bool)| FramePoint { x, y, foreground };
    let prompt = FramePrompt { points: points.iter().map(point).collect(), bbox: None, mask };
    let decoded = decoder.decode(&prepared, &prompt).unwrap();
    let index = decoded.select(model.family, false)[0].index;
    decoded.logits.select(Axis(0), &[index])
}

fn next_to(a: &Array3<f32>, b: &Array3<f32>) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Chip 0 of a folder with one point, refined in every way.
fn is_refined_as_the_decoder_refines(folder: &str, model: &str) {
    let models = models();
    let chip = {
        let folder = Folder::discover(&fixtures().join(folder)).unwrap().into_folders().unwrap().remove(0);
        let chip = folder.chip(0).unwrap();
        (chip.shape, chip.dst_shape)
    };
    let gain = geosam_edge::mask::letterbox_gain(chip.0, chip.1);
    let pixel = ((chip.0.1 / 2) as f64 + 3.5, (chip.0.0 / 2) as f64 + 5.5);
    let other = (pixel.0 + 17.0, pixel.1 - 11.0);
    let (at, path) = place(folder, 0, pixel);
    let (beside, _) = place(folder, 0, other);
    let first = json!({"id": "a", "points": [at]});
    let corrected = json!({"id": "b", "mask_of": "a", "points": [at, beside], "labels": [1, 0]});
    let again = json!({"id": "c", "mask_of": "a", "points": [at]});
    let twice = json!({"id": "d", "points": [at], "refine": true});
    let plain = json!({"id": "e", "points": [at], "refine": false});
    let requests = [first, corrected, again, twice, plain];
    let (answers, dump) = asked(folder, models.path(), &[], &requests);
    assert!(answers.iter().all(|answer| answer["status"] == "ok"), "{answers:?}");
    let told: Vec<&Value> = answers.iter().map(|answer| &answer["refined"]).collect();
    assert_eq!(told, [&Value::Null, &json!(true), &json!(true), &json!(true), &Value::Null]);

    let frame = |(col, row): (f64, f64), foreground| (col * gain, row * gain, foreground);
    let (here, there) = (frame(pixel, true), frame(other, false));
    // As the families' predictors give masks back.
    let clip = |logit: f32| if model == "mobile_sam" { logit } else { logit.clamp(-32.0, 32.0) };
    let mask = |logits: &Array3<f32>| Some(logits.index_axis(Axis(0), 0).mapv(clip));
    let began = decoded(model, models.path(), &path, &[here], None);
    assert!(next_to(&logits(dump.path(), "a"), &began) < 1e-5);
    assert_eq!(logits(dump.path(), "a"), logits(dump.path(), "e"), "nothing starts from a mask by default");
    let expected = decoded(model, models.path(), &path, &[here], mask(&began));
    assert!(next_to(&expected, &began) > 1e-2, "the mask means something");
    assert!(next_to(&logits(dump.path(), "c"), &expected) < 1e-4);
    assert_eq!(
        logits(dump.path(), "c"),
        logits(dump.path(), "d"),
        "its own mask is that of the answer before"
    );
    let expected = decoded(model, models.path(), &path, &[here, there], mask(&began));
    assert!(next_to(&logits(dump.path(), "b"), &expected) < 1e-4);

    // As flags ask for it: of all requests, and of a prompt by itself.
    let (answers, by_flag) = asked(folder, models.path(), &["--refine"], &requests[..1]);
    assert_eq!(answers[0]["refined"], true);
    assert_eq!(logits(by_flag.path(), "a"), logits(dump.path(), "d"));
}

#[test]
fn sam_answers_from_a_mask_as_its_decoder_does() {
    is_refined_as_the_decoder_refines("folder_sam", "mobile_sam");
}

#[test]
fn sam2_answers_from_a_mask_as_its_decoder_does() {
    is_refined_as_the_decoder_refines("folder_sam2", "sam2_t");
}

#[test]
fn many_prompts_are_each_refined_by_their_own_masks() {
    let models = models();
    let (at, _) = place("folder_sam", 0, (100.5, 100.5));
    let (other, _) = place("folder_sam", 0, (300.5, 200.5));
    let batch = json!({"id": "b", "refine": true, "prompts": [{"points": [at]}, {"points": [other]}]});
    let alone = [
        json!({"id": "1", "points": [at], "refine": true}),
        json!({"id": "2", "points": [other], "refine": true}),
    ];
    let (answers, dump) =
        asked("folder_sam", models.path(), &[], &[batch, alone[0].clone(), alone[1].clone()]);
    for (entry, single) in [("b.0", "1"), ("b.1", "2")] {
        assert_eq!(logits(dump.path(), entry), logits(dump.path(), single));
    }
    assert!(answers[0]["results"].as_array().unwrap().iter().all(|result| result["refined"] == true));
    // A file of objects.
    let file = models.path().join("points.geojsonl");
    let feature = |place: [f64; 2]| json!({"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": place}});
    std::fs::write(&file, format!("{}\n{}\n", feature(at), feature(other))).unwrap();
    let of_file = tempfile::tempdir().unwrap();
    let mut command = geosam_edge();
    command.arg("segment").arg(fixtures().join("folder_sam")).arg("--models").arg(models.path());
    command.args(["--crs", "source", "--refine", "--prompts"]).arg(&file).arg("--dump").arg(of_file.path());
    stdout_of(&command.output().unwrap());
    assert_eq!(logits(of_file.path(), "2"), logits(dump.path(), "2"));
}

#[test]
fn a_mask_that_is_not_there_or_does_not_fit_is_refused_by_name() {
    let models = models();
    let (at, _) = place("folder_sam", 0, (3.5, 3.5));
    let (elsewhere, _) = place("folder_sam", 1, (500.5, 500.5));
    let requests = [
        json!({"id": "a", "points": [at]}),
        json!({"id": "b", "mask_of": "zzz", "points": [at]}),
        json!({"id": "c", "mask_of": "a", "points": [elsewhere]}),
        json!({"id": "d", "mask_of": "a", "prompts": [{"points": [at]}]}),
        json!({"id": "e", "mask_of": "a", "refine": false, "points": [at]}),
        json!({"id": "f", "mask_of": {}, "points": [at]}),
        json!({"id": "g", "refine": "yes", "points": [at]}),
        json!({"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": at},
            "geosam": {"id": "h", "mask_of": "a"}}),
        json!({"type": "FeatureCollection", "geosam": {"id": "i", "objects": "each", "mask_of": "a"}, "features": [
            {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": at}}]}),
    ];
    let (answers, _) = asked("folder_sam", models.path(), &[], &requests);
    let expected = [
        ("", ""),
        ("UNKNOWN_MASK", "without \"mask_of\""),
        ("MASK_MISMATCH", "chip_000001"),
        ("BAD_REQUEST", "one prompt"),
        ("BAD_REQUEST", "leave one of them out"),
        ("BAD_REQUEST", "mask_of"),
        ("BAD_REQUEST", "refine"),
        ("", ""),
        ("BAD_REQUEST", "one prompt"),
    ];
    for (answer, (code, words)) in answers.iter().zip(expected) {
        assert_eq!(answer["error"]["code"].as_str().unwrap_or(""), code, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap_or("").contains(words), "{answer}");
    }
}

#[test]
fn a_mask_keeps_its_chip_as_long_as_that_covers_the_prompt() {
    let models = models();
    let (at, _) = place("folder_sam", 0, (323.5, 305.5));
    // On both chips, and nearer to the middle of the other.
    let (nearer, _) = place("folder_sam", 0, (500.5, 305.5));
    let requests = [
        json!({"id": "a", "points": [at]}),
        json!({"id": "b", "points": [nearer]}),
        json!({"id": "c", "points": [nearer], "mask_of": "a"}),
        json!({"id": "d", "points": [nearer], "mask_of": "a", "stitch": true, "max_chips": 1}),
    ];
    let (answers, dump) = asked("folder_sam", models.path(), &[], &requests);
    let chips: Vec<&Value> = answers.iter().map(|answer| &answer["masks"][0]["chip_id"]).collect();
    assert_eq!(chips, ["chip_000000", "chip_000001", "chip_000000", "chip_000000"], "{answers:?}");
    assert_eq!((&answers[2]["refined"], &answers[3]["refined"]), (&json!(true), &json!(true)));
    assert_eq!(
        logits(dump.path(), "d"),
        logits(dump.path(), "c"),
        "an object that is followed begins so, too"
    );
}

#[test]
fn a_model_without_the_parameters_says_what_to_do_and_answers_all_else() {
    let (at, _) = place("folder_sam", 0, (100.5, 100.5));
    let requests = [json!({"id": "a", "points": [at]}), json!({"id": "b", "points": [at], "refine": true})];
    let (answers, _) = asked("folder_sam", &fixtures().join("models"), &[], &requests);
    assert_eq!(answers[0]["status"], "ok");
    assert_eq!(answers[1]["error"]["code"], "MODEL_MISMATCH");
    assert!(answers[1]["error"]["message"].as_str().unwrap().contains("import the checkpoint again"));
}
