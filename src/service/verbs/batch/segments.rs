//! A batch of `segment`: many objects in one answer, whose bytes they share.
//!
//! Each object is drawn as it was asked for. Only where all together have more bytes than the answer may have, the largest
//! are drawn again, coarser: those above a level that is as high as it can be, so that nothing small gives way to something
//! large, and nothing gives way while bytes are left.

use super::{Chips, answer, append};
use crate::ErrorCode;
use crate::api::{OutputOptions, PromptItem, Response};
use crate::engine::Segmentation;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal, set_queue_time, to_bytes};
use crate::service::schedule::MOST_BATCHES;
use crate::service::verbs::simplified::Simplified;
use crate::service::verbs::{SLACK, set_aside};
use crate::store::OutboxMessage;

/// What of the objects that may have to be drawn again is kept, by the bytes of their texts, which are several times those of
/// their outlines in memory; others are decoded again.
const KEPT: usize = (16 << 20) / MOST_BATCHES;

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

/// How far a batch of `segment` has come.
pub(in crate::service) struct SegmentBatch {
    /// Bytes of all answers together.
    room: usize,
    entries: Vec<Entry>,
    /// Their prompts as they are asked: with what is left of the chips to follow them over.
    asked: Vec<PromptItem>,
    /// What is kept of objects that may have to be drawn again, by entry; and the bytes of their texts.
    kept: Vec<Option<Box<Segmentation>>>,
    kept_bytes: usize,
    /// Entries that have been looked at again, when all are decoded.
    redrawn: usize,
    chips: Chips,
    /// Whether the same request gets the same answer when it comes again.
    keep: bool,
}

impl Context {
    pub(super) fn begin_segments(&self, items: &[PromptItem]) -> SegmentBatch {
        // Entries inherit the request's bound; the whole answer may have what the largest of them may.
        let limit = items.iter().map(|item| self.answers.of(&item.output)).max().unwrap_or_default();
        let room = limit.saturating_sub(set_aside(limit) + items.len());
        SegmentBatch {
            room,
            entries: Vec::new(),
            asked: Vec::with_capacity(items.len()),
            kept: Vec::new(),
            kept_bytes: 0,
            redrawn: 0,
            chips: self.batch_chips(),
            keep: true,
        }
    }

    /// Decodes the next prompt, or when all are draws the next object anew that has to give way; says whether there was one.
    pub(super) fn next_segment(&self, job: &Job, items: &[PromptItem], batch: &mut SegmentBatch) -> bool {
        if let Some(item) = items.get(batch.entries.len()) {
            let bounded = batch.chips.bound(self.alone(item, batch.room));
            batch.asked.push(PromptItem { output: item.output, ..bounded.clone() });
            match self.decode_entry(batch, &bounded) {
                Ok(mut segmentation) => {
                    batch.chips.used(segmentation.stitch().map_or(0, |report| report.chips.len()));
                    let entry = self.written(job, &bounded, &mut segmentation);
                    // Below an equal share nothing is ever asked to give way.
                    let may_be_large = entry.bytes() > batch.room / items.len().max(1);
                    batch.push(entry, may_be_large.then_some(segmentation));
                }
                Err(refusal) => {
                    batch.keep = false;
                    batch.push(refused(&bounded, refusal), None);
                }
            }
            return true;
        }
        while let Some(asked) = batch.asked.get(batch.redrawn).cloned() {
            let index = batch.redrawn;
            batch.redrawn += 1;
            let Some(level) = batch.level_of(index) else { continue };
            let entry = self.redrawn(job, &asked, batch, index, level).unwrap_or_else(|refusal| {
                batch.keep = false;
                refused(&asked, refusal)
            });
            batch.entries[index] = entry;
            return true;
        }
        false
    }

    /// An item that may have all the room, as far as its own bound allows.
    fn alone(&self, item: &PromptItem, room: usize) -> PromptItem {
        let most = self.answers.of(&item.output).min(room);
        let own = most.saturating_sub(set_aside(most)).max(1);
        PromptItem { output: OutputOptions { max_bytes: Some(own), ..item.output }, ..item.clone() }
    }

    fn decode_entry(&self, batch: &SegmentBatch, item: &PromptItem) -> Result<Segmentation, Refusal> {
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
        batch: &mut SegmentBatch,
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

impl SegmentBatch {
    pub(super) fn answered(self, job: &Job) -> Performed {
        let (mut results, mut messages, mut simplified) = (Vec::new(), Vec::new(), Simplified::default());
        for entry in self.entries {
            let Entry::Written { text, mask, drawn } = entry else { continue };
            append(&mut results, &text);
            messages.extend(mask);
            if let Some(Drawn { tolerance, asked }) = drawn {
                simplified.note(tolerance, asked);
            }
        }
        Performed { messages, keep: self.keep, ..answer(job, &results, &simplified) }
    }

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
        let level = level(&self.sizes(), self.room.saturating_sub(self.least()));
        for (entry, kept) in self.entries.iter_mut().zip(&mut self.kept) {
            if entry.gives_way() && matches!(entry, Entry::Written { .. }) && entry.bytes() > level {
                *entry = Entry::Large { bytes: entry.bytes(), kept: kept.take() };
            }
        }
    }

    /// Bytes of the entries that could be drawn in fewer.
    fn sizes(&self) -> Vec<usize> {
        self.entries.iter().filter(|entry| entry.gives_way()).map(Entry::bytes).collect()
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
