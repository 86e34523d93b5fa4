//! Requests as strangers write them.

mod refusals;

use serde_json::{Value, json};

use super::{CrsChoice, Finish, Limits, PromptSet, Request, RequestError, RequestId, parse_request};
use crate::ErrorCode;

fn parse(request: &Value) -> Result<Request, (Option<RequestId>, RequestError)> {
    parse_request(request.to_string().as_bytes(), &Limits::default())
}

fn parsed(request: &Value) -> Request {
    parse(request).unwrap_or_else(|(_, error)| panic!("{request}: {error}"))
}

fn refused(request: &Value) -> (ErrorCode, String) {
    match parse(request) {
        Ok(request) => panic!("{request:?} was taken"),
        Err((_, error)) => (error.code(), error.to_string()),
    }
}

fn bbox(prompt: &PromptSet) -> [f64; 4] {
    prompt.bbox.expect("a box").into()
}

/// A FeatureCollection of one point, as GDAL writes it, with a member `crs`.
fn drawn(crs: &Value) -> Value {
    let point = json!({"type": "Feature", "properties": {"label": 1.0, "fid": 3},
        "geometry": {"type": "Point", "coordinates": [512_925.25, 5_277_727.25]}});
    json!({"type": "FeatureCollection", "name": "p", "crs": crs, "features": [point]})
}

fn named(name: &str) -> Value {
    json!({"type": "name", "properties": {"name": name}})
}

const UTM_32: &str = r#"PROJCS["WGS 84 / UTM zone 32N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",9],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]"#;
const ALBERS: &str = r#"PROJCS["Albers",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Albers_Conic_Equal_Area"],PARAMETER["standard_parallel_1",29.5],PARAMETER["standard_parallel_2",45.5],PARAMETER["latitude_of_center",23],PARAMETER["longitude_of_center",-96],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]"#;

#[test]
fn every_way_to_write_a_crs_with_a_code_is_taken() {
    let spellings = [
        json!("EPSG:32632"),
        json!("epsg:32632"),
        json!("32632"),
        json!(32632),
        json!(32632.0),
        json!("urn:ogc:def:crs:EPSG::32632"),
        json!("http://www.opengis.net/def/crs/EPSG/0/32632"),
        json!("EPSG:32632+5773"),
        json!(UTM_32),
        json!({"type": "ProjectedCRS", "name": "x", "id": {"authority": "EPSG", "code": 32632}}),
        named("urn:ogc:def:crs:EPSG::32632"),
        named("EPSG:32632"),
        json!({"type": "EPSG", "properties": {"code": 32632}}),
    ];
    for crs in &spellings {
        let request = parsed(&json!({"points": [[1, 2]], "crs": crs, "output": {"crs": crs}}));
        assert_eq!(request.item.crs, CrsChoice::Epsg(32632), "{crs}");
        assert_eq!(request.item.output.crs, CrsChoice::Epsg(32632), "{crs}");
        let batch = parsed(&json!({"prompts": [{"points": [[1, 2]], "crs": crs}]}));
        assert_eq!(batch.batch.unwrap()[0].crs, CrsChoice::Epsg(32632), "{crs}");
    }
    for crs in ["OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84"] {
        assert_eq!(parsed(&json!({"points": [[1, 2]], "crs": crs})).item.crs, CrsChoice::WGS84);
    }
    assert_eq!(parsed(&json!({"points": [[1, 2]], "crs": "Source"})).item.crs, CrsChoice::Source);
}

#[test]
fn a_crs_that_cannot_be_taken_is_refused_by_name_and_with_advice_for_a_prompt() {
    for (crs, name) in [
        (json!("ESRI:102003"), "ESRI:102003"),
        (json!(ALBERS), "Albers"),
        (named("IGNF:LAMB93"), "IGNF:LAMB93"),
    ] {
        let (code, message) = refused(&json!({"points": [[1, 2]], "crs": crs}));
        assert_eq!(code, ErrorCode::UnknownCrs, "{message}");
        assert!(message.contains(name) && message.contains("EPSG:4326"), "{message}");
        assert!(!message.contains("raster"), "the advice for a folder: {message}");
    }
    for crs in [
        json!("WGS85"),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([4326]),
        json!({"type": "link"}),
        json!(""),
    ] {
        let (code, message) = refused(&json!({"points": [[1, 2]], "crs": crs}));
        assert_eq!(code, ErrorCode::BadRequest, "{message}");
        assert!(message.starts_with("\"crs\" is "), "{message}");
    }
}

