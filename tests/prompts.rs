//! Files of prompts and of requests, as people's programs write them.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use geo::{GeodesicArea as _, Validation as _};
use serde_json::{Value, json};
use support::{geosam_edge, run_with_input, stdout_of};

/// Two ponds that lie on one chip, and a place without imagery.
const POND: [f64; 2] = [9.172_119_53, 47.652_812_08];
const NOWHERE: [f64; 2] = [9.5, 47.6];

fn features() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/features").to_str().unwrap().to_owned()
}

fn segment(directory: &Path, words: &[&str]) -> Output {
    geosam_edge().current_dir(directory).args(["segment", &features()]).args(words).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Points inside the ponds, buildings and fields of the demo scene, with their kinds.
fn truth() -> Vec<(String, [f64; 2])> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/truth.geojson");
    let truth: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let inside = |f: &Value| {
        let point = &f["properties"]["inside"];
        let kind = f["properties"]["kind"].as_str().unwrap().to_owned();
        Some((kind, [point[0].as_f64()?, point[1].as_f64()?]))
    };
    truth["features"].as_array().unwrap().iter().filter_map(inside).take(6).collect()
}

fn point(position: [f64; 2], properties: &Value) -> Value {
    json!({"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": position}})
}

/// As GDAL writes it: a feature a line, within a collection.
fn as_gdal(features: &[Value]) -> String {
    let features: Vec<String> = features.iter().map(Value::to_string).collect();
    format!(
        "{{\n\"type\": \"FeatureCollection\",\n\"name\": \"clicks\",\n\"features\": [\n{}\n]\n}}\n",
        features.join(",\n")
    )
}

#[test]
fn every_feature_is_an_object_and_keeps_its_properties() {
    let work = tempfile::tempdir().unwrap();
    let truth = truth();
    let clicks: Vec<Value> = truth
        .iter()
        .enumerate()
        .map(|(number, (kind, place))| {
            point(
                *place,
                &json!({"kind": kind, "number": number, "score": "mine", "mask": 7, "geosam_mask": 8}),
            )
        })
        .collect();
    let all = stdout_of(&run_with_input(&["segment", &features(), "--prompts", "-"], &as_gdal(&clicks)));
    let mut found = lines(&all);
    found.sort_by_key(|f| f["properties"]["number"].as_u64());
    assert_eq!(found.len(), truth.len());
    for (number, (feature, (kind, place))) in found.iter().zip(&truth).enumerate() {
        let properties = &feature["properties"];
        assert_eq!((&properties["kind"], &properties["number"]), (&json!(kind), &json!(number)));
        assert_eq!(properties["score"], "mine", "what the user wrote is not lost");
        assert_eq!((&properties["mask"], &properties["geosam_mask"]), (&json!(7), &json!(8)));
        assert!(properties["geosam_mask_2"].is_number());
        assert!(properties["geosam_score"].is_number() && properties["area_m2"].as_f64().unwrap() > 10.0);
        // The same as asked for alone.
        let [x, y] = place;
        let alone = stdout_of(&segment(work.path(), &["--point", &format!("{x},{y}")]));
        let alone: Value = serde_json::from_str(&alone).unwrap();
        let parts = alone["features"].as_array().unwrap();
        match feature["geometry"]["type"].as_str().unwrap() {
            "Polygon" => assert_eq!(feature["geometry"], parts[0]["geometry"]),
            _ => assert_eq!(feature["geometry"]["coordinates"].as_array().unwrap().len(), parts.len()),
        }
    }
    assert!(all.lines().all(|line| line.starts_with("{\"type\":\"Feature\"")), "GDAL knows lines by that");
}

