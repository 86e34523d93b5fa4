//! Requests that come again, and ids used again.

use super::*;

#[test]
fn a_request_that_comes_again_before_its_answer_is_pending() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let outcomes = store.commit(vec![receive(request.clone()), receive(request.clone())]).unwrap().outcomes;
    let seq = received(&outcomes[0]);
    assert_eq!(outcomes[1], Outcome::Pending(seq), "twice in one batch");
    drop(store);
    let store = fixture.open();
    assert_eq!(one(&store, receive(request.clone())), Outcome::Pending(seq), "after a restart");
    assert_eq!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Pending(seq));
    assert_eq!(store.depths().inbox, 1);
}

#[test]
fn a_request_that_comes_again_after_its_answer_gets_the_same() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    let outcomes =
        store.commit(vec![answer_to(seq, &request, "ok"), receive(request.clone())]).unwrap().outcomes;
    assert_eq!(outcomes[1], Outcome::Answered(Arc::from(&b"ok"[..])), "in the batch of the answer");
    drop(store);
    let store = fixture.open();
    assert_eq!(one(&store, receive(request)), Outcome::Answered(Arc::from(&b"ok"[..])), "after a restart");
    assert_eq!(store.depths().inbox, 0);
}

#[test]
fn an_id_used_again_for_another_payload_is_refused_where_state_changes() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for verb in ["save", "segment"] {
        let first = entry("a", verb, "1", b"x");
        let other = entry("a", verb, "1", b"y");
        let seq = received(&one(&store, receive(first.clone())));
        assert_eq!(store.lookup(&other.key.unwrap()).unwrap(), Lookup::OtherPayload);
        if verb == "save" {
            assert_eq!(one(&store, receive(other.clone())), Outcome::IdReused, "while it waits");
            one(&store, answer_to(seq, &first, "ok"));
            assert_eq!(one(&store, receive(other)), Outcome::IdReused, "after its answer");
        } else {
            let second = received(&one(&store, receive(other.clone())));
            one(&store, answer_to(seq, &first, "one"));
            one(&store, answer_to(second, &other, "two"));
            assert_eq!(one(&store, receive(first)), Outcome::Answered(Arc::from(&b"one"[..])));
            assert_eq!(one(&store, receive(other)), Outcome::Answered(Arc::from(&b"two"[..])));
        }
    }
}

#[test]
fn the_same_id_of_another_client_or_verb_is_another_request() {
    let fixture = Fixture::new();
    let store = fixture.open();
    received(&one(&store, receive(entry("a", "save", "1", b"x"))));
    received(&one(&store, receive(entry("b", "save", "1", b"x"))));
    received(&one(&store, receive(entry("a", "add", "1", b"x"))));
}

#[test]
fn requests_without_id_are_never_taken_for_each_other() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = InboxEntry { key: None, ..entry("a", "list", "", b"{}") };
    received(&one(&store, receive(request.clone())));
    received(&one(&store, receive(request)));
}

#[test]
fn a_failure_that_may_pass_leaves_the_id_free() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    let busy = vec![message(Class::Answer, "CARD_ERROR")];
    one(&store, Change::Finish(Box::new(Finish { inbox: Some(seq), messages: busy, ..Finish::default() })));
    received(&one(&store, receive(request)));
}

/// Asks and answers; the answer has so many bytes.
fn served(store: &Store, request: &InboxEntry, bytes: usize) {
    let seq = received(&one(store, receive(request.clone())));
    one(store, answer_to(seq, request, &"x".repeat(bytes)));
}

fn is_known(store: &Store, request: &InboxEntry) -> bool {
    store.lookup(&request.key.unwrap()).unwrap() != Lookup::Unknown
}

#[test]
fn answers_are_bounded_in_number() {
    for verb in ["save", "segment"] {
        let fixture = Fixture::with(StoreLimits { answers: 3, ..StoreLimits::default() });
        let store = fixture.open();
        let requests: Vec<_> = (0..5).map(|n| entry("a", verb, &n.to_string(), b"x")).collect();
        requests.iter().for_each(|request| served(&store, request, 2));
        assert_eq!(store.depths().answers, 3);
        assert!(!is_known(&store, &requests[1]) && is_known(&store, &requests[2]));
        assert_eq!(payloads(&store).len(), 5, "messages that wait are not touched by it");
    }
}

