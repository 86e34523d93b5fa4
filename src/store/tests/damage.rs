//! One test a kind of damage.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use proptest::prelude::*;
use redb::ReadableTable as _;

use super::*;
use crate::store::tables::{self, META, META_FORMAT, MigrateError};

fn filled(fixture: &Fixture) {
    let store = fixture.open();
    let batch = (0..50).map(|n| receive(entry("a", "segment", &n.to_string(), &[7; 500]))).collect();
    store.commit(batch).unwrap();
    for n in 0..50 {
        store.commit(vec![Change::Publish(message(Class::Answer, &n.to_string().repeat(100)))]).unwrap();
    }
}

fn reopened(fixture: &Fixture) -> Opened {
    let opened = Store::open(fixture.dir.path(), fixture.limits).unwrap();
    assert_eq!(opened.store.take_problems(), opened.problem.iter().cloned().collect::<Vec<_>>());
    received(&one(&opened.store, receive(entry("z", "segment", "z", b"works"))));
    opened
}

fn replaced(fixture: &Fixture) -> String {
    let opened = reopened(fixture);
    let Some(Problem::Replaced { moved_to, cause }) = opened.problem else { panic!("{:?}", opened.problem) };
    assert!(moved_to.exists());
    assert!(moved_to.file_name().unwrap().to_str().unwrap().starts_with("state.redb.bad-"));
    assert_eq!(opened.store.depths().inbox, 1);
    cause
}

fn overwrite(fixture: &Fixture, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(fixture.file()).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_kept() {
    let fixture = Fixture::new();
    fs::write(fixture.file(), "not a database, but somebody's").unwrap();
    let cause = replaced(&fixture);
    assert!(cause.contains("state.redb is damaged"), "{cause}");
    let aside = fs::read(fixture.dir.path().join("state.redb.bad-1")).unwrap();
    assert_eq!(aside, b"not a database, but somebody's");
}

#[test]
fn a_zeroed_header_is_damage() {
    let fixture = Fixture::new();
    filled(&fixture);
    overwrite(&fixture, 0, &[0; 512]);
    replaced(&fixture);
}

#[test]
fn a_file_cut_short_is_damage() {
    let fixture = Fixture::new();
    filled(&fixture);
    let len = fs::metadata(fixture.file()).unwrap().len();
    fs::OpenOptions::new().write(true).open(fixture.file()).unwrap().set_len(len / 2).unwrap();
    replaced(&fixture);
}

/// A state directory with a layer in it.
fn with_a_layer(fixture: &Fixture) {
    let layers = fixture.dir.path().join("layers");
    fs::create_dir(&layers).unwrap();
    fs::write(layers.join("ponds.geojsonl"), "{\"type\":\"Feature\"}\n").unwrap();
}

#[test]
fn a_database_that_is_empty_or_gone_from_beside_layers_is_told_as_damage() {
    for (left, layers) in [(Some(""), true), (Some(""), false), (None, true)] {
        let fixture = Fixture::new();
        filled(&fixture);
        if layers {
            with_a_layer(&fixture);
        }
        match left {
            Some(text) => fs::write(fixture.file(), text).unwrap(),
            None => fs::remove_file(fixture.file()).unwrap(),
        }
        let problem = reopened(&fixture).problem.unwrap();
        assert_eq!(problem, Problem::Missing);
        assert!(problem.to_string().contains("the state database was damaged"), "{problem}");
        assert_eq!(Store::open(fixture.dir.path(), fixture.limits).unwrap().problem, None, "told once");
    }
}

#[test]
fn a_first_start_cut_short_is_no_damage() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.dir.path().join("layers")).unwrap();
    // What `begin_new` leaves when the power goes.
    for begun in ["", "redb"] {
        fs::write(fixture.file().with_extension("redb.new"), begun).unwrap();
    }
    assert_eq!(reopened(&fixture).problem, None);
}

#[test]
fn a_database_of_a_newer_library_is_refused_with_advice_and_left_alone() {
    for slots in [&[64u64][..], &[192], &[64, 192]] {
        let fixture = Fixture::new();
        filled(&fixture);
        let whole = fs::read(fixture.file()).unwrap();
        slots.iter().for_each(|slot| overwrite(&fixture, *slot, &[4]));
        let spoiled = fs::read(fixture.file()).unwrap();
        let error = Store::open(fixture.dir.path(), fixture.limits).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found: 4, supported: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("install the newer version again"), "{error}");
        assert_eq!(fs::read(fixture.file()).unwrap(), spoiled);
        assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1);
        fs::write(fixture.file(), whole).unwrap();
        assert_eq!(fixture.open().depths().inbox, 50, "the newer version finds all");
    }
}