#[test]
fn the_same_prompts_in_every_format_give_the_same_outlines() {
    let work = tempfile::tempdir().unwrap();
    let truth = truth();
    let clicks: Vec<Value> =
        truth.iter().map(|(kind, place)| point(*place, &json!({"kind": kind}))).collect();
    let write = |name: &str, text: &str| fs::write(work.path().join(name), text).unwrap();
    write("gdal.geojson", &as_gdal(&clicks));
    write("one_line.json", &json!({"type": "FeatureCollection", "features": clicks}).to_string());
    write("lines.geojsonl", &clicks.iter().map(|f| format!("{f}\n")).collect::<String>());
    write("sequence.geojsons", &clicks.iter().map(|f| format!("\u{1e}{f}\n")).collect::<String>());
    let table = |delimiter: &str, decimal: &str, header: &str| {
        let row = |(kind, [x, y]): &(String, [f64; 2])| {
            let [x, y] = [x, y].map(|v| v.to_string().replace('.', decimal));
            format!("{x}{delimiter}{y}{delimiter}{kind}\r\n")
        };
        format!("\u{feff}{header}\r\n{}", truth.iter().map(row).collect::<String>())
    };
    write("table.csv", &table(",", ".", "lon,lat,kind"));
    write("excel.csv", &table(";", ",", "Longitude;Latitude;kind"));
    write("tabs.txt", &table("\t", ".", "X\tY\tkind"));
    let outlines = |name: &str| -> Vec<(Value, Value)> {
        let answer = segment(work.path(), &["--prompts", name]);
        let mut found: Vec<(Value, Value)> = lines(&stdout_of(&answer))
            .into_iter()
            .map(|f| (f["properties"]["kind"].clone(), f["geometry"].clone()))
            .collect();
        found.sort_by_key(|(_, geometry)| geometry.to_string());
        found
    };
    let expected = outlines("gdal.geojson");
    assert_eq!(expected.len(), truth.len());
    for name in ["one_line.json", "lines.geojsonl", "sequence.geojsons", "table.csv", "excel.csv", "tabs.txt"]
    {
        assert_eq!(outlines(name), expected, "{name}");
    }
}

#[cfg(feature = "flatgeobuf")]
#[test]
fn flatgeobuf_is_read_with_its_attributes() {
    let work = tempfile::tempdir().unwrap();
    let truth = truth();
    let clicks: Vec<Value> = truth
        .iter()
        .enumerate()
        .map(|(n, (kind, place))| {
            point(*place, &json!({"kind": kind, "n": n, "half": n as f64 / 2.0, "ok": n > 2}))
        })
        .collect();
    fs::create_dir_all(work.path().join("state/layers")).unwrap();
    let lines_of = |clicks: &[Value]| clicks.iter().map(|f| format!("{f}\n")).collect::<String>();
    fs::write(work.path().join("state/layers/clicks.geojsonl"), lines_of(&clicks)).unwrap();
    let export = ["export", "clicks", "--format", "flatgeobuf", "--output", "clicks.fgb"];
    assert!(geosam_edge().current_dir(work.path()).args(export).status().unwrap().success());
    let mut found = lines(&stdout_of(&segment(work.path(), &["--prompts", "clicks.fgb"])));
    found.sort_by_key(|f| f["properties"]["n"].as_u64());
    fs::write(work.path().join("clicks.geojsonl"), lines_of(&clicks)).unwrap();
    let mut expected = lines(&stdout_of(&segment(work.path(), &["--prompts", "clicks.geojsonl"])));
    expected.sort_by_key(|f| f["properties"]["n"].as_u64());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["geometry"], expected["geometry"]);
        for name in ["kind", "n", "half", "ok"] {
            assert_eq!(found["properties"][name], expected["properties"][name], "{name}");
        }
    }
    assert_eq!(found.len(), truth.len());
    // A file that broke off on its way, wherever it did.
    let whole = fs::read(work.path().join("clicks.fgb")).unwrap();
    for end in (8..whole.len()).step_by(whole.len() / 12) {
        fs::write(work.path().join("cut.fgb"), &whole[..end]).unwrap();
        let refused = segment(work.path(), &["--prompts", "cut.fgb"]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(told(&refused).contains("cut.fgb: "), "{}", told(&refused));
    }
}

