//! A batch of `segment`: many objects in one answer, whose bytes they share.
//!
//! Each object is drawn as it was asked for. Only where all together have more bytes than the answer may have, the largest
//! are drawn again, coarser: those above a level that is as high as it can be, so that nothing small gives way to something
//! large, and nothing gives way while bytes are left.

use serde_json::Map;

use super::ENVELOPE;
use super::simplified::Simplified;
use crate::ErrorCode;
use crate::api::{OutputOptions, PromptItem, Response};
use crate::engine::Segmentation;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal, set_queue_time, to_bytes};
use crate::service::pulse::Organ;
use crate::store::OutboxMessage;

/// What of the objects that may have to be drawn again is kept, by the bytes of their texts, which are several times those of
/// their outlines in memory; others are decoded again.
const KEPT: usize = 16 << 20;
/// Bytes by which a text may differ from one of the same object drawn again: times and tolerance.
const SLACK: usize = 64;

/// An entry's answer.
enum Entry {
    /// As it goes out, and what maps are told.
    Written { text: Vec<u8>, mask: Option<OutboxMessage>, drawn: Option<Drawn> },
    /// Too large beside the others: to be drawn again.
    Large { bytes: usize, kept: Option<Box<Segmentation>> },
}

/// Of an entry that was answered with masks.
#[derive(Clone, Copy)]
struct Drawn {
    tolerance: Option<f64>,
    asked: Option<f64>,
}

/// A batch as it grows.
struct Batch {
    /// Bytes of all answers together.
    room: usize,
    entries: Vec<Entry>,
    /// What is kept of objects that may have to be drawn again, by entry; and the bytes of their texts.
    kept: Vec<Option<Box<Segmentation>>>,
    kept_bytes: usize,
}

impl Context {
    pub(super) fn segment_batch(&self, job: &Job, items: &[PromptItem]) -> Performed {
        // Entries inherit the request's bound; the whole answer may have what the largest of them may.
        let limit = items.iter().map(|item| self.answers.of(&item.output)).max().unwrap_or_default();
        let room = limit.saturating_sub(ENVELOPE.min(limit / 4) + items.len());
        let mut batch = Batch { room, entries: Vec::new(), kept: Vec::new(), kept_bytes: 0 };
        let (mut keep, mut chips) = (true, self.batch_chips());
        // As they are asked: with what is left of the chips to follow them over.
        let mut asked = Vec::with_capacity(items.len());
        for item in items {
            self.pulse.beat(Organ::Decoder);
            let bounded = chips.bound(self.alone(item, room));
            asked.push(PromptItem { output: item.output, ..bounded.clone() });
            match self.decode_entry(&batch, &bounded) {
                Ok(mut segmentation) => {
                    chips.used(segmentation.stitch().map_or(0, |report| report.chips.len()));
                    let entry = self.written(job, &bounded, &mut segmentation);
                    // Below an equal share nothing is ever asked to give way.
                    let may_be_large = entry.bytes() > room / items.len().max(1);
                    batch.push(entry, may_be_large.then_some(segmentation));
                }
                Err(refusal) => {
                    keep = false;
                    batch.push(refused(&bounded, refusal), None);
                }
            }
        }
        for index in 0..items.len() {
            let Some(level) = batch.level_of(index) else { continue };
            self.pulse.beat(Organ::Decoder);
            let entry = match self.redrawn(job, &asked[index], &mut batch, index, level) {
                Ok(entry) => entry,
                Err(refusal) => {
                    keep = false;
                    refused(&items[index], refusal)
                }
            };
            batch.entries[index] = entry;
        }
        let (mut results, mut messages, mut simplified) = (Vec::new(), Vec::new(), Simplified::default());
        for entry in batch.entries {
            let Entry::Written { text, mask, drawn } = entry else { continue };
            if !results.is_empty() {
                results.push(b',');
            }
            results.extend_from_slice(&text);
            messages.extend(mask);
            if let Some(Drawn { tolerance, asked }) = drawn {
                simplified.note(tolerance, asked);
            }
        }
        let mut members = Map::new();
        members.extend(simplified.told().map(|told| ("simplified".to_owned(), told)));
        let answer = Performed::with_list(job.id(), members, "results", &results);
        Performed { messages, keep, ..answer }
    }

    /// An item that may have all the room, as far as its own bound allows.
    fn alone(&self, item: &PromptItem, room: usize) -> PromptItem {
        let most = self.answers.of(&item.output).min(room);
        let own = most.saturating_sub(ENVELOPE.min(most / 4)).max(1);
        PromptItem { output: OutputOptions { max_bytes: Some(own), ..item.output }, ..item.clone() }
    }

    fn decode_entry(&self, batch: &Batch, item: &PromptItem) -> Result<Segmentation, Refusal> {
        if batch.least() < self.answers.most {
            return self.decode(item);
        }
        let text =
            "the answers before it are all that one message may hold; ask for it in a batch of its own";
        Err(Refusal(ErrorCode::TooLarge, text.to_owned()))
    }

    fn written(&self, job: &Job, item: &PromptItem, segmentation: &mut Segmentation) -> Entry {
        let mask = self.mask_message(job, segmentation, &item.output);
        let drawn = Drawn { tolerance: segmentation.tolerance(), asked: item.output.simplification() };
        let mut response = segmentation.take_response(item.id.clone());
        response.properties.clone_from(&item.properties);
        set_queue_time(&mut response, job);
        Entry::Written { text: to_bytes(&response).to_vec(), mask, drawn: Some(drawn) }
    }