#[test]
fn a_flipped_bit_in_a_version_is_damage_and_no_newer_library() {
    for bit in 0..8 {
        let fixture = Fixture::new();
        filled(&fixture);
        overwrite(&fixture, 64, &[3 ^ (1 << bit)]);
        // The slot may be the one that is not in use.
        assert!(Store::open(fixture.dir.path(), fixture.limits).is_ok(), "bit {bit}");
    }
}

#[test]
fn what_is_no_damage_leaves_the_file_in_its_place() {
    let path = std::path::Path::new("state.redb");
    let damage = |error: redb::Error| StoreError::redb("open", path, error).is_damage();
    assert!(damage(redb::Error::Corrupted("a checksum".to_owned())));
    assert!(damage(redb::Error::TableDoesNotExist("inbox".to_owned())));
    for error in [
        redb::Error::UpgradeRequired(2),
        redb::Error::ValueTooLarge(1 << 32),
        redb::Error::TransactionInProgress,
        redb::Error::TransactionPoisoned,
        redb::Error::LockProtocolMismatch,
        redb::Error::RepairAborted,
        redb::Error::Unsupported,
        redb::Error::DatabaseAlreadyOpen,
        redb::Error::PreviousIo,
        redb::Error::Io(std::io::ErrorKind::StorageFull.into()),
        redb::Error::Io(std::io::Error::other("EIO")),
    ] {
        let text = format!("{error:?}");
        assert!(!damage(error), "{text}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    let fixture = Fixture::new();
    filled(&fixture);
    let whole = fs::read(fixture.file()).unwrap();
    let mut damaged = 0;
    for at in (0..whole.len()).step_by(whole.len() / 53) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(fixture.file(), &bytes).unwrap();
        match Store::open(fixture.dir.path(), fixture.limits) {
            Ok(Opened { store, problem: None }) => {
                // The bit was in a free page: all is there as it was.
                assert_eq!((store.depths().inbox, store.depths().outbox), (50, 50), "bit at {at}");
                assert!(store.inbox().unwrap().iter().all(|w| w.entry.payload == [7; 500]));
                assert_eq!(payloads(&store)[49], "49".repeat(100));
            }
            Ok(Opened { problem: Some(_), .. }) => damaged += 1,
            Err(error) => panic!("bit at {at}: {error}"),
        }
    }
    assert!(damaged > 5, "{damaged}");
    let aside = fs::read_dir(fixture.dir.path()).unwrap().count() - 1;
    assert_eq!(aside, 3, "only the last few are kept");
}

#[test]
fn rows_that_cannot_be_read_are_taken_out_and_told() {
    let fixture = Fixture::new();
    filled(&fixture);
    {
        let db = redb::Database::open(fixture.file()).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut tables = tables::Tables::open(&txn).unwrap();
            let first = tables.inbox.first().unwrap().unwrap().0.value();
            tables.inbox.insert(first, &b"\x02\x00\x00\x00{]"[..]).unwrap();
            let message = tables.outbox.first().unwrap().unwrap().0.value();
            let body = tables.bodies.first().unwrap().unwrap().0.value();
            tables.bodies.remove(body).unwrap();
            tables.outbox.insert(message + 1_000_000, &b""[..]).unwrap();
        }
        txn.commit().unwrap();
    }
    let opened = Store::open(fixture.dir.path(), fixture.limits).unwrap();
    let Some(Problem::BadRows { rows, ref first }) = opened.problem else { panic!("{:?}", opened.problem) };
    assert_eq!(rows, 3);
    assert!(first.starts_with("inbox "), "{first}");
    let depths = opened.store.depths();
    assert_eq!((depths.inbox, depths.outbox), (49, 49));
    assert_eq!(opened.store.inbox().unwrap().len(), 49);
    assert_eq!(payloads(&opened.store).len(), 49);
    drop(opened);
    assert_eq!(fixture.open().depths(), depths, "told once");
}

#[test]
fn a_newer_format_is_refused_with_advice_and_left_alone() {
    let fixture = Fixture::new();
    filled(&fixture);
    {
        let db = redb::Database::open(fixture.file()).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert(META_FORMAT, 9).unwrap();
        txn.commit().unwrap();
    }
    let error = Store::open(fixture.dir.path(), fixture.limits).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 9, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("install the newer version again"), "{error}");
    assert_eq!(fs::read_dir(fixture.dir.path()).unwrap().count(), 1);
}

