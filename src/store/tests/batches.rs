//! What a batch makes durable, at what price.

use super::*;
use crate::store::backend::Meter;

#[test]
fn a_request_and_its_answer_survive_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let mut request = entry("a", "segment", "1", b"payload \xff\x00");
    request.response_topic = Some("answers/a".to_owned());
    request.correlation = Some(vec![0, 255, 7]);
    request.group = Some("fleet".to_owned());
    request.received_at = 1_700_000_000_123;
    let seq = received(&one(&store, receive(request.clone())));
    drop(store);

    let store = fixture.open();
    let waiting = store.inbox().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].seq, &waiting[0].entry), (seq, &request));
    let outcome = one(&store, answer_to(seq, &request, "the answer"));
    drop(store);

    let store = fixture.open();
    assert!(store.inbox().unwrap().is_empty());
    let outbox = store.outbox_after(0, 10, 1000).unwrap();
    assert_eq!(outcome, Outcome::Finished { outbox: vec![outbox[0].seq] });
    assert_eq!(&*outbox[0].message.payload, b"the answer");
    assert_eq!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Same(Arc::from(&b"the answer"[..])));
    one(&store, Change::Acked(vec![outbox[0].seq]));
    drop(store);

    let store = fixture.open();
    assert!(payloads(&store).is_empty());
    assert!(matches!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Same(_)));
}

#[test]
fn messages_keep_their_order_and_properties() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let mut first = message(Class::Answer, "1");
    first.retain = true;
    first.correlation = Some(b"\x01\xfe".to_vec());
    first.content_type = Some("application/geo+json".to_owned());
    let second = OutboxMessage { qos: 0, ..message(Class::Event, "2") };
    store.commit(vec![Change::Publish(first.clone()), Change::Publish(second.clone())]).unwrap();
    drop(store);
    let store = fixture.open();
    let outbox = store.outbox_after(0, 10, 1000).unwrap();
    assert_eq!(outbox.iter().map(|e| &e.message).collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(store.outbox_after(outbox[0].seq, 10, 1000).unwrap().len(), 1);
    assert_eq!(store.outbox_after(0, 1, 1000).unwrap().len(), 1);
    assert_eq!(store.outbox_after(0, 10, 1).unwrap().len(), 1);
    assert_eq!(store.outbox_after(0, 10, 0).unwrap().len(), 1, "the first comes whatever its size");
}

#[test]
fn a_batch_costs_one_sync_and_an_empty_one_none() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let requests = |round: usize| -> Vec<InboxEntry> {
        (0..100).map(|n| entry("a", "segment", &format!("{round}-{n}"), &[7; 300])).collect()
    };
    let mut costs = Vec::new();
    for round in 0..6 {
        let before = store.syncs();
        let requests = requests(round);
        let outcomes = store.commit(requests.iter().cloned().map(receive).collect()).unwrap().outcomes;
        let answers = outcomes.iter().zip(&requests).map(|(o, r)| answer_to(received(o), r, "answer"));
        let committed = store.commit(answers.collect()).unwrap();
        let acked = committed.outcomes.into_iter().flat_map(|outcome| match outcome {
            Outcome::Finished { outbox } => outbox,
            other => panic!("{other:?}"),
        });
        store.commit(vec![Change::Acked(acked.collect())]).unwrap();
        costs.push(store.syncs() - before);
    }
    // Three batches each; the file grows by doubling, and each time it does costs one more.
    assert_eq!(costs.iter().min(), Some(&3), "{costs:?}");
    assert!(costs.iter().sum::<u64>() <= 3 * 6 + 6, "{costs:?}");

    let before = store.syncs();
    store.commit(Vec::new()).unwrap();
    store.commit(requests(0).into_iter().map(receive).collect()).unwrap();
    store.commit(vec![Change::Acked(vec![999_999]), Change::JournalDone(vec![999_999])]).unwrap();
    assert_eq!(store.syncs() - before, 0, "nothing to write");
}

#[test]
fn a_finish_takes_place_once_as_a_whole() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    let finish = || {
        let put = SessionChange::Put { name: "a/s".to_owned(), state: b"{}".to_vec() };
        Change::Finish(Box::new(Finish {
            inbox: Some(seq),
            messages: vec![message(Class::Answer, "ok"), message(Class::Saved, "feature")],
            answer: kept(&request, Arc::from(&b"ok"[..])),
            sessions: vec![put],
            layers: vec![append("ponds", "f1", "s")],
        }))
    };
    let committed = store.commit(vec![finish(), finish()]).unwrap();
    assert!(matches!(&committed.outcomes[0], Outcome::Finished { outbox } if outbox.len() == 2));
    assert_eq!(committed.outcomes[1], Outcome::NotInInbox);
    assert_eq!(committed.journal.len(), 1);
    assert_eq!(one(&store, finish()), Outcome::NotInInbox);
    drop(store);
    let store = fixture.open();
    assert_eq!(store.journal().unwrap(), committed.journal);
    assert_eq!(payloads(&store), ["ok", "feature"]);
    assert_eq!(store.sessions().unwrap().into_keys().collect::<Vec<_>>(), ["a/s"]);
    one(&store, Change::Session(SessionChange::Delete { name: "a/s".to_owned() }));
    assert!(store.sessions().unwrap().is_empty());
    one(&store, Change::JournalDone(vec![committed.journal[0].seq]));
    assert!(store.journal().unwrap().is_empty());
    assert_eq!(store.depths().journal_bytes, 0);
}

