//! Who has a place among the layers, and what becomes of the files of those that have none.

use std::io::ErrorKind;

use super::*;
use crate::durable::Disk;
use crate::durable::simulated::{Card, Fault};

const NONE: BTreeSet<String> = BTreeSet::new();

fn to(layer: &str, id: &str) -> LayerOp {
    LayerOp::append(layer, id, line(id)).unwrap()
}

fn places(layers: usize) -> LayerBounds {
    LayerBounds { layers, bytes: u64::MAX }
}

fn is_refused(admitted: Result<(), LayerError>) -> bool {
    matches!(admitted, Err(LayerError::TooMany { .. }))
}

#[test]
fn a_request_has_its_place_until_it_is_over_and_leaves_it_to_the_objects_that_it_has_brought() {
    let mut fixture = Fixture::new();
    fixture.layers.admit("ponds", places(2), 1, &NONE).unwrap();
    fixture.layers.admit("ponds", places(2), 2, &NONE).unwrap();
    fixture.layers.admit("roads", places(2), 3, &NONE).unwrap();
    assert!(is_refused(fixture.layers.admit("fields", places(2), 4, &NONE)));
    fixture.layers.release(1);
    assert!(
        is_refused(fixture.layers.admit("fields", places(2), 4, &NONE)),
        "another one is under way to it"
    );
    // One finds nothing, the other something.
    fixture.layers.release(2);
    fixture.apply(vec![to("roads", "a")]);
    fixture.layers.release(3);
    fixture.layers.admit("fields", places(2), 4, &NONE).unwrap();
    assert!(is_refused(fixture.layers.admit("ponds", places(2), 5, &NONE)));
    fixture.layers.admit("roads", places(2), 5, &NONE).unwrap();
}

#[test]
fn a_layer_that_is_owed_something_or_was_begun_before_a_restart_has_its_place() {
    let fixture = Fixture::new();
    let owed = BTreeSet::from(["ponds".to_owned()]);
    fixture.layers.readmit("roads", 1);
    assert!(is_refused(fixture.layers.admit("fields", places(2), 2, &owed)));
    fixture.layers.admit("ponds", places(2), 2, &owed).unwrap();
    fixture.layers.release(1);
    fixture.layers.admit("fields", places(2), 3, &owed).unwrap();
}

#[test]
fn a_layer_without_objects_is_there_until_its_place_is_wanted_and_can_be_begun_anew() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a"), to("roads", "r")]);
    fixture.apply(vec![remove("a")]);
    assert!(fixture.layers.exists("ponds").unwrap());
    assert_eq!(fixture.ids(), [] as [&str; 0]);
    // Its own place it has again for the asking.
    fixture.layers.admit("ponds", places(2), 1, &NONE).unwrap();
    assert!(is_refused(fixture.layers.admit("fields", places(2), 2, &NONE)));
    fixture.layers.release(1);
    fixture.layers.admit("fields", places(3), 2, &NONE).unwrap();
    assert!(fixture.path().exists(), "there was room for all");
    fixture.layers.release(2);
    fixture.layers.admit("fields", places(2), 2, &NONE).unwrap();
    assert!(!fixture.path().exists());
    let names: Vec<String> = fixture.layers.list().unwrap().into_iter().map(|layer| layer.name).collect();
    assert_eq!(names, ["roads"]);
    fixture.layers.release(2);
    fixture.layers.admit("ponds", places(2), 3, &NONE).unwrap();
    fixture.apply(vec![append("b")]);
    assert_eq!(fixture.ids(), ["b"]);
}

#[test]
fn what_somebody_else_has_put_into_an_empty_layer_keeps_its_place() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a")]);
    fixture.apply(vec![remove("a")]);
    fs::write(fixture.path(), line("theirs") + "\n").unwrap();
    assert!(is_refused(fixture.layers.admit("roads", places(1), 1, &NONE)));
    assert_eq!(fixture.ids(), ["theirs"]);
}

#[test]
fn a_failure_or_a_power_cut_while_a_place_changes_hands_loses_nothing_and_brings_nothing_back() {
    let journal: Vec<JournalEntry> = [append("a"), remove("a"), to("roads", "r"), append("b")]
        .into_iter()
        .zip(1..)
        .map(|(op, seq)| JournalEntry { seq, op })
        .collect();
    for fault in [Fault::PowerGoes, Fault::FromHere(ErrorKind::Other), Fault::DropsUnsynced] {
        for failing in 0..40 {
            let dir = tempfile::tempdir().unwrap();
            let card = Card::new(dir.path(), failing);
            let layers = Layers::open_on(&Disk::on(&card), dir.path()).unwrap();
            card.fail_after(failing, fault);
            // Nothing is struck from the journal: the next start finds all of it that was committed.
            let mut committed = 0;
            for entry in &journal[..3] {
                if layers.apply(std::slice::from_ref(entry)).done.is_empty() {
                    break;
                }
                committed += 1;
            }
            // The place of the empty one is wanted; then an object comes into it after all.
            let begun = committed == 3 && layers.admit("fields", places(2), 1, &NONE).is_ok();
            layers.release(1);
            if begun && !layers.apply(&journal[3..]).done.is_empty() {
                committed = 4;
            }
            drop(layers);
            card.mend();
            card.cut();
            let layers = Layers::open_on(&Disk::on(&card), dir.path()).unwrap();
            let ids = |layer: &str| -> Vec<String> {
                let path = layer_path(&dir.path().join(DIRECTORY), layer);
                let text = fs::read_to_string(path).unwrap_or_default();
                text.lines().filter_map(id_of).collect()
            };
            let what = format!("{fault:?} at {failing}, {committed} were done");
            if committed == 4 {
                assert_eq!(
                    (ids("ponds"), ids("roads")),
                    (vec!["b".to_owned()], vec!["r".to_owned()]),
                    "{what}"
                );
            }
            // As the start does.
            let applied = layers.recover(&journal);
            assert!(applied.failed.is_empty(), "{what}");
            assert_eq!((ids("ponds"), ids("roads")), (vec!["b".to_owned()], vec!["r".to_owned()]), "{what}");
        }
    }
}

#[test]
fn a_layer_that_is_as_large_as_one_may_be_takes_no_more_until_something_is_deleted() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![to("ponds", "a"), to("ponds", "b")]);
    let bytes = 2 * (line("a").len() as u64 + 1);
    let admitted = |fixture: &Fixture, layer: &str, bytes: u64| {
        fixture.layers.admit(layer, LayerBounds { layers: 9, bytes }, 1, &NONE)
    };
    admitted(&fixture, "ponds", bytes + 1).unwrap();
    let error = admitted(&fixture, "ponds", bytes).unwrap_err();
    assert_eq!(error.code(), crate::ErrorCode::LayerFull);
    assert!(error.to_string().contains(&format!("it has {bytes} bytes")), "{error}");
    admitted(&fixture, "roads", bytes).unwrap();
    fixture.apply(vec![LayerOp::remove("ponds", "b").unwrap()]);
    admitted(&fixture, "ponds", bytes).unwrap();
}
