//! Full boxes.

use super::*;

fn publish(store: &Store, class: Class, payload: &str) -> Vec<String> {
    let committed = store.commit(vec![Change::Publish(message(class, payload))]).unwrap();
    committed.dropped.iter().map(|d| format!("{}:{}", d.class.as_str(), d.bytes)).collect()
}

#[test]
fn a_full_inbox_refuses_and_takes_again_when_there_is_room() {
    let fixture = Fixture::with(StoreLimits { inbox_bytes: 3000, ..StoreLimits::default() });
    let store = fixture.open();
    let request = |n: usize| entry("a", "segment", &n.to_string(), &[0; 744]);
    let outcomes = store.commit((0..4).map(|n| receive(request(n))).collect()).unwrap().outcomes;
    assert_eq!(outcomes[3], Outcome::InboxFull { by_client: false });
    assert_eq!(store.depths().inbox, 3);
    assert_eq!(store.depths().inbox_bytes, 3000);
    one(&store, answer_to(received(&outcomes[0]), &request(0), "ok"));
    received(&one(&store, receive(request(3))));
    // The caps hold for what was there before a restart, too.
    drop(store);
    assert_eq!(one(&fixture.open(), receive(request(4))), Outcome::InboxFull { by_client: false });
}

#[test]
fn one_client_cannot_fill_the_inbox() {
    let limits = StoreLimits { inbox_bytes: 4000, inbox_bytes_per_client: 2000, ..StoreLimits::default() };
    let fixture = Fixture::with(limits);
    let store = fixture.open();
    let request = |client: &str, n: usize| receive(entry(client, "segment", &n.to_string(), &[0; 744]));
    let outcomes = store.commit((0..3).map(|n| request("greedy", n)).collect()).unwrap().outcomes;
    assert_eq!(outcomes[2], Outcome::InboxFull { by_client: true });
    received(&one(&store, request("other", 0)));
}

#[test]
fn a_full_outbox_drops_masks_then_events_then_answers_then_saved_each_oldest_first() {
    // Room for four: a row counts its payload of 743, its topic of 1 and 256.
    let fixture = Fixture::with(StoreLimits { outbox_bytes: 4000, ..StoreLimits::default() });
    let store = fixture.open();
    let text = |name: char| name.to_string().repeat(743);
    for (class, name) in [(Class::Saved, 's'), (Class::Answer, 'a'), (Class::Event, 'e'), (Class::Mask, 'm')]
    {
        assert!(publish(&store, class, &text(name)).is_empty());
    }
    assert_eq!(publish(&store, Class::Mask, &text('n')), ["mask:743"]);
    assert_eq!(payloads(&store).last().unwrap(), &text('n'), "the older mask went");
    assert_eq!(publish(&store, Class::Saved, &text('t')), ["mask:743"]);
    assert_eq!(publish(&store, Class::Answer, &text('b')), ["event:743"]);
    assert_eq!(publish(&store, Class::Mask, &text('o')), ["mask:743"], "the new one is the first to go");
    assert_eq!(publish(&store, Class::Saved, &text('u')), ["answer:743"]);
    assert_eq!(payloads(&store), [text('s'), text('t'), text('b'), text('u')]);
    assert_eq!(publish(&store, Class::Saved, &text('v')), ["answer:743"]);
    assert_eq!(publish(&store, Class::Answer, &text('c')), ["answer:743"]);
    assert_eq!(publish(&store, Class::Saved, &text('w')), ["saved:743"], "when nothing else is left");
    assert_eq!(payloads(&store), [text('t'), text('u'), text('v'), text('w')]);
    let counters = store.counters().unwrap();
    let counted = Class::ALL.map(|class| counters[&drop_counter(class)]);
    assert_eq!(counted, [3, 1, 3, 1]);
}

