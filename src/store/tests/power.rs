//! Kills, failing cards and power cuts, on a simulated card.

use std::io::ErrorKind;

use super::*;
use crate::durable::Disk;
use crate::durable::simulated::{Card, Fault};

struct Board {
    dir: tempfile::TempDir,
    card: Arc<Card>,
}

impl Board {
    fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let card = Card::new(dir.path(), seed);
        Self { dir, card }
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("var/state")
    }

    fn open(&self) -> Result<Opened, StoreError> {
        Store::open_on(&Disk::on(&self.card), &self.state(), StoreLimits::default())
    }

    /// The power goes: what is open writes nothing more.
    fn cut(&self, store: Store) {
        self.card.fail_after(0, Fault::PowerGoes);
        drop(store);
        self.card.cut();
    }

    fn store(&self) -> Store {
        let opened = self.open().unwrap();
        assert_eq!(opened.problem, None);
        opened.store
    }
}

fn request(n: usize) -> InboxEntry {
    entry("a", "save", &n.to_string(), &[7; 300])
}

#[test]
fn a_request_is_on_the_card_however_the_starts_before_were_cut_short() {
    let whole = Board::new(0);
    drop(whole.store());
    for killed_at in 0..whole.card.acts() {
        for seed in 0..4 {
            let board = Board::new(seed);
            board.card.fail_after(killed_at, Fault::FromHere(ErrorKind::Other));
            drop(board.open());
            board.card.mend();
            let store = board.store();
            received(&one(&store, receive(request(1))));
            board.cut(store);
            assert_eq!(board.store().depths().inbox, 1, "killed at {killed_at}, seed {seed}");
        }
    }
}

#[test]
fn what_was_committed_is_there_after_a_power_cut_at_any_change() {
    let scenario = |board: &Board| -> Vec<usize> {
        let Ok(Opened { store, .. }) = board.open() else { return Vec::new() };
        (0..6).take_while(|n| store.commit(vec![receive(request(*n))]).is_ok()).collect()
    };
    let whole = Board::new(0);
    assert_eq!(scenario(&whole).len(), 6);
    for cut_at in 0..whole.card.acts() {
        let board = Board::new(cut_at);
        board.card.fail_after(cut_at, Fault::PowerGoes);
        let committed = scenario(&board);
        board.card.cut();
        let store = board.store();
        for n in committed {
            assert!(matches!(one(&store, receive(request(n))), Outcome::Pending(_)), "{n}, cut at {cut_at}");
        }
    }
}

#[test]
fn a_commit_that_failed_anywhere_succeeds_when_the_card_is_mended_and_lasts() {
    let faults =
        [Fault::Once(ErrorKind::Other), Fault::Full, Fault::DropsUnsynced, Fault::FromHere(ErrorKind::Other)];
    for fault in faults {
        for failing in 0.. {
            let board = Board::new(failing);
            let store = board.store();
            board.card.fail_after(failing, fault);
            let first = store.commit((0..40).map(|n| receive(request(n))).collect());
            if !board.card.mend() {
                assert!(first.is_ok());
                break;
            }
            let again = store.commit((0..40).map(|n| receive(request(n))).collect()).unwrap();
            let there = |outcome: &Outcome| matches!(outcome, Outcome::Received(_) | Outcome::Pending(_));
            assert!(again.outcomes.iter().all(there), "{fault:?} at {failing}");
            // On top of what may have been dropped, and pages that are used again.
            for n in 40..44 {
                received(&one(&store, receive(request(n))));
            }
            assert!(store.take_problems().is_empty());
            board.cut(store);
            assert_eq!(board.store().depths().inbox, 44, "{fault:?} at {failing}");
        }
    }
}

#[test]
fn a_read_that_fails_costs_nothing_but_the_start() {
    // Of a small cache, in which no body stays until it is looked for, too.
    for cache_bytes in [StoreLimits::default().cache_bytes, 4096] {
        let board = Board::new(1);
        let open = || {
            Store::open_on(
                &Disk::on(&board.card),
                &board.state(),
                StoreLimits { cache_bytes, ..StoreLimits::default() },
            )
        };
        let store = open().unwrap().store;
        for n in 0..30 {
            store
                .commit(vec![receive(request(n)), Change::Publish(message(Class::Answer, &"x".repeat(2000)))])
                .unwrap();
        }
        let depths = store.depths();
        drop(store);
        let before = board.card.reads();
        drop(open().unwrap());
        for failing in 0..board.card.reads() - before {
            let what = format!("the read {failing} failed, with {cache_bytes} bytes of cache");
            board.card.fail_read_after(failing);
            if let Ok(opened) = open() {
                assert_eq!((opened.problem, opened.store.depths()), (None, depths), "{what}");
            }
            let opened = open().unwrap();
            assert_eq!((opened.problem, opened.store.depths()), (None, depths), "{what}");
        }
    }
}

#[test]
fn stored_answers_make_room_on_a_full_card() {
    let board = Board::new(1);
    let store = board.store();
    let requests: Vec<InboxEntry> = (0..60).map(|n| entry("a", "segment", &n.to_string(), b"x")).collect();
    for request in &requests {
        let seq = received(&one(&store, receive(request.clone())));
        let Outcome::Finished { outbox } = one(&store, answer_to(seq, request, &"x".repeat(50_000))) else {
            panic!()
        };
        one(&store, Change::Acked(outbox));
    }
    board.card.fail_after(0, Fault::Full);
    // Until the file has no place left, and then on what the answers give up.
    let mut failed = 0;
    for n in 0..100 {
        let large = || receive(entry("b", "segment", &n.to_string(), &[7; 20_000]));
        while let Err(error) = store.commit(vec![large()]) {
            assert!(matches!(error, StoreError::CardFull { .. }), "{error}");
            failed += 1;
            assert!(failed < 40, "{:?}", store.depths());
        }
    }
    assert!(failed > 0, "the file had room for all: {:?}", store.depths());
    assert_eq!(store.depths().inbox, 100);
}

#[test]
fn bounds_follow_the_room_on_the_card_and_what_is_held_stays() {
    let limits = StoreLimits::default();
    let held = Depths { outbox_bytes: 30 << 20, ..Depths::default() };
    assert_eq!(limits.within(1 << 40, &held), limits);
    let small = limits.within(60 << 20, &held);
    assert!(small.inbox_bytes + small.answer_bytes < 10 << 20, "{small:?}");
    assert_eq!(small.outbox_bytes, 30 << 20, "held already");
    assert!(limits.within(60 << 20, &Depths::default()).outbox_bytes < 20 << 20);
    let none = limits.within(0, &Depths::default());
    assert_eq!((none.inbox_bytes, none.outbox_bytes, none.answer_bytes), (1 << 20, 1 << 20, 1 << 20));
    assert!(none.inbox_bytes_per_client <= none.inbox_bytes);
}
