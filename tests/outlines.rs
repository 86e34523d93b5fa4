//! Finished outlines, on the demo scene: compared with the outlines that the scene was drawn from.

mod support;

use std::process::Output;

use geo::{Area, BooleanOps, Euclidean, Length, MultiPolygon, Polygon, Validation};
use serde_json::{Value, json};
use support::scene::{Object, Scene, demo, mask_of};
use support::{geosam_edge, run_with_input, stdout_of};

/// The scene's meridian convergence in degrees, and its scale: true north and metres are not those of the map.
const CONVERGENCE: f64 = 0.125;
const SCALE: f64 = 0.9996;

/// The program's answers to a point on each object, drawn in metres.
fn ask(objects: &[&Object], output: &Value) -> Vec<Value> {
    let mut wanted = json!({"crs": "source", "largest_only": true});
    wanted.as_object_mut().unwrap().extend(output.as_object().unwrap().clone());
    let request = |object: &&Object| {
        let (x, y) = object.inside;
        format!("{}\n", json!({"crs": "source", "points": [[x, y]], "output": wanted}))
    };
    let requests: String = objects.iter().map(request).collect();
    let text = stdout_of(&segment(&["--request", "-"], &requests));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn segment(flags: &[&str], input: &str) -> Output {
    let (folder, models) = (demo().join("features"), demo().join("models"));
    let mut arguments = vec!["segment", folder.to_str().unwrap(), "--models", models.to_str().unwrap()];
    arguments.extend(flags);
    run_with_input(&arguments, input)
}

fn properties(answer: &Value) -> &Value {
    &answer["result"]["features"][0]["properties"]
}

fn iou(one: &MultiPolygon, other: &MultiPolygon) -> f64 {
    one.intersection(other).unsigned_area() / one.union(other).unsigned_area()
}

/// The ways along the edges of a polygon's exterior.
fn edges(polygon: &Polygon) -> Vec<[f64; 2]> {
    polygon.exterior().lines().map(|line| [line.dx(), line.dy()]).collect()
}

#[test]
fn roofs_get_right_angles_and_are_told_how_they_lie() {
    let scene = Scene::open();
    let all = scene.of_kind("building");
    // Whole ones: those that a chip cuts have the chip's angles.
    let plain = ask(&all, &json!({}));
    let whole: Vec<usize> =
        (0..all.len()).filter(|&i| properties(&plain[i])["touches_chip_edge"] == false).step_by(3).collect();
    let houses: Vec<&Object> = whole.iter().map(|&i| all[i]).collect();
    assert!(houses.len() >= 8);
    let roofs = ask(&houses, &json!({"measures": true, "finish": {"right_angles": true}}));
    let (mut better, mut kept) = (0.0, 0);
    for ((house, roof), plain) in houses.iter().zip(&roofs).zip(whole.iter().map(|&i| &plain[i])) {
        let (told, outline) = (properties(roof), mask_of(roof));
        assert!(outline.is_valid());
        assert!(
            properties(plain).get("right_angles").is_none() && properties(plain).get("perimeter_m").is_none()
        );
        better += iou(&outline, &house.outline) - iou(&mask_of(plain), &house.outline);
        // What is measured is what is written.
        let perimeter = Euclidean.length(outline.0[0].exterior()) / SCALE;
        assert!((told["perimeter_m"].as_f64().unwrap() / perimeter - 1.0).abs() < 1e-3, "{told} {perimeter}");
        assert!(told["elongation"].as_f64().unwrap() >= 1.0);
        if told["right_angles"] != "kept" {
            assert_eq!((&told["right_angles"], outline), (&json!("not_fitting"), mask_of(plain)));
            continue;
        }
        kept += 1;
        let edges = edges(&outline.0[0]);
        assert!(edges.len().is_multiple_of(2) && edges.len() <= 12, "{edges:?}");
        let bearing = |edge: &[f64; 2]| edge[0].atan2(edge[1]);
        // Along a direction or across it; rounding to a millimetre leaves more.
        let off = |edge: &[f64; 2], direction: f64| (2.0 * (bearing(edge) - direction)).sin().abs() / 2.0;
        assert!(edges.iter().all(|edge| off(edge, bearing(&edges[0])) < 0.01), "{edges:?}");
        // The smallest rectangle around a rectangle is that rectangle.
        let orientation = (told["orientation_deg"].as_f64().unwrap() - CONVERGENCE).to_radians();
        assert!(edges.len() > 4 || off(&edges[0], orientation) < 0.01, "{edges:?} {told}");
    }
    println!("{} houses, {kept} with right angles, IoU {:+.3}", houses.len(), better / houses.len() as f64);
    assert!(kept * 10 >= houses.len() * 9, "{kept} of {}", houses.len());
    assert!(better >= 0.0);
}

#[test]
fn a_pond_is_smooth_keeps_its_area_and_where_right_angles_do_not_fit_says_so() {
    let scene = Scene::open();
    let ponds: Vec<&Object> = scene.of_kind("pond").into_iter().take(4).collect();
    let plain = ask(&ponds, &json!({}));
    let smooth = ask(&ponds, &json!({"finish": {"smooth": 2}}));
    for ((pond, plain), smooth) in ponds.iter().zip(&plain).zip(&smooth) {
        let area = |answer: &Value| properties(answer)["area_m2"].as_f64().unwrap();
        assert!((area(smooth) / area(plain) - 1.0).abs() < 0.01);
        assert_eq!(properties(smooth)["pixels"], properties(plain)["pixels"]);
        assert!(properties(smooth).get("tolerance").is_none());
        let (outline, pixels) = (mask_of(smooth), mask_of(plain));
        assert!(outline.is_valid());
        assert!(
            iou(&outline, &pixels) > 0.95
                && iou(&outline, &pond.outline) > iou(&pixels, &pond.outline) - 0.01
        );
        // The staircase is as long as the box around it at least.
        let length = |outline: &MultiPolygon| Euclidean.length(outline.0[0].exterior());
        assert!(length(&outline) < 0.9 * length(&pixels));
    }
    let both = ask(&ponds, &json!({"finish": {"smooth": 2, "right_angles": true}}));
    let fallen_back: Vec<_> = both
        .iter()
        .zip(&smooth)
        .filter(|(answer, _)| properties(answer)["right_angles"] == "not_fitting")
        .collect();
    assert!(!fallen_back.is_empty());
    assert!(fallen_back.iter().all(|(answer, smooth)| mask_of(answer) == mask_of(smooth)), "smooth instead");
}

#[test]
fn a_mask_without_pixels_is_answered_however_it_is_to_be_drawn() {
    // Foreground and background at once: nothing is left.
    let place = [9.172_225_210_625_086, 47.653_727_928_546_544];
    let request = |output: Value| {
        let request = json!({"points": [place, place], "labels": [1, 0], "output": output});
        format!("{request}\n")
    };
    let requests = request(json!({"vectorization": "simplified"}))
        + &request(
            json!({"measures": true, "finish": {"smooth": 2, "right_angles": true, "fill_holes_m2": 5}}),
        );
    let text = stdout_of(&segment(&["--request", "-"], &requests));
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&answer["status"], &answer["masks"][0]["pixels"]), (&json!("ok"), &json!(0)));
        assert_eq!(answer["result"]["features"], json!([]));
    }
}