#[test]
fn an_older_format_is_brought_forward_step_by_step_in_one_transaction() {
    let fixture = Fixture::new();
    filled(&fixture);
    let db = redb::Database::open(fixture.file()).unwrap();
    let first: tables::Migration = |_| panic!("the database has this format already");
    let second: tables::Migration = |txn| {
        txn.open_table(tables::COUNTERS)?.insert("second", 1)?;
        Ok(())
    };
    let third: tables::Migration = |txn| {
        let mut counters = txn.open_table(tables::COUNTERS)?;
        let second = counters.get("second")?.unwrap().value();
        counters.insert("third", second + 1)?;
        Ok(())
    };
    assert!(tables::migrate(&db, &[first, second, third]).is_ok());
    let txn = db.begin_write().unwrap();
    assert_eq!(txn.open_table(META).unwrap().get(META_FORMAT).unwrap().unwrap().value(), 3);
    assert_eq!(txn.open_table(tables::COUNTERS).unwrap().get("third").unwrap().unwrap().value(), 2);
    txn.abort().unwrap();
    assert!(matches!(tables::migrate(&db, &[first, second]), Err(MigrateError::Newer(3))));
}

#[test]
fn a_second_service_on_the_same_state_is_refused() {
    let fixture = Fixture::new();
    let _store = fixture.open();
    let error = Store::open(fixture.dir.path(), fixture.limits).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn a_state_directory_that_cannot_be_made_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "").unwrap();
    let error = Store::open(&blocked.join("state"), StoreLimits::default()).unwrap_err();
    assert!(error.to_string().contains("file/state"), "{error}");
    let mut text = String::new();
    fs::File::open(&blocked).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.is_empty());
}

#[test]
fn places_go_on_in_a_database_begun_because_the_old_one_was_found_damaged_under_way() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let before = received(&one(&store, receive(entry("a", "segment", "1", b"x"))));
    store.fail_syncs(true);
    store.commit(vec![receive(entry("a", "segment", "2", b"y"))]).unwrap_err();
    store.fail_syncs(false);
    overwrite(&fixture, 0, &[0; 512]);
    let after = received(&one(&store, receive(entry("a", "segment", "2", b"y"))));
    assert!(fixture.dir.path().join("state.redb.bad-1").exists(), "it was damaged");
    assert!(after > before, "{after}: the request in place {before} may be under way");
    let problems = store.take_problems();
    assert!(matches!(problems[..], [Problem::Replaced { .. }]), "{problems:?}");
    assert!(store.take_problems().is_empty(), "told once");
}

#[test]
fn a_request_under_way_when_the_database_is_found_damaged_is_answered_once_and_saves_once() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    store.fail_syncs(true);
    store.commit(vec![receive(entry("a", "segment", "2", b"y"))]).unwrap_err();
    store.fail_syncs(false);
    overwrite(&fixture, 0, &[0; 512]);
    assert!(matches!(one(&store, answer_to(seq, &request, "ok")), Outcome::Finished { .. }));
    assert_eq!(one(&store, answer_to(seq, &request, "ok")), Outcome::NotInInbox);
    assert_eq!(payloads(&store), ["ok"]);
    assert!(matches!(one(&store, receive(request)), Outcome::Answered(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// As `fuzz/fuzz_targets/store_rows.rs`, for every run of the tests.
    #[test]
    fn any_bytes_as_rows_are_got_along_with(
        rows in proptest::collection::vec(
            (0..6usize, 0..300u64, prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                Just(b"\x02\x00\x00\x00{}".to_vec()),
                Just(b"\xff\xff\xff\xff{}".to_vec()),
                Just(b"\x25\x00\x00\x00{\"append\":{\"layer\":\"../x\",\"id\":\"i\"}}\xff".to_vec()),
            ]),
            0..12,
        ),
    ) {
        let fixture = Fixture::new();
        drop(fixture.open());
        {
            let db = redb::Database::open(fixture.file()).unwrap();
            let txn = db.begin_write().unwrap();
            for (table, place, row) in &rows {
                txn.open_table(tables::ROW_TABLES[*table]).unwrap().insert(place, row.as_slice()).unwrap();
            }
            txn.commit().unwrap();
        }
        let store = Store::open(fixture.dir.path(), fixture.limits).unwrap().store;
        let depths = store.depths();
        prop_assert_eq!(store.inbox().unwrap().len(), depths.inbox);
        prop_assert_eq!(store.outbox_after(0, 1000, usize::MAX).unwrap().len(), depths.outbox);
        prop_assert_eq!(store.journal().unwrap().len(), depths.journal);
        let request = entry("z", "save", "z", b"works");
        let seq = received(&one(&store, receive(request.clone())));
        prop_assert!(rows.iter().all(|(_, place, _)| *place < seq));
        one(&store, answer_to(seq, &request, "ok"));
        drop(store);
        prop_assert!(matches!(one(&fixture.open(), receive(request)), Outcome::Answered(_)));
    }
}
