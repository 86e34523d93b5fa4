//! Objects larger than a chip, on the demo scene: followed over seams and overlaps, compared with the outlines that the scene was drawn
//! from. Chips that only abut are every other one of the demo's (`tests/fixtures/make_abutting.py`).

mod support;

use std::path::{Path, PathBuf};

use geo::{Area, BooleanOps, MultiPolygon, Rect};
use geosam_edge::geo::Bounds;
use serde_json::{Value, json};
use support::scene::{Object, Scene, abutting, demo, extent_of, footprint, mask_of};
use support::{run_with_input, stdout_of};

/// The demo's own folder, of chips that overlap by half.
fn overlapping() -> PathBuf {
    demo().join("features")
}

/// Answers to prompts in metres.
fn ask(folder: &Path, prompts: &[Value]) -> Vec<Value> {
    let models = demo().join("models");
    let arguments =
        ["segment", folder.to_str().unwrap(), "--models", models.to_str().unwrap(), "--request", "-"];
    let lines: String = prompts
        .iter()
        .map(|prompt| {
            let mut request = json!({"crs": "source", "output": {"crs": "source"}});
            request.as_object_mut().unwrap().extend(prompt.as_object().unwrap().clone());
            format!("{request}\n")
        })
        .collect();
    let text = stdout_of(&run_with_input(&arguments, &lines));
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), prompts.len());
    answers
}

/// Intersection over union with an object, as far as the chips of the folder reach.
fn iou(answer: &Value, object: &Object, reach: &Bounds) -> f64 {
    let reach = Rect::new((reach.min_x, reach.min_y), (reach.max_x, reach.max_y)).to_polygon();
    let truth = object.outline.intersection(&reach);
    let mask: MultiPolygon = mask_of(answer);
    let shared = mask.intersection(&truth).unsigned_area();
    shared / (mask.unsigned_area() + truth.unsigned_area() - shared)
}

fn followed(object: &Object) -> Value {
    json!({"points": [object.inside], "stitch": true})
}

/// The seam between the two chips, and what it cuts well inside them.
const SEAM: f64 = 512_512.0;

fn cut_by_the_seam<'a>(scene: &'a Scene, reach: &Bounds) -> Vec<&'a Object> {
    let cut = |object: &&Object| {
        let bounds = object.bounds();
        object.kind != "road"
            && bounds.min_x < SEAM - 1.0
            && bounds.max_x > SEAM + 1.0
            && reach.covers_point(object.inside.0, object.inside.1)
    };
    scene.objects.iter().filter(cut).collect()
}

#[test]
fn objects_that_a_seam_cuts_are_answered_whole() {
    let (scene, folder) = (Scene::open(), abutting("manifest"));
    let reach = extent_of(folder.path());
    let objects = cut_by_the_seam(&scene, &reach);
    assert!(objects.len() >= 4, "{} objects lie on the seam", objects.len());
    let answers = ask(folder.path(), &objects.iter().map(|object| followed(object)).collect::<Vec<_>>());
    let mut ious = Vec::new();
    for (object, answer) in objects.iter().zip(&answers) {
        let found = iou(answer, object, &reach);
        println!(
            "{} at {:?}: IoU {found:.3}, chips {}, {}",
            object.kind, object.inside, answer["chips"], answer["incomplete_because"]
        );
        ious.push(found);
    }
    let mean = ious.iter().sum::<f64>() / ious.len() as f64;
    println!("mean IoU {mean:.3} of {}", ious.len());
    assert!(mean >= 0.96, "mean IoU {mean}");
    assert!(ious.iter().all(|&iou| iou >= 0.93), "{ious:?}");
    // One object is one polygon.
    for answer in &answers {
        assert_eq!(answer["chips"].as_array().unwrap().len(), 2, "{answer}");
        assert_eq!(answer["complete"], answer["incomplete_because"].is_null(), "{answer}");
    }
}