#[test]
fn points_with_one_value_of_object_are_one_prompt() {
    let work = tempfile::tempdir().unwrap();
    let truth = truth();
    let ([ax, ay], [bx, by]) = (truth[0].1, truth[1].1);
    let text = format!("lon,lat,label,object\n{ax},{ay},1,a\n{bx},{by},1,\n{bx},{by},0,a\n");
    fs::write(work.path().join("points.csv"), text).unwrap();
    let found = lines(&stdout_of(&segment(work.path(), &["--prompts", "points.csv"])));
    assert_eq!(found.len(), 2);
    let alone = segment(work.path(), &["--point", &format!("{ax},{ay}"), "--point", &format!("{bx},{by},0")]);
    let alone: Value = serde_json::from_str(&stdout_of(&alone)).unwrap();
    let object = found.iter().find(|f| f["properties"]["object"] == "a").unwrap();
    assert_eq!(object["geometry"], alone["features"][0]["geometry"]);
}

#[test]
fn what_cannot_be_answered_is_listed_with_its_reason_and_the_rest_is_answered() {
    let work = tempfile::tempdir().unwrap();
    let clicks = [
        point(NOWHERE, &json!({"n": 1})),
        point(POND, &json!({"n": 2})),
        json!({"type": "Feature", "properties": {}, "geometry": null}),
        json!({"type": "Feature", "properties": {}, "geometry": {"type": "LineString", "coordinates": [POND, NOWHERE]}}),
        point(POND, &json!({"label": 7})),
    ];
    fs::write(work.path().join("clicks.geojson"), as_gdal(&clicks)).unwrap();
    let answer = segment(work.path(), &["--prompts", "clicks.geojson", "--output", "found.geojsonl"]);
    assert_eq!(answer.status.code(), Some(1));
    let found = lines(&fs::read_to_string(work.path().join("found.geojsonl")).unwrap());
    assert_eq!((found.len(), &found[0]["properties"]["n"]), (1, &json!(2)));
    let told = told(&answer);
    let told: Vec<&str> = told.lines().collect();
    assert!(told[0].starts_with("feature 1: NO_CHIP_COVERS: no chip of"), "{told:?}");
    assert!(told[1].starts_with("feature 3: BAD_REQUEST: has no geometry"), "{told:?}");
    assert!(told[2].starts_with("feature 4: BAD_REQUEST:") && told[2].contains("LineString"), "{told:?}");
    assert!(told[3].starts_with("feature 5: BAD_REQUEST:") && told[3].contains("label"), "{told:?}");
    assert_eq!(told[4..], ["1 answered, 4 refused"]);
}

