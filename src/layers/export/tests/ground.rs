//! What ground stations and field apps get, by the rules of `docs/ground-stations.md`. That the real programs read it is
//! checked by `tests/peers/fences_with_mavproxy.py` and `tests/peers/cot_with_lxml.py`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const TRIANGLE: &str = r#"{"type":"Feature","id":"t","geometry":{"type":"Polygon","coordinates":[[[9,47],[9.1,47],[9.1,47.1],[9,47]]]},"properties":{"score":0.971,"area_m2":12.5}}"#;

fn with(lines: &[&str], format: Format, inclusion: bool) -> (String, Exported) {
    let (out, exported) = tried(lines, Settings { inclusion, ..settings(format) }).unwrap();
    (String::from_utf8(out).unwrap(), exported)
}

#[test]
fn a_plan_has_fences_latitude_first_clockwise_and_not_closed() {
    let (plan, _) = with(&[TRIANGLE], Format::Plan, false);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((&plan["fileType"], &plan["version"]), (&json!("Plan"), &json!(1)));
    assert_eq!((&plan["geoFence"]["version"], &plan["geoFence"]["circles"]), (&json!(2), &json!([])));
    let fence = json!({"version": 1, "inclusion": false, "polygon": [[47.0, 9.0], [47.1, 9.1], [47.0, 9.1]]});
    assert_eq!(plan["geoFence"]["polygons"], json!([fence]));
    assert_eq!(plan["mission"]["plannedHomePosition"], json!([47.0, 9.0, 0]));
    assert_eq!((&plan["mission"]["version"], &plan["mission"]["items"]), (&json!(2), &json!([])));
    assert_eq!(plan["rallyPoints"], json!({"version": 2, "points": []}));
}

#[test]
fn a_hole_is_a_fence_to_keep_out_of_inside_one_to_stay_in_and_else_is_told() {
    let (plan, exported) = with(&[HOLED, SPLIT], Format::Plan, true);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let polygons = plan["geoFence"]["polygons"].as_array().unwrap();
    let inclusions: Vec<&Value> = polygons.iter().map(|polygon| &polygon["inclusion"]).collect();
    assert_eq!(inclusions, [true, false, true, true]);
    assert_eq!((exported.features, exported.holed), (2, 0));
    let (plan, exported) = with(&[HOLED, SPLIT], Format::Plan, false);
    assert_eq!(plan.matches("\"inclusion\":false").count(), 3);
    assert_eq!((exported.features, exported.holed), (2, 1));
    assert_eq!(with(&[HOLED], Format::Cot, false).1.holed, 1);
}

#[test]
fn wpl_has_a_line_a_vertex_with_the_count_of_its_fence_and_runs_on() {
    let (wpl, exported) = with(&[TRIANGLE, POINT, SPLIT], Format::Wpl, false);
    let expected = "QGC WPL 110\n\
        0\t0\t0\t5002\t3\t0\t0\t0\t47\t9\t0\t1\n\
        1\t0\t0\t5002\t3\t0\t0\t0\t47.1\t9.1\t0\t1\n\
        2\t0\t0\t5002\t3\t0\t0\t0\t47\t9.1\t0\t1\n\
        3\t0\t0\t5002\t3\t0\t0\t0\t0\t179\t0\t1\n\
        4\t0\t0\t5002\t3\t0\t0\t0\t1\t180\t0\t1\n\
        5\t0\t0\t5002\t3\t0\t0\t0\t0\t180\t0\t1\n\
        6\t0\t0\t5002\t3\t0\t0\t0\t0\t-180\t0\t1\n\
        7\t0\t0\t5002\t3\t0\t0\t0\t1\t-180\t0\t1\n\
        8\t0\t0\t5002\t3\t0\t0\t0\t0\t-179.5\t0\t1\n";
    assert_eq!(wpl, expected);
    assert_eq!(exported, counts(2, 1));
    assert!(with(&[TRIANGLE], Format::Wpl, true).0.contains("\t5001\t3\t"));
}

