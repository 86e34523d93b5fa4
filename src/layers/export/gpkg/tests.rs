//! GeoPackages by what SQLite finds in them. That GDAL and the checker of OGC's rules take them is checked by
//! `tests/peers/geopackages_with_gdal.py`.

use std::fs;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::*;
use crate::layers::Filter;
use crate::layers::export::export_gpkg;
use crate::layers::export::tests::{HOLED, NOWHERE, POINT, SPLIT, state};

fn file(state: &tempfile::TempDir) -> PathBuf {
    let path = state.path().join("out.gpkg");
    fs::write(&path, "").unwrap();
    path
}

fn number(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn text(database: &Connection, sql: &str) -> String {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn layers(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn of_several_layers_those_with_nothing_in_them_are_left_out() {
    let state = state(&[HOLED, POINT]);
    fs::write(state.path().join("layers/roads.geojsonl"), "").unwrap();
    let path = file(&state);
    let export = |names: &[&str], filter: &Filter, adding: bool| {
        export_gpkg(state.path(), &layers(names), filter, &path, adding)
    };
    let written = export(&["roads", "ponds"], &Filter::default(), false).unwrap();
    assert_eq!((written.features, written.empty), (2, layers(&["roads"])));
    let database = Connection::open(&path).unwrap();
    assert_eq!(text(&database, "SELECT group_concat(table_name) FROM gpkg_contents"), "ponds");
    // What is there already stays where nothing takes its place.
    let nobody = Filter { client: Some("nobody".to_owned()), ..Filter::default() };
    for (names, filter) in [(&["roads"][..], &Filter::default()), (&["roads", "ponds"], &nobody)] {
        let error = export(names, filter, true).unwrap_err().to_string();
        assert!(
            error.contains("layer roads cannot be written as") && error.contains("it is empty"),
            "{error}"
        );
    }
    assert_eq!(number(&database, "SELECT count(*) FROM ponds"), 2);
    // A name that is none is no empty layer.
    assert!(export(&["ponds", "pond"], &Filter::default(), true).is_err());
}

#[test]
fn of_several_layers_one_that_cannot_be_read_is_left_out_and_told() {
    let state = state(&[HOLED]);
    let collection = "{\"type\":\"FeatureCollection\",\"features\":[]}\n";
    fs::write(state.path().join("layers/roads.geojsonl"), collection).unwrap();
    let path = file(&state);
    let export = |names: &[&str]| export_gpkg(state.path(), &layers(names), &Filter::default(), &path, false);
    let exported = export(&["roads", "ponds"]).unwrap();
    assert_eq!((exported.features, &exported.empty), (1, &layers(&["roads"])));
    assert!(exported.unread[0].to_string().contains("layer roads: 1 line is no GeoJSON Feature"));
    fs::write(&path, "").unwrap();
    let error = export(&["roads"]).unwrap_err().to_string();
    assert!(error.contains("ogr2ogr -f GeoJSONSeq") && error.contains("nothing is written"), "{error}");
}

#[test]
fn a_geopackage_that_was_cut_off_is_told_to_be_damaged() {
    let state = state(&[HOLED, SPLIT]);
    let path = file(&state);
    let export = |adding| export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, adding);
    export(false).unwrap();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = export(true).unwrap_err().to_string();
    assert!(error.contains("the GeoPackage is damaged: export into a new file"), "{error}");
}

#[test]
fn a_layer_is_a_table_with_typed_columns_index_extent_and_style() {
    let state = state(&[HOLED, SPLIT, NOWHERE, "bad"]);
    let path = file(&state);
    let exported = export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, false).unwrap();
    assert_eq!((exported.features, exported.skipped, exported.unread.len()), (3, 0, 1));
    let database = Connection::open(&path).unwrap();
    assert_eq!(&fs::read(&path).unwrap()[68..72], b"GPKG");
    assert_eq!(number(&database, "SELECT count(*) FROM ponds"), 3);
    let row = "SELECT id || '|' || area_m2 || '|' || typeof(area_m2) || '|' || name || '|' || prompt || '|' || saved
        FROM ponds WHERE fid = 1";
    assert_eq!(text(&database, row), r#"f<1>|16.0|real|池 & "pond"|{"points":[[1,2]]}|1"#);
    assert_eq!(text(&database, "SELECT geometry_type_name FROM gpkg_geometry_columns"), "MULTIPOLYGON");
    assert_eq!(
        text(&database, "SELECT min_x || ' ' || max_y FROM gpkg_contents WHERE table_name = 'ponds'"),
        "-180.0 4.0"
    );
    assert_eq!(
        number(&database, "SELECT count(*) FROM rtree_ponds_geom"),
        2,
        "what is nowhere is not in the index"
    );
    assert_eq!(
        number(
            &database,
            "SELECT id FROM rtree_ponds_geom WHERE minx <= 2 AND maxx >= 2 AND miny <= 2 AND maxy >= 2 AND id < 2"
        ),
        1
    );
    let style = "SELECT styleQML FROM layer_styles WHERE f_table_name = 'ponds' AND useAsDefault = 1";
    assert!(text(&database, style).contains("SimpleFill"));
    assert_eq!(text(&database, "PRAGMA integrity_check"), "ok");
    assert_eq!(number(&database, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

#[test]
fn several_layers_are_tables_of_one_file_and_a_layer_is_replaced_with_its_style_kept() {
    let state = state(&[HOLED, SPLIT]);
    fs::write(state.path().join("layers/marks.geojsonl"), format!("{POINT}\n")).unwrap();
    let path = file(&state);
    let exported =
        export_gpkg(state.path(), &layers(&["ponds", "marks"]), &Filter::default(), &path, false).unwrap();
    assert_eq!(exported.features, 3);
    let database = Connection::open(&path).unwrap();
    database.execute("UPDATE layer_styles SET styleName = 'mine'", []).unwrap();
    drop(database);
    fs::write(state.path().join("layers/ponds.geojsonl"), format!("{HOLED}\n")).unwrap();
    for _ in 0..2 {
        export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, true).unwrap();
    }
    let database = Connection::open(&path).unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM ponds"), 1);
    assert_eq!(number(&database, "SELECT count(*) FROM marks"), 1);
    assert_eq!(number(&database, "SELECT count(*) FROM rtree_ponds_geom"), 1);
    assert_eq!(number(&database, "SELECT count(*) FROM gpkg_contents WHERE data_type = 'features'"), 2);
    assert_eq!(number(&database, "SELECT count(*) FROM gpkg_extensions"), 2);
    assert_eq!(text(&database, "SELECT group_concat(styleName) FROM layer_styles"), "mine");
    assert_eq!(text(&database, "PRAGMA integrity_check"), "ok");
}

#[test]
fn an_object_keeps_the_number_of_its_row_and_no_other_ever_gets_it() {
    let object = |id: &str| HOLED.replace("f<1>", id);
    let state = state(&[]);
    let path = file(&state);
    let numbers = |ids: &[&str], adding: bool| {
        let lines: String = ids.iter().map(|id| object(id) + "\n").collect();
        fs::write(state.path().join("layers/ponds.geojsonl"), lines).unwrap();
        export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, adding).unwrap();
        let database = Connection::open(&path).unwrap();
        let indexed = "SELECT count(*) FROM ponds JOIN rtree_ponds_geom ON rtree_ponds_geom.id = fid";
        assert_eq!(number(&database, indexed), ids.len() as i64);
        text(&database, "SELECT group_concat(id || fid, ' ') FROM (SELECT * FROM ponds ORDER BY fid)")
    };
    assert_eq!(numbers(&["a", "b", "c"], false), "a1 b2 c3");
    assert_eq!(numbers(&["b", "c", "d"], true), "b2 c3 d4");
    assert_eq!(numbers(&["c"], true), "c3");
    assert_eq!(numbers(&["e", "c", "a", "c"], true), "c3 e5 a6 c7", "also those that are gone keep theirs");
    let database = Connection::open(&path).unwrap();
    let keys_of_others = "DROP TABLE ponds; CREATE TABLE ponds (id TEXT PRIMARY KEY, geom BLOB); INSERT INTO ponds VALUES ('a', NULL)";
    database.execute_batch(keys_of_others).unwrap();
    drop(database);
    assert_eq!(numbers(&["a"], true), "a1", "a table whose rows have no such numbers");
}

#[test]
fn what_cannot_be_added_leaves_the_file_as_it_was() {
    let state = state(&[HOLED]);
    fs::write(state.path().join("layers/Ponds.geojsonl"), format!("{HOLED}\n")).unwrap();
    fs::write(state.path().join("layers/gpkg_contents.geojsonl"), format!("{HOLED}\n")).unwrap();
    let path = file(&state);
    export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, false).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE other (a); CREATE VIEW view AS SELECT 1 AS a;")
        .unwrap();
    for layer in ["other", "view"] {
        fs::write(state.path().join(format!("layers/{layer}.geojsonl")), format!("{HOLED}\n")).unwrap();
    }
    let before = fs::read(&path).unwrap();
    for (layer, problem) in [
        ("Ponds", "has a table ponds that is no such layer"),
        ("gpkg_contents", "the format's own"),
        ("other", "has a table other that is no such layer"),
        ("view", "has a view view that is no such layer"),
    ] {
        let error = export_gpkg(state.path(), &layers(&["ponds", layer]), &Filter::default(), &path, true)
            .unwrap_err()
            .to_string();
        assert!(error.contains(problem), "{error}");
        assert!(fs::read(&path).unwrap() == before, "{layer}");
    }
}

#[test]
fn a_file_that_is_no_geopackage_is_refused_and_stays() {
    let state = state(&[HOLED]);
    let path = state.path().join("out.gpkg");
    for content in [&b""[..], b"{\"type\":\"FeatureCollection\",\"features\":[]}", &[b'x'; 5000]] {
        fs::write(&path, content).unwrap();
        let error = export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("it is no GeoPackage") && error.contains("out.gpkg"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_file_of_a_newer_version_gets_the_triggers_of_its_version() {
    let state = state(&[HOLED]);
    let path = file(&state);
    let triggers = |path: &Path| {
        let names = "SELECT group_concat(substr(name, 18), ' ') FROM (SELECT name FROM sqlite_master
            WHERE type = 'trigger' ORDER BY name)";
        text(&Connection::open(path).unwrap(), names)
    };
    export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, false).unwrap();
    assert_eq!(triggers(&path), "delete insert update1 update2 update3 update4");
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 10400").unwrap();
    export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, true).unwrap();
    assert_eq!(triggers(&path), "delete insert update2 update4 update5 update6 update7");
}

#[test]
fn a_file_that_another_program_writes_to_is_waited_for_and_then_refused() {
    let state = state(&[HOLED]);
    let path = file(&state);
    export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, false).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM ponds;").unwrap();
    let error = export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("another program is writing to it"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    export_gpkg(state.path(), &layers(&["ponds"]), &Filter::default(), &path, true).unwrap();
}

/// The numbers of a blob's coordinates, read by the standard's rules: head, envelope, then well-known binary.
fn coordinates(blob: &[u8]) -> (Vec<f64>, Vec<f64>) {
    let float = |at: usize| f64::from_le_bytes(blob[at..at + 8].try_into().unwrap());
    let count = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(&blob[..8], [b'G', b'P', 0, 3, 0xe6, 0x10, 0, 0]);
    let envelope = (0..4).map(|k| float(8 + 8 * k)).collect();
    let (mut at, mut numbers) = (40, Vec::new());
    assert_eq!((blob[at], count(at + 1)), (1, 6), "a MultiPolygon");
    let parts = count(at + 5);
    at += 9;
    for _ in 0..parts {
        assert_eq!((blob[at], count(at + 1)), (1, 3), "a Polygon");
        let rings = count(at + 5);
        at += 9;
        for _ in 0..rings {
            let positions = count(at);
            at += 4;
            numbers.extend((0..2 * positions).map(|k| float(at + 8 * k)));
            at += 16 * positions;
        }
    }
    assert_eq!(at, blob.len());
    (envelope, numbers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_blob_has_every_position_and_its_envelope(
        parts in prop::collection::vec(
            prop::collection::vec(prop::collection::vec((-180.0f64..180.0, -90.0f64..90.0), 1..6), 1..4),
            1..4,
        ),
        is_single in any::<bool>(),
    ) {
        let parts: Vec<Vec<Vec<[f64; 2]>>> = parts
            .iter()
            .map(|rings| rings.iter().map(|ring| ring.iter().map(|(x, y)| [*x, *y]).collect()).collect())
            .collect();
        let parts = if is_single { vec![parts[0].clone()] } else { parts };
        let geometry = if is_single {
            json!({"type": "Polygon", "coordinates": parts[0]})
        } else {
            json!({"type": "MultiPolygon", "coordinates": parts})
        };
        let geometry: geojson::Geometry = serde_json::from_value(geometry).unwrap();
        let blob = Blob::of(&geometry.value, true).unwrap();
        let (envelope, numbers) = coordinates(&blob.bytes);
        let expected: Vec<f64> = parts.iter().flatten().flatten().flatten().copied().collect();
        prop_assert_eq!(&numbers, &expected);
        let least = |of: usize| expected.iter().skip(of).step_by(2).copied().fold(f64::INFINITY, f64::min);
        let most = |of: usize| expected.iter().skip(of).step_by(2).copied().fold(f64::NEG_INFINITY, f64::max);
        prop_assert_eq!(envelope, vec![least(0), most(0), least(1), most(1)]);
    }
}

#[test]
fn nothing_at_all_has_no_blob() {
    for geometry in [
        r#"{"type":"MultiPolygon","coordinates":[]}"#,
        r#"{"type":"Polygon","coordinates":[]}"#,
        r#"{"type":"GeometryCollection","geometries":[]}"#,
    ] {
        let geometry: geojson::Geometry = serde_json::from_str(geometry).unwrap();
        assert!(Blob::of(&geometry.value, true).is_none());
    }
}
