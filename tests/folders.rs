//! The program on the project's own folders, which the real geosam wrote and answered: `segment` as
//! geosam, and what `info`, `verify` and the refusals say.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{answers, fixtures, run, run_with_input, stdout_of};

fn expected(folder: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(fixtures().join(folder).join("expected.json")).unwrap()).unwrap()
}

fn request(prompt: &Value) -> String {
    let mut request = json!({
        "id": prompt["id"], "crs": prompt["crs"],
        "output": {"crs": "source", "multimask": prompt["multimask"]},
    });
    for key in ["points", "labels", "bbox"] {
        if !prompt[key].is_null() {
            request[key] = prompt[key].clone();
        }
    }
    format!("{request}\n")
}

fn answers_match(folder: &str) {
    let dump = tempfile::tempdir().unwrap();
    let prompts = expected(folder);
    let requests: String = prompts.iter().map(request).collect();
    let path = fixtures().join(folder);
    let answers = answers(&path, &["--dump", dump.path().to_str().unwrap()], &requests);
    assert_eq!(answers.len(), prompts.len());
    for (prompt, answer) in prompts.iter().zip(&answers) {
        let name = &prompt["name"];
        assert_eq!(answer["status"], "ok", "{name}: {answer}");
        assert_eq!(answer["id"], prompt["id"], "{name}");
        let masks = answer["masks"].as_array().unwrap();
        for ((mask, score), pixels) in masks
            .iter()
            .zip(prompt["scores"].as_array().unwrap())
            .zip(prompt["mask_pixels"].as_array().unwrap())
        {
            assert_eq!(mask["chip_id"], prompt["chip_id"], "{name}");
            let difference = mask["score"].as_f64().unwrap() - score.as_f64().unwrap();
            assert!(difference.abs() <= 1e-4, "{name}: score {} for {score}", mask["score"]);
            let difference = mask["pixels"].as_i64().unwrap() - pixels.as_i64().unwrap();
            assert!(difference.abs() <= 3, "{name}: {} pixels for {pixels}", mask["pixels"]);
        }
        let first: Vec<&Value> = answer["result"]["features"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["properties"]["mask"] == 0)
            .collect();
        if same_png(&dump.path().join(format!("{}.mask.png", prompt["id"])), &path, prompt) {
            assert_eq!(first.len() as u64, prompt["polygons"].as_u64().unwrap(), "{name}: polygons");
            let rings = first.iter().flat_map(|f| f["geometry"]["coordinates"].as_array().unwrap());
            let corners: Vec<usize> = rings.map(|ring| ring.as_array().unwrap().len() - 1).collect();
            assert_eq!(corners.len() as u64, prompt["rings"].as_u64().unwrap(), "{name}: rings");
            let vertices = corners.iter().sum::<usize>() as u64;
            assert_eq!(vertices, prompt["vertices"].as_u64().unwrap(), "{name}: vertices");
        }
    }
}

fn same_png(ours: &Path, folder: &Path, prompt: &Value) -> bool {
    let pixels = |path: &Path| {
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut buffer = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut buffer).unwrap();
        assert_eq!(info.bit_depth, png::BitDepth::One, "{}", path.display());
        (info.width, info.height, buffer)
    };
    let (ours, theirs) = (pixels(ours), pixels(&folder.join(prompt["mask"].as_str().unwrap())));
    assert_eq!((ours.0, ours.1), (theirs.0, theirs.1));
    let differing: u32 = ours.2.iter().zip(&theirs.2).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert!(differing <= 3, "{}: {differing} pixels differ from geosam's mask", prompt["name"]);
    differing == 0
}

#[test]
fn a_sam_folder_in_half_precision_is_answered_as_geosam_answers_it() {
    answers_match("folder_sam");
}

#[test]
fn a_sam2_folder_with_windows_paths_is_answered_as_geosam_answers_it() {
    answers_match("folder_sam2");
}

#[test]
fn info_tells_what_geosam_shows_after_loading() {
    let path = fixtures().join("folder_sam");
    let told: Value =
        serde_json::from_str(&stdout_of(&run(&["info", path.to_str().unwrap(), "--json"]))).unwrap();
    let folder = &told[0];
    assert_eq!(folder["chips"], 2);
    assert_eq!(folder["model"], "mobile_sam.pt");
    assert_eq!(folder["model_type"], "sam");
    assert_eq!(folder["crs"]["epsg"], 32633);
    assert_eq!(folder["extent"], json!([458_000.0, 5_427_000.0, 458_480.0, 5_427_300.0]));
    assert_eq!(folder["pixel_size"], json!([0.5, 0.5]));
    assert_eq!(folder["stride"], json!([320, null]));
    assert_eq!(folder["missing"]["count"], 0);
    let west = folder["extent_wgs84"][0].as_f64().unwrap();
    assert!((14.42..14.43).contains(&west), "{west}");
    let text = stdout_of(&run(&["info", path.to_str().unwrap()]));
    assert!(text.contains("EPSG:32633") && text.contains("mobile_sam.pt, family sam"), "{text}");
}

