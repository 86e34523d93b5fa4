//! Tests by meaning: on the demo scene a mask is compared with the outline of the object that was pointed at.
//! The bar is an intersection over union of 0.8; the folder, the decoder and the outlines are `models/demo`.

mod support;

use geo::{Area, BooleanOps, Rect};
use geosam_edge::geo::Bounds;
use serde_json::{Value, json};
use support::scene::{Object, Scene, demo, footprint, mask_of};
use support::{run_with_input, stdout_of};

const KINDS: [(&str, usize); 4] = [("pond", 8), ("wood", 8), ("building", 7), ("field", 7)];
const GOOD: f64 = 0.8;

/// What the tests of one chip ask of the scene.
trait OnOneChip {
    fn sample(&self) -> Vec<&Object>;
    fn footprint_of(&self, answer: &Value) -> Bounds;
    fn iou(&self, answer: &Value, object: &Object) -> f64;
}

impl OnOneChip for Scene {
    /// Thirty objects, as many of each kind, spread over the file.
    fn sample(&self) -> Vec<&Object> {
        let spread = KINDS.iter().flat_map(|&(kind, wanted)| {
            let all = self.of_kind(kind);
            assert!(all.len() >= wanted, "only {} of kind {kind}", all.len());
            (0..wanted).map(move |i| all[i * all.len() / wanted]).collect::<Vec<_>>()
        });
        spread.collect()
    }

    fn footprint_of(&self, answer: &Value) -> Bounds {
        let id = answer["masks"][0]["chip_id"].as_str().unwrap();
        footprint(&self.folder.chips().find(|chip| chip.id == id).unwrap())
    }

    /// Intersection over union of an answer with an object, as far as the chip of the answer reaches.
    fn iou(&self, answer: &Value, object: &Object) -> f64 {
        let Bounds { min_x, min_y, max_x, max_y } = self.footprint_of(answer);
        let chip = Rect::new((min_x, min_y), (max_x, max_y)).to_polygon();
        let (truth, mask) = (object.outline.intersection(&chip), mask_of(answer));
        let shared = mask.intersection(&truth).unsigned_area();
        shared / (mask.unsigned_area() + truth.unsigned_area() - shared)
    }
}

/// The program's answers to prompts in metres, one run for all of them.
fn ask(prompts: &[Value]) -> Vec<Value> {
    let request = |prompt: &Value| {
        let mut request = json!({"crs": "source", "output": {"crs": "source"}});
        for (key, value) in prompt.as_object().unwrap() {
            request[key] = value.clone();
        }
        format!("{request}\n")
    };
    let (folder, models) = (demo().join("features"), demo().join("models"));
    let arguments =
        ["segment", folder.to_str().unwrap(), "--models", models.to_str().unwrap(), "--request", "-"];
    let requests: String = prompts.iter().map(request).collect();
    let text = stdout_of(&run_with_input(&arguments, &requests));
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), prompts.len());
    answers
}

fn point((x, y): (f64, f64)) -> Value {
    json!({"points": [[x, y]]})
}

fn boxed(bounds: Bounds) -> Value {
    json!({"bbox": <[f64; 4]>::from(bounds)})
}

/// Prints the mean of each kind, and counts the objects that are hit.
fn count_good(scene: &Scene, sample: &[&Object], answers: &[Value], prompt: &str) -> usize {
    let ious: Vec<f64> = sample.iter().zip(answers).map(|(object, a)| scene.iou(a, object)).collect();
    for (kind, _) in KINDS {
        let of_kind = sample.iter().zip(&ious).filter(|(object, _)| object.kind == kind);
        let of_kind: Vec<f64> = of_kind.map(|(_, &iou)| iou).collect();
        let mean = of_kind.iter().sum::<f64>() / of_kind.len() as f64;
        println!("{prompt} {kind}: mean IoU {mean:.3} of {}", of_kind.len());
    }
    ious.iter().filter(|&&iou| iou >= GOOD).count()
}