#[test]
fn the_member_crs_of_geojson_is_the_crs_of_its_coordinates() {
    for (crs, expected) in [
        (named("urn:ogc:def:crs:EPSG::32632"), CrsChoice::Epsg(32632)),
        (named("EPSG:4230"), CrsChoice::Epsg(4230)),
        (named("urn:ogc:def:crs:OGC:1.3:CRS84"), CrsChoice::WGS84),
        (named(UTM_32), CrsChoice::Epsg(32632)),
        (Value::Null, CrsChoice::WGS84),
    ] {
        assert_eq!(parsed(&drawn(&crs)).item.crs, expected, "{crs}");
    }
    let (code, message) = refused(&drawn(&named("ESRI:54009")));
    assert_eq!(code, ErrorCode::UnknownCrs);
    assert!(message.contains("ESRI:54009"), "{message}");
    // The options may repeat it, and must not contradict it.
    let mut both = drawn(&named("urn:ogc:def:crs:EPSG::32632"));
    both["geosam"] = json!({"crs": "EPSG:32632"});
    assert_eq!(parsed(&both).item.crs, CrsChoice::Epsg(32632));
    both["geosam"] = json!({"crs": "EPSG:25832"});
    assert!(refused(&both).1.contains("EPSG:25832"));
    both["crs"] = Value::Null;
    assert_eq!(parsed(&both).item.crs, CrsChoice::Epsg(25832));
}

#[test]
fn a_crs_within_a_feature_or_geometry_counts_where_it_stands() {
    // PostGIS writes it into the geometry.
    let mut inner = drawn(&Value::Null);
    inner["features"][0]["geometry"]["crs"] = named("EPSG:32632");
    assert_eq!(parsed(&inner).item.crs, CrsChoice::Epsg(32632));
    inner["crs"] = named("EPSG:3857");
    assert_eq!(parsed(&inner).item.crs, CrsChoice::Epsg(32632), "the inner one is the nearer one");
    let geometry = inner["features"][0]["geometry"].clone();
    assert_eq!(parsed(&geometry).item.crs, CrsChoice::Epsg(32632), "a geometry alone");
    // Two objects in two CRSs are no prompt.
    let other = drawn(&Value::Null)["features"][0].clone();
    inner["features"].as_array_mut().unwrap().push(other);
    let message = refused(&inner).1;
    assert!(message.contains("EPSG:3857") && message.contains("EPSG:32632"), "{message}");
}

