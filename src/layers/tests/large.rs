//! Layers too large to be read whole at each start.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// A layer of 3 MB, in which each line has a hundred bytes.
fn large() -> Fixture {
    let mut fixture = Fixture::new();
    for from in (0..30_000).step_by(5_000) {
        fixture.apply(appends(from..from + 5_000));
    }
    fixture
}

impl Fixture {
    /// Starts again, and counts the pieces of 64 KiB that are read from then on.
    fn restart_counting(&mut self) -> Arc<AtomicU64> {
        let pieces = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&pieces);
        let layers = Layers::open(self.dir.path()).unwrap();
        self.layers = layers.with_progress(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        assert!(self.layers.recover(&[]).failed.is_empty());
        pieces
    }

    fn features(&self) -> u64 {
        self.layers.list().unwrap()[0].features
    }

    fn page_at(&self, offset: u64) -> String {
        let line = self.layers.fetch("ponds", offset, 1, usize::MAX).unwrap().lines.remove(0);
        match classify(line.as_bytes()) {
            Line::Feature(Some(id)) => id,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_large_layer_is_listed_and_saved_to_after_a_start_without_being_read_whole() {
    let mut fixture = large();
    // As if the file had been begun by somebody else: it is read once.
    let pieces = fixture.restart_counting();
    assert_eq!(fixture.features(), 30_000);
    assert!(pieces.load(Ordering::Relaxed) < 20, "only what came since it was last kept: {pieces:?}");
    let pieces = fixture.restart_counting();
    fixture.apply(vec![append("new")]);
    assert_eq!((fixture.features(), fixture.page_at(30_000).as_str()), (30_001, "new"));
    assert_eq!(fixture.page_at(29_999), "29999");
    fixture.apply(vec![remove("new")]);
    assert_eq!(fixture.features(), 30_000);
    assert!(pieces.load(Ordering::Relaxed) < 40, "{pieces:?}");
}

#[test]
fn an_object_is_taken_out_of_a_large_layer_without_reading_what_is_before_it_twice() {
    let mut fixture = large();
    fixture.restart_counting();
    assert_eq!(fixture.features(), 30_000);
    fixture.apply(vec![remove("29000"), remove("10")]);
    assert_eq!(fixture.features(), 29_998);
    assert_eq!([9, 10, 28_998, 28_999].map(|at| fixture.page_at(at)), ["9", "11", "28999", "29001"]);
    fixture.restart();
    assert_eq!(fixture.features(), 29_998);
    assert_eq!([9, 10, 28_998, 28_999].map(|at| fixture.page_at(at)), ["9", "11", "28999", "29001"]);
}

#[test]
fn what_was_kept_of_a_layer_that_somebody_has_changed_is_not_believed() {
    let mut fixture = large();
    let text = fixture.text();
    let (head, tail) = text.split_at(text.len() / 2);
    let line_end = tail.find('\n').unwrap() + 1;
    for changed in [
        // Shorter, longer, of the same length, and with nothing left of it.
        format!("{head}{}", &tail[..line_end]),
        format!("{}\n{text}", line("theirs")),
        text.replacen("Point", "P\nint", 1),
        format!("{}\n", line("theirs")),
    ] {
        fs::write(fixture.path(), &changed).unwrap();
        fixture.restart();
        let expected = changed.lines().filter(|l| matches!(classify(l.as_bytes()), Line::Feature(_))).count();
        assert_eq!(fixture.features(), expected as u64);
    }
}

#[test]
fn a_spoiled_note_beside_a_layer_is_ignored() {
    let mut fixture = large();
    let note = fixture.dir.path().join("layers/.ponds.geojsonl.scan");
    let whole = fs::read_to_string(&note).unwrap();
    for spoiled in
        [String::new(), "\0".repeat(500), whole[..whole.len() / 2].to_owned(), whole.replacen('7', "8", 1)]
    {
        fs::write(&note, spoiled).unwrap();
        fixture.restart();
        assert_eq!(fixture.features(), 30_000);
    }
    assert_eq!(fixture.layers.list().unwrap().len(), 1, "the note is no layer");
}

#[test]
fn reading_a_large_layer_gives_signs_of_life() {
    let mut fixture = large();
    fs::remove_file(fixture.dir.path().join("layers/.ponds.geojsonl.scan")).unwrap();
    let pieces = fixture.restart_counting();
    fixture.features();
    let listed = pieces.swap(0, Ordering::Relaxed);
    assert!(listed > 40, "{listed}");
    fixture.apply(vec![remove("5000")]);
    assert!(pieces.load(Ordering::Relaxed) > 40, "also while it is written anew");
}

#[test]
fn problems_are_told_once_and_bounded_also_when_nobody_takes_them() {
    let mut fixture = Fixture::new();
    fixture.apply(vec![append("a")]);
    for _ in 0..3 {
        fs::write(fixture.path(), format!("{}bad\n", line("a") + "\n")).unwrap();
        fixture.features();
        fs::OpenOptions::new().append(true).open(fixture.path()).unwrap();
    }
    assert_eq!(fixture.layers.take_problems().len(), 1, "the same is told once");
    for n in 0..200 {
        fs::write(fixture.path(), "bad\n".repeat(n + 2)).unwrap();
        fixture.features();
    }
    assert_eq!(fixture.layers.take_problems().len(), 64);
}
