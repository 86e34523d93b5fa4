//! What must not be lost, in one database on the card: requests received and not yet answered, messages not yet
//! taken by the broker, answers for requests that come again, sessions, and the journal of the layer files.
//!
//! Here is no MQTT and no thread. What a verb means, what an answer says and when to send it again is the
//! service's affair; what a session's state means the session module's; layer files are `layers`'.
//!
//! # Invariants
//!
//! 1. A batch given to [`Store::commit`] takes place as a whole or not at all, and is on the card when `commit`
//!    returns `Ok`. It costs one sync of the card ([`Store::syncs`]), or none if it changes nothing; one more each
//!    time the file grows, which it does by doubling.
//! 2. A request leaves the inbox only in the batch that puts its answer into the outbox ([`Finish`]).
//! 3. An [`Advance`] takes place only if its request is still in the inbox, and what it keeps of it is forgotten with the [`Finish`].
//!    A [`Finish`] takes place only if its request is still in the inbox: a request run twice answers, changes
//!    its session and saves once.
//! 4. A message leaves the outbox only by [`Change::Acked`], by [`Change::Discard`], or by the cap; the last two
//!    are in [`Committed::dropped`] and in a lasting counter ([`drop_counter`]).
//! 5. A place in the order (`seq`) is given once in the life of a database, also across restarts, and grows.
//! 6. Two requests with one [`RequestKey`] are never both in the inbox, and never in the inbox while an answer
//!    under that key is stored.
//! 7. A layer change is in the journal from the batch that answers its request until the batch after the one
//!    that wrote it to its file. Making it twice is making it once ([`crate::layers`]), so each saved object is
//!    in its layer exactly once.
//! 8. No cap is exceeded when `commit` returns. What is dropped, and in which order, stands at [`Class`].
//! 9. A damaged database never keeps the appliance from starting: it is moved to `state.redb.bad-<n>` and a new
//!    one begun, and [`Opened::problem`] says so. A database of a newer format is refused and left alone.
//!
//! Outside the promise: a card that reports a sync as done before it is, and somebody else writing the file.
//!
//! # On the card
//!
//! `<state>/state.redb` (redb 4), tables:
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | `format`, `next_seq` (last place given), `clock_ms` (running time) |
//! | `inbox` | seq | header: client, verb, MQTT properties, key; body: the payload as it came |
//! | `outbox` | seq | header: topic, QoS, class, MQTT properties, place of the payload |
//! | `answers` | seq | header: key, time, place of the payload |
//! | `bodies` | seq | payload, shared by the messages and the stored answer of one request |
//! | `sessions` | name | state, as the session module writes it |
//! | `journal` | seq | header: layer, id, append or remove; body: the feature's line |
//! | `saved` | seq | header: layer, client, session, id; what `unsave` may take back |
//! | `progress` | seq of the request, number | state of a request that is answered step by step, as its verb writes it |
//! | `counters` | name | number |
//!
//! A row with a header is `length (u32 LE) | JSON | body`. Caps count a row as its payload
//! and 256 bytes.
//!
//! # Intended use
//!
//! One committer thread owns the calls to [`Store::commit`]. It takes what has come meanwhile from its queue,
//! commits it as one batch, writes the layer changes, and only then tells the others: acknowledge these requests,
//! run these, publish from the outbox. While a sync takes 20 ms on a slow card the next batch gathers, so a burst
//! costs few syncs, and a single request waits for no timer. Acknowledgements and [`Change::JournalDone`] ride
//! along with the next batch. Decoder workers send [`Change::Finish`]; the publisher reads the outbox from its
//! own cursor with [`Store::outbox_after`], which does not wait for a commit under way, and starts again from 0
//! after a reconnect. Requests of one session are to be run one after the other, each after the commit of the one
//! before it, since [`Store::last_saved`] and the session's state are those of the last commit.
//!
//! ```
//! use geosam_edge::layers::{LayerOp, Layers};
//! use geosam_edge::store::{Change, Class, Finish, InboxEntry, LayerChange, Outcome, OutboxMessage};
//! use geosam_edge::store::{Store, StoreLimits};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let state = tempfile::tempdir()?;
//! # let state = state.path();
//! let opened = Store::open(state, StoreLimits::default())?;
//! let store = opened.store;
//! let layers = Layers::open(state)?;
//! // What a crash has left between the database and the files.
//! let mut done = layers.apply(&store.journal()?).done;
//! // What was acknowledged and not answered is run again: store.inbox()?
//!
//! let request = InboxEntry { client: "drone-7".into(), verb: "save".into(), ..InboxEntry::default() };
//! let committed = store.commit(vec![Change::JournalDone(done), Change::Receive(Box::new(request))])?;
//! let Outcome::Received(seq) = committed.outcomes[1] else { panic!("full or known") };
//! // Now it may be acknowledged to the broker.
//!
//! let line = r#"{"type":"Feature","id":"a1","geometry":null,"properties":{}}"#;
//! let op = LayerOp::append("ponds", "a1", line.into())?;
//! let answer = OutboxMessage::new(Class::Answer, "geosam/b/response/drone-7/save", &b"{}"[..]);
//! let committed = store.commit(vec![Change::Finish(Box::new(Finish {
//!     inbox: Some(seq),
//!     messages: vec![answer],
//!     layers: vec![LayerChange { op, client: "drone-7".into(), session: "s1".into() }],
//!     ..Finish::default()
//! }))])?;
//! done = layers.apply(&committed.journal).done;
//!
//! // The publisher, and the broker's PUBACK.
//! let waiting = store.outbox_after(0, 100, 1 << 20)?;
//! assert_eq!(waiting[0].message.topic, "geosam/b/response/drone-7/save");
//! store.commit(vec![Change::Acked(vec![waiting[0].seq]), Change::JournalDone(done)])?;
//! assert_eq!(store.last_saved("ponds", "drone-7", "s1")?.as_deref(), Some("a1"));
//! # Ok(()) }
//! ```

mod answers;
mod backend;
mod change;
mod commit;
mod error;
mod index;
mod key;
mod limits;
mod load;
mod open;
mod read;
mod record;
mod state;
mod tables;
#[cfg(test)]
mod tests;

pub use change::{
    Advance, Change, Class, Committed, DropCause, Dropped, Finish, InboxEntry, KeptAnswer, LayerChange,
    Lookup, OutboxEntry, OutboxMessage, Outcome, SessionChange, Waiting,
};
pub use error::StoreError;
pub use key::RequestKey;
pub use limits::{Depths, StoreLimits};
pub use open::Problem;
pub use state::{Opened, Store};

/// The database's file name in the state directory.
pub const FILE_NAME: &str = "state.redb";

/// The lasting counter of dropped messages of a class, see [`Store::counters`].
pub fn drop_counter(class: Class) -> String {
    format!("dropped_{}", class.as_str())
}
