//! Layers by their behaviour, on real files.

mod large;
mod pages;
mod places;
mod power;
mod repair;

use std::fs;
use std::path::PathBuf;

use super::*;

struct Fixture {
    dir: tempfile::TempDir,
    layers: Layers,
    seq: u64,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open(dir.path()).unwrap();
        Self { dir, layers, seq: 0 }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("layers/ponds.geojsonl")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        let lines = self.layers.fetch("ponds", 0, u64::MAX, usize::MAX).unwrap().lines;
        let id = |line: String| match classify(line.as_bytes()) {
            Line::Feature(Some(id)) => id,
            other => panic!("{other:?}"),
        };
        lines.into_iter().map(id).collect()
    }

    fn journal(&mut self, ops: Vec<LayerOp>) -> Vec<JournalEntry> {
        let entry = |op| {
            self.seq += 1;
            JournalEntry { seq: self.seq, op }
        };
        ops.into_iter().map(entry).collect()
    }

    fn apply(&mut self, ops: Vec<LayerOp>) -> Vec<JournalEntry> {
        let journal = self.journal(ops);
        let applied = self.layers.apply(&journal);
        assert!(applied.failed.is_empty(), "{:?}", applied.failed);
        assert_eq!(applied.done, journal.iter().map(|e| e.seq).collect::<Vec<_>>());
        journal
    }

    fn restart(&mut self) {
        self.layers = Layers::open(self.dir.path()).unwrap();
    }
}

fn line(id: &str) -> String {
    format!(
        r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Point","coordinates":[1,2]}},"properties":{{}}}}"#
    )
}

fn append(id: &str) -> LayerOp {
    LayerOp::append("ponds", id, line(id)).unwrap()
}

fn remove(id: &str) -> LayerOp {
    LayerOp::remove("ponds", id).unwrap()
}

/// The line of an object with a property.
fn changed(id: &str, n: usize) -> String {
    line(id).replace(r#""properties":{}"#, &format!(r#""properties":{{"n":{n}}}"#))
}

fn change(id: &str, n: usize) -> LayerOp {
    LayerOp::replace("ponds", id, changed(id, n)).unwrap()
}

fn appends(ids: std::ops::Range<usize>) -> Vec<LayerOp> {
    ids.map(|n| append(&n.to_string())).collect()
}

#[test]
fn saved_objects_are_lines_of_geojson_in_order() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a"), append("b")]);
    fixture.apply(vec![append("c")]);
    assert_eq!(fixture.text(), format!("{}\n{}\n{}\n", line("a"), line("b"), line("c")));
    assert_eq!(fixture.ids(), ["a", "b", "c"]);
}

#[test]
fn many_appends_cost_one_sync_a_layer() {
    let mut fixture = Fixture::new();
    let opened = fixture.layers.syncs();
    fixture.apply(appends(0..1));
    let before = fixture.layers.syncs();
    assert_eq!(before - opened, 2, "the file and its directory");
    fixture.apply(appends(1..100));
    assert_eq!(fixture.layers.syncs() - before, 1);
    let roads = LayerOp::append("roads", "1", line("1")).unwrap();
    fixture.apply(vec![append("x"), roads, append("y")]);
    assert_eq!(fixture.layers.syncs() - before, 4);
}

#[test]
fn the_last_object_is_taken_back_by_truncation() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a"), append("b")]);
    let before = fixture.layers.syncs();
    fixture.apply(vec![remove("b")]);
    assert_eq!(fixture.layers.syncs() - before, 1);
    assert_eq!(fixture.ids(), ["a"]);
    fixture.apply(vec![remove("a")]);
    assert_eq!(fixture.text(), "");
    fixture.apply(vec![append("c")]);
    assert_eq!(fixture.ids(), ["c"]);
}