#[test]
fn a_box_across_the_antimeridian_is_taken_in_degrees() {
    let in_crs = |sides: [f64; 4], crs: &str| json!({"bbox": sides, "crs": crs});
    for crs in ["EPSG:4326", "EPSG:4269", "OGC:CRS84"] {
        let request = parsed(&in_crs([179.75, 1.0, -179.5, 2.0], crs));
        assert_eq!(bbox(&request.item.prompt), [179.75, 1.0, 180.5, 2.0]);
    }
    assert_eq!(
        bbox(&parsed(&in_crs([179.75, 1.0, 180.5, 2.0], "EPSG:4326")).item.prompt),
        [179.75, 1.0, 180.5, 2.0]
    );
    for (sides, crs, part) in [
        ([14.5, 1.0, 14.4, 2.0], "EPSG:4326", "west 14.5 not smaller than east 14.4"),
        ([14.5, 1.0, 14.5, 2.0], "EPSG:4326", "west 14.5 not smaller"),
        ([2.0, 1.0, 1.0, 2.0], "EPSG:32632", "west 2 not smaller than east 1"),
        ([179.75, 1.0, -179.5, 2.0], "source", "360"),
        ([1.0, 2.0, 2.0, 1.0], "EPSG:4326", "south 2 not smaller than north 1"),
    ] {
        let message = refused(&in_crs(sides, crs)).1;
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_area_cut_at_the_antimeridian_is_one_box() {
    let part = |west: f64, east: f64| json!([[[west, 1], [east, 1], [east, 2], [west, 2], [west, 1]]]);
    let area = |kind: &str, coordinates: Value| {
        parsed(
            &json!({"type": "Feature", "properties": {}, "geometry": {"type": kind, "coordinates": coordinates}}),
        )
    };
    let cut = area("MultiPolygon", json!([part(179.5, 180.0), part(-180.0, -179.25)]));
    assert_eq!(bbox(&cut.item.prompt), [179.5, 1.0, 180.75, 2.0]);
    let drawn_over = area("Polygon", part(179.5, -179.25));
    assert_eq!(bbox(&drawn_over.item.prompt), [179.5, 1.0, 180.75, 2.0]);
    let one_part = area("MultiPolygon", json!([part(3.0, 4.0)]));
    assert_eq!(bbox(&one_part.item.prompt), [3.0, 1.0, 4.0, 2.0]);
}

#[test]
fn points_of_a_multipoint_share_their_label() {
    let request = parsed(&json!({"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"label": 0.0}, "geometry": {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4, 5]]}},
        {"type": "Feature", "properties": null, "geometry": {"type": "Point", "coordinates": [5, 6, 7, 8]}},
    ]}));
    assert_eq!(request.item.prompt.points, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    assert_eq!(request.item.prompt.foreground, [false, false, true]);
    let line = json!({"type": "Feature", "properties": {}, "geometry": {"type": "LineString", "coordinates": [[1, 2]]}});
    assert!(refused(&line).1.contains("LineString"));
    let empty =
        json!({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": []}});
    assert!(refused(&empty).1.contains("encloses no area"));
}

#[test]
fn whole_numbers_may_be_written_with_a_point() {
    let request =
        parsed(&json!({"points": [[1, 2], [3, 4]], "labels": [1.0, 0.0], "ttl_ms": 1e3, "offset": 2.0,
        "output": {"max_bytes": 4096.0}}));
    assert_eq!(request.item.prompt.foreground, [true, false]);
    assert_eq!((request.ttl_ms, request.offset), (Some(1000), Some(2)));
    assert_eq!(request.item.output.max_bytes, Some(4096));
    for request in [
        json!({"points": [[1, 2]], "labels": [0.5]}),
        json!({"ttl_ms": -1.0}),
        json!({"ttl_ms": 1e300}),
        json!({"output": {"max_bytes": 0.0}}),
    ] {
        refused(&request);
    }
}

#[test]
fn a_refused_request_keeps_its_id() {
    for id in [
        json!("2026-11-28T22:55:00.123Z"),
        json!("{9f1c2d}"),
        json!("a b"),
        json!("\u{e9}"),
        json!(".x"),
        json!(7),
    ] {
        let (echoed, _) = parse(&json!({"id": id, "points": [[1, 2]], "nonsense": 1})).unwrap_err();
        assert_eq!(serde_json::to_value(echoed).unwrap(), id);
        let (echoed, _) = parse(&json!({"type": "Feature", "geosam": {"id": id}})).unwrap_err();
        assert_eq!(serde_json::to_value(echoed).unwrap(), id);
    }
    let (echoed, error) =
        parse_request(br#"{"id": 12345678901234567890123}"#, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("more digits") && echoed.is_some(), "{error}");
    for id in [json!({"a": 1}), json!(true), json!("x".repeat(300))] {
        let (echoed, error) = parse(&json!({"id": id, "points": [[1, 2]]})).unwrap_err();
        assert_eq!(echoed, None, "{error}");
    }
}

#[test]
fn a_folder_may_be_called_as_its_directory() {
    for (asked, name) in
        [("valley", "valley"), ("Bei Lu He", "Bei%20Lu%20He"), ("Bei%20Lu%20He", "Bei%20Lu%20He")]
    {
        let request = parsed(&json!({"points": [[1, 2]], "folder": asked}));
        assert_eq!(request.item.folder.as_deref(), Some(name));
    }
    refused(&json!({"points": [[1, 2]], "folder": ""}));
}

#[test]
fn one_of_three_masks_or_the_best_of_them_is_asked_for_by_name() {
    use super::Multimask;
    let asked = |value: Value| parsed(&json!({"output": {"multimask": value}})).item.output.multimask;
    assert_eq!(
        [asked(json!(true)), asked(json!(false)), asked(json!("best")), asked(Value::Null)],
        [Multimask::All, Multimask::Off, Multimask::Best, Multimask::Off]
    );
    let (code, text) = refused(&json!({"output": {"multimask": "worst"}}));
    assert!(
        code == ErrorCode::BadRequest && text.contains("output.multimask") && text.contains("best"),
        "{text}"
    );
    assert_eq!(parsed(&json!({"stitch": true, "output": {"multimask": "best"}})).item.stitch, Some(16));
}

#[test]
fn a_default_for_following_objects_gives_way_to_what_a_request_says() {
    use super::{PromptItem, parse_request_with};
    let unsaid = PromptItem { stitch: Some(5), ..PromptItem::default() };
    let stitch = |request: Value| {
        let payload = request.to_string();
        parse_request_with(payload.as_bytes(), &Limits::default(), &unsaid).unwrap().item.stitch
    };
    assert_eq!(stitch(json!({})), Some(5));
    assert_eq!(stitch(json!({"max_chips": 7})), Some(7));
    assert_eq!(stitch(json!({"max_chips": 7.0})), Some(7), "as writers of JSON put whole numbers");
    assert_eq!(stitch(json!({"stitch": false})), None);
    assert_eq!(stitch(json!({"output": {"multimask": true}})), None, "three masks are not followed");
    let point = json!({"type": "Point", "coordinates": [1, 2]});
    assert_eq!(stitch(point), Some(5), "GeoJSON too");
}

#[test]
fn each_feature_of_a_collection_may_be_an_object_of_its_own() {
    let point = |x: f64, id: Value, properties: Value| {
        json!({"type": "Feature", "id": id, "properties": properties,
            "geometry": {"type": "Point", "coordinates": [x, 47.0]}})
    };
    let collection = json!({
        "type": "FeatureCollection",
        "geosam": {"id": "r1", "objects": "each", "folder": "valley", "stitch": true, "output": {"largest_only": true}},
        "features": [
            point(1.0, json!("oak-1"), json!({"kind": "oak", "object": "a"})),
            point(2.0, json!(7), json!({"kind": "pine"})),
            point(3.0, Value::Null, json!({"object": "a", "label": 0})),
        ],
    });
    let request = parsed(&collection);
    let batch = request.batch.as_deref().unwrap();
    assert_eq!(request.id(), Some(&RequestId::Text("r1".to_owned())));
    assert_eq!((batch.len(), batch[0].id.clone()), (2, Some(RequestId::Text("oak-1".to_owned()))));
    assert_eq!((&batch[0].prompt.foreground, batch[0].prompt.points.len()), (&vec![true, false], 2));
    assert_eq!(batch[1].properties.as_ref().unwrap()["kind"], "pine");
    for item in batch {
        assert_eq!(
            (item.folder.as_deref(), item.stitch, item.output.largest_only),
            (Some("valley"), Some(16), true)
        );
    }
    // In the CRS of the collection.
    let mut other = collection.clone();
    other["crs"] = named("urn:ogc:def:crs:EPSG::32632");
    assert_eq!(parsed(&other).batch.unwrap()[1].crs, CrsChoice::Epsg(32632));
    // Without the word they are one prompt.
    let mut one = collection.clone();
    one["geosam"]["objects"] = Value::Null;
    assert_eq!(parsed(&one).item.prompt.points.len(), 3);
}

#[test]
fn a_collection_of_objects_of_which_one_is_none_says_which() {
    let with = |features: Value, objects: Value| json!({"type": "FeatureCollection", "geosam": {"objects": objects}, "features": features});
    let line =
        json!({"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}});
    let point = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}});
    for (request, word) in [
        (with(json!([]), json!("each")), "features"),
        (with(json!([point]), json!("all")), "geosam.objects"),
        (json!({"type": "Point", "coordinates": [1, 2], "geosam": {"objects": "each"}}), "geosam.objects"),
        (with(Value::Array(vec![point.clone(); 257]), json!("each")), "257 objects"),
    ] {
        let (code, text) = refused(&request);
        assert!(code == ErrorCode::BadRequest && text.contains(word), "{word}: {text}");
    }
    for junk in [
        json!("text"),
        json!(null),
        json!(5),
        json!([]),
        json!({}),
        json!({"type": "Point", "coordinates": [1, 2]}),
        json!({"type": 5}),
    ] {
        for features in [json!([junk]), json!([point, junk, point])] {
            let batch = parsed(&with(features.clone(), json!("each"))).batch.unwrap();
            let problems: Vec<_> = batch.iter().filter_map(|item| item.problem.as_deref()).collect();
            assert!(
                problems.len() == 1 && problems[0].ends_with("it is no Feature"),
                "{features}: {problems:?}"
            );
        }
        // Where they are one prompt, they are refused as one.
        let together = json!({"type": "FeatureCollection", "features": [point, junk]});
        assert_eq!(refused(&together).0, ErrorCode::BadRequest, "{junk}");
    }
    // One of many is refused by itself.
    let unlocated = json!({"type": "Feature", "geometry": null});
    let parts = json!([point, line, unlocated, unlocated, line, point]);
    let batch = parsed(&with(parts, json!("each"))).batch.unwrap();
    let told: Vec<&str> = batch.iter().map(|item| item.problem.as_deref().unwrap_or("")).collect();
    let expected = [
        "",
        "\"features[1].geometry.type\" is",
        "features[2] is no prompt: it has no geometry",
        "features[3]",
        "\"features[4].geometry",
        "",
    ];
    for (told, expected) in told.into_iter().zip(expected) {
        assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{told}");
    }
}

#[test]
fn a_finish_is_inherited_key_by_key_and_nonsense_is_refused_by_name() {
    let request = parsed(&json!({
        "output": {"finish": {"smooth": 2, "fill_holes_m2": 10}, "measures": true},
        "prompts": [
            {"points": [[1, 2]]},
            {"points": [[1, 2]], "output": {"finish": {"right_angles": true, "smooth": 0}, "measures": null}},
            {"points": [[1, 2]], "output": {"finish": null, "measures": false}},
        ],
    }));
    let finish = |smooth: f64, right_angles| Finish { fill_holes_m2: 10.0, smooth, right_angles };
    let outputs: Vec<_> = request.batch.unwrap().iter().map(|item| item.output).collect();
    assert_eq!(
        outputs.iter().map(|o| o.finish).collect::<Vec<_>>(),
        [finish(2.0, false), finish(0.0, true), finish(2.0, false)]
    );
    assert_eq!(outputs.iter().map(|o| o.measures).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(parsed(&json!({"points": [[1, 2]]})).item.output.finish, Finish::default());

    for (output, told) in [
        (
            json!({"finish": {"fill_holes_m2": -1}}),
            "\"output.finish.fill_holes_m2\" is -1; send a number of 0 or more",
        ),
        (
            json!({"finish": {"fill_holes_m2": "NaN"}}),
            "\"output.finish.fill_holes_m2\" is \"NaN\"; send a number of 0 or more",
        ),
        (json!({"finish": {"smooth": 64.5}}), "\"output.finish.smooth\" is 64.5; send a number from 0 to 64"),
        (json!({"finish": {"smooth": true}}), "\"output.finish.smooth\" is true; send a number from 0 to 64"),
        (json!({"finish": {"right_angles": 1}}), "\"output.finish.right_angles\" is 1; send true or false"),
        (
            json!({"finish": {"right_angle": true}}),
            "unknown key \"output.finish.right_angle\"; did you mean \"right_angles\"?",
        ),
        (json!({"finish": true}), "\"output.finish\" is a boolean; send an object"),
        (json!({"measures": "all"}), "\"output.measures\" is \"all\"; send true or false"),
        (
            json!({"smooth": 2}),
            "unknown key \"output.smooth\"; known are crs, vectorization, tolerance, largest_only, min_area_m2, finish, measures, multimask, max_bytes, on_too_large",
        ),
    ] {
        let (code, message) = refused(&json!({"points": [[1, 2]], "output": output}));
        assert_eq!((code, message.as_str()), (ErrorCode::BadRequest, told));
    }
}
