use embedded_svc::mqtt::client::{Client, Connection, Event, EventPayload, Publish, QoS};

use super::*;
use crate::bus::{BusClient, BusConnection, BusEvent, IncomingMessage, PublishOutcome, Subscription};

fn events(events: &mut BusEvents) -> Vec<BusEvent> {
    let mut all = Vec::new();
    while let Ok(Some(event)) = events.next_event(Some(Duration::ZERO)) {
        all.push(event);
    }
    all
}

fn messages(all: Vec<BusEvent>) -> Vec<IncomingMessage> {
    let message = |event| match event {
        BusEvent::Message(message) => Some(message),
        _ => None,
    };
    all.into_iter().filter_map(message).collect()
}

fn request(text: &str) -> OutgoingMessage {
    OutgoingMessage::new("geosam/a/request/c/segment", text)
}

fn taken(delivery: Delivery) -> DeliveryId {
    match delivery {
        Delivery::Taken(id) => id,
        Delivery::NotWanted => panic!("nobody subscribed"),
    }
}

#[test]
fn a_service_written_to_the_traits_alone_can_use_it() {
    fn service<C: Client + Publish, N: Connection>(client: &mut C, connection: &mut N) -> Vec<String>
    where
        C::Error: std::fmt::Debug,
        N::Error: std::fmt::Debug,
    {
        let mut seen = Vec::new();
        let mut note = |connection: &mut N| {
            let event = connection.next().unwrap();
            seen.push(match event.payload() {
                EventPayload::Connected(session) => format!("connected {session}"),
                EventPayload::Subscribed(id) => format!("subscribed {id}"),
                EventPayload::Published(id) => format!("published {id}"),
                EventPayload::Received { topic, data, .. } => {
                    format!("received {} {}", topic.unwrap(), String::from_utf8_lossy(data))
                }
                other => format!("{}", matches!(other, EventPayload::Disconnected)),
            });
        };
        note(connection);
        client.subscribe("geosam/a/request/#", QoS::AtLeastOnce).unwrap();
        note(connection);
        client.publish("geosam/a/request/c/list", QoS::AtLeastOnce, false, b"{}").unwrap();
        note(connection);
        note(connection);
        seen
    }
    let (mut handle, mut stream, broker) = bus(None);
    broker.connect(false);
    let seen = service(&mut handle, &mut stream);
    // The broker acknowledges, and sends us what we subscribed to ourselves.
    let (mut expected, mut got) = (
        vec!["connected false", "subscribed 1", "received geosam/a/request/c/list {}", "published 2"],
        seen.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    expected.sort_unstable();
    got.sort_unstable();
    assert_eq!(got, expected);
}

#[test]
fn an_unacknowledged_message_comes_again_after_a_reconnect() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    handle.subscribe_with(&[Subscription::new("geosam/a/request/#")]).unwrap();
    let ids: Vec<_> = ["1", "2"].map(|text| taken(broker.publish(request(text)))).into();
    let first = messages(events(&mut stream));
    assert_eq!(first.len(), 2);
    handle.acknowledge(first[0].ack.unwrap());
    assert_eq!(broker.acknowledged(), [ids[0]]);

    broker.disconnect("test");
    broker.connect(true);
    let again = messages(events(&mut stream));
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].payload.as_slice(), again[0].dup), (&b"2"[..], true));
    handle.acknowledge(first[1].ack.unwrap());
    assert_eq!(broker.acknowledged(), [ids[0]], "the token of the lost connection is void");
    handle.acknowledge(again[0].ack.unwrap());
    assert_eq!(broker.acknowledged(), ids);
}

#[test]
fn requests_sent_while_we_are_away_wait_in_the_session() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    handle.subscribe_with(&[Subscription::new("geosam/a/request/#")]).unwrap();
    broker.disconnect("test");
    taken(broker.publish(request("while away")));
    assert_eq!(broker.publish(request("once").at_most_once()), Delivery::NotWanted);
    broker.connect(true);
    let all = events(&mut stream);
    assert!(matches!(all.last(), Some(BusEvent::Message(m)) if m.payload == b"while away"));
    broker.disconnect("test");
    broker.connect(false);
    assert_eq!(messages(events(&mut stream)), [], "a broker that lost its store has lost it");
    assert_eq!(broker.subscriptions(), [""; 0]);
}

#[test]
fn a_lost_acknowledgement_returns_the_token_at_the_disconnect() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    broker.set_policy(PublishPolicy::LoseAck);
    let token = handle.publish_with(OutgoingMessage::new("a", "1")).unwrap();
    broker.disconnect("test");
    let all = events(&mut stream);
    assert!(matches!(&all[1], BusEvent::Disconnected { unacknowledged, .. } if *unacknowledged == [token]));
    broker.set_policy(PublishPolicy::Accept);
    broker.connect(true);
    let token = handle.publish_with(OutgoingMessage::new("a", "1")).unwrap();
    let told = BusEvent::Published { token, outcome: PublishOutcome::Accepted };
    assert_eq!(events(&mut stream).last(), Some(&told));
    assert_eq!(broker.published().len(), 2, "at least once, here twice");
}