#[test]
fn a_fence_of_more_vertices_than_a_byte_counts_is_told() {
    let circle = |vertices: u32| {
        let at = |k: u32| 2.0 * std::f64::consts::PI * f64::from(k % vertices) / f64::from(vertices);
        let ring: Vec<[f64; 2]> = (0..=vertices).map(|k| [at(k).cos(), at(k).sin()]).collect();
        json!({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}})
            .to_string()
    };
    assert_eq!(with(&[&circle(255)], Format::Wpl, false).1.large, 0);
    assert_eq!(with(&[&circle(256), &circle(255)], Format::Plan, false).1.large, 1);
    assert_eq!(with(&[&circle(1000)], Format::Cot, false).1.large, 0);
    assert_eq!(with(&[&circle(2000)], Format::Cot, false).1.large, 1);
}

#[test]
fn an_event_is_whole_ascii_and_closed_by_its_first_vertex() {
    let named = TRIANGLE.replace("\"t\"", "\"Weiher <ü>\"");
    let (cot, _) = with(&[&named], Format::Cot, false);
    insta::assert_snapshot!(cot);
}

#[test]
fn each_part_is_an_event_of_its_own() {
    let (cot, exported) = with(&[SPLIT, NOWHERE], Format::Cot, false);
    assert!(cot.contains("uid=\"f2-1\"") && cot.contains("uid=\"f2-2\""), "{cot}");
    assert_eq!(exported, counts(1, 1));
}

#[test]
fn events_need_a_clock_that_is_set() {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    let error = tried(&[TRIANGLE], Settings { now, ..settings(Format::Cot) }).unwrap_err().to_string();
    assert!(error.contains("the clock says 1970-01-02T00:00:00Z, before 2024"), "{error}");
}

#[test]
fn a_database_and_a_directory_are_no_streams() {
    for format in [Format::GeoPackage, Format::Poly] {
        let error = tried(&[TRIANGLE], settings(format)).unwrap_err().to_string();
        assert!(error.contains("--output"), "{error}");
    }
}

#[test]
fn polygons_of_mission_planner_are_a_file_a_part() {
    let state = state(&[HOLED, SPLIT]);
    let out = tempfile::tempdir().unwrap();
    let exported = export_poly(state.path(), "ponds", &Filter::default(), out.path()).unwrap();
    assert_eq!((exported.features, exported.holed), (2, 1));
    let text = |number: u32| fs::read_to_string(out.path().join(format!("ponds-{number}.poly"))).unwrap();
    assert_eq!(text(1), "#saved by geosam-edge: f<1>\n0 0\n0 4\n4 4\n4 0\n");
    assert_eq!(text(3), "#saved by geosam-edge: f2-2\n0 -180\n0 -179.5\n1 -180\n");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 3);
}

/// A star around a middle, with a hole of the same shape where that is wanted: rings as GeoJSON has them.
fn star() -> impl Strategy<Value = Vec<Vec<[f64; 2]>>> {
    let radii = prop::collection::vec(0.2f64..1.0, 3..40);
    (radii, -170.0f64..170.0, -80.0f64..80.0, any::<bool>()).prop_map(|(radii, x, y, is_holed)| {
        let ring = |scale: f64| {
            let mut ring: Vec<[f64; 2]> = (0..radii.len())
                .map(|k| {
                    let angle = std::f64::consts::TAU * k as f64 / radii.len() as f64;
                    let radius = radii[k] * scale;
                    [x + radius * angle.cos(), y + radius * angle.sin()].map(|v| (v * 1e7).round() / 1e7)
                })
                .collect();
            ring.push(ring[0]);
            ring
        };
        let mut rings = vec![ring(1.0)];
        if is_holed {
            let mut hole = ring(0.5);
            hole.reverse();
            rings.push(hole);
        }
        rings
    })
}