#[test]
fn files_that_are_no_prompts_are_refused_by_name_before_anything_is_written() {
    let work = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("{\"type\":\"FeatureCollection\",\"features\":[]}", "in.file: has no features"),
        ("", "in.file: is empty"),
        ("lon,lat,name\n", "in.file: has names of columns and no rows"),
        ("a,b\n1,2\n", "in.file: has no columns lon and lat; its columns are a, b"),
        ("lon,name\n1,x\n", "in.file: has no column lat"),
        (
            "SQLite format 3\0",
            "is a GeoPackage, which is not read; write the layer with your prompts anew (ogrinfo -q in.file",
        ),
        ("PAR1\0", "is a Parquet file, which is not read; write it anew: ogr2ogr"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "is a pointer of Git LFS"),
        ("<!DOCTYPE html>\n<html>", "is a web page, as a download"),
        ("PK\u{3}\u{4}", "is a ZIP archive"),
        ("<?xml version=\"1.0\"?>\n<gpx>", "ogr2ogr -t_srs EPSG:4326 prompts.geojson in.file waypoints"),
        ("<kml/>", "is XML"),
        ("fgb\u{3}fgb\u{0}", "FlatGeobuf"),
        (
            "{\n\"type\": \"FeatureCollection\",\n\"features\": [\n{\"type\" \"Feature\"}\n]\n}\n",
            "line 4, column 9",
        ),
        ("{\"points\": [[9.1, 47.6]]}", "requests are given as --request"),
    ] {
        fs::write(work.path().join("in.file"), text).unwrap();
        fs::write(work.path().join("out.geojsonl"), "old").unwrap();
        let refused = segment(work.path(), &["--prompts", "in.file", "--output", "out.geojsonl"]);
        let told = told(&refused);
        assert_eq!(refused.status.code(), Some(1), "{told}");
        assert!(told.contains(words) && told.lines().count() == 1, "{words}: {told}");
        assert_eq!(fs::read(work.path().join("out.geojsonl")).unwrap(), b"old");
    }
    fs::write(work.path().join("in.file"), b"\x1F\x8B\x08\0").unwrap();
    let refused = segment(work.path(), &["--prompts", "in.file"]);
    assert!(told(&refused).contains("gunzip -k in.file"), "{}", told(&refused));
}

#[test]
fn answers_of_yesterday_stay_where_nothing_is_answered_and_go_with_the_first_new_line() {
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("away.geojson"), as_gdal(&[point(NOWHERE, &json!({}))])).unwrap();
    fs::write(work.path().join("here.geojson"), as_gdal(&[point(POND, &json!({"n": 1}))])).unwrap();
    let old = "{\"type\":\"Feature\"}\n".repeat(1_000);
    for name in ["found.geojsonl", "found.geojson"] {
        let output = work.path().join(name);
        fs::write(&output, &old).unwrap();
        let refused = segment(work.path(), &["--prompts", "away.geojson", "--output", name]);
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(fs::read_to_string(&output).unwrap(), old);
        assert!(told(&refused).contains(&format!("{name} is left as it was\n")), "{}", told(&refused));
        let answered = segment(work.path(), &["--prompts", "here.geojson", "--output", name]);
        assert!(!told(&answered).contains("left as it was"), "{}", told(&answered));
        let new: Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
        let feature = new.get("features").map_or(&new, |features| &features[0]);
        assert_eq!(feature["properties"]["n"], 1);
    }
}

/// As old programs of Windows write western Europe's letters.
fn in_windows_1252(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn text_that_is_not_utf8_is_refused_by_its_place_and_never_garbled() {
    let work = tempfile::tempdir().unwrap();
    let [x, y] = POND;
    let table = format!("lon,lat,name\r\n{x},{y},a\r\n{x},{y},M\u{fc}hle\r\n");
    let collection = as_gdal(&[point(POND, &json!({})), point(POND, &json!({"name": "Mühle"}))]);
    let lines = format!("{}\r\n{}\r\n", point(POND, &json!({})), point(POND, &json!({"name": "Mühle"})));
    for (name, text, line) in [("a.csv", &table, 3), ("a.geojson", &collection, 6), ("a.geojsonl", &lines, 2)]
    {
        fs::write(work.path().join(name), in_windows_1252(text)).unwrap();
        let refused = segment(work.path(), &["--prompts", name]);
        let told = told(&refused);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{told}");
        let place = format!("{name}: line {line}, column ");
        let problem =
            "byte 0xFC (ü in Windows-1252) is not UTF-8; save the file as UTF-8: in Excel as \"CSV UTF-8\"";
        assert!(told.contains(&place) && told.contains(problem), "{told}");
        assert_eq!(told.matches("line ").count(), 1, "{told}");
        // The same in UTF-8, and as Excel's "Unicode Text".
        fs::write(work.path().join(name), text).unwrap();
        let expected = stdout_of(&segment(work.path(), &["--prompts", name]));
        assert!(expected.contains("\"Mühle\""), "{expected}");
        let units = |to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(to_bytes).collect()
        };
        for bytes in [units(u16::to_le_bytes), units(u16::to_be_bytes)] {
            fs::write(work.path().join(name), &bytes).unwrap();
            assert_eq!(stdout_of(&segment(work.path(), &["--prompts", name])), expected, "{name}");
            for (bytes, problem) in
                [(&bytes[..bytes.len() - 1], "damaged"), (&bytes[2..], "without a byte-order mark")]
            {
                fs::write(work.path().join(name), bytes).unwrap();
                let told = self::told(&segment(work.path(), &["--prompts", name]));
                assert!(
                    told.contains("UTF-16") && told.contains(problem) && told.contains("as UTF-8"),
                    "{told}"
                );
            }
        }
    }
    // Requests are answered one by one.
    let requests =
        format!("{}\n{{\"id\":\"M\u{fc}hle\",\"points\":[[{x},{y}]]}}\n", json!({"points": [POND]}));
    fs::write(work.path().join("requests"), in_windows_1252(&requests)).unwrap();
    let answer = segment(work.path(), &["--request", "requests"]);
    let answers = self::lines(&String::from_utf8(answer.stdout).unwrap());
    assert_eq!(answers[0]["status"], "ok");
    let message = answers[1]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("line 2, column 9: byte 0xFC (ü in Windows-1252) is not UTF-8"), "{message}");
}

