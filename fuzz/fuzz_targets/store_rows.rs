//! Any bytes as rows of the state database, below checksums that are right: opening must neither fail nor panic, must keep
//! the rows that can be read, and must leave a store that works.
#![no_main]

use std::sync::Arc;

use geosam_edge::api::RequestId;
use geosam_edge::store::{Change, Finish, InboxEntry, KeptAnswer, Outcome, RequestKey, Store, StoreLimits};
use libfuzzer_sys::fuzz_target;
use redb::TableDefinition;

const TABLES: [&str; 6] = ["inbox", "outbox", "bodies", "answers", "journal", "saved"];

fuzz_target!(|bytes: &[u8]| {
    let Ok(state) = tempfile::tempdir() else { return };
    let limits = StoreLimits::default();
    drop(Store::open(state.path(), limits).expect("a directory of our own"));
    {
        let db = redb::Database::open(state.path().join("state.redb")).expect("a database of our own");
        let txn = db.begin_write().expect("a database of our own");
        // Pieces led by a table, a place and a length.
        let mut rest = bytes;
        while let [table, place, length, tail @ ..] = rest {
            let (row, tail) = tail.split_at(usize::from(*length).min(tail.len()));
            let name = TABLES[usize::from(*table) % TABLES.len()];
            let rows: TableDefinition<u64, &[u8]> = TableDefinition::new(name);
            let mut rows = txn.open_table(rows).expect("a table of ours");
            rows.insert(u64::from(*place), row).expect("room");
            rest = tail;
        }
        txn.commit().expect("room");
    }
    let opened = Store::open(state.path(), limits).expect("bad rows are no failure");
    let store = opened.store;
    let depths = store.depths();
    assert_eq!(store.inbox().expect("rows that were kept can be read").len(), depths.inbox);
    assert_eq!(store.outbox_after(0, usize::MAX, usize::MAX).expect("as above").len(), depths.outbox);
    assert_eq!(store.journal().expect("as above").len(), depths.journal);
    // It takes a request and its answer, and knows it again.
    let key = RequestKey::new("fuzz", "save", &RequestId::Text("1".to_owned()), None, b"x");
    let request = || InboxEntry { client: "fuzz".to_owned(), key: Some(key), changes_state: true, ..InboxEntry::default() };
    let outcomes = store.commit(vec![Change::Receive(Box::new(request()))]).expect("room").outcomes;
    if let Outcome::Received(seq) = outcomes[0] {
        let payload: Arc<[u8]> = Arc::from(&b"ok"[..]);
        let answer = KeptAnswer { key, payload, client: "fuzz".to_owned(), changes_state: true };
        let finish = Finish { inbox: Some(seq), answer: Some(answer), ..Finish::default() };
        store.commit(vec![Change::Finish(Box::new(finish))]).expect("room");
        let again = store.commit(vec![Change::Receive(Box::new(request()))]).expect("room").outcomes;
        assert!(matches!(again[0], Outcome::Answered(_)));
    }
    drop(store);
    let again = Store::open(state.path(), limits).expect("a database of our own");
    assert!(again.problem.is_none(), "bad rows were taken out the first time");
});
