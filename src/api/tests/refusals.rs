//! What is wrong with a request, in words that say which key and what would be right.

use super::*;

fn refused_text(payload: &str) -> (Option<RequestId>, ErrorCode, String) {
    match parse_request(payload.as_bytes(), &Limits::default()) {
        Ok(request) => panic!("{request:?} was taken"),
        Err((id, error)) => (id, error.code(), error.to_string()),
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused_by_name_and_the_asker_is_answered() {
    for (payload, key, has_id) in [
        (r#"{"id": "a", "points": [[1, 2]], "points": [[3, 4]]}"#, "points", true),
        (r#"{"id": "a", "points": [[1, 2]], "output": {"crs": 4326, "crs": "source"}}"#, "output.crs", true),
        (
            r#"{"id": "a", "prompts": [{"points": [[1, 2]]}, {"bbox": 1, "bbox": 2}]}"#,
            "prompts[1].bbox",
            true,
        ),
        (r#"{"type": "Feature", "geosam": {"id": "a", "folder": 1, "folder": 2}}"#, "geosam.folder", true),
        (r#"{"id": "a", "layer": "l", "properties": {"kind": {"a": 1, "a": 1}}}"#, "properties.kind.a", true),
        (r#"{"id": "a", "nonsense": 1, "nonsense": 1}"#, "nonsense", true),
        // Whose answer it would be is not known.
        (r#"{"id": "a", "id": "b", "points": [[1, 2]]}"#, "id", false),
        (r#"{"type": "Feature", "geosam": {"id": "a", "id": "b"}}"#, "geosam.id", false),
    ] {
        let (id, code, text) = refused_text(payload);
        assert_eq!((code, id.is_some()), (ErrorCode::BadRequest, has_id), "{payload}");
        assert_eq!(text, format!("the key \"{key}\" is given twice; send it once"), "{payload}");
    }
}

#[test]
fn numbers_of_three_hundred_digits_are_told_by_their_power_of_ten() {
    for request in [
        json!({"bbox": [1e308, 1e308, 2, 2]}),
        json!({"bbox": [1e308, 1, 2, 2], "crs": "EPSG:32632"}),
        json!({"points": [[1e308, 1, 2]]}),
        json!({"points": [[1, 2]], "output": {"tolerance": -1e308}}),
        json!({"points": [[1, 2]], "labels": [1e308]}),
    ] {
        let (code, text) = refused(&request);
        assert_eq!(code, ErrorCode::BadRequest);
        assert!(["1e308", "1e+308"].iter().any(|number| text.contains(number)) && text.len() < 200, "{text}");
    }
}

#[test]
fn the_sides_of_a_box_in_another_order_are_told_the_order() {
    for (request, side) in [
        (json!({"bbox": [2, 1, 1, 2], "crs": "EPSG:32632"}), "west 2 not smaller than east 1"),
        (json!({"bbox": [1, 2, 2, 1]}), "south 2 not smaller than north 1"),
        // As north, south, east, west.
        (json!({"bbox": [47.7, 47.6, 9.2, 9.1]}), "south 47.6 not smaller than north 9.1"),
        (json!({"prompts": [{"bbox": [1, 1, 1, 2], "crs": "EPSG:32632"}]}), "west 1 not smaller than east 1"),
        (json!({"bbox": [1, 1, 1, 2], "crs": "source"}), "west 1 not smaller than east 1"),
    ] {
        let (code, text) = refused(&request);
        assert_eq!(code, ErrorCode::BadRequest);
        assert!(text.contains(side) && text.contains("the order is [west, south, east, north]"), "{text}");
    }
}

#[test]
fn a_tolerance_is_bounded_by_name() {
    for (tolerance, is_taken) in [
        (json!(0), true),
        (json!(1024), true),
        (json!(1024.5), false),
        (json!(1e300), false),
        (json!("1"), false),
    ] {
        let request = json!({"points": [[1, 2]], "output": {"tolerance": tolerance}});
        assert_eq!(parse(&request).is_ok(), is_taken, "{tolerance}");
        if !is_taken {
            let (_, text) = refused(&request);
            assert!(text.contains("\"output.tolerance\"") && text.contains("from 0 to 1024"), "{text}");
        }
    }
}

#[test]
fn a_crs_without_a_name_is_told_as_one() {
    for crs in [
        json!({"type": "GeographicCRS"}),
        json!({"type": "ProjectedCRS"}),
        json!({"type": "GeographicCRS", "name": " "}),
        json!(
            r#"GEOGCS["",DATUM["",SPHEROID["",6378137,298.257223563]],PRIMEM["",0],UNIT["degree",0.0174532925199433]]"#
        ),
    ] {
        for request in
            [json!({"points": [[1, 2]], "crs": crs}), json!({"points": [[1, 2]], "output": {"crs": crs}})]
        {
            let (code, text) = refused(&request);
            assert!(matches!(code, ErrorCode::UnknownCrs | ErrorCode::BadRequest), "{text}");
            assert!(!text.contains("CRS  is") && !text.contains("\"\""), "{text}");
            assert!(text.contains("without a name") || text.contains("send \"EPSG:4326\""), "{text}");
        }
    }
}