#[test]
fn the_order_of_chips_in_the_manifest_does_not_matter() {
    let scene = Scene::open();
    let folders = [abutting("manifest"), abutting("reversed")];
    let reach = extent_of(folders[0].path());
    let prompts: Vec<Value> = cut_by_the_seam(&scene, &reach).iter().map(|object| followed(object)).collect();
    let [one, other] = folders.map(|folder| ask(folder.path(), &prompts));
    for (one, other) in one.iter().zip(&other) {
        for member in ["result", "masks", "chips", "complete"] {
            let without_the_folder = |answer: &Value| {
                let mut value = answer[member].clone();
                for feature in value.get_mut("features").and_then(Value::as_array_mut).into_iter().flatten() {
                    feature["properties"]["folder"] = Value::Null;
                }
                value
            };
            assert_eq!(without_the_folder(one), without_the_folder(other));
        }
    }
}

#[test]
fn an_object_within_its_chip_is_answered_as_without_following_it() {
    let scene = Scene::open();
    let chips: Vec<Bounds> = scene.folder.chips().map(|chip| footprint(&chip)).collect();
    let objects: Vec<&Object> = scene
        .objects
        .iter()
        .filter(|object| object.kind != "road" && chips.iter().any(|chip| chip.covers(&object.bounds())))
        .collect();
    let plain: Vec<Value> = objects.iter().map(|object| json!({"points": [object.inside]})).collect();
    let plain = ask(&overlapping(), &plain);
    let whole = ask(&overlapping(), &objects.iter().map(|object| followed(object)).collect::<Vec<_>>());
    let mut same = 0;
    for ((plain, whole), object) in plain.iter().zip(&whole).zip(&objects) {
        let touches = |feature: &Value| feature["properties"]["touches_chip_edge"] == true;
        if plain["result"]["features"].as_array().unwrap().iter().any(touches) {
            continue;
        }
        assert_eq!(
            (&plain["result"], &plain["masks"]),
            (&whole["result"], &whole["masks"]),
            "{:?}",
            object.inside
        );
        assert_eq!(whole["complete"], true);
        same += 1;
    }
    assert!(same >= 40, "only {same} objects lie within their chip");
}

#[test]
fn the_road_is_followed_over_all_chips() {
    let scene = Scene::open();
    let road = scene.of_kind("road").remove(0);
    let answer = ask(&overlapping(), &[followed(road)]).remove(0);
    let found = iou(&answer, road, &scene.extent());
    println!("road: IoU {found:.3}, chips {}, {}", answer["chips"], answer["incomplete_because"]);
    assert!(found >= 0.93, "IoU {found}");
    assert_eq!(answer["incomplete_because"], json!(["raster_edge"]), "the road leaves the scene");
}

#[test]
fn a_bound_on_chips_leaves_the_object_unfinished_and_says_so() {
    let (scene, folder) = (Scene::open(), abutting("manifest"));
    let objects = cut_by_the_seam(&scene, &extent_of(folder.path()));
    let mut prompt = followed(objects[0]);
    prompt["max_chips"] = json!(1);
    let answer = ask(folder.path(), &[prompt]).remove(0);
    assert_eq!((&answer["complete"], &answer["incomplete_because"]), (&json!(false), &json!(["max_chips"])));
    assert_eq!(answer["result"]["features"][0]["properties"]["touches_chip_edge"], true);
}

#[test]
fn a_box_and_points_that_no_chip_covers_are_answered_by_all_that_they_meet() {
    let (scene, folder) = (Scene::open(), abutting("manifest"));
    let reach = extent_of(folder.path());
    let objects = cut_by_the_seam(&scene, &reach);
    let object = objects[0];
    let boxed = json!({"bbox": <[f64; 4]>::from(object.bounds()), "stitch": true});
    let ((x, y), rect) = (object.inside, object.bounds());
    let other =
        (if x < SEAM { SEAM + 0.4 * (rect.max_x - SEAM) } else { SEAM - 0.4 * (SEAM - rect.min_x) }, y);
    let pointed = json!({"points": [(x, y), other], "stitch": true});
    for answer in ask(folder.path(), &[boxed, pointed]) {
        assert_eq!(answer["status"], "ok", "{answer}");
        let found = iou(&answer, object, &reach);
        assert!(found >= 0.9, "IoU {found}: {answer}");
    }
}