#[test]
fn the_directory_above_several_folders_serves_them_all() {
    let card = tempfile::tempdir().unwrap();
    for folder in ["folder_sam", "folder_sam2"] {
        std::os::unix::fs::symlink(fixtures().join(folder), card.path().join(folder)).unwrap();
    }
    let told = stdout_of(&run(&["info", card.path().to_str().unwrap(), "--json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    let names: Vec<&str> = told.as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"folder_sam") && names.contains(&"folder_sam2"), "{names:?}");
}

/// A copy of a folder, with its models beside it.
fn card(folder: &str) -> tempfile::TempDir {
    let card = tempfile::tempdir().unwrap();
    let copy = card.path().join(folder);
    std::fs::create_dir_all(copy.join("features")).unwrap();
    let original = fixtures().join(folder);
    std::fs::copy(original.join("manifest.parquet"), copy.join("manifest.parquet")).unwrap();
    for chip in std::fs::read_dir(original.join("features")).unwrap() {
        let chip = chip.unwrap();
        std::fs::copy(chip.path(), copy.join("features").join(chip.file_name())).unwrap();
    }
    std::os::unix::fs::symlink(fixtures().join("models"), card.path().join("models")).unwrap();
    card
}

#[test]
fn verify_names_the_chip_with_a_flipped_bit_and_fails() {
    let card = card("folder_sam");
    let folder = card.path().join("folder_sam");
    let good = run(&["verify", folder.to_str().unwrap()]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));

    let chip = folder.join("features/chip_000001.pt");
    let mut bytes = std::fs::read(&chip).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&chip, bytes).unwrap();
    let bad = run(&["verify", folder.to_str().unwrap()]);
    let lines = String::from_utf8_lossy(&bad.stdout);
    assert_eq!(bad.status.code(), Some(1));
    assert!(lines.lines().count() == 1 && lines.contains("chip_000001.pt"), "{lines}");
}

#[test]
fn verify_names_the_chips_whose_files_were_exchanged_and_fails() {
    let card = card("folder_sam");
    let features = card.path().join("folder_sam/features");
    let path = |name: &str| features.join(name);
    std::fs::rename(path("chip_000000.pt"), path("kept")).unwrap();
    std::fs::rename(path("chip_000001.pt"), path("chip_000000.pt")).unwrap();
    std::fs::rename(path("kept"), path("chip_000001.pt")).unwrap();
    let bad = run(&["verify", card.path().join("folder_sam").to_str().unwrap()]);
    let lines = String::from_utf8_lossy(&bad.stdout);
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(lines.matches("the file of another chip").count(), 2, "{lines}");
}

#[test]
fn a_missing_and_a_truncated_chip_are_named_and_the_other_still_answers() {
    let card = card("folder_sam");
    let folder = card.path().join("folder_sam");
    let chip = folder.join("features/chip_000000.pt");
    std::fs::File::options().write(true).open(&chip).unwrap().set_len(100_000).unwrap();
    // Pixel (100, 100) lies in the first chip only, (900, 300) in the second only.
    let ask = |x: f64, y: f64| {
        let point = format!("{x},{y}");
        run(&["segment", folder.to_str().unwrap(), "--crs", "EPSG:32633", "--point", &point])
    };
    let refused = ask(458_050.0, 5_427_250.0);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("CHIP_UNREADABLE") && message.contains("chip_000000.pt"), "{message}");
    assert!(ask(458_450.0, 5_427_150.0).status.success());

    std::fs::remove_file(&chip).unwrap();
    let refused = ask(458_050.0, 5_427_250.0);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("CHIP_UNREADABLE") && message.contains("chip_000000.pt"), "{message}");
    let text = stdout_of(&run(&["info", folder.to_str().unwrap()]));
    assert!(text.contains("chips missing 1: chip_000000.pt"), "{text}");
}

#[test]
fn a_missing_model_says_which_checkpoint_to_import_and_how() {
    let card = card("folder_sam");
    std::fs::remove_file(card.path().join("models")).unwrap();
    let folder = card.path().join("folder_sam");
    let models = card.path().join("none");
    let refused = run(&[
        "segment",
        folder.to_str().unwrap(),
        "--models",
        models.to_str().unwrap(),
        "--crs",
        "source",
        "--point",
        "458100,5427150",
    ]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("MODEL_MISSING") && message.contains("mobile_sam.pt"), "{message}");
    assert!(message.contains("geosam-edge import-model"), "{message}");

    // A file in place of the directory is a mistake of the command line.
    let file = fixtures().join("models/mobile_sam/model.toml");
    for command in
        [&["segment", folder.to_str().unwrap(), "--point", "1,1"][..], &["export-onnx", "x", "--output", "y"]]
    {
        let refused = run(&[command, &["--models", file.to_str().unwrap()]].concat());
        let message = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains("is a file; name the directory of imported models"), "{message}");
    }
}

