//! Which answers are kept for requests that come again, and which make room first.
//!
//! A request that changed something must not be run again: that it was carried out is remembered by number and age only,
//! and the client that has most makes room first, so that no client can make the board forget what it did for another. Its
//! answer's text is kept as long as there are bytes for it. Answers of requests that changed nothing are a convenience,
//! and the first to go.

use super::change::KeptAnswer;
use super::commit::BatchError;
use super::commit::{Batch, Done};
use super::index::{AnswerRow, Index, Known, Place};
use super::limits::ROW_OVERHEAD;
use super::record::encode;
use super::tables::AnswerHeader;

/// One answer may take this share of the bytes of all; a larger one is not kept, so that it pushes out no others.
const LARGEST_SHARE: u64 = 8;

impl Index {
    pub fn answer_add(&mut self, seq: u64, header: &AnswerHeader) {
        let row = AnswerRow {
            key: header.key,
            bytes: if header.body == 0 { 0 } else { header.bytes as u64 + ROW_OVERHEAD },
            body: header.body,
            clock_ms: header.clock_ms,
            client: header.client.clone(),
            changes_state: header.changes_state,
        };
        self.answer_bytes += row.bytes;
        if row.body != 0 {
            *self.bodies.entry(row.body).or_default() += 1;
        }
        if row.changes_state {
            self.lasting.entry(row.client.clone()).or_default().insert(seq);
            if row.body != 0 {
                self.lasting_bodies.insert(seq);
            }
        } else {
            self.passing.insert(seq);
        }
        self.learn(&row.key, Place::Answer(seq));
        self.answers.insert(seq, row);
    }

    pub fn answer_remove(&mut self, seq: u64) -> Option<AnswerRow> {
        let row = self.answers.remove(&seq)?;
        self.answer_bytes -= row.bytes;
        self.passing.remove(&seq);
        self.lasting_bodies.remove(&seq);
        if let Some(of_client) = self.lasting.get_mut(&row.client) {
            of_client.remove(&seq);
            if of_client.is_empty() {
                self.lasting.remove(&row.client);
            }
        }
        self.forget(&row.key, Place::Answer(seq));
        Some(row)
    }

    /// Where an answer's text is; `None` where only its key is kept.
    pub fn answer_body(&self, seq: u64) -> Option<u64> {
        self.answers.get(&seq).map(|row| row.body).filter(|body| *body != 0)
    }

    /// Forgets where the text is, and says where it was.
    fn answer_strip(&mut self, seq: u64) -> Option<AnswerRow> {
        let row = self.answers.get_mut(&seq)?;
        let before = row.clone();
        self.answer_bytes -= row.bytes;
        (row.bytes, row.body) = (0, 0);
        self.lasting_bodies.remove(&seq);
        Some(before)
    }

    /// The oldest of all.
    fn answer_oldest(&self) -> Option<(u64, u64)> {
        self.answers.first_key_value().map(|(seq, row)| (*seq, row.clock_ms))
    }

    fn lasting_len(&self) -> usize {
        self.answers.len() - self.passing.len()
    }

    /// The oldest answer of the client that has most.
    fn lasting_victim(&self) -> Option<u64> {
        self.lasting.values().max_by_key(|seqs| seqs.len())?.first().copied()
    }
}

impl Batch<'_, '_> {
    pub(super) fn keep_answer(&mut self, answer: KeptAnswer, shared: &mut Vec<u64>) -> Done {
        let KeptAnswer { key, payload, client, changes_state } = answer;
        if matches!(self.index.known(&key), Known::Same(Place::Answer(_))) {
            return Ok(());
        }
        let bytes = payload.len();
        let fits = bytes as u64 + ROW_OVERHEAD <= self.limits.answer_bytes / LARGEST_SHARE;
        if !fits && !changes_state {
            return Ok(());
        }
        let body = if fits { self.body(payload, shared) } else { 0 };
        let header = AnswerHeader { key, clock_ms: self.now_ms, body, bytes, client, changes_state };
        let seq = self.index.take_seq();
        self.index.answer_add(seq, &header);
        self.write_answer(seq, &header)
    }

    fn write_answer(&mut self, seq: u64, header: &AnswerHeader) -> Done {
        let row = encode(header, &[]).map_err(BatchError::Record)?;
        self.tables.answers.insert(seq, row.as_slice())?;
        self.changed = true;
        Ok(())
    }

    pub(super) fn forget_old_answers(&mut self) -> Done {
        let age = u64::try_from(self.limits.answer_age().as_millis()).unwrap_or(u64::MAX);
        while let Some((seq, given_ms)) = self.index.answer_oldest()
            && self.now_ms.saturating_sub(given_ms) > age
        {
            self.forget_answer(seq)?;
        }
        while self.index.lasting_len() > self.limits.answers {
            let Some(seq) = self.index.lasting_victim() else { break };
            self.forget_answer(seq)?;
        }
        while self.index.passing.len() > self.limits.answers {
            let Some(seq) = self.index.passing.first().copied() else { break };
            self.forget_answer(seq)?;
        }
        self.shrink_answers_to(self.limits.answer_bytes)
    }

    /// Makes room: first answers that may be found again, then the texts of others, the oldest first.
    pub(super) fn shrink_answers_to(&mut self, bytes: u64) -> Done {
        while self.index.answer_bytes > bytes {
            if let Some(seq) = self.index.passing.first().copied() {
                self.forget_answer(seq)?;
            } else if let Some(seq) = self.index.lasting_bodies.first().copied() {
                self.strip_answer(seq)?;
            } else {
                break;
            }
        }
        Ok(())
    }

    fn forget_answer(&mut self, seq: u64) -> Done {
        let Some(row) = self.index.answer_remove(seq) else { return Ok(()) };
        self.tables.answers.remove(seq)?;
        self.changed = true;
        if row.body == 0 { Ok(()) } else { self.release_body(row.body) }
    }

    fn strip_answer(&mut self, seq: u64) -> Done {
        let Some(row) = self.index.answer_strip(seq) else { return Ok(()) };
        let AnswerRow { key, clock_ms, client, changes_state, .. } = row;
        self.write_answer(seq, &AnswerHeader { key, clock_ms, body: 0, bytes: 0, client, changes_state })?;
        self.release_body(row.body)
    }
}
