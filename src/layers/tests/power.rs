//! Kills, failing cards and power cuts, on a simulated card.

use std::io::ErrorKind;
use std::sync::Arc;

use super::*;
use crate::durable::Disk;
use crate::durable::simulated::{Card, Fault};

struct Board {
    dir: tempfile::TempDir,
    card: Arc<Card>,
    layers: Layers,
}

impl Board {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let card = Card::new(dir.path(), seed);
        let layers = Layers::open_on(&Disk::on(&card), dir.path()).unwrap();
        Self { dir, card, layers }
    }

    fn start(&mut self) {
        self.layers = Layers::open_on(&Disk::on(&self.card), self.dir.path()).unwrap();
    }

    fn apply(&self, entries: &[JournalEntry]) -> Vec<u64> {
        self.layers.apply(entries).done
    }

    fn text(&self) -> String {
        let path = self.dir.path().join("layers/ponds.geojsonl");
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    fn ids(&self) -> Vec<String> {
        let text = self.text();
        let id = |line: &str| match classify(line.as_bytes()) {
            Line::Feature(id) => id,
            _ => None,
        };
        text.lines().filter_map(id).collect()
    }
}

fn entry(seq: u64, op: LayerOp) -> JournalEntry {
    JournalEntry { seq, op }
}

#[test]
fn a_line_found_after_a_kill_is_synced_before_it_counts_as_saved() {
    // Killed at each change on the way of an append to a layer, new or not; started; then the power goes.
    for is_new in [true, false] {
        for killed_at in 0..6 {
            for seed in 0..12 {
                let mut board = Board::new(seed);
                if !is_new {
                    assert_eq!(board.apply(&[entry(1, append("a"))]), [1]);
                }
                board.card.fail_after(killed_at, Fault::FromHere(ErrorKind::Other));
                let journal = [entry(2, append("b"))];
                board.apply(&journal);
                board.card.mend();
                board.start();
                assert_eq!(board.apply(&journal), [2]);
                board.card.cut();
                assert!(
                    board.ids().contains(&"b".to_owned()),
                    "killed at {killed_at}, new: {is_new}, seed {seed}"
                );
            }
        }
    }
}

#[test]
fn a_line_whose_sync_failed_is_on_the_card_when_it_counts_as_saved_though_the_system_dropped_it() {
    for failing in 0..8 {
        for seed in 0..12 {
            let board = Board::new(seed);
            board.apply(&[entry(1, append("a"))]);
            let journal = [entry(2, append("b")), entry(3, append("c")), entry(4, remove("a"))];
            board.card.fail_after(failing, Fault::DropsUnsynced);
            if board.apply(&journal).len() < 3 {
                assert_eq!(board.apply(&journal), [2, 3, 4]);
            }
            board.card.cut();
            assert_eq!(board.ids(), ["b", "c"], "the change {failing} failed, seed {seed}");
        }
    }
}

#[test]
fn what_was_reported_as_done_survives_a_power_cut_at_any_change() {
    let journal: Vec<JournalEntry> = [
        append("a"),
        append("b"),
        remove("a"),
        append("c"),
        append("d"),
        remove("d"),
        remove("b"),
        change("c", 1),
    ]
    .into_iter()
    .zip(1..)
    .map(|(op, seq)| entry(seq, op))
    .collect();
    let scenario = |board: &mut Board, done: &mut Vec<u64>| {
        for group in [&journal[..2], &journal[2..3], &journal[3..5], &journal[5..7], &journal[7..]] {
            let made = board.apply(group);
            done.extend(&made);
            if made.len() < group.len() {
                // What comes later waits behind what failed.
                return;
            }
        }
    };
    let mut whole = Board::new(0);
    let before = whole.card.acts();
    scenario(&mut whole, &mut Vec::new());
    assert_eq!(whole.ids(), ["c"]);
    for cut_at in 0..whole.card.acts() - before {
        for seed in 0..24 {
            let mut board = Board::new(seed);
            let mut done = Vec::new();
            board.card.fail_after(cut_at, Fault::PowerGoes);
            scenario(&mut board, &mut done);
            board.card.cut();
            board.start();
            // What is done is struck from the journal, all else is applied again.
            let left: Vec<JournalEntry> =
                journal.iter().filter(|e| !done.contains(&e.seq)).cloned().collect();
            assert_eq!(board.apply(&left).len(), left.len());
            assert_eq!(board.ids(), ["c"], "cut at {cut_at}, seed {seed}, done {done:?}");
            assert_eq!(
                board.text(),
                format!("{}\n", changed("c", 1)),
                "cut at {cut_at}, seed {seed}, done {done:?}"
            );
        }
    }
}