#[test]
fn an_output_that_would_replace_the_prompts_is_refused() {
    let work = tempfile::tempdir().unwrap();
    let text = as_gdal(&[point(POND, &json!({}))]);
    fs::write(work.path().join("clicks.geojson"), &text).unwrap();
    std::os::unix::fs::symlink("clicks.geojson", work.path().join("link.geojson")).unwrap();
    for (kind, output) in
        [("--prompts", "clicks.geojson"), ("--prompts", "link.geojson"), ("--request", "./clicks.geojson")]
    {
        let refused = segment(work.path(), &[kind, "clicks.geojson", "--output", output]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(told(&refused).contains("clicks.geojson itself, which would be lost"), "{}", told(&refused));
        assert_eq!(fs::read_to_string(work.path().join("clicks.geojson")).unwrap(), text);
    }
}

#[test]
fn responses_are_not_written_under_a_name_that_says_geojson() {
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("requests.jsonl"), json!({"points": [POND]}).to_string()).unwrap();
    let asked = |output| segment(work.path(), &["--request", "requests.jsonl", "--output", output]);
    for output in ["found.geojson", "found.GEOJSONL"] {
        let refused = asked(output);
        assert_eq!(refused.status.code(), Some(2));
        assert!(told(&refused).contains("name it .jsonl"), "{}", told(&refused));
        assert!(!work.path().join(output).exists());
    }
    assert!(asked("found.jsonl").status.success());
}

#[test]
fn a_collection_is_written_where_the_ending_asks_for_one() {
    let work = tempfile::tempdir().unwrap();
    fs::write(
        work.path().join("clicks.geojson"),
        as_gdal(&[point(POND, &json!({})), point(POND, &json!({}))]),
    )
    .unwrap();
    let words = ["--prompts", "clicks.geojson", "--output", "found.geojson", "--output-crs", "EPSG:3857"];
    assert!(segment(work.path(), &words).status.success());
    let found: Value = serde_json::from_slice(&fs::read(work.path().join("found.geojson")).unwrap()).unwrap();
    assert_eq!(found["features"].as_array().unwrap().len(), 2);
    assert_eq!(found["crs"]["properties"]["name"], "urn:ogc:def:crs:EPSG::3857");
    let x = found["features"][0]["geometry"]["coordinates"][0][0][0].as_f64().unwrap();
    assert!((1.0e6..1.1e6).contains(&x), "{x}");
}