#[test]
fn places_are_never_given_twice() {
    let fixture = Fixture::new();
    let mut last = 0;
    for round in 0..5 {
        let store = fixture.open();
        let seq = received(&one(&store, receive(entry("a", "segment", &round.to_string(), b""))));
        assert!(seq > last);
        last = seq;
        one(&store, Change::Finish(Box::new(Finish { inbox: Some(seq), ..Finish::default() })));
    }
}

#[test]
fn the_last_saved_object_of_a_session_is_the_one_still_there() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let last = |store: &Store, session: &str| store.last_saved("ponds", "a", session).unwrap();
    store
        .commit(vec![layers(vec![
            append("ponds", "1", "s"),
            append("ponds", "2", "other"),
            append("ponds", "3", "s"),
            append("roads", "4", "s"),
        ])])
        .unwrap();
    assert_eq!(last(&store, "s").as_deref(), Some("3"));
    assert_eq!(last(&store, "other").as_deref(), Some("2"));
    store.commit(vec![layers(vec![remove("ponds", "3")])]).unwrap();
    drop(store);
    let store = fixture.open();
    assert_eq!(last(&store, "s").as_deref(), Some("1"));
    store.commit(vec![layers(vec![remove("ponds", "1"), remove("ponds", "1")])]).unwrap();
    assert_eq!(last(&store, "s"), None);
    assert_eq!(store.last_saved("roads", "a", "s").unwrap().as_deref(), Some("4"));
    assert_eq!(store.last_saved("roads", "b", "s").unwrap(), None);
}

#[test]
fn equal_payloads_of_one_answer_are_on_the_card_once() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "segment", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    let payload: Arc<[u8]> = vec![b'x'; 200_000].into();
    let to = |topic: &str| OutboxMessage::new(Class::Answer, topic, Arc::clone(&payload));
    let outcome = one(
        &store,
        Change::Finish(Box::new(Finish {
            inbox: Some(seq),
            messages: vec![to("response/a/segment"), to("inbox/of/a")],
            answer: kept(&request, Arc::clone(&payload)),
            ..Finish::default()
        })),
    );
    let Outcome::Finished { outbox } = outcome else { panic!("{outcome:?}") };
    let size = std::fs::metadata(fixture.file()).unwrap().len();
    assert!(size < 600_000, "{size} bytes for one payload of 200,000");
    // Each use holds it.
    one(&store, Change::Acked(vec![outbox[0]]));
    assert_eq!(store.outbox_after(0, 10, usize::MAX).unwrap()[0].message.payload, payload);
    one(&store, Change::Acked(vec![outbox[1]]));
    assert_eq!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Same(payload));
}

#[test]
fn counters_last() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let count = || Change::Count { name: "served".to_owned(), by: 2 };
    store.commit(vec![count(), count()]).unwrap();
    drop(store);
    let store = fixture.open();
    one(&store, count());
    assert_eq!(store.counters().unwrap()["served"], 6);
}

#[test]
fn the_clock_goes_on_after_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.skipped_ms.store(5_000, std::sync::atomic::Ordering::Relaxed);
    one(&store, Change::Count { name: "x".to_owned(), by: 1 });
    drop(store);
    let clock = fixture.open().clock_ms();
    assert!((5_000..60_000).contains(&clock), "{clock}");
}

#[test]
fn after_a_failed_write_the_store_tells_what_is_on_the_card() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let fail = |meter: &Meter, kind| *meter.fail.lock().unwrap() = kind;
    let first = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(first.clone())));
    fail(&store.meter, Some(std::io::ErrorKind::StorageFull));
    let batch = || vec![answer_to(seq, &first, "ok"), receive(entry("a", "save", "2", b"y"))];
    let error = store.commit(batch()).unwrap_err();
    assert!(matches!(error, StoreError::CardFull { .. }), "{error:?}");
    assert_eq!(error.code(), crate::ErrorCode::CardError);
    assert!(error.to_string().contains("state.redb is full; free some space"), "{error}");
    assert!(store.commit(batch()).is_err(), "still full");
    assert!(store.lookup(&first.key.unwrap()).is_err());
    fail(&store.meter, None);
    // The same batch again, as it is.
    let committed = store.commit(batch()).unwrap();
    assert!(matches!(committed.outcomes[0], Outcome::Finished { .. }), "{committed:?}");
    received(&committed.outcomes[1]);
    assert_eq!(payloads(&store), ["ok"]);
    assert_eq!(store.depths().inbox, 1);
    drop(store);
    assert_eq!(payloads(&fixture.open()), ["ok"]);
}

#[test]
fn a_batch_whose_sync_failed_may_be_on_the_card_and_is_recognised() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = || receive(entry("a", "save", "1", b"x"));
    store.fail_syncs(true);
    store.commit(vec![request()]).unwrap_err();
    store.fail_syncs(false);
    assert!(matches!(one(&store, request()), Outcome::Pending(_)));
    assert_eq!(store.depths().inbox, 1);
}

#[test]
fn reading_does_not_wait_for_a_slow_card() {
    let fixture = Fixture::new();
    let store = fixture.open();
    one(&store, Change::Publish(message(Class::Answer, "before")));
    let slow = store.meter.slow.lock().unwrap();
    std::thread::scope(|scope| {
        let begun = || store.meter.begun.load(std::sync::atomic::Ordering::Relaxed);
        let before = begun();
        let commit = scope.spawn(|| one(&store, Change::Publish(message(Class::Answer, "after"))));
        while begun() == before {
            std::thread::yield_now();
        }
        // In the middle of the sync; this would hang if it waited.
        assert_eq!(payloads(&store), ["before"]);
        assert!(store.inbox().unwrap().is_empty());
        assert_eq!(store.depths().outbox, 1);
        drop(slow);
        commit.join().unwrap();
    });
    assert_eq!(payloads(&store), ["before", "after"]);
}
