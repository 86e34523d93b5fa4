//! A survey as rows, for going on after a restart: what is known of it, and the pieces of each chip that may still go
//! on.
//!
//! What was given out is not kept: of a chip whose row is read again, the pieces of objects that no chip can add to any
//! more were given out with the last step, and are left out; but for those that are said to be owed still.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::sheet::Piece;
use super::{MOST_SKIPPED, Survey};
use crate::engine::EngineError;
use crate::mask::MaskRuns;

/// The row of the survey itself; those of chips stand under their place, from 1 on.
const HEAD: u64 = 0;

/// What is known of the survey itself.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    /// The folder's long name, which says what is in it.
    folder: String,
    chips: usize,
    place: usize,
    next_id: u64,
    skipped: Vec<(String, String)>,
    skipped_count: usize,
    /// Objects that are done and not given out yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    owed: BTreeSet<u64>,
}

/// What is known of a piece beside its mask.
#[derive(Debug, Serialize, Deserialize)]
struct PieceHead {
    id: u64,
    score: f32,
    stability: f32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
}

impl Survey {
    /// The rows that have changed since the last call; one without a state is to be forgotten.
    pub fn changed_rows(&mut self) -> Vec<(u64, Option<Vec<u8>>)> {
        let head = Head {
            folder: self.folder.folder.long_name(),
            chips: self.plan.len(),
            place: self.place,
            next_id: self.sheet.next_id(),
            skipped: self.skipped.clone(),
            skipped_count: self.skipped_count,
            owed: self.finished.iter().copied().collect(),
        };
        // Numbers and strings: all can be written.
        let mut rows = vec![(HEAD, Some(serde_json::to_vec(&head).unwrap_or_default()))];
        let there: BTreeSet<usize> = self.sheet.places();
        let gone: Vec<usize> = self.kept_rows.difference(&there).copied().collect();
        for place in gone {
            self.kept_rows.remove(&place);
            rows.push((row_of(place), None));
        }
        for place in self.sheet.take_changed() {
            let pieces = self.sheet.at(place);
            if pieces.is_empty() {
                continue;
            }
            let mut row = Vec::new();
            for piece in pieces {
                let Piece { id, score, stability, goes_on_from: from, .. } = *piece;
                let head = serde_json::to_vec(&PieceHead { id, score, stability, from }).unwrap_or_default();
                for part in [head, piece.runs.write()] {
                    row.extend_from_slice(&(part.len() as u32).to_le_bytes());
                    row.extend_from_slice(&part);
                }
            }
            self.kept_rows.insert(place);
            rows.push((row_of(place), Some(row)));
        }
        rows
    }

    /// Goes on where rows were left; `false` where they are of another folder, or damaged.
    ///
    /// # Errors
    /// None of its own: what is given out with the rows is thrown away.
    pub fn resume(&mut self, rows: &[(u64, Vec<u8>)]) -> Result<bool, EngineError> {
        let Some(head) = rows.iter().find(|(row, _)| *row == HEAD) else { return Ok(false) };
        let Ok(head) = serde_json::from_slice::<Head>(&head.1) else { return Ok(false) };
        if head.folder != self.folder.folder.long_name()
            || head.chips != self.plan.len()
            || head.place > head.chips
        {
            return Ok(false);
        }
        let mut pieces = Vec::new();
        for (row, bytes) in rows.iter().filter(|(row, _)| *row != HEAD) {
            let Ok(place) = usize::try_from(*row - 1) else { return Ok(false) };
            let Some(read) = self.pieces_of(place, bytes) else { return Ok(false) };
            pieces.extend(read);
            self.kept_rows.insert(place);
        }
        self.place = head.place;
        self.skipped = head.skipped;
        self.skipped.truncate(MOST_SKIPPED);
        self.skipped_count = head.skipped_count;
        self.sheet.restore(pieces, head.next_id);
        self.relate_all(head.owed);
        Ok(true)
    }

    fn pieces_of(&self, place: usize, mut bytes: &[u8]) -> Option<Vec<Piece>> {
        let window = self.plan.window(place)?;
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let head: PieceHead = serde_json::from_slice(take_part(&mut bytes)?).ok()?;
            let runs = MaskRuns::read(take_part(&mut bytes)?)?;
            if runs.shape() != (window.height as usize, window.width as usize) {
                return None;
            }
            let PieceHead { id, score, stability, from } = head;
            pieces.push(Piece { id, place, window, runs, score, stability, goes_on_from: from });
        }
        Some(pieces)
    }
}

const fn row_of(place: usize) -> u64 {
    place as u64 + 1
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(part)
}