#[test]
fn flags_say_what_requests_do_not_and_nonsense_is_refused_by_name() {
    let scene = Scene::open();
    let (x, y) = scene.of_kind("building")[0].inside;
    let request =
        |output: Value| format!("{}\n", json!({"crs": "source", "points": [[x, y]], "output": output}));
    let requests =
        request(json!({})) + &request(json!({"finish": {"right_angles": false}, "measures": false}));
    let flags = [
        "--request",
        "-",
        "--right-angles",
        "--measures",
        "--smooth",
        "1.5",
        "--fill-holes",
        "4",
        "--largest-only",
    ];
    let text = stdout_of(&segment(&flags, &requests));
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = ["right_angles", "perimeter_m", "orientation_deg", "elongation"];
    assert!(names.iter().all(|name| properties(&answers[0]).get(*name).is_some()), "{}", answers[0]);
    assert!(names.iter().all(|name| properties(&answers[1]).get(*name).is_none()), "{}", answers[1]);

    for (flag, value, advice) in [
        ("--smooth", "65", "0 to 64"),
        ("--smooth", "NaN", "0 to 64"),
        ("--fill-holes", "-1", "0 or more"),
        ("--fill-holes", "inf", "not a finite number"),
    ] {
        for command in ["segment", "everything"] {
            let mut refused = geosam_edge();
            refused.args([command, "folder"]).arg(format!("{flag}={value}"));
            let output = refused.output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{told}");
            assert!(told.contains(flag) && (told.contains(advice) || flag == "--fill-holes"), "{told}");
        }
    }
}