#[test]
fn an_object_in_the_middle_is_taken_out_and_all_else_is_kept() {
    let mut fixture = Fixture::new();
    fixture.apply(appends(0..300));
    fs::write(fixture.path(), format!("# by hand\r\n{}\n", fixture.text())).unwrap();
    fixture.apply(vec![remove("7"), remove("299"), remove("0")]);
    let expected: Vec<String> = (1..299).filter(|n| *n != 7).map(|n| n.to_string()).collect();
    assert_eq!(fixture.ids(), expected);
    assert!(fixture.text().starts_with("# by hand\r\n{") && fixture.text().ends_with("}\n\n"));
    assert_eq!(fs::read_dir(fixture.dir.path().join("layers")).unwrap().count(), 1, "nothing left over");
}

#[test]
fn removing_what_is_not_there_is_fine() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![remove("a")]);
    assert!(!fixture.path().exists());
    fixture.apply(vec![append("b"), remove("a"), remove("b"), remove("b")]);
    assert_eq!(fixture.text(), "");
}

#[test]
fn changes_given_again_change_nothing() {
    let mut fixture = Fixture::new();
    let journal = fixture.apply(vec![append("a"), append("b"), remove("a"), append("c"), remove("c")]);
    let text = fixture.text();
    let before = fixture.layers.syncs();
    // The store could not note them as done.
    assert_eq!(fixture.layers.apply(&journal).done, [1, 2, 3, 4, 5]);
    assert_eq!((fixture.text(), fixture.layers.syncs()), (text.clone(), before));
    // Nor before the power went.
    fixture.restart();
    assert_eq!(fixture.layers.apply(&journal).done, [1, 2, 3, 4, 5]);
    assert_eq!(fixture.text(), text);
    assert_eq!(fixture.ids(), ["b"]);
}

#[test]
fn a_journal_half_applied_is_completed_after_a_restart() {
    let mut fixture = Fixture::new();
    let journal = fixture.journal(vec![append("a"), append("b"), append("c"), remove("b")]);
    for applied in 0..=journal.len() {
        let _ = fs::remove_file(fixture.path());
        fixture.restart();
        fixture.layers.apply(&journal[..applied]);
        fixture.restart();
        fixture.layers.apply(&journal);
        assert_eq!(fixture.ids(), ["a", "c"], "{applied} were applied");
    }
}

#[test]
fn a_layer_that_cannot_be_written_does_not_hold_up_others() {
    let mut fixture = Fixture::new();
    fs::create_dir(fixture.path()).unwrap();
    let roads = LayerOp::append("roads", "1", line("1")).unwrap();
    let journal = fixture.journal(vec![append("a"), roads]);
    let applied = fixture.layers.apply(&journal);
    assert_eq!(applied.done, [2]);
    assert_eq!(applied.failed.len(), 1);
    assert_eq!(applied.failed[0].code(), crate::ErrorCode::CardError);
    assert!(applied.failed[0].to_string().contains("ponds.geojsonl"), "{}", applied.failed[0]);
    // Mended meanwhile.
    fs::remove_dir(fixture.path()).unwrap();
    assert_eq!(fixture.layers.apply(&journal).done, [1, 2]);
    assert_eq!(fixture.ids(), ["a"]);
}

#[test]
fn what_is_not_one_line_with_its_id_is_not_saved() {
    for bad in ["", "{}", "nonsense", "{\"type\":\"Feature\",\n\"id\":\"a\"}", &line("b"), &line("a")[1..]] {
        assert!(
            matches!(LayerOp::append("ponds", "a", bad.to_owned()), Err(LayerError::BadFeature { .. })),
            "{bad}"
        );
    }
    for name in ["", "..", "a/b", ".hidden", "a b"] {
        let error = LayerOp::append(name, "a", line("a")).unwrap_err();
        assert_eq!(error.code(), crate::ErrorCode::BadRequest);
        assert!(LayerOp::remove(name, "a").is_err());
    }
}

#[test]
fn a_name_out_of_the_directory_in_a_journal_is_refused() {
    let fixture = Fixture::new();
    let op = LayerOp::Append { layer: "../../etc/x".to_owned(), id: "a".to_owned(), line: line("a") };
    let applied = fixture.layers.apply(&[JournalEntry { seq: 1, op }]);
    assert!(applied.done.is_empty());
    assert!(matches!(applied.failed[0], LayerError::BadName { .. }));
}