/// A card of both fixtures' folders and the demo's, with the models that are named.
fn card_of_several(models: &[&str]) -> tempfile::TempDir {
    let card = tempfile::tempdir().unwrap();
    let link = |from: &Path, name: &str| std::os::unix::fs::symlink(from, card.path().join(name)).unwrap();
    link(&fixtures().join("folder_sam"), "folder_sam");
    link(&fixtures().join("folder_sam2"), "folder_sam2");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    link(&demo.join("features"), "valley");
    std::fs::create_dir(card.path().join("models")).unwrap();
    for model in models {
        let from =
            if *model == "demo" { demo.join("models/demo") } else { fixtures().join("models").join(model) };
        link(&from, &format!("models/{model}"));
    }
    card
}

#[test]
fn a_folder_without_its_model_is_passed_over_where_another_can_answer_as_in_the_service() {
    let card = card_of_several(&["sam2_t"]);
    let card = card.path().to_str().unwrap();
    let ask = |request: Value| -> Value {
        let output = run_with_input(&["segment", card, "--request", "-"], &request.to_string());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    // Both folders cover it; that of sam comes first.
    let point = json!({"points": [[458_120, 5_427_215]], "crs": "EPSG:32633"});
    let told = ask(point.clone());
    assert_eq!(told["result"]["features"][0]["properties"]["folder"], "folder_sam2", "{told}");
    let mut named = point;
    named["folder"] = json!("folder_sam");
    assert_eq!(ask(named)["error"]["code"], "MODEL_MISSING");
    // Only a folder without a model covers it.
    let pond = json!({"points": [[9.172_119_53, 47.652_812_08]]});
    assert_eq!(ask(pond)["error"]["code"], "MODEL_MISSING");
    assert_eq!(ask(json!({"points": [[0, 0]]}))["error"]["code"], "NO_CHIP_COVERS");
}

#[test]
fn answers_of_folders_in_several_crss_are_not_put_into_one_file_in_their_own() {
    let card = card_of_several(&["mobile_sam", "demo"]);
    let drawn = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[14.42745907,48.99641348]}},
        {"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[9.17211953,47.65281208]}}]}"#;
    let prompts = card.path().join("prompts.geojson");
    std::fs::write(&prompts, drawn).unwrap();
    let found = card.path().join("found.geojson");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let segment = |crs: &str| {
        let words = [
            "segment",
            &path(card.path()),
            "--prompts",
            &path(&prompts),
            "--output",
            &path(&found),
            "--output-crs",
            crs,
        ];
        run(&words)
    };
    let refused = segment("source");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    for named in ["several CRSs", "folder_sam is in EPSG:32633", "valley is in EPSG:32632", "--output-crs"] {
        assert!(message.contains(named), "{named}: {message}");
    }
    assert!(!found.exists());
    let answered = segment("EPSG:3857");
    assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    let found: Value = serde_json::from_slice(&std::fs::read(&found).unwrap()).unwrap();
    assert_eq!(found["features"].as_array().unwrap().len(), 2);
}

