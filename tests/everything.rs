//! Everything in an area, on the demo scene: compared with the outlines that the scene was drawn from.

mod support;

use std::path::Path;

use geo::{Area, BooleanOps, BoundingRect, MultiPolygon, Rect};
use geosam_edge::geo::Bounds;
use serde_json::{Value, json};
use support::scene::{Object, Scene, abutting, demo, extent_of, outline};
use support::{geosam_edge, stdout_of};

/// The objects that the program finds, in metres.
fn everything(folder: &Path, flags: &[&str]) -> Vec<Value> {
    let models = demo().join("models");
    let mut command = geosam_edge();
    command.args(["everything", folder.to_str().unwrap(), "--models", models.to_str().unwrap()]);
    let output = command.args(["--output-crs", "source"]).args(flags).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr).trim());
    stdout_of(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn iou(one: &MultiPolygon, other: &MultiPolygon) -> f64 {
    let (a, b) = (one.bounding_rect().unwrap(), other.bounding_rect().unwrap());
    if a.max().x < b.min().x || b.max().x < a.min().x || a.max().y < b.min().y || b.max().y < a.min().y {
        return 0.0;
    }
    let shared = one.intersection(other).unsigned_area();
    shared / (one.unsigned_area() + other.unsigned_area() - shared)
}

/// An object's outline as far as the chips reach.
fn within(object: &Object, reach: &Bounds) -> MultiPolygon {
    let reach = Rect::new((reach.min_x, reach.min_y), (reach.max_x, reach.max_y)).to_polygon();
    object.outline.intersection(&reach)
}

#[test]
fn the_objects_of_a_scene_are_found_each_once_and_little_else() {
    let scene = Scene::open();
    // As many points as are the default.
    let found = everything(&demo().join("features"), &[]);
    let outlines: Vec<MultiPolygon> = found.iter().map(|f| outline(&f["geometry"], None)).collect();
    let truths: Vec<MultiPolygon> = scene.objects.iter().map(|o| within(o, &scene.extent())).collect();
    let with_a_centre: Vec<&MultiPolygon> =
        scene.objects.iter().zip(&truths).filter(|(o, _)| o.kind != "road").map(|(_, truth)| truth).collect();
    let hits = |truth: &MultiPolygon| outlines.iter().filter(|found| iou(found, truth) >= 0.75).count();
    let counts: Vec<usize> = with_a_centre.iter().map(|truth| hits(truth)).collect();
    let is_object = |found: &MultiPolygon| truths.iter().any(|truth| iou(found, truth) >= 0.5);
    let others: Vec<(f64, &Value)> = outlines
        .iter()
        .zip(&found)
        .filter(|(outline, _)| !is_object(outline))
        .map(|(outline, feature)| (outline.unsigned_area(), &feature["properties"]))
        .collect();
    for (area, properties) in &others {
        println!("no object: {area} m2, {properties}");
    }
    let recall = counts.iter().filter(|&&n| n > 0).count() as f64 / counts.len() as f64;
    println!(
        "{} found; {} of {} objects with a centre; {} are no object",
        found.len(),
        counts.iter().filter(|&&n| n > 0).count(),
        counts.len(),
        others.len()
    );
    for (object, truth) in scene.objects.iter().zip(&truths) {
        let best = outlines.iter().map(|found| iou(found, truth)).fold(0.0, f64::max);
        if best < 0.75 {
            println!(
                "missed: {} at {:?}, {} m2, best IoU {best:.3}",
                object.kind,
                object.inside,
                truth.unsigned_area()
            );
        }
    }
    // 83 of 88. The five others are small buildings that points do lie on, and that the decoder answers with good masks. Their
    // predicted IoU is that of all (this decoder says 0.9375 of each mask); their stability is 0.91 to 0.95, where 0.95 is asked for.
    assert!(recall >= 0.94, "{recall} of the objects are found");
    assert!(
        others.len() as f64 <= 0.05 * found.len() as f64,
        "{} of {} are no object",
        others.len(),
        found.len()
    );
    assert!(counts.iter().all(|&n| n <= 1), "one object is found twice");
    for feature in &found {
        let properties = &feature["properties"];
        assert_eq!(properties["complete"], properties["incomplete_because"].is_null(), "{properties}");
    }
}

#[test]
fn what_is_left_out_for_its_stability_is_found_with_a_lower_bound() {
    let scene = Scene::open();
    let buildings = scene.objects.iter().filter(|object| object.kind == "building");
    // By their predicted IoU all masks of this decoder pass at its default.
    let found = everything(&demo().join("features"), &["--stability-score-thresh", "0.9"]);
    let outlines: Vec<MultiPolygon> = found.iter().map(|f| outline(&f["geometry"], None)).collect();
    for building in buildings {
        let truth = within(building, &scene.extent());
        let best = outlines.iter().map(|found| iou(found, &truth)).fold(0.0, f64::max);
        assert!(best >= 0.75, "the building at {:?} is missed: {best:.3}", building.inside);
    }
}

#[test]
fn objects_that_a_seam_cuts_are_one_object() {
    let scene = Scene::open();
    let folder = abutting("manifest");
    let (reach, seam) = (Bounds::new(512_000.0, 0.0, 513_024.0, 1e7), 512_512.0);
    let cut: Vec<&Object> = scene
        .objects
        .iter()
        .filter(|object| {
            let bounds = object.bounds();
            let is_cut = bounds.min_x < seam - 4.0 && bounds.max_x > seam + 4.0;
            is_cut && object.kind != "road" && reach.covers_point(object.inside.0, object.inside.1)
        })
        .collect();
    let extent = extent_of(folder.path());
    let cut: Vec<(&Object, MultiPolygon)> = cut.into_iter().map(|o| (o, within(o, &extent))).collect();
    let cut: Vec<_> = cut.into_iter().filter(|(_, truth)| truth.unsigned_area() > 0.0).collect();
    assert!(cut.len() >= 4, "{} objects lie on the seam", cut.len());
    let strip = format!("{},{},{},{}", seam - 120.0, extent.min_y, seam + 120.0, extent.max_y);
    let found = everything(folder.path(), &["--points-per-side", POINTS, "--crs", "source", "--box", &strip]);
    for (object, truth) in cut {
        let best = found.iter().map(|f| (iou(&outline(&f["geometry"], None), &truth), f));
        let (iou, feature) = best.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("{} at {:?}: IoU {iou:.3}, {}", object.kind, object.inside, feature["properties"]["chips"]);
        assert!(iou >= 0.93, "{} at {:?}: {iou}", object.kind, object.inside);
        assert_eq!(feature["properties"]["chips"].as_array().unwrap().len(), 2);
    }
}

const POINTS: &str = "24";

#[test]
fn asking_many_points_at_a_time_changes_nothing() {
    let folder = abutting("manifest");
    let found = |threads: &str| everything(folder.path(), &["--points-per-side", "6", "--threads", threads]);
    let one = found("1");
    assert!(one.len() > 5, "{} objects", one.len());
    assert_eq!(found("3"), one);
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_is_written() {
    let work = tempfile::tempdir().unwrap();
    let output = work.path().join("found.geojsonl");
    std::fs::write(&output, "old").unwrap();
    let folder = demo().join("features");
    let (folder, models) = (folder.to_str().unwrap(), demo().join("models"));
    for (flags, status, words) in [
        (&["--box", "1,2,1.1,2.1"][..], 1, "NO_CHIP_COVERS"),
        (&["--box", "9.2,47.6,9.1,47.7"], 2, "--box has west"),
        (
            &["--box", "9.1715,47.6525,9.1716,47.6526", "--points-per-side", "4"],
            1,
            "BAD_REQUEST: no point of the grid falls into the box of",
        ),
        (&["--tolerance", "1e300"], 2, "from 0 to 1024"),
        (&["--min-area=-1"], 2, "an area is one number"),
        (&["--points-per-side", "0"], 2, "points-per-side"),
        (&["--pred-iou-thresh", "2"], 2, "from 0 to 1"),
        (&["--output-crs", "EPSG:4230"], 1, "EPSG:4230"),
        (&["--output", "found.gpkg"], 2, "GeoJSON is written"),
    ] {
        let mut command = geosam_edge();
        command.args(["everything", folder, "--models", models.to_str().unwrap()]);
        if !flags.contains(&"--output") {
            command.args(["--output", output.to_str().unwrap()]);
        }
        let refused = command.args(flags).current_dir(work.path()).output().unwrap();
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(status), "{flags:?}: {told}");
        assert!(told.contains(words), "{flags:?}: {told}");
        assert_eq!(std::fs::read(&output).unwrap(), b"old");
    }
}

#[test]
fn a_chip_that_cannot_be_read_is_passed_over_and_told() {
    let folder = abutting("manifest");
    std::fs::write(folder.path().join("features/chip_000002.pt"), b"not a chip").unwrap();
    let models = demo().join("models");
    let mut command = geosam_edge();
    command.args(["everything", folder.path().to_str().unwrap(), "--models", models.to_str().unwrap()]);
    let output = command.args(["--points-per-side", "4"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("is passed over") && told.contains("chip_000002.pt"), "{told}");
    let found: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(!found.is_empty(), "the other chip has objects");
    assert!(found.iter().all(|f| f["type"] == json!("Feature")));

    // Where none can be read, what was found yesterday stays.
    let output = folder.path().join("found.geojsonl");
    std::fs::write(&output, "old").unwrap();
    for chip in std::fs::read_dir(folder.path().join("features")).unwrap() {
        std::fs::write(chip.unwrap().path(), b"not a chip").unwrap();
    }
    let refused = command.arg("--output").arg(&output).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("found.geojsonl is left as it was"), "{told}");
    assert_eq!(std::fs::read(&output).unwrap(), b"old");
}
