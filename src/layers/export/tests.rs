//! Exports by what comes out. That GDAL reads all of them alike is checked by `tests/peers/exports_with_gdal.py`.

mod ground;

use std::fs;

use geojson::Feature;

use super::*;
use crate::layers::{DIRECTORY, LayerError};

pub(super) const HOLED: &str = r#"{"type":"Feature","id":"f<1>","geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,4],[0,0]],[[1,1],[1,2],[2,2],[2,1],[1,1]]]},"properties":{"area_m2":16,"name":"池 & \"pond\"","prompt":{"points":[[1,2]]},"saved":true}}"#;
pub(super) const SPLIT: &str = r#"{"type":"Feature","id":"f2","geometry":{"type":"MultiPolygon","coordinates":[[[[179,0],[180,0],[180,1],[179,0]]],[[[-180,0],[-179.5,0],[-180,1],[-180,0]]]]},"properties":{"area_m2":2.5,"name":null}}"#;
pub(super) const POINT: &str =
    r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2,3]},"properties":null}"#;
pub(super) const NOWHERE: &str =
    r#"{"type":"Feature","id":"n","geometry":null,"properties":{"note":"no place"}}"#;

pub(super) fn state(lines: &[&str]) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join(DIRECTORY)).unwrap();
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    fs::write(state.path().join(DIRECTORY).join("ponds.geojsonl"), text).unwrap();
    state
}

/// 2026-11-29, noon.
fn settings(format: Format) -> Settings {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_953_600);
    Settings { format, inclusion: false, now, filter: Filter::default() }
}

fn tried(lines: &[&str], settings: Settings) -> Result<(Vec<u8>, Exported), ExportError> {
    let state = state(lines);
    let mut out = Vec::new();
    let exported = export(state.path(), "ponds", &settings, &mut out, Path::new("out"))?;
    Ok((out, exported))
}

fn exported(lines: &[&str], format: Format) -> (Vec<u8>, Exported) {
    tried(lines, settings(format)).unwrap()
}

fn counts(features: u64, skipped: u64) -> Exported {
    Exported { features, skipped, ..Exported::default() }
}

/// What is told of lines that are no features.
fn unread(exported: &Exported) -> String {
    exported.unread.iter().map(ToString::to_string).collect()
}

