//! All sessions: bounded in number and age.
//!
//! A client beyond its share loses the session that it has not used for longest; a new session beyond the bound for
//! all makes the one unused for longest, of whichever client, go. Sessions without prompts, such as those that were saved,
//! go before all others. Refusing instead would let forgotten sessions lock clients out until they age. Time is what the caller says, in milliseconds that never run backwards
//! ([`crate::store::Store::clock_ms`]; the wall clock of a board may jump by years).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Session, SessionError};

/// Bounds on sessions; told in `info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionLimits {
    /// Sessions of all clients.
    pub sessions: usize,
    /// Sessions of one client.
    pub per_client: usize,
    /// Seconds after which an unused session ends.
    pub idle_seconds: u64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        // As long as the broker keeps what a client asks of it.
        Self { sessions: 256, per_client: 32, idle_seconds: 7 * 24 * 3600 }
    }
}

/// Whose session, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// Client.
    pub client: String,
    /// Session.
    pub session: String,
}

impl SessionKey {
    /// A key.
    pub fn new(client: impl Into<String>, session: impl Into<String>) -> Self {
        Self { client: client.into(), session: session.into() }
    }

    /// Its name in the store: `client/session`. Neither part can have a slash in it.
    pub fn stored_name(&self) -> String {
        format!("{}/{}", self.client, self.session)
    }
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    used_ms: u64,
    session: Session,
}

/// The sessions of all clients.
///
/// To change one: take a copy with [`SessionTable::get`], change and decode it, and [`SessionTable::put`] it only
/// when all went well, so that a prompt that cannot be decoded leaves no trace.
#[derive(Debug, Clone, Default)]
pub struct SessionTable {
    limits: SessionLimits,
    entries: BTreeMap<SessionKey, Entry>,
}

impl SessionTable {
    /// A table without sessions.
    pub const fn new(limits: SessionLimits) -> Self {
        Self { limits, entries: BTreeMap::new() }
    }

    /// The table as it was stored ([`crate::store::Store::sessions`]). What cannot be read is left out and told;
    /// delete it from the store.
    pub fn restore(
        limits: SessionLimits,
        stored: &BTreeMap<String, Vec<u8>>,
        now_ms: u64,
    ) -> (Self, Vec<SessionError>) {
        let mut table = Self::new(limits);
        let mut problems = Vec::new();
        for (name, state) in stored {
            match (name.split_once('/'), serde_json::from_slice::<Entry>(state)) {
                (Some((client, session)), Ok(mut entry)) => {
                    // A replaced database begins its time anew.
                    entry.used_ms = entry.used_ms.min(now_ms);
                    table.entries.insert(SessionKey::new(client, session), entry);
                }
                (None, _) => problems.push(unreadable(name, "its name has no client".to_owned())),
                (_, Err(error)) => problems.push(unreadable(name, error.to_string())),
            }
        }
        (table, problems)
    }

    /// A session.
    ///
    /// # Errors
    /// If there is none of that name, or it has ended by age.
    pub fn get(&self, key: &SessionKey, now_ms: u64) -> Result<&Session, SessionError> {
        let entry = self.entries.get(key).filter(|entry| !self.is_old(entry, now_ms));
        entry.map(|entry| &entry.session).ok_or_else(|| {
            let (client, session) = (key.client.clone(), key.session.clone());
            SessionError::Unknown { client, session }
        })
    }

    /// Keeps a session's new state and notes that it was used now. Says which others ended to make room: delete
    /// them from the store in the same commit.
    pub fn put(&mut self, key: SessionKey, session: Session, now_ms: u64) -> Vec<SessionKey> {
        let client = key.client.clone();
        self.entries.insert(key.clone(), Entry { used_ms: now_ms, session });
        let mut ended = Vec::new();
        while self.entries.keys().filter(|k| k.client == client).count() > self.limits.per_client.max(1) {
            let Some(oldest) = self.oldest(|k| k.client == client && *k != key) else { break };
            self.entries.remove(&oldest);
            ended.push(oldest);
        }
        while self.entries.len() > self.limits.sessions.max(1) {
            // The client that has most makes room, so that a crowd pushes out itself; first what is empty, whosever it is.
            let mut held: BTreeMap<&str, usize> = BTreeMap::new();
            self.entries.keys().for_each(|key| *held.entry(key.client.as_str()).or_default() += 1);
            let most = held.values().copied().max().unwrap_or_default();
            let makes_room = |k: &SessionKey| {
                let is_empty = self.entries.get(k).is_some_and(|entry| entry.session.is_empty());
                is_empty || held.get(k.client.as_str()) == Some(&most)
            };
            let Some(oldest) = self.oldest(|k| *k != key && makes_room(k)) else { break };
            self.entries.remove(&oldest);
            ended.push(oldest);
        }
        ended
    }

    fn oldest(&self, among: impl Fn(&SessionKey) -> bool) -> Option<SessionKey> {
        let candidates = self.entries.iter().filter(|(key, _)| among(key));
        let worth = |(_, entry): &(&SessionKey, &Entry)| (!entry.session.is_empty(), entry.used_ms);
        candidates.min_by_key(worth).map(|(key, _)| key.clone())
    }

    /// Ends the sessions that were not used for too long; delete them from the store.
    pub fn expire(&mut self, now_ms: u64) -> Vec<SessionKey> {
        let old: Vec<SessionKey> =
            self.entries.iter().filter(|(_, e)| self.is_old(e, now_ms)).map(|(key, _)| key.clone()).collect();
        for key in &old {
            self.entries.remove(key);
        }
        old
    }

    fn is_old(&self, entry: &Entry, now_ms: u64) -> bool {
        now_ms.saturating_sub(entry.used_ms) > self.limits.idle_seconds.saturating_mul(1000)
    }

    /// A session's state for the store ([`crate::store::SessionChange::Put`]); `None` if there is none.
    pub fn stored(&self, key: &SessionKey) -> Option<Vec<u8>> {
        // Numbers, strings and lists only: serde_json writes them all.
        self.entries.get(key).and_then(|entry| serde_json::to_vec(entry).ok())
    }

    /// All sessions in order of client and name.
    pub fn iter(&self) -> impl Iterator<Item = (&SessionKey, &Session)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.session))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn unreadable(name: &str, problem: String) -> SessionError {
    SessionError::Unreadable { name: name.to_owned(), problem }
}
