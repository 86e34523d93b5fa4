//! The store by its behaviour, on a real file.

mod batches;
mod caps;
mod damage;
mod knowing;
mod model;
mod power;

use std::sync::Arc;

use super::*;
use crate::api::RequestId;
use crate::layers::LayerOp;

struct Fixture {
    dir: tempfile::TempDir,
    limits: StoreLimits,
}

impl Fixture {
    fn new() -> Self {
        Self::with(StoreLimits::default())
    }

    fn with(limits: StoreLimits) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), limits }
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join(FILE_NAME)
    }

    fn open(&self) -> Store {
        let opened = Store::open(self.dir.path(), self.limits).unwrap();
        assert_eq!(opened.problem, None);
        opened.store
    }
}

fn key(client: &str, verb: &str, id: &str, payload: &[u8]) -> RequestKey {
    RequestKey::new(client, verb, &RequestId::Text(id.to_owned()), None, payload)
}

fn entry(client: &str, verb: &str, id: &str, payload: &[u8]) -> InboxEntry {
    InboxEntry {
        client: client.to_owned(),
        verb: verb.to_owned(),
        qos: 1,
        key: Some(key(client, verb, id, payload)),
        changes_state: verb != "segment",
        payload: payload.to_vec(),
        ..InboxEntry::default()
    }
}

fn receive(entry: InboxEntry) -> Change {
    Change::Receive(Box::new(entry))
}

fn message(class: Class, payload: &str) -> OutboxMessage {
    OutboxMessage::new(class, "t", payload.as_bytes())
}

fn answer_to(seq: u64, entry: &InboxEntry, payload: &str) -> Change {
    let payload: Arc<[u8]> = Arc::from(payload.as_bytes());
    Change::Finish(Box::new(Finish {
        inbox: Some(seq),
        messages: vec![OutboxMessage::new(Class::Answer, "response", Arc::clone(&payload))],
        answer: kept(entry, payload),
        ..Finish::default()
    }))
}

fn kept(entry: &InboxEntry, payload: Arc<[u8]>) -> Option<KeptAnswer> {
    let (client, changes_state) = (entry.client.clone(), entry.changes_state);
    entry.key.map(|key| KeptAnswer { key, payload, client, changes_state })
}

fn append(layer: &str, id: &str, session: &str) -> LayerChange {
    let line = format!(r#"{{"type":"Feature","id":"{id}","geometry":null,"properties":{{}}}}"#);
    let op = LayerOp::append(layer, id, line).unwrap();
    LayerChange { op, client: "a".to_owned(), session: session.to_owned() }
}

fn remove(layer: &str, id: &str) -> LayerChange {
    let op = LayerOp::remove(layer, id).unwrap();
    LayerChange { op, client: "a".to_owned(), session: "s".to_owned() }
}

fn layers(changes: Vec<LayerChange>) -> Change {
    Change::Finish(Box::new(Finish { layers: changes, ..Finish::default() }))
}

fn one(store: &Store, change: Change) -> Outcome {
    store.commit(vec![change]).unwrap().outcomes.remove(0)
}

fn received(outcome: &Outcome) -> u64 {
    let Outcome::Received(seq) = outcome else { panic!("not received: {outcome:?}") };
    *seq
}

fn payloads(store: &Store) -> Vec<String> {
    let entries = store.outbox_after(0, 1000, usize::MAX).unwrap();
    entries.iter().map(|e| String::from_utf8(e.message.payload.to_vec()).unwrap()).collect()
}
