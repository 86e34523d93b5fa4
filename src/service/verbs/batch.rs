//! Batches: many objects in one request, prompt by prompt. All that a batch changes is in its answer, which is one.

mod saves;
mod segments;

use saves::SaveBatch;
use segments::SegmentBatch;
use serde_json::Map;

use super::pieces::Slice;
use super::simplified::Simplified;
use crate::api::PromptItem;
use crate::bus::Verb;
use crate::service::context::Context;
use crate::service::job::Job;
use crate::service::performed::{Performed, Refusal};
use crate::service::pulse::Organ;
use crate::service::under_way::Work;

/// How far a batch has come.
pub(in crate::service) enum Batch {
    Segments(SegmentBatch),
    Saves(SaveBatch),
}

impl Context {
    /// Goes on with a batch, to its end or until `pause` says after a prompt that it is to give way.
    pub(super) fn batch(&self, job: &Job, batch: Option<Box<Batch>>, pause: &dyn Fn() -> bool) -> Slice {
        let items = job.request.batch.as_deref().unwrap_or_default();
        let begun = batch.map_or_else(|| self.begin_batch(job, items).map(Box::new), Ok);
        let over = begun.and_then(|mut batch| {
            while self.next_of_batch(job, items, &mut batch)? {
                if pause() {
                    self.under_way.keep(job, Work::Batch(batch));
                    return Ok(None);
                }
            }
            Ok(Some(match *batch {
                Batch::Segments(segments) => segments.answered(job),
                Batch::Saves(saves) => saves.answered(job),
            }))
        });
        match over {
            Ok(None) => Slice::Paused,
            Ok(Some(performed)) => Slice::Over(Box::new(performed)),
            Err(refusal) => Slice::Over(Box::new(Self::refusal(job, refusal))),
        }
    }

    fn begin_batch(&self, job: &Job, items: &[PromptItem]) -> Result<Batch, Refusal> {
        match job.address.verb {
            Verb::Save => self.begin_saves(job).map(Batch::Saves),
            _ => Ok(Batch::Segments(self.begin_segments(items))),
        }
    }

    /// Decodes one prompt; says whether there may be more to do.
    fn next_of_batch(&self, job: &Job, items: &[PromptItem], batch: &mut Batch) -> Result<bool, Refusal> {
        self.pulse.beat(Organ::Decoder);
        match batch {
            Batch::Segments(segments) => Ok(self.next_segment(job, items, segments)),
            Batch::Saves(saves) => self.next_save(job, items, saves),
        }
    }

    fn batch_chips(&self) -> Chips {
        Chips(u16::try_from(self.batch_chips).unwrap_or(u16::MAX))
    }
}

/// Adds an entry's answer to those before it.
fn append(results: &mut Vec<u8>, entry: &[u8]) {
    if !results.is_empty() {
        results.push(b',');
    }
    results.extend_from_slice(entry);
}

/// The answer to a batch, of the answers to its entries.
fn answer(job: &Job, results: &[u8], simplified: &Simplified) -> Performed {
    let mut members = Map::new();
    members.extend(simplified.told().map(|told| ("simplified".to_owned(), told)));
    Performed::with_list(job.id(), members, "results", results)
}

/// How many chips the objects of a batch may still be followed over.
struct Chips(u16);

impl Chips {
    /// An item that is followed over no more than are left.
    fn bound(&self, item: PromptItem) -> PromptItem {
        PromptItem { stitch: item.stitch.map(|most| most.min(self.0).max(1)), ..item }
    }

    fn used(&mut self, taken: usize) {
        self.0 = self.0.saturating_sub(u16::try_from(taken).unwrap_or(u16::MAX));
    }
}
