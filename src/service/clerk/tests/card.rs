//! What the clerk tells of a card that fails, is full, or has lost something.

use super::*;
use crate::bus::BrokerSession;
use crate::store::{Class, StoreError};

impl Office {
    /// The events that wait for the next commit.
    fn staged_events(&self) -> Vec<(String, String)> {
        let event = |change: &Change| match change {
            Change::Publish(message) if message.class == Class::Event => {
                let kind = message.topic.rsplit('/').next().unwrap_or_default().to_owned();
                Some((kind, String::from_utf8_lossy(&message.payload).into_owned()))
            }
            _ => None,
        };
        self.clerk.staged.iter().filter_map(|(change, _)| event(change)).collect()
    }

    fn layer_path(&self) -> std::path::PathBuf {
        self.dir.path().join("state/layers/ponds.geojsonl")
    }
}

#[test]
fn a_state_found_damaged_under_way_is_told_by_an_event_and_in_health() {
    let mut office = office();
    office.ask("a");
    office.clerk.settle();
    office.ask("b");
    office.fail_after_writing();
    let file = std::fs::OpenOptions::new().write(true).open(office.clerk.context.store.path()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 512], 0).unwrap();
    office.clerk.settle();
    office.clerk.on_time();
    let events = office.staged_events();
    assert!(
        matches!(&events[..], [(kind, text)] if kind == "state_reset" && text.contains("damaged")),
        "{events:?}"
    );
    assert!(office.clerk.trouble.told()[0].contains("damaged"));
    office.clerk.settle();
    office.clerk.on_time();
    assert!(office.staged_events().is_empty(), "told once");
    assert_eq!(office.clerk.trouble.told().len(), 1, "health goes on telling");
}

#[test]
fn a_layer_edited_by_hand_with_broken_lines_is_told_by_an_event() {
    let mut office = office();
    office.stage_save(None);
    office.clerk.settle();
    let text = format!("{}no feature\n", office.layer());
    std::fs::write(office.layer_path(), text).unwrap();
    office.clerk.context.layers.list().unwrap();
    office.clerk.on_time();
    let events = office.staged_events();
    assert!(
        matches!(&events[..], [(kind, text)] if kind == "layer_problem" && text.contains("line 2, it is not JSON")),
        "{events:?}"
    );
    office.clerk.context.layers.list().unwrap();
    office.clerk.settle();
    office.clerk.on_time();
    assert!(office.staged_events().is_empty(), "told once");
}

#[test]
fn a_layer_that_cannot_be_written_is_told_once_and_in_health_until_it_can() {
    let mut office = office();
    std::fs::create_dir(office.layer_path()).unwrap();
    office.stage_save(None);
    office.clerk.settle();
    let health = office.clerk.trouble.told().join("\n");
    assert!(health.contains("not in its layer yet") && health.contains("ponds.geojsonl"), "{health}");
    office.clerk.apply_journal();
    let sent = office.clerk.context.store.outbox_after(0, 100, 1 << 20).unwrap();
    let events = sent.iter().filter(|entry| entry.message.topic.ends_with("event/layer_problem")).count();
    assert_eq!((events, office.staged_events().len()), (1, 0), "told once");
    std::fs::remove_dir(office.layer_path()).unwrap();
    office.clerk.apply_journal();
    assert_eq!(office.layer().lines().count(), 1);
    assert!(office.clerk.trouble.told().is_empty());
}

#[test]
fn a_state_that_cannot_be_written_is_told_at_once_and_in_health_until_it_can() {
    let mut office = office();
    office.broker.connect(true);
    office.clerk.publisher.connected(BrokerSession::default());
    let kinds = |office: &Office| -> Vec<String> {
        let topics = office.broker.published().into_iter().map(|message| message.topic);
        topics.filter(|topic| topic.contains("/event/")).collect()
    };
    let full =
        StoreError::CardFull { path: "state.redb".into(), source: std::io::ErrorKind::StorageFull.into() };
    office.clerk.state_unwritable(&full);
    office.clerk.state_unwritable(&full);
    assert_eq!(kinds(&office), ["geosam/edge/event/state_full"], "once");
    assert!(office.clerk.trouble.told()[0].contains("state.redb is full"));
    office.ask("a");
    office.clerk.settle();
    assert!(office.clerk.trouble.told().is_empty(), "it was written");
    office.ask("b");
    office.fail_after_writing();
    assert_eq!(kinds(&office).last().unwrap(), "geosam/edge/event/state_problem");
}

#[test]
fn what_a_start_has_to_strike_and_to_tell_waits_for_a_card_that_is_full() {
    let mut office = office();
    let event = office.clerk.announcer.problem("state_reset", "it was damaged");
    office.clerk.staged = vec![(Change::Publish(event), Then::Nothing)];
    office.clerk.context.store.fail_syncs(true);
    office.clerk.settle();
    assert!(office.clerk.deadlines.is_failing());
    office.clerk.deadlines.commit_begins();
    office.clerk.context.store.fail_syncs(false);
    office.clerk.settle();
    let sent = office.clerk.context.store.outbox_after(0, 100, 1 << 20).unwrap();
    assert!(sent.iter().any(|entry| entry.message.topic.ends_with("event/state_reset")));
}