#[test]
fn an_object_of_several_simplified_parts_is_one_valid_geometry_with_its_own_area() {
    // A model without training: its masks have dozens of parts.
    let [folder, models] = ["folder_sam", "models"].map(|name| support::fixtures().join(name));
    let [folder, models] = [folder, models].map(|path| path.to_str().unwrap().to_owned());
    let clicks = "x,y\n458120,5427215\n458140,5427215\n";
    for tolerance in ["1.5", "4", "10", "30"] {
        let words = ["segment", &folder, "--models", &models, "--prompts", "-", "--crs", "EPSG:32633"];
        let more = ["--vectorization", "simplified", "--tolerance", tolerance, "--multimask"];
        let answer = run_with_input(&[&words[..], &more[..]].concat(), clicks);
        let found = lines(&stdout_of(&answer));
        assert_eq!(found.len(), 6, "two objects of three masks");
        for feature in found {
            let text = feature["geometry"].to_string();
            let geometry = support::scene::outline(&feature["geometry"], None);
            assert!(geometry.is_valid(), "{tolerance}: {text}");
            let said = feature["properties"]["area_m2"].as_f64().unwrap();
            assert!((geometry.geodesic_area_unsigned() / said - 1.0).abs() < 1e-4, "{tolerance}: {said}");
            assert_eq!(feature["properties"]["tolerance"].as_f64(), tolerance.parse().ok());
        }
    }
}

#[test]
fn requests_inherit_from_the_flags_beside_them() {
    let [x, y] = POND;
    let request = json!({"points": [POND]}).to_string();
    let ask = |flags: &[&str], request: &str| -> Value {
        let features = features();
        let mut words = vec!["segment", &features, "--request", "-"];
        words.extend(flags);
        let answer = stdout_of(&run_with_input(&words, request));
        serde_json::from_str(&answer).unwrap()
    };
    let bbox = |answer: &Value| answer["result"]["bbox"][0].as_f64().unwrap();
    let flags = ["--output-crs", "EPSG:3857", "--multimask", "--largest-only"];
    let answer = ask(&flags, &request);
    assert!(bbox(&answer) > 1e6, "{answer}");
    assert_eq!(answer["masks"].as_array().unwrap().len(), 3);
    let answer = ask(&["--vectorization", "simplified", "--tolerance", "3"], &request);
    assert_eq!(answer["result"]["features"][0]["properties"]["tolerance"], 3.0);
    // What a request says counts more.
    let own = json!({"points": [POND], "output": {"crs": "EPSG:4326"}}).to_string();
    let answer = ask(&flags, &own);
    assert!(bbox(&answer) < 10.0 && answer["masks"].as_array().unwrap().len() == 3, "{answer}");
    // In a batch too.
    let batch = json!({"prompts": [{"points": [POND]}]}).to_string();
    assert!(bbox(&ask(&flags, &batch)["results"][0]) > 1e6);
    // The CRS of the coordinates.
    let mercator = [x.to_radians(), (std::f64::consts::FRAC_PI_4 + y.to_radians() / 2.0).tan().ln()];
    let request = json!({"points": [mercator.map(|v| v * 6_378_137.0)]}).to_string();
    assert_eq!(ask(&["--crs", "EPSG:3857"], &request)["status"], "ok");
}