#[test]
fn held_acknowledgements_fill_the_window_and_release_it() {
    let (handle, mut stream, broker) = bus_with(None, QueueLimits { in_flight: 2, ..Default::default() });
    broker.connect(false);
    broker.set_policy(PublishPolicy::Hold);
    for index in 0..5 {
        handle.publish_with(OutgoingMessage::new("a", index.to_string())).unwrap();
    }
    assert_eq!(broker.published().len(), 2);
    assert_eq!((handle.stats().in_flight, handle.stats().waiting), (2, 3));
    assert_eq!(broker.release(1), 1);
    assert_eq!(broker.published().len(), 3);
    while broker.release(10) > 0 {}
    let told = events(&mut stream).into_iter().filter(|e| matches!(e, BusEvent::Published { .. })).count();
    assert_eq!((told, broker.take_published().len(), broker.published().len()), (5, 5, 0));
}

#[test]
fn a_refused_publish_and_a_refused_subscription_are_told() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    broker.set_policy(PublishPolicy::Refuse("NotAuthorized".to_owned()));
    broker.refuse_subscription("b/#");
    handle.publish_with(OutgoingMessage::new("a", "1")).unwrap();
    handle.subscribe_with(&[Subscription::new("a/#"), Subscription::new("b/#")]).unwrap();
    let all = events(&mut stream);
    assert!(matches!(&all[1], BusEvent::Published { outcome: PublishOutcome::Refused { reason }, .. }
        if reason == "NotAuthorized"));
    assert!(matches!(&all[2], BusEvent::Subscribed { refused, .. } if refused[0].0 == "b/#"));
    assert_eq!(broker.subscriptions(), ["a/#"]);
}

#[test]
fn retained_messages_come_with_a_subscription() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    handle.publish_with(OutgoingMessage::new("g/a/folder/x", "old").retained()).unwrap();
    handle.subscribe_with(&[Subscription::new("g/a/folder/+")]).unwrap();
    let kept = messages(events(&mut stream));
    assert_eq!((kept[0].topic.as_str(), kept[0].retain), ("g/a/folder/x", true));
    handle.publish_with(OutgoingMessage::new("g/a/folder/x", "").retained()).unwrap();
    assert_eq!(broker.retained("g/a/folder/x"), None);
}

#[test]
fn a_duplicate_is_acknowledged_once() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    handle.subscribe_with(&[Subscription::new("geosam/#")]).unwrap();
    let id = taken(broker.publish(request("1")));
    assert!(broker.duplicate(id));
    let both = messages(events(&mut stream));
    assert_eq!((both.len(), both[1].dup), (2, true));
    for message in both {
        handle.acknowledge(message.ack.unwrap());
    }
    assert_eq!(broker.acknowledged(), [id]);
    assert!(!broker.duplicate(id));
}

#[test]
fn the_broker_sends_no_more_than_its_receive_maximum_before_an_acknowledgement() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    broker.set_receive_maximum(2);
    handle.subscribe_with(&[Subscription::new("geosam/#")]).unwrap();
    for text in ["1", "2", "3"] {
        broker.publish(request(text));
    }
    let first = messages(events(&mut stream));
    assert_eq!(first.len(), 2);
    handle.acknowledge(first[0].ack.unwrap());
    assert_eq!(messages(events(&mut stream)).len(), 1);
}

#[test]
fn a_stop_says_farewell_and_a_loss_leaves_the_will() {
    let offline = || OutgoingMessage::new("g/a/state", "offline").retained();
    let (handle, mut stream, broker) = bus(Some(OutgoingMessage::new("g/a/state", "will").retained()));
    broker.connect(false);
    broker.disconnect("test");
    assert_eq!(broker.retained("g/a/state"), Some(b"will".to_vec()));
    broker.connect(true);
    handle.stop(Some(offline()));
    assert_eq!(broker.retained("g/a/state"), Some(b"offline".to_vec()));
    assert_eq!(events(&mut stream).last(), Some(&BusEvent::Stopped { complete: true }));
    assert_eq!(stream.next(), Err(BusError::Stopped));
    assert!(!broker.is_connected());
    assert_eq!(handle.publish_with(OutgoingMessage::new("a", "")), Err(BusError::Stopped));
}

#[test]
fn a_stop_without_connection_ends_incomplete_at_once() {
    let (handle, mut stream, broker) = bus(None);
    broker.fail_connect("refused");
    handle.stop(Some(OutgoingMessage::new("g/a/state", "offline")));
    let all = events(&mut stream);
    assert!(matches!(all[0], BusEvent::ConnectFailed { .. }));
    assert_eq!(all[1], BusEvent::Stopped { complete: false });
    assert_eq!(all.len(), 2);
}

#[test]
fn a_dropped_service_leaves_the_will() {
    let (handle, stream, broker) = bus(Some(OutgoingMessage::new("g/a/state", "offline").retained()));
    broker.connect(false);
    drop(stream);
    assert_eq!(broker.retained("g/a/state"), Some(b"offline".to_vec()));
    assert_eq!(handle.publish_with(OutgoingMessage::new("a", "")), Err(BusError::Stopped));
}

#[test]
fn handles_in_several_threads_share_one_connection() {
    let (handle, mut stream, broker) = bus(None);
    broker.connect(false);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let handle = handle.clone();
            scope.spawn(move || {
                for index in 0..50 {
                    handle.publish_with(OutgoingMessage::new("a", format!("{thread}/{index}"))).unwrap();
                }
            });
        }
    });
    let told: std::collections::BTreeSet<_> = events(&mut stream)
        .into_iter()
        .filter_map(|event| match event {
            BusEvent::Published { token, .. } => Some(token),
            _ => None,
        })
        .collect();
    assert_eq!((told.len(), broker.published().len()), (200, 200));
}