fn line(id: usize, parts: &[Vec<Vec<[f64; 2]>>]) -> String {
    json!({"type": "Feature", "id": format!("o{id}"), "properties": {},
        "geometry": {"type": "MultiPolygon", "coordinates": parts}})
    .to_string()
}

/// Twice the area to the left of a ring of latitudes and longitudes: negative where it runs clockwise on a map.
fn doubled(ring: &[[f64; 2]]) -> f64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| a[1] * b[0] - b[1] * a[0]).sum()
}

/// The same vertices in the same circle, whatever is first and which way it goes.
fn is_same_circle(a: &[[f64; 2]], b: &[[f64; 2]]) -> bool {
    let mut turned = b.to_vec();
    for _ in 0..2 {
        for _ in 0..turned.len() {
            if turned == a {
                return true;
            }
            turned.rotate_left(1);
        }
        turned.reverse();
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_saved_fences_and_events_have_its_rings(
        objects in prop::collection::vec(prop::collection::vec(star(), 1..4), 1..4),
        inclusion in any::<bool>(),
    ) {
        let lines: Vec<String> = objects.iter().enumerate().map(|(id, parts)| line(id, parts)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let areas: Vec<&Vec<Vec<[f64; 2]>>> = objects.iter().flatten().collect();
        let rings = |rings: &[Vec<[f64; 2]>]| -> Vec<Vec<[f64; 2]>> {
            rings.iter().map(|ring| ring[1..].iter().map(|[lon, lat]| [*lat, *lon]).collect()).collect()
        };
        let mut expected = Vec::new();
        for area in &areas {
            let rings = rings(area);
            expected.push((rings[0].clone(), inclusion));
            expected.extend(rings[1..].iter().filter(|_| inclusion).map(|hole| (hole.clone(), false)));
        }

        let (plan, _) = with(&lines, Format::Plan, inclusion);
        let plan: Value = serde_json::from_str(&plan).unwrap();
        let polygons = plan["geoFence"]["polygons"].as_array().unwrap();
        prop_assert_eq!(polygons.len(), expected.len());
        for (polygon, (ring, inclusion)) in polygons.iter().zip(&expected) {
            let vertices: Vec<[f64; 2]> = serde_json::from_value(polygon["polygon"].clone()).unwrap();
            prop_assert!(is_same_circle(&vertices, ring));
            prop_assert!(doubled(&vertices) < 0.0, "clockwise");
            prop_assert_eq!(&polygon["inclusion"], &json!(inclusion));
        }

        let (wpl, _) = with(&lines, Format::Wpl, inclusion);
        let mut vertices = wpl.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()).enumerate();
        for (ring, inclusion) in &expected {
            let mut read = Vec::new();
            for _ in 0..ring.len() {
                let (number, fields) = vertices.next().unwrap();
                prop_assert_eq!(fields.len(), 12);
                prop_assert_eq!(fields[0], number.to_string());
                prop_assert_eq!(fields[3], if *inclusion { "5001" } else { "5002" });
                prop_assert_eq!(fields[4], ring.len().to_string());
                read.push([fields[8].parse().unwrap(), fields[9].parse().unwrap()]);
            }
            prop_assert!(is_same_circle(&read, ring));
        }
        prop_assert!(vertices.next().is_none());

        let (cot, _) = with(&lines, Format::Cot, inclusion);
        prop_assert!(cot.is_ascii());
        let events: Vec<&str> = cot.split("<event ").skip(1).collect();
        prop_assert_eq!(events.len(), areas.len());
        for (event, area) in events.iter().zip(&areas) {
            let positions = event.split("<link point=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
            let read: Vec<[f64; 2]> = positions
                .map(|text| {
                    let (lat, lon) = text.split_once(',').unwrap();
                    [lat.parse().unwrap(), lon.parse().unwrap()]
                })
                .collect();
            prop_assert_eq!(read.first(), read.last());
            prop_assert!(is_same_circle(&read[1..], &rings(area)[0]));
        }
    }
}