#[test]
fn requests_go_over_lines_and_are_counted_at_the_end() {
    let pretty = serde_json::to_string_pretty(&json!({"id": "pretty", "points": [POND]})).unwrap();
    let feature = point(POND, &json!({}));
    let gdal = as_gdal(std::slice::from_ref(&feature));
    let batch = json!({"id": "batch", "prompts": [{"points": [POND]}, {"points": [NOWHERE]}]});
    let list = json!([{"id": "l0", "points": [POND]}, {"id": "l1", "points": [POND]}]);
    let input = format!("{pretty}\n{gdal}\n{feature}\n{{\"points\": [[9.1,\n{batch}\n{list}\nnonsense\n");
    let answer = run_with_input(&["segment", &features(), "--request", "-"], &input);
    let stdout = String::from_utf8_lossy(&answer.stdout).into_owned();
    let stati: Vec<(Value, String)> = lines(&stdout)
        .into_iter()
        .map(|a| (a["id"].clone(), a["error"]["message"].as_str().unwrap_or("").to_owned()))
        .collect();
    let told: Vec<Value> = stati.iter().map(|(id, _)| id.clone()).collect();
    let null = Value::Null;
    let expected = [
        json!("pretty"),
        null.clone(),
        null.clone(),
        null.clone(),
        json!("batch"),
        json!("l0"),
        json!("l1"),
        null,
    ];
    assert_eq!(told, expected, "{stdout}");
    let line = pretty.lines().count() + gdal.lines().count() + 3;
    assert!(stati[3].1.starts_with(&format!("line {line}, column ")), "{stati:?}");
    assert!(stati[3].1.matches("line").count() == 1, "{stati:?}");
    assert_eq!(answer.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&answer.stderr).trim(), "6 answered, 3 refused");
}

#[test]
fn requests_in_utf_16_are_told_once() {
    let work = tempfile::tempdir().unwrap();
    let line = json!({"points": [POND]}).to_string();
    let text = format!("{line}\r\n{line}\r\n{line}\r\n");
    let marked = |text: &str| format!("\u{FEFF}{text}");
    for text in [text.clone(), marked(&text)] {
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            fs::write(work.path().join("requests"), bytes).unwrap();
            let answer = segment(work.path(), &["--request", "requests"]);
            let stdout = String::from_utf8_lossy(&answer.stdout).into_owned();
            let told = lines(&stdout);
            assert_eq!((told.len(), answer.status.code()), (1, Some(1)), "{stdout}");
            let message = told[0]["error"]["message"].as_str().unwrap();
            assert!(
                message.starts_with("line 1: this is UTF-16") && message.contains("as UTF-8"),
                "{message}"
            );
        }
    }
}

#[test]
fn a_collection_of_several_objects_as_one_request_says_what_to_do() {
    let collection = as_gdal(&[point(POND, &json!({})), point(NOWHERE, &json!({}))]);
    let answer = run_with_input(&["segment", &features(), "--request", "-"], &collection);
    let told = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(told.contains("give the file as --prompts"), "{told}");
}

#[test]
fn latitude_before_longitude_is_noticed() {
    let work = tempfile::tempdir().unwrap();
    let [x, y] = POND;
    let refused = segment(work.path(), &["--point", &format!("{y},{x}")]);
    assert_eq!(refused.status.code(), Some(1));
    let told = told(&refused);
    assert!(
        told.contains(&format!("{x}, {y} would be inside: longitude, or easting, comes first")),
        "{told}"
    );
    let refused = segment(work.path(), &["--box", &format!("{},{},{},{}", y - 1e-4, x - 1e-4, y, x)]);
    assert!(self::told(&refused).contains("would be inside"), "{}", self::told(&refused));
    let refused = segment(work.path(), &["--point", "9.5,47.6"]);
    assert!(self::told(&refused).contains("check the prompt's CRS"), "{}", self::told(&refused));
}

#[test]
fn usage_ends_with_2_and_refusals_with_1() {
    let work = tempfile::tempdir().unwrap();
    for (words, status) in [
        (&["--point", "9.5,47.6"][..], 1),
        (&[], 2),
        (&["--point", "a"], 2),
        (&["--point", "9,47", "--output", "a.kml"], 2),
        (&["--point", "9,47", "--overlay", "a.jpg"], 2),
        (&["--point", "9,47", "--output", "a", "--overlay", "a"], 2),
        (&["--prompts", "/nowhere"], 1),
    ] {
        let answer = segment(work.path(), words);
        assert_eq!(answer.status.code(), Some(status), "{words:?}: {}", told(&answer));
    }
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0, "nothing is written");
}