#[test]
fn a_point_or_a_box_gives_the_object_under_it() {
    let scene = Scene::open();
    let sample = scene.sample();
    assert_eq!(sample.len(), 30);
    let points = sample.iter().map(|object| point(object.inside));
    let boxes = sample.iter().map(|object| boxed(scene.box_of(object)));
    let answers = ask(&points.chain(boxes).collect::<Vec<_>>());
    let (by_point, by_box) = answers.split_at(sample.len());
    let good = count_good(&scene, &sample, by_point, "point");
    assert!(good >= 27, "a point finds {good} of 30");
    let good = count_good(&scene, &sample, by_box, "box");
    assert!(good >= 28, "a box finds {good} of 30");
}

#[test]
fn a_background_point_takes_away_the_object_it_lies_on() {
    let scene = Scene::open();
    let chips: Vec<Bounds> = scene.folder.chips().map(|chip| footprint(&chip)).collect();
    for kind in ["pond", "building"] {
        let objects = scene.of_kind(kind);
        let pairs = objects.iter().flat_map(|a| objects.iter().map(move |b| (*a, *b)));
        let together = |(a, b): &(&Object, &Object)| {
            let both = a.bounds().union(&b.bounds());
            !std::ptr::eq(*a, *b) && chips.iter().any(|chip| chip.covers(&both))
        };
        let (kept, removed) = pairs.into_iter().find(together).expect("two objects on one chip");
        let (x, y) = removed.inside;
        let points = json!([kept.inside, removed.inside, (x + 1.0, y + 1.0)]);
        let both = json!([kept.inside, removed.inside]);
        let answers =
            ask(&[json!({"points": both, "labels": [1, 1]}), json!({"points": points, "labels": [1, 1, 0]})]);
        let share = |answer: &Value, object: &Object| {
            mask_of(answer).intersection(&object.outline).unsigned_area() / object.outline.unsigned_area()
        };
        assert!(share(&answers[0], kept) >= GOOD && share(&answers[0], removed) >= GOOD, "two {kind}s");
        assert!(scene.iou(&answers[1], kept) >= GOOD, "the other {kind} stays");
        assert!(share(&answers[1], removed) < 0.02, "the {kind} under the background point goes");
    }
}

#[test]
fn a_prompt_at_the_border_of_a_chip_is_decoded_on_a_chip_that_covers_it() {
    let scene = Scene::open();
    let (extent, mut places) = (scene.extent(), Vec::new());
    for chip in scene.folder.chips().map(|chip| footprint(&chip)) {
        // A pixel on either side of the middle of each edge.
        let ((x, y), d) = (chip.center(), 0.5);
        let across = [(chip.min_x, y), (chip.max_x, y)].map(|(x, y)| [(x - d, y), (x + d, y)]);
        let along = [(x, chip.min_y), (x, chip.max_y)].map(|(x, y)| [(x, y - d), (x, y + d)]);
        places.extend(across.into_iter().chain(along).flatten().filter(|&(x, y)| extent.covers_point(x, y)));
    }
    let chips: Vec<Bounds> = scene.folder.chips().map(|chip| footprint(&chip)).collect();
    // Whole on one chip, cut by the border of another.
    let cut = |object: &&Object| {
        let bounds = object.bounds();
        let whole = |chip: &Bounds| chip.covers(&bounds);
        object.kind != "road"
            && chips.iter().any(whole)
            && chips.iter().any(|chip| chip.intersects(&bounds) && !whole(chip))
    };
    let objects: Vec<&Object> = scene.objects.iter().filter(cut).collect();
    assert!(objects.len() >= 4, "only {} objects lie on a border", objects.len());

    let boxes = objects.iter().map(|object| boxed(object.bounds()));
    let answers = ask(&places.iter().map(|&place| point(place)).chain(boxes).collect::<Vec<_>>());
    let (at_places, on_objects) = answers.split_at(places.len());
    for (&(x, y), answer) in places.iter().zip(at_places) {
        assert_eq!(answer["status"], "ok", "{answer}");
        assert!(scene.footprint_of(answer).covers_point(x, y), "{x} {y} is decoded elsewhere: {answer}");
    }
    for (object, answer) in objects.iter().zip(on_objects) {
        assert!(scene.footprint_of(answer).covers(&object.bounds()), "the {} is cut", object.kind);
        let iou = scene.iou(answer, object);
        assert!(iou >= GOOD, "the {} at {:?}: IoU {iou}", object.kind, object.inside);
    }
}
