//! How much the store may hold, and how much it holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes that a row costs beside its payload, as the caps count it: key, header, its share of a page.
pub(super) const ROW_OVERHEAD: u64 = 256;

/// Bounds on what the store keeps on the card. The defaults suit a small card: with all of them reached, by requests
/// of 400 and answers of 5,000 bytes, the database measured 136 MB and the process 27 MB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreLimits {
    /// Bytes of waiting requests, payload and 256 for each. Beyond it a request is answered BUSY.
    pub inbox_bytes: u64,
    /// Bytes of one client's waiting requests, so that one client cannot keep out the others.
    pub inbox_bytes_per_client: u64,
    /// Bytes of messages not yet taken by the broker. Beyond it messages are dropped, see [`super::Class`].
    pub outbox_bytes: u64,
    /// Requests remembered as carried out, so that they are not run again, of those that changed something; and as many
    /// answers of others. Beyond it the client that has most makes room.
    pub answers: usize,
    /// Bytes of the answers' texts. Beyond it those of requests that changed nothing go first; of one that did, that it
    /// was carried out is remembered all the same.
    pub answer_bytes: u64,
    /// Seconds of running time that such an answer is kept: boards have no true clock, so the time that a
    /// board is switched off does not count.
    pub answer_seconds: u64,
    /// Saved objects that `unsave` can still take back, over all layers; older ones stay saved for good.
    pub unsave_objects: usize,
    /// Memory for pages of the database.
    pub cache_bytes: usize,
}

impl StoreLimits {
    /// How long answers are kept.
    pub const fn answer_age(&self) -> Duration {
        Duration::from_secs(self.answer_seconds)
    }

    /// The same bounds, or smaller ones where the card has not room for them: the database must not fill the card by
    /// itself, since nothing can be done then that would make it smaller. It may take half of the room, and needs half as
    /// much again as the caps count. What is held already is not thrown away.
    #[must_use]
    pub fn within(self, room: u64, held: &Depths) -> Self {
        const LEAST: u64 = 1024 * 1024;
        let wanted = self.inbox_bytes.saturating_add(self.outbox_bytes).saturating_add(self.answer_bytes);
        let allowed = room / 3;
        if wanted <= allowed {
            return self;
        }
        let part = |cap: u64, held: u64| {
            let share = u128::from(cap) * u128::from(allowed) / u128::from(wanted);
            // The share is at most the cap.
            u64::try_from(share).unwrap_or(cap).max(LEAST.min(cap)).max(held.min(cap))
        };
        let inbox_bytes = part(self.inbox_bytes, held.inbox_bytes);
        let smaller = Self {
            inbox_bytes,
            inbox_bytes_per_client: self.inbox_bytes_per_client.min((inbox_bytes / 2).max(1)),
            outbox_bytes: part(self.outbox_bytes, held.outbox_bytes),
            answer_bytes: part(self.answer_bytes, held.answer_bytes),
            ..self
        };
        let Self { inbox_bytes, outbox_bytes, answer_bytes, .. } = smaller;
        tracing::warn!(
            room,
            inbox_bytes,
            outbox_bytes,
            answer_bytes,
            "the card has little room; less is kept in the state"
        );
        smaller
    }
}

impl Default for StoreLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            inbox_bytes: 16 * MIB,
            inbox_bytes_per_client: 8 * MIB,
            outbox_bytes: 64 * MIB,
            answers: 4096,
            answer_bytes: 16 * MIB,
            // As long as the broker keeps our session, so as long as it may send a request again.
            answer_seconds: 7 * 24 * 3600,
            unsave_objects: 10_000,
            cache_bytes: 8 * 1024 * 1024,
        }
    }
}

/// How much is waiting, for `health`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Depths {
    /// Requests not yet answered.
    pub inbox: usize,
    /// Their bytes, as the cap counts them.
    pub inbox_bytes: u64,
    /// Messages not yet taken by the broker.
    pub outbox: usize,
    /// Their bytes, as the cap counts them.
    pub outbox_bytes: u64,
    /// Answers kept for requests that come again.
    pub answers: usize,
    /// Bytes of their texts, as the cap counts them.
    pub answer_bytes: u64,
    /// Changes of layer files not yet known to be on the card.
    pub journal: usize,
    /// Their bytes. When layer files cannot be written this grows, and `save` is refused beyond a few MB.
    pub journal_bytes: u64,
}