/// The answer to one request line.
fn answer(request: &str) -> Value {
    let folder = fixtures().join("folder_sam");
    let output = run_with_input(&["segment", folder.to_str().unwrap(), "--request", "-"], request);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn refusals_carry_a_code_and_name_what_is_wrong() {
    let cases = [
        (r#"{"id":"a","points":[[14.42,48.99]],"point":1}"#, "BAD_REQUEST", r#"did you mean "points"?"#),
        (r#"{"id":"a","points":[[14.42,48.99]],"labels":[1,0]}"#, "BAD_REQUEST", "2 entries for 1 points"),
        (r#"{"id":"a","bbox":[14.5,48.9,14.4,49.0]}"#, "BAD_REQUEST", "west 14.5 not smaller than east 14.4"),
        (r#"{"id":"a","points":[[14.42,null]]}"#, "BAD_REQUEST", "points[0]"),
        (r#"{"id":"a","points":[[1e999,1]]}"#, "BAD_REQUEST", "number out of range"),
        (r#"{"id":"a","points":[[NaN,1]]}"#, "BAD_REQUEST", "not valid JSON"),
        (r#"{"id":"a"}"#, "BAD_REQUEST", r#"neither "points" nor "bbox""#),
        (r#"{"id":"a","points":[[0,0]]}"#, "NO_CHIP_COVERS", "nearest chip"),
        (r#"{"id":"a","points":[[14.42,48.99]],"folder":"nowhere"}"#, "UNKNOWN_FOLDER", "folder_sam"),
        (r#"{"id":"a","points":[[14.42,48.99]],"crs":"EPSG:99999"}"#, "UNKNOWN_CRS", "EPSG:99999"),
        (
            r#"{"id":"a","points":[[14.4275,48.9960]],"output":{"max_bytes":200,"on_too_large":"error"}}"#,
            "TOO_LARGE",
            "there is room for 200",
        ),
    ];
    for (request, code, part) in cases {
        let answer = answer(&format!("{request}\n"));
        assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(part), "{request}: {message}");
    }
}

#[test]
fn a_folder_is_found_by_its_name_however_its_letters_are_composed() {
    let work = tempfile::tempdir().unwrap();
    let forms = ["T\u{fc}bingen", "Tu\u{308}bingen"];
    for form in forms {
        let folder = work.path().join(form);
        std::os::unix::fs::symlink(fixtures().join("folder_sam"), &folder).unwrap();
        let models = fixtures();
        for asked in forms {
            let request = format!(r#"{{"folder":"{asked}","points":[[0,0]]}}"#);
            let folder = folder.to_str().unwrap();
            let words = ["segment", folder, "--models", models.to_str().unwrap(), "--request", "-"];
            let output = run_with_input(&words, &request);
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["error"]["code"], "NO_CHIP_COVERS", "{form:?} {asked:?}: {answer}");
        }
    }
}

#[test]
fn a_batch_and_a_geojson_prompt_are_answered_in_order() {
    let requests = concat!(
        r#"{"id":"b","crs":"EPSG:32633","prompts":[{"id":"x","points":[[458100,5427150]]},{"points":[[1,1]]}]}"#,
        "\n",
        r#"{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"label":1},"geometry":{"type":"Point","coordinates":[458100,5427150,3]}}],"geosam":{"id":7,"crs":"EPSG:32633"}}"#,
        "\n\nnot json\n",
    );
    let folder = fixtures().join("folder_sam");
    let output = run_with_input(&["segment", folder.to_str().unwrap(), "--request", "-"], requests);
    assert_eq!(output.status.code(), Some(1), "a refused line makes the status 1");
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["results"][0]["id"], "x");
    assert_eq!(lines[0]["results"][0]["status"], "ok");
    assert_eq!(lines[0]["results"][1]["error"]["code"], "NO_CHIP_COVERS");
    assert_eq!(lines[1]["id"], 7);
    assert_eq!(lines[1]["result"], lines[0]["results"][0]["result"]);
    assert_eq!(lines[2]["error"]["code"], "BAD_REQUEST");
}

#[test]
fn an_answer_over_its_bound_is_coarsened_and_says_by_how_much() {
    let whole = answer(r#"{"points":[[14.4275,48.9960]],"output":{"largest_only":true}}"#);
    let bytes = whole["result"].to_string().len();
    let bound = bytes / 2;
    let request =
        json!({"points": [[14.4275, 48.9960]], "output": {"largest_only": true, "max_bytes": bound}});
    let coarse = answer(&format!("{request}\n"));
    assert_eq!(coarse["status"], "ok", "{coarse}");
    assert!(coarse["result"].to_string().len() <= bound);
    let tolerance = coarse["result"]["features"][0]["properties"]["tolerance"].as_f64();
    assert!(tolerance.is_some_and(|t| t >= 1.5), "{coarse}");
}

#[test]
fn output_in_degrees_follows_rfc_7946() {
    let folder = fixtures().join("folder_sam");
    let output = run(&["segment", folder.to_str().unwrap(), "--point", "14.4275,48.9960"]);
    let collection: Value = serde_json::from_str(&stdout_of(&output)).unwrap();
    assert_eq!(collection["type"], "FeatureCollection");
    assert!(collection.get("crs").is_none());
    let features = collection["features"].as_array().unwrap();
    assert!(!features.is_empty());
    for feature in features {
        let rings: Vec<Vec<[f64; 2]>> =
            serde_json::from_value(feature["geometry"]["coordinates"].clone()).unwrap();
        for (index, ring) in rings.iter().enumerate() {
            assert_eq!(ring.first(), ring.last());
            let [x0, y0] = ring[0];
            let area: f64 = ring
                .windows(2)
                .map(|w| (w[0][0] - x0) * (w[1][1] - y0) - (w[1][0] - x0) * (w[0][1] - y0))
                .sum();
            assert_eq!(area > 0.0, index == 0, "exteriors run counter-clockwise, holes clockwise");
        }
        let pixels = feature["properties"]["pixels"].as_f64().unwrap();
        let area = feature["properties"]["area_m2"].as_f64().unwrap();
        // Half-metre pixels; UTM's scale on the ground is within 0.1 %.
        assert!((area / (pixels * 0.25) - 1.0).abs() < 2e-3 || pixels < 100.0, "{area} for {pixels}");
    }
}
