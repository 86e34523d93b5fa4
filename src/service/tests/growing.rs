//! Saved objects stay small enough to be fetched again.

use serde_json::json;

use super::layers::POINT;
use super::saving::refused;
use super::*;

#[test]
fn an_object_does_not_grow_beyond_what_fetch_can_deliver() {
    let most = 40_000;
    let scene = scene_with(ServiceOptions { max_answer_bytes: most, ..ServiceOptions::default() });
    let info: Value = serde_json::from_slice(&scene.broker.retained("geosam/edge/info").unwrap()).unwrap();
    let bound = info["limits"]["object_bytes"].as_u64().unwrap();
    assert!(bound > 0 && bound < most as u64);
    let id = scene.save_point("1", "ponds", "");
    let update = |request: &str, name: &str, value: &str| {
        let members = format!(r#""layer":"ponds","ids":["{id}"],"properties":{{"{name}":{value}}}"#);
        scene.served("update", request, &members)
    };
    let padding = format!("\"{}\"", "x".repeat(7000));
    let (mut grown, mut refusal) = (0, Value::Null);
    while refusal.is_null() {
        let answer = update(&format!("u{grown}"), &format!("p{grown}"), &padding);
        match answer["status"] == "ok" {
            true => grown += 1,
            false => refusal = answer,
        }
        assert!(grown < 10, "it grows without a bound");
    }
    let text = refused(&refusal, "TOO_LARGE");
    assert!(
        grown > 0 && text.contains(&bound.to_string()) && text.contains("nothing was changed"),
        "{refusal}"
    );
    let members = format!(r#""layer":"ponds","ids":["{id}"],"output":{{"max_bytes":{most}}}"#);
    let page = scene.served("fetch", "f", &members);
    assert_eq!(page["features"][0]["id"], *id, "{page}");
    assert!(page["features"][0]["properties"][format!("p{grown}")].is_null());
    // What is there may be changed within the bound.
    let less = update("less", "p0", "null");
    assert_eq!(less["status"], "ok", "{less}");
    scene.service.stop();
}

#[test]
fn properties_that_each_found_object_would_get_a_copy_of_are_bounded() {
    let scene = scene();
    let properties = json!({"note": "x".repeat(20_000)});
    let search = scene.served("everything", "e", &format!(r#""layer":"found","properties":{properties}"#));
    assert!(refused(&search, "BAD_REQUEST").contains("at most 16384"), "{search}");
    scene.service.stop();
}

#[test]
fn an_answer_with_masks_has_no_more_bytes_than_were_asked_for_however_few_they_are() {
    let scene = scene();
    let (mut fitted, mut coarser) = (0, 0);
    for bound in [600, 900, 1100, 1300, 1500, 1700, 1900, 2100, 2300, 2700, 3100, 4095, 4097, 6000] {
        let finish = r#""finish":{"fill_holes_m2":1e9}"#;
        let output = format!(r#""output":{{"largest_only":true,{finish},"max_bytes":{bound}}}"#);
        for (verb, more) in [
            ("segment", format!("{POINT},{output}")),
            ("segment", format!(r#"{POINT},"stitch":true,{output}"#)),
            ("add", format!(r#"{POINT},"session":"s{bound}",{output}"#)),
            ("add", format!(r#"{POINT},"session":"s{bound}",{output}"#)),
            ("undo", format!(r#""session":"s{bound}""#)),
        ] {
            let id = format!("{verb}-{bound}-{}", scene.broker.published().len());
            let answer = scene.served(verb, &id, &more);
            if answer["status"] != "ok" {
                assert!(
                    ["TOO_LARGE", "UNKNOWN_SESSION"].contains(&answer["error"]["code"].as_str().unwrap()),
                    "{bound} {verb}: {answer}"
                );
                continue;
            }
            let published = scene.broker.published();
            let is_it = |payload: &[u8]| serde_json::from_slice::<Value>(payload).is_ok_and(|v| v == answer);
            let bytes = published.iter().find(|m| is_it(&m.payload)).unwrap().payload.len();
            assert!(bytes <= bound, "{bytes} for {bound}: {answer}");
            fitted += 1;
            coarser += usize::from(answer["tolerance"].is_number());
        }
    }
    assert!(fitted > 20 && coarser > 10, "{fitted} fitted, {coarser} of them coarser");
    scene.service.stop();
}
