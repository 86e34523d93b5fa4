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

#[test]
fn answers_are_bounded_in_number() {
    let fixture = Fixture::with(StoreLimits { answers: 3, ..StoreLimits::default() });
    let store = fixture.open();
    let requests: Vec<_> = (0..5).map(|n| entry("a", "save", &n.to_string(), b"x")).collect();
    for request in &requests {
        let seq = received(&one(&store, receive(request.clone())));
        one(&store, answer_to(seq, request, "ok"));
    }
    assert_eq!(store.depths().answers, 3);
    let known = |n: usize| store.lookup(&requests[n].key.unwrap()).unwrap();
    assert_eq!(known(1), Lookup::Unknown);
    assert!(matches!(known(2), Lookup::Same(_)));
    assert_eq!(payloads(&store).len(), 5, "messages that wait are not touched by it");
}

#[test]
fn answers_are_bounded_in_bytes() {
    let fixture = Fixture::with(StoreLimits { answer_bytes: 3000, ..StoreLimits::default() });
    let store = fixture.open();
    for n in 0..6 {
        let request = entry("a", "save", &n.to_string(), b"x");
        let seq = received(&one(&store, receive(request.clone())));
        one(&store, answer_to(seq, &request, &"x".repeat(if n == 5 { 5000 } else { 744 })));
        let depths = store.depths();
        assert!(depths.answer_bytes <= 3000, "{depths:?}");
        assert_eq!(depths.answers, if n == 5 { 0 } else { 3.min(n + 1) });
    }
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