#[test]
fn no_client_makes_the_board_forget_what_it_did_for_another() {
    let fixture = Fixture::with(StoreLimits { answers: 8, ..StoreLimits::default() });
    let store = fixture.open();
    let alice = entry("alice", "save", "1", b"x");
    served(&store, &alice, 2);
    for n in 0..50 {
        served(&store, &entry("bob", "save", &n.to_string(), b"x"), 2);
        served(&store, &entry("bob", "segment", &n.to_string(), b"x"), 2);
    }
    drop(store);
    let store = fixture.open();
    served(&store, &entry("bob", "save", "last", b"x"), 2);
    assert!(is_known(&store, &alice), "after a restart, too");
    assert_eq!(store.depths().answers, 16, "so many of each kind");
}

#[test]
fn large_answers_push_out_texts_and_never_that_a_change_was_made() {
    let fixture = Fixture::with(StoreLimits { answer_bytes: 100_000, ..StoreLimits::default() });
    let store = fixture.open();
    let saves: Vec<_> = (0..20).map(|n| entry("alice", "save", &n.to_string(), b"x")).collect();
    saves.iter().for_each(|save| served(&store, save, 2000));
    for n in 0..100 {
        served(&store, &entry("bob", "segment", &n.to_string(), b"x"), 10_000);
        assert!(store.depths().answer_bytes <= 100_000);
    }
    let text = Outcome::Answered(Arc::from("x".repeat(2000).into_bytes()));
    assert_eq!(one(&store, receive(saves[0].clone())), text, "those of segment made room");
    for n in 0..100 {
        served(&store, &entry("carol", "add", &n.to_string(), b"x"), 10_000);
        assert!(store.depths().answer_bytes <= 100_000);
    }
    drop(store);
    let store = fixture.open();
    for save in &saves {
        assert_eq!(one(&store, receive(save.clone())), Outcome::AlreadyDone, "not run again");
        assert_eq!(store.lookup(&save.key.unwrap()).unwrap(), Lookup::AlreadyDone);
    }
}

#[test]
fn one_answer_never_pushes_out_all_others() {
    let fixture = Fixture::with(StoreLimits { answer_bytes: 100_000, ..StoreLimits::default() });
    let store = fixture.open();
    let (save, segment) = (entry("a", "save", "1", b"x"), entry("a", "segment", "1", b"x"));
    served(&store, &save, 2000);
    served(&store, &segment, 2000);
    let (huge_save, huge_segment) = (entry("b", "save", "1", b"x"), entry("b", "segment", "1", b"x"));
    served(&store, &huge_save, 2_000_000);
    served(&store, &huge_segment, 2_000_000);
    for kept in [&save, &segment] {
        assert!(
            matches!(one(&store, receive(kept.clone())), Outcome::Answered(answer) if answer.len() == 2000)
        );
    }
    assert_eq!(one(&store, receive(huge_save)), Outcome::AlreadyDone);
    assert_eq!(
        payloads(&store).iter().filter(|payload| payload.len() == 2_000_000).count(),
        2,
        "both are sent"
    );
    received(&one(&store, receive(huge_segment)));
}

#[test]
fn answers_are_bounded_in_age_by_running_time() {
    let fixture = Fixture::with(StoreLimits { answer_seconds: 60, ..StoreLimits::default() });
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    one(&store, answer_to(seq, &request, "ok"));
    let count = || Change::Count { name: "x".to_owned(), by: 1 };
    store.skipped_ms.store(59_000, std::sync::atomic::Ordering::Relaxed);
    one(&store, count());
    assert!(matches!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Same(_)));
    store.skipped_ms.store(61_000, std::sync::atomic::Ordering::Relaxed);
    one(&store, count());
    assert_eq!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Unknown);
    received(&one(&store, receive(request)));
}