    /// An entry drawn again, in at most so many bytes.
    fn redrawn(
        &self,
        job: &Job,
        item: &PromptItem,
        batch: &mut Batch,
        index: usize,
        level: usize,
    ) -> Result<Entry, Refusal> {
        let whole = self.alone(item, batch.room);
        let (bytes, kept) = match &mut batch.entries[index] {
            Entry::Large { bytes, kept } => (*bytes, kept.take()),
            Entry::Written { text, .. } => (text.len(), None),
        };
        let mut segmentation = match kept {
            Some(segmentation) => *segmentation,
            None => self.decode(&whole)?.undrawn(),
        };
        let output = if level >= bytes {
            // The others have left it enough.
            whole.output
        } else {
            // What stands around the polygons, which are what the engine bounds.
            let mut empty = segmentation.take_response(item.id.clone());
            empty.properties.clone_from(&item.properties);
            let around = to_bytes(&empty).len() + SLACK;
            OutputOptions { max_bytes: Some(level.saturating_sub(around).max(1)), ..item.output }
        };
        let item = PromptItem { output, ..item.clone() };
        Ok(self.written(job, &item, &mut segmentation.drawn(&item.output)?))
    }
}

/// How many chips the objects of a batch may still be followed over.
pub(super) struct Chips(u16);

impl Context {
    pub(super) fn batch_chips(&self) -> Chips {
        Chips(u16::try_from(self.batch_chips).unwrap_or(u16::MAX))
    }
}

impl Chips {
    /// An item that is followed over no more than are left.
    pub fn bound(&self, item: PromptItem) -> PromptItem {
        PromptItem { stitch: item.stitch.map(|most| most.min(self.0).max(1)), ..item }
    }

    pub fn used(&mut self, taken: usize) {
        self.0 = self.0.saturating_sub(u16::try_from(taken).unwrap_or(u16::MAX));
    }
}

fn refused(item: &PromptItem, Refusal(code, text): Refusal) -> Entry {
    let mut response = Response::error(item.id.clone(), code, text);
    response.properties.clone_from(&item.properties);
    Entry::Written { text: to_bytes(&response).to_vec(), mask: None, drawn: None }
}

impl Entry {
    /// Bytes of its text as it was asked for.
    const fn bytes(&self) -> usize {
        match self {
            Self::Written { text, .. } => text.len(),
            Self::Large { bytes, .. } => *bytes,
        }
    }

    /// Whether it could be drawn in fewer bytes.
    const fn gives_way(&self) -> bool {
        match self {
            Self::Written { drawn, .. } => drawn.is_some(),
            Self::Large { .. } => true,
        }
    }
}

impl Batch {
    /// The least that the answer will have.
    fn least(&self) -> usize {
        let written = |entry: &Entry| if entry.gives_way() { 0 } else { entry.bytes() };
        self.entries.iter().map(written).sum()
    }

    fn push(&mut self, entry: Entry, segmentation: Option<Segmentation>) {
        let bytes = entry.bytes();
        let kept = segmentation.filter(|_| self.kept_bytes + bytes <= KEPT);
        if kept.is_some() {
            self.kept_bytes += bytes;
        }
        self.kept.push(kept.map(|segmentation| Box::new(segmentation.undrawn())));
        self.entries.push(entry);
        let level = level(&self.sizes(0), self.room.saturating_sub(self.least()));
        for (entry, kept) in self.entries.iter_mut().zip(&mut self.kept) {
            if entry.gives_way() && matches!(entry, Entry::Written { .. }) && entry.bytes() > level {
                *entry = Entry::Large { bytes: entry.bytes(), kept: kept.take() };
            }
        }
    }

    /// Bytes of the entries that could be drawn in fewer, from this one on.
    fn sizes(&self, from: usize) -> Vec<usize> {
        self.entries.iter().skip(from).filter(|entry| entry.gives_way()).map(Entry::bytes).collect()
    }

    /// How many bytes an entry that is to be drawn again may have: what the others leave, shared among those that are still to
    /// be drawn.
    fn level_of(&self, index: usize) -> Option<usize> {
        let is_large = |entry: &&Entry| matches!(entry, Entry::Large { .. });
        self.entries.get(index).filter(is_large)?;
        let written: usize = self.entries.iter().filter(|entry| !is_large(entry)).map(Entry::bytes).sum();
        let large: Vec<usize> = self.entries.iter().filter(is_large).map(Entry::bytes).collect();
        Some(level(&large, self.room.saturating_sub(written)))
    }
}

/// The level above which sizes are to be cut so that their sum fits: as high as it can be.
fn level(sizes: &[usize], mut room: usize) -> usize {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    for (index, size) in sizes.iter().enumerate() {
        let left = sizes.len() - index;
        if size.saturating_mul(left) > room {
            return room / left;
        }
        room -= size;
    }
    usize::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_cut_while_all_fits_and_then_the_largest_only() {
        assert_eq!(level(&[10, 20, 30], 60), usize::MAX);
        assert_eq!(level(&[10, 20, 30], 59), 29);
        assert_eq!(level(&[10, 500, 400], 110), 50);
        assert_eq!(level(&[500, 400], 100), 50);
        assert_eq!(level(&[], 0), usize::MAX);
        assert_eq!(level(&[1], 0), 0);
    }

    proptest::proptest! {
        #[test]
        fn a_level_uses_the_room_up(sizes in proptest::collection::vec(0usize..1000, 0..40), room in 0usize..20_000) {
            let level = level(&sizes, room);
            let used: usize = sizes.iter().map(|size| (*size).min(level)).sum();
            proptest::prop_assert!(used <= room);
            if sizes.iter().any(|size| *size > level) {
                // Less than one byte for each is left over.
                proptest::prop_assert!(room - used < sizes.len());
            }
        }
    }
}
