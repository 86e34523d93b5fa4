//! `mask_of` in a stream of requests: the masks of its last answers.

use std::collections::VecDeque;

use crate::api::RequestId;
use crate::engine::{LowResMask, Segmentation};

/// How many are kept, 16 MB of SAM's.
const KEPT: usize = 64;

/// Masks of the last answers, by id; the latest last.
#[derive(Debug, Default)]
pub(super) struct LastMasks(VecDeque<(String, LowResMask)>);

impl LastMasks {
    /// Keeps the mask of an answer, in place of an older one of the same id.
    pub(super) fn keep(&mut self, id: &RequestId, answer: &Segmentation) {
        let Some(mask) = answer.low_res_mask() else { return };
        let id = id.to_string();
        self.0.retain(|(known, _)| *known != id);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((id, mask));
    }

    /// The mask of an answer.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub(super) fn of(&self, id: &RequestId) -> Result<&LowResMask, String> {
        let wanted = id.to_string();
        let found = self.0.iter().find(|(id, _)| *id == wanted);
        found.map(|(_, mask)| mask).ok_or_else(|| {
            format!(
                "no mask of an answer {id} is kept: those of the last {KEPT} requests with an \"id\" of this input are, as far \
                 as they were answered, and no batches; send the prompt without \"mask_of\", and refine that answer"
            )
        })
    }
}
