//! A board that is upgraded in the field finds its state again: a state directory that version 0.1.0 wrote, as
//! `tests/fixtures/state_0.1.0`, is opened by today's program with everything in it. The fixture is never written
//! anew: a change of the format adds another one beside it, made with
//!
//!     GEOSAM_WRITE_STATE=<version> cargo test --test state_of_older_versions

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use geosam_edge::api::{CrsChoice, OutputOptions, PromptItem, PromptSet, RequestId};
use geosam_edge::layers::{LayerOp, Layers};
use geosam_edge::session::{Session, SessionKey, SessionLimits, SessionTable};
use geosam_edge::store::{
    Change, Class, FILE_NAME, Finish, InboxEntry, KeptAnswer, LayerChange, Lookup, OutboxMessage, Outcome,
    RequestKey, SessionChange, Store, StoreLimits,
};

/// The versions whose format today's program still has to read.
const VERSIONS: &[&str] = &["0.1.0"];

const OBJECT: &str =
    r#"{"type":"Feature","id":"a1","geometry":{"type":"Point","coordinates":[9.1,47.6]},"properties":{}}"#;

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/state_{version}"))
}

fn request(id: &str) -> InboxEntry {
    let payload = format!(r#"{{"id":"{id}","layer":"ponds"}}"#).into_bytes();
    InboxEntry {
        client: "drone-7".to_owned(),
        verb: "save".to_owned(),
        qos: 1,
        group: Some("north".to_owned()),
        response_topic: Some("answers/drone-7".to_owned()),
        correlation: Some(vec![0, 255]),
        received_at: 1_764_000_000_000,
        key: Some(RequestKey::new("drone-7", "save", &RequestId::Text(id.to_owned()), None, &payload)),
        changes_state: true,
        payload,
    }
}

fn prompt() -> PromptItem {
    PromptItem {
        id: None,
        folder: Some("valley".to_owned()),
        crs: CrsChoice::WGS84,
        prompt: PromptSet { points: vec![[9.1, 47.6]], foreground: vec![true], bbox: None },
        output: OutputOptions::default(),
        stitch: None,
        refine: false,
        properties: None,
        problem: None,
    }
}

fn session_key() -> SessionKey {
    SessionKey::new("drone-7", "walk")
}

/// One request answered, whose answer the broker has not acknowledged; one waiting; a session; a saved object, and
/// one whose change is in the journal and not in its file.
fn write_state(state: &Path) {
    let store = Store::open(state, StoreLimits::default()).unwrap().store;
    let layers = Layers::open(state).unwrap();
    let done = store.commit(vec![Change::Receive(Box::new(request("1")))]).unwrap();
    let Outcome::Received(seq) = done.outcomes[0] else { panic!("{done:?}") };
    let mut sessions = SessionTable::new(SessionLimits::default());
    let mut session = Session::new();
    session.add(&prompt(), 16).unwrap();
    sessions.put(session_key(), session, store.clock_ms());

    let change = |id: &str, line: &str| LayerChange {
        op: LayerOp::append("ponds", id, line.to_owned()).unwrap(),
        client: "drone-7".to_owned(),
        session: "walk".to_owned(),
    };
    let answer: Arc<[u8]> = Arc::from(&br#"{"status":"ok"}"#[..]);
    let mut message = OutboxMessage::new(Class::Answer, "answers/drone-7", Arc::clone(&answer));
    message.correlation = Some(vec![0, 255]);
    let finish = Finish {
        inbox: Some(seq),
        messages: vec![message],
        answer: request("1").key.map(|key| KeptAnswer {
            key,
            payload: answer,
            client: "a".to_owned(),
            changes_state: true,
        }),
        sessions: vec![SessionChange::Put {
            name: session_key().stored_name(),
            state: sessions.stored(&session_key()).unwrap(),
        }],
        layers: vec![change("a1", OBJECT)],
    };
    let done = store.commit(vec![Change::Finish(Box::new(finish))]).unwrap();
    let applied = layers.apply(&done.journal);
    let half = Finish { layers: vec![change("a2", &OBJECT.replace("a1", "a2"))], ..Finish::default() };
    store
        .commit(vec![
            Change::JournalDone(applied.done),
            Change::Receive(Box::new(request("2"))),
            Change::Finish(Box::new(half)),
            Change::Count { name: "dropped_mask".to_owned(), by: 3 },
        ])
        .unwrap();
}

fn check_state(state: &Path) {
    let opened = Store::open(state, StoreLimits::default()).unwrap();
    assert_eq!(opened.problem, None);
    let store = opened.store;
    let waiting = store.inbox().unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].entry, request("2"));
    let outbox = store.outbox_after(0, 10, 1 << 20).unwrap();
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox[0].message.topic, "answers/drone-7");
    assert_eq!(outbox[0].message.correlation, Some(vec![0, 255]));
    assert!(matches!(store.lookup(&request("1").key.unwrap()).unwrap(), Lookup::Same(_)));
    assert_eq!(store.counters().unwrap()["dropped_mask"], 3);

    let (sessions, unreadable) =
        SessionTable::restore(SessionLimits::default(), &store.sessions().unwrap(), store.clock_ms());
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let session = sessions.get(&session_key(), store.clock_ms()).unwrap();
    assert_eq!(session.prompt_set(), prompt().prompt);
    assert_eq!(session.folder(), Some("valley"));

    let layers = Layers::open(state).unwrap();
    let applied = layers.apply(&store.journal().unwrap());
    assert_eq!((applied.done.len(), applied.failed.len()), (1, 0));
    let page = layers.fetch("ponds", 0, 10, 1 << 20).unwrap();
    assert_eq!(page.lines, [OBJECT.to_owned(), OBJECT.replace("a1", "a2")]);
    assert_eq!(store.last_saved("ponds", "drone-7", "walk").unwrap().as_deref(), Some("a2"));
}

#[test]
fn the_state_of_every_older_version_is_taken_over_whole() {
    if let Some(version) = std::env::var_os("GEOSAM_WRITE_STATE") {
        pack(&fixture(version.to_str().unwrap()));
    }
    for version in VERSIONS {
        let state = tempfile::tempdir().unwrap();
        let from = fixture(version);
        let mut database = Vec::new();
        let packed = File::open(from.join(format!("{FILE_NAME}.gz"))).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut database).unwrap();
        fs::write(state.path().join(FILE_NAME), database).unwrap();
        fs::create_dir(state.path().join("layers")).unwrap();
        fs::copy(from.join("ponds.geojsonl"), state.path().join("layers/ponds.geojsonl")).unwrap();
        check_state(state.path());
    }
}

/// The database has a megabyte, nearly all of it zeros.
fn pack(to: &Path) {
    assert!(!to.exists(), "{} is what that version wrote; it stays as it is", to.display());
    let state = tempfile::tempdir().unwrap();
    write_state(state.path());
    fs::create_dir_all(to).unwrap();
    let packed = File::create(to.join(format!("{FILE_NAME}.gz"))).unwrap();
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
    packed.write_all(&fs::read(state.path().join(FILE_NAME)).unwrap()).unwrap();
    packed.finish().unwrap();
    fs::copy(state.path().join("layers/ponds.geojsonl"), to.join("ponds.geojsonl")).unwrap();
}