#[test]
fn a_change_is_seen_whole_or_not_at_all_whenever_the_power_goes() {
    // Many lines, some of them changed, some taken out, in one file, which is written anew once.
    let ids: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let begin: Vec<JournalEntry> = ids.iter().zip(1..).map(|(id, seq)| entry(seq, append(id))).collect();
    let ops = (0..200)
        .step_by(3)
        .map(|n| if n % 2 == 0 { remove(&n.to_string()) } else { change(&n.to_string(), n) });
    let edits: Vec<JournalEntry> = ops.zip(1000..).map(|(op, seq)| entry(seq, op)).collect();
    let whole = Board::new(0);
    whole.apply(&begin);
    let (before, acts, syncs) = (whole.text(), whole.card.acts(), whole.layers.syncs());
    assert_eq!(whole.apply(&edits).len(), edits.len());
    let after = whole.text();
    assert_eq!(after.lines().count(), 200 - 34);
    assert!(after.contains(&changed("3", 3)) && !after.contains("\"id\":\"6\""));
    assert!(whole.layers.syncs() - syncs <= 2, "one file and its directory");
    assert_eq!(whole.layers.list().unwrap()[0].features, 200 - 34);
    for cut_at in 0..whole.card.acts() - acts {
        for seed in 0..12 {
            let mut board = Board::new(seed);
            board.apply(&begin);
            board.card.fail_after(cut_at, Fault::PowerGoes);
            board.apply(&edits);
            board.card.cut();
            let found = board.text();
            assert!(found == before || found == after, "cut at {cut_at}, seed {seed}");
            board.start();
            let journal: Vec<JournalEntry> = begin.iter().chain(&edits).cloned().collect();
            assert_eq!(board.apply(&journal).len(), journal.len());
            let (mut now, mut then): (Vec<_>, Vec<_>) = (
                board.text().lines().map(str::to_owned).collect(),
                after.lines().map(str::to_owned).collect(),
            );
            now.sort_unstable();
            then.sort_unstable();
            assert_eq!(now, then, "cut at {cut_at}, seed {seed}");
        }
    }
}

#[test]
fn what_somebody_else_appended_stays_when_our_append_fails() {
    for failing in 0..4 {
        let board = Board::new(failing);
        board.apply(&[entry(1, append("a"))]);
        let path = board.dir.path().join("layers/ponds.geojsonl");
        // Between our last look at the file and our append.
        fs::write(&path, format!("{}{}\n", fs::read_to_string(&path).unwrap(), line("theirs"))).unwrap();
        board.card.fail_after(failing, Fault::Full);
        let journal = [entry(2, append("b"))];
        board.apply(&journal);
        board.card.mend();
        assert!(board.ids().contains(&"theirs".to_owned()), "the change {failing} failed");
        board.apply(&journal);
        assert_eq!(board.ids(), ["a", "theirs", "b"]);
        assert_eq!(board.layers.list().unwrap()[0].features, 3);
    }
}

#[test]
fn each_layer_costs_one_sync_at_a_start_and_none_again() {
    let mut board = Board::new(1);
    let journal = [entry(1, append("a")), entry(2, append("b"))];
    board.apply(&journal);
    board.start();
    let opened = board.layers.syncs();
    assert_eq!(board.apply(&journal), [1, 2]);
    assert_eq!(board.layers.syncs() - opened, 2, "the file and its directory");
    assert_eq!(board.apply(&journal), [1, 2]);
    assert_eq!(board.layers.syncs() - opened, 2);
}
