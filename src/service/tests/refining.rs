//! Masks to start from, on a model that was imported without the parameters for them, and what is told of them.

use serde_json::json;

use super::*;

const HERE: &str = r#""crs":"EPSG:32633","points":[[458120,5427215]]"#;

#[test]
fn a_model_without_the_parameters_refuses_to_refine_and_the_session_stays_as_it_was() {
    let scene = scene();
    let add = |id: &str, more: &str| scene.served("add", id, &format!(r#""session":"s",{HERE}{more}"#));
    let first = add("1", r#","refine":true"#);
    assert_eq!((&first["status"], &first["refined"]), (&json!("ok"), &json!(false)), "{first}");
    assert_eq!(first["not_refined_because"], "no_mask");
    let refused = add("2", r#","refine":true"#);
    assert_eq!(refused["error"]["code"], "MODEL_MISMATCH", "{refused}");
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("import the checkpoint again"),
        "{refused}"
    );
    let list = scene.served("list", "3", r#""ttl_ms":60000"#);
    assert_eq!(list["sessions"][0]["prompts"]["foreground"], 1, "{list}");
    assert_eq!(add("4", "")["status"], "ok");
}

#[test]
fn the_mask_of_a_preview_of_a_batch_or_of_nobody_is_not_kept() {
    let scene = scene();
    let segment = |id: &str, more: &str| scene.served("segment", id, &format!("{HERE}{more}"));
    assert_eq!(segment("1", r#","preview":true"#)["status"], "ok");
    scene.served("segment", "2", &format!(r#""prompts":[{{"id":"3",{HERE}}}]"#));
    for of in ["1", "2", "3", "4"] {
        let refused = segment(&format!("of-{of}"), &format!(r#","mask_of":"{of}""#));
        assert_eq!(refused["error"]["code"], "UNKNOWN_MASK", "{refused}");
    }
    // Numbers and texts are one id.
    assert_eq!(scene.served("segment", "7", HERE)["status"], "ok");
    assert_eq!(segment("8", r#","mask_of":7"#)["error"]["code"], "MODEL_MISMATCH");
}