#[test]
fn a_drop_tells_what_and_where_and_keeps_the_stored_answer() {
    let fixture = Fixture::with(StoreLimits { outbox_bytes: 1000, ..StoreLimits::default() });
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    one(&store, answer_to(seq, &request, &"x".repeat(500)));
    let committed = store.commit(vec![Change::Publish(message(Class::Saved, &"y".repeat(600)))]).unwrap();
    let dropped = &committed.dropped[0];
    assert_eq!((dropped.class, dropped.topic.as_str(), dropped.bytes), (Class::Answer, "response", 500));
    assert!(matches!(store.lookup(&request.key.unwrap()).unwrap(), Lookup::Same(a) if a.len() == 500));
}

#[test]
fn a_message_larger_than_the_outbox_pushes_nothing_out() {
    let fixture = Fixture::with(StoreLimits { outbox_bytes: 2000, ..StoreLimits::default() });
    let store = fixture.open();
    assert!(publish(&store, Class::Mask, "small").is_empty());
    let committed = store.commit(vec![Change::Publish(message(Class::Saved, &"x".repeat(2001)))]).unwrap();
    assert_eq!(committed.outcomes, [Outcome::Finished { outbox: Vec::new() }]);
    assert_eq!(committed.dropped[0].bytes, 2001);
    assert_eq!(payloads(&store), ["small"]);
}

#[test]
fn messages_dropped_in_the_batch_that_brought_them_are_not_told_as_kept() {
    let fixture = Fixture::with(StoreLimits { outbox_bytes: 2000, ..StoreLimits::default() });
    let store = fixture.open();
    let messages = (0..4).map(|_| message(Class::Mask, &"x".repeat(743))).collect();
    let committed =
        store.commit(vec![Change::Finish(Box::new(Finish { messages, ..Finish::default() }))]).unwrap();
    let Outcome::Finished { outbox } = &committed.outcomes[0] else { panic!() };
    assert_eq!((outbox.len(), committed.dropped.len()), (2, 2));
    let there: Vec<u64> = store.outbox_after(0, 10, 10_000).unwrap().iter().map(|e| e.seq).collect();
    assert_eq!(outbox, &there);
}

#[test]
fn a_discarded_message_counts_as_dropped() {
    let fixture = Fixture::new();
    let store = fixture.open();
    publish(&store, Class::Answer, "too large for this broker");
    let seq = store.outbox_after(0, 1, 100).unwrap()[0].seq;
    let committed = store.commit(vec![Change::Discard(vec![seq, seq])]).unwrap();
    let causes: Vec<DropCause> = committed.dropped.iter().map(|dropped| dropped.cause).collect();
    assert_eq!(causes, [DropCause::Discarded]);
    assert!(payloads(&store).is_empty());
    assert_eq!(store.counters().unwrap()[&drop_counter(Class::Answer)], 1);
}

#[test]
fn what_unsave_can_take_back_is_bounded() {
    let fixture = Fixture::with(StoreLimits { unsave_objects: 2, ..StoreLimits::default() });
    let store = fixture.open();
    for id in ["1", "2", "3"] {
        store.commit(vec![layers(vec![append("ponds", id, "s")])]).unwrap();
    }
    for expected in [Some("3"), Some("2"), None] {
        let last = store.last_saved("ponds", "a", "s").unwrap();
        assert_eq!(last.as_deref(), expected);
        if let Some(id) = last {
            store.commit(vec![layers(vec![remove("ponds", &id)])]).unwrap();
        }
    }
}

#[test]
fn depths_are_those_of_the_tables_after_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let request = entry("a", "save", "1", b"x");
    let seq = received(&one(&store, receive(request.clone())));
    received(&one(&store, receive(entry("b", "segment", "1", b"yy"))));
    one(&store, answer_to(seq, &request, "ok"));
    publish(&store, Class::Event, "card_error");
    store.commit(vec![layers(vec![append("ponds", "1", "s"), remove("ponds", "1")])]).unwrap();
    let depths = store.depths();
    assert_eq!((depths.inbox, depths.outbox, depths.answers, depths.journal), (1, 2, 1, 2));
    drop(store);
    assert_eq!(fixture.open().depths(), depths);
}