#[test]
fn geojson_is_one_collection_of_the_same_features() {
    let (out, exported) = exported(&[HOLED, "", "nonsense", SPLIT], Format::GeoJson);
    assert_eq!((exported.features, exported.skipped), (2, 0));
    assert!(
        unread(&exported).contains("1 line is no GeoJSON Feature and is skipped: line 3, it is not JSON;")
    );
    let collection: geojson::FeatureCollection = serde_json::from_slice(&out).unwrap();
    let expected: Vec<Feature> = [HOLED, SPLIT].map(|line| serde_json::from_str(line).unwrap()).into();
    assert_eq!(collection.features, expected);
    assert!(out.starts_with(br#"{"type":"FeatureCollection","name":"ponds","features":["#));
}

#[test]
fn only_what_is_asked_for_is_exported_in_every_format() {
    let saved = |id: &str, client: &str| {
        let properties = format!(r#"{{"client":"{client}","saved_at":"2026-05-01T12:00:00Z"}}"#);
        POINT
            .replace(r#""type":"Feature""#, &format!(r#""type":"Feature","id":"{id}""#))
            .replace("null", &properties)
    };
    let (a, b) = (saved("a", "tablet"), saved("b", "drone"));
    let filter = Filter { client: Some("drone".to_owned()), ..Filter::default() };
    for format in [Format::GeoJson, Format::GeoJsonLines, Format::Kml, Format::Kmz] {
        let settings = Settings { filter: filter.clone(), ..settings(format) };
        let (out, exported) = tried(&[&a, &b, "nonsense"], settings).unwrap();
        assert_eq!((exported.features, exported.skipped), (1, 0), "{format:?}");
        assert!(unread(&exported).contains("line 3, it is not JSON"), "{format:?}");
        assert!(format == Format::Kmz || !String::from_utf8(out).unwrap().contains("tablet"), "{format:?}");
    }
    let nobody = Filter { client: Some("nobody".to_owned()), ..Filter::default() };
    let error = tried(&[&a, &b], Settings { filter: nobody, ..settings(Format::Plan) }).unwrap_err();
    assert!(error.to_string().contains("none of its objects was asked for"), "{error}");
}

#[test]
fn geojson_lines_are_the_lines_without_the_bad_ones() {
    let (out, exported) = exported(&[HOLED, "", "nonsense", SPLIT, "{\"torn"], Format::GeoJsonLines);
    assert_eq!(String::from_utf8(out).unwrap(), format!("{HOLED}\n{SPLIT}\n"));
    assert_eq!((exported.features, exported.skipped), (2, 0));
    assert!(unread(&exported).contains("2 lines are not GeoJSON Features and are skipped: line 3, "));
    assert!(unread(&exported).contains("line 5, the JSON breaks off; mend them"));
}

#[test]
fn a_file_that_another_program_wrote_anew_is_told_with_the_cure() {
    // As GDAL's GeoJSON driver writes it: of the features the last one is a line of its own.
    let lines =
        ["{", "\"type\": \"FeatureCollection\",", "\"features\": [", &format!("{HOLED},"), SPLIT, "]", "}"];
    for format in [Format::GeoJson, Format::GeoJsonLines, Format::Kml, Format::Plan] {
        let (_, exported) = exported(&lines, format);
        assert_eq!((exported.features, exported.skipped), (1, 0), "{format:?}");
        let told = unread(&exported);
        assert!(
            told.contains("6 lines are not") && told.contains("line 1, a JSON text of many lines begins"),
            "{told}"
        );
        assert!(told.contains("ogr2ogr -f GeoJSONSeq NEW.geojsonl ponds.geojsonl"), "{told}");
    }
    let one_line = format!("{{\"type\":\"FeatureCollection\",\"features\":[{HOLED},{SPLIT}]}}");
    let error = tried(&[&one_line], settings(Format::GeoJson)).unwrap_err();
    assert!(matches!(error, ExportError::Unreadable(_)), "{error}");
    assert!(error.to_string().contains("ogr2ogr -f GeoJSONSeq"), "{error}");
}

#[test]
fn a_line_that_is_not_utf_8_is_left_out_of_every_format_and_told() {
    let state = state(&[HOLED]);
    let path = state.path().join(DIRECTORY).join("ponds.geojsonl");
    let bytes = [HOLED.as_bytes(), b"\n", b"{\"type\":\"Feature\",\"properties\":{\"kind\":\"gro\xdf\"}}\n"];
    fs::write(path, bytes.concat()).unwrap();
    for format in [Format::GeoJson, Format::GeoJsonLines, Format::Kml, Format::Wpl] {
        let mut out = Vec::new();
        let exported = export(state.path(), "ponds", &settings(format), &mut out, Path::new("out")).unwrap();
        assert_eq!((exported.features, exported.skipped), (1, 0), "{format:?}");
        assert!(unread(&exported).contains("line 2, it is not UTF-8"), "{}", unread(&exported));
        assert!(String::from_utf8(out).is_ok(), "{format:?}");
    }
}

#[test]
fn a_last_line_that_is_just_being_written_is_left_out_and_no_fault_of_the_file() {
    let state = state(&[HOLED]);
    let path = state.path().join(DIRECTORY).join("ponds.geojsonl");
    fs::write(path, format!("{HOLED}\n{}", &SPLIT[..40])).unwrap();
    let mut out = Vec::new();
    let exported =
        export(state.path(), "ponds", &settings(Format::GeoJson), &mut out, Path::new("out")).unwrap();
    assert_eq!(exported, counts(1, 1));
}

#[test]
fn kml_has_a_named_placemark_a_part_with_holes_style_and_properties() {
    let (out, exported) = exported(&[HOLED, SPLIT, POINT, NOWHERE], Format::Kml);
    assert_eq!(exported.features, 4);
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn kml_fields_have_the_type_of_all_their_values() {
    let first = r#"{"type":"Feature","geometry":null,"properties":{"whole":1,"long":9007199254740993,"mixed":1,"real":1,"ok":true,"at":"2026-11-29T12:00:00Z","tree":[1,"<"],"name<\"":"a"}}"#;
    let second = r#"{"type":"Feature","geometry":null,"properties":{"whole":-2,"long":1,"mixed":"one","real":0.5,"ok":false}}"#;
    let text = String::from_utf8(exported(&[first, second], Format::Kml).0).unwrap();
    for (kind, name, values) in [
        ("int", "whole", &["1", "-2"][..]),
        ("string", "long", &["9007199254740993", "1"]),
        ("string", "mixed", &["1", "one"]),
        ("double", "real", &["1", "0.5"]),
        ("string", "ok", &["true", "false"]),
        ("string", "at", &["2026-11-29T12:00:00Z"]),
        ("string", "tree", &["[1,&quot;&lt;&quot;]"]),
        ("string", "name&lt;&quot;", &["a"]),
    ] {
        let field = format!("<SimpleField type=\"{kind}\" name=\"{name}\"></SimpleField>");
        assert!(text.contains(&field), "{field}: {text}");
        for value in values {
            let data = format!("<SimpleData name=\"{name}\">{value}</SimpleData>");
            assert!(text.contains(&data), "{data}: {text}");
        }
    }
}

#[test]
fn kml_properties_that_readers_would_merge_are_told_apart() {
    let line =
        r#"{"type":"Feature","geometry":null,"properties":{"Owner":"A","owner":"B","visibility":true}}"#;
    let text = String::from_utf8(exported(&[line], Format::Kml).0).unwrap();
    for (name, value) in [("Owner", "A"), ("owner_2", "B"), ("visibility_2", "true")] {
        assert!(text.contains(&format!("<SimpleField type=\"string\" name=\"{name}\">")), "{text}");
        assert!(text.contains(&format!("<SimpleData name=\"{name}\">{value}<")), "{text}");
    }
}

#[test]
fn kmz_holds_the_same_document() {
    use std::io::Read as _;
    let (kmz, _) = exported(&[HOLED, SPLIT], Format::Kmz);
    let (kml, _) = exported(&[HOLED, SPLIT], Format::Kml);
    let archive = rawzip::ZipArchive::from_slice(kmz.as_slice()).unwrap();
    let entry = archive.entries().next_entry().unwrap().unwrap();
    assert_eq!(entry.file_path().as_ref(), b"doc.kml");
    let entry = archive.get_entry(entry.wayfinder()).unwrap();
    let mut text = Vec::new();
    let inflated = flate2::read::DeflateDecoder::new(entry.data());
    entry.verifying_reader(inflated).read_to_end(&mut text).unwrap();
    assert_eq!(text, kml);
}

#[test]
fn an_empty_layer_is_an_empty_document_where_that_can_be_opened_and_refused_elsewhere() {
    let (out, _) = exported(&[], Format::GeoJson);
    assert!(serde_json::from_slice::<geojson::FeatureCollection>(&out).unwrap().features.is_empty());
    assert!(exported(&[], Format::GeoJsonLines).0.is_empty());
    let (out, told) = exported(&[], Format::Kml);
    assert_eq!(told, counts(0, 0));
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("<Folder><name>ponds</name></Folder>\n</Document>\n</kml>\n"), "{text}");
    assert!(!text.contains("<Schema"), "{text}");
    for format in [Format::Kml, Format::Kmz, Format::Plan, Format::Wpl, Format::Cot] {
        let is_kml = matches!(format, Format::Kml | Format::Kmz);
        // Features to JSON's eye alone.
        let bad = r#"{"type":"Feature","geometry":7}"#;
        for (lines, problem) in
            [(&[][..], "it is empty"), (&[bad], "no object"), (&[bad, bad], "none of its 2")]
        {
            if is_kml && lines.is_empty() {
                continue;
            }
            let error = tried(lines, settings(format)).unwrap_err();
            assert!(matches!(error, ExportError::Empty { .. }), "{error}");
            let told = error.to_string();
            assert!(told.contains("layer ponds cannot be written as") && told.contains(problem), "{told}");
        }
    }
}

#[test]
fn an_unknown_layer_names_those_that_are_there() {
    let state = state(&[HOLED]);
    let mut out = Vec::new();
    let error = export(state.path(), "pond", &settings(Format::GeoJson), &mut out, Path::new("out"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no layer pond") && error.contains("there are ponds"), "{error}");
    let error =
        export(state.path(), "../x", &settings(Format::GeoJson), &mut out, Path::new("out")).unwrap_err();
    assert!(matches!(error, ExportError::Layer(LayerError::BadName { .. })));
    assert!(out.is_empty());
}

#[cfg(feature = "flatgeobuf")]
mod with_flatgeobuf {
    use ::flatgeobuf::{
        ColumnType, FallibleStreamingIterator as _, FeatureProperties as _, FgbReader, GeometryType,
    };

    use super::*;
    use std::io;

    /// Where the rings of each part end, and the properties; in order of the ids.
    type Row = (Vec<Vec<u32>>, std::collections::HashMap<String, String>);

    fn read(out: &[u8]) -> Vec<Row> {
        let mut reader = FgbReader::open(io::Cursor::new(out)).unwrap().select_all().unwrap();
        let mut rows = Vec::new();
        while let Some(feature) = reader.next().unwrap() {
            let parts = feature.geometry().unwrap().parts().map(|parts| parts.iter().collect::<Vec<_>>());
            let ends =
                |part: ::flatgeobuf::Geometry<'_>| part.ends().map_or_else(Vec::new, |e| e.iter().collect());
            rows.push((
                parts.unwrap_or_default().into_iter().map(ends).collect(),
                feature.properties().unwrap(),
            ));
        }
        rows.sort_by_key(|(_, properties): &Row| properties.get("id").cloned());
        rows
    }

    #[test]
    fn flatgeobuf_keeps_geometry_and_typed_properties() {
        let (out, exported) = exported(&[HOLED, SPLIT, NOWHERE, "bad"], Format::FlatGeobuf);
        assert_eq!((exported.features, exported.skipped, exported.unread.len()), (2, 1, 1));
        let reader = FgbReader::open(io::Cursor::new(&out)).unwrap();
        assert_eq!(reader.header().geometry_type(), GeometryType::MultiPolygon);
        assert_eq!(reader.header().crs().unwrap().code(), 4326);
        let features = read(&out);
        assert_eq!(features.len(), 2);
        let (rings, properties) = &features[0];
        assert_eq!(rings.len(), 2);
        assert_eq!(properties["id"], "f2");
        assert_eq!(properties["area_m2"], "2.5");
        assert!(!properties.contains_key("name"), "null is absent");
        let (rings, properties) = &features[1];
        assert_eq!(*rings, [[5, 10]], "a hole");
        assert_eq!(properties["name"], "池 & \"pond\"");
        assert_eq!(properties["prompt"], r#"{"points":[[1,2]]}"#);
        assert_eq!((properties["saved"].as_str(), properties["area_m2"].as_str()), ("true", "16"));
    }

    #[test]
    fn flatgeobuf_columns_know_times_and_trees() {
        let with = |properties: &str| SPLIT.replace(r#""name":null"#, properties);
        let lines = [
            with(r#""saved_at":"2026-11-29T12:00:00.250Z","prompt":{"a":1},"when":"2026-11-29T12:00:00Z""#),
            with(r#""saved_at":"2026-11-30T00:00:00Z","prompt":[2],"when":"noon""#),
        ];
        let (out, _) = exported(&[&lines[0], &lines[1]], Format::FlatGeobuf);
        let reader = FgbReader::open(io::Cursor::new(&out)).unwrap();
        let kinds: std::collections::HashMap<String, ColumnType> = reader
            .header()
            .columns()
            .unwrap()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_()))
            .collect();
        assert_eq!(kinds["saved_at"], ColumnType::DateTime);
        assert_eq!(kinds["prompt"], ColumnType::Json);
        assert_eq!(kinds["when"], ColumnType::String);
        assert_eq!(read(&out)[0].1["saved_at"], "2026-11-29T12:00:00.250Z");
    }

    #[test]
    fn flatgeobuf_takes_mixed_geometries_and_none() {
        let collection = r#"{"type":"Feature","geometry":{"type":"GeometryCollection","geometries":[]}}"#;
        let (out, exported) = exported(&[HOLED, POINT, collection], Format::FlatGeobuf);
        assert_eq!(exported, counts(2, 1));
        assert_eq!(read(&out).len(), 2);
        let (out, exported) = super::exported(&[], Format::FlatGeobuf);
        assert_eq!(exported.features, 0);
        assert_eq!(FgbReader::open(io::Cursor::new(&out)).unwrap().header().features_count(), 0);
    }
}