#[test]
fn keys_of_following_that_contradict_each_other_are_refused_by_name() {
    let point = json!({"points": [[512_300.0, 5_277_700.0]]});
    let with = |extra: Value| {
        let mut prompt = point.clone();
        prompt.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        prompt
    };
    let refused = [
        with(json!({"stitch": true, "max_chips": 0})),
        with(json!({"max_chips": 4})),
        with(json!({"stitch": true, "output": {"multimask": true}})),
        with(json!({"stitch": 1})),
    ];
    let models = demo().join("models");
    let arguments =
        ["segment", overlapping().to_str().unwrap(), "--models", models.to_str().unwrap(), "--request", "-"]
            .map(str::to_owned);
    let lines: String = refused.iter().map(|request| format!("{request}\n")).collect();
    let output = run_with_input(&arguments.each_ref().map(String::as_str), &lines);
    let text = String::from_utf8(output.stdout).unwrap();
    let keys = ["max_chips", "max_chips", "multimask", "stitch"];
    for (line, key) in text.lines().zip(keys) {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["error"]["code"], "BAD_REQUEST", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(key), "{answer}");
    }
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn an_answer_says_where_its_chip_cut_it() {
    let (scene, folder) = (Scene::open(), abutting("manifest"));
    let objects = cut_by_the_seam(&scene, &extent_of(folder.path()));
    let prompts: Vec<Value> = objects.iter().map(|object| json!({"points": [object.inside]})).collect();
    for (object, answer) in objects.iter().zip(ask(folder.path(), &prompts)) {
        let [left, _, right, _]: [f64; 4] = serde_json::from_value(answer["chip_bbox"].clone()).unwrap();
        let is_west = object.inside.0 < SEAM;
        assert_eq!(if is_west { right } else { left }, SEAM, "{answer}");
        assert!((right - left - 512.0).abs() < 1e-6, "1024 pixels of half a metre: {answer}");
        let side = if is_west { "right" } else { "left" };
        assert!(answer["masks"][0]["cut_at"].as_array().unwrap().contains(&json!(side)), "{answer}");
        let other = if is_west { "left" } else { "right" };
        assert!(!answer["masks"][0]["cut_at"].as_array().unwrap().contains(&json!(other)), "{answer}");
    }
    let whole = ask(folder.path(), &[followed(objects[0])]).remove(0);
    assert!(whole["chip_bbox"].is_null() && whole["masks"][0]["cut_at"].is_null(), "{whole}");
}

#[test]
fn the_best_of_three_masks_is_the_one_with_the_highest_score() {
    let scene = Scene::open();
    let pond = scene.of_kind("pond").remove(0);
    let with = |multimask: Value| json!({"points": [pond.inside], "output": {"crs": "source", "multimask": multimask}});
    let mut followed = with(json!("best"));
    followed["stitch"] = json!(true);
    let answers = ask(&overlapping(), &[with(json!(true)), with(json!("best")), followed]);
    let scores: Vec<f64> =
        answers[0]["masks"].as_array().unwrap().iter().map(|mask| mask["score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), 3);
    let best = (0..3).fold(0, |best, i| if scores[i] > scores[best] { i } else { best });
    let of_best = answers[0]["result"]["features"].as_array().unwrap().iter();
    let outlines: Vec<&Value> =
        of_best.filter(|f| f["properties"]["mask"] == best).map(|f| &f["geometry"]).collect();
    for answer in &answers[1..] {
        assert_eq!(answer["masks"].as_array().unwrap().len(), 1);
        assert_eq!(answer["masks"][0]["score"], scores[best]);
        let found = answer["result"]["features"].as_array().unwrap().iter();
        assert_eq!(found.map(|f| &f["geometry"]).collect::<Vec<_>>(), outlines);
    }
}
