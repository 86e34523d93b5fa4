//! The plans of a decoder: one per number of prompt tokens, made when first needed, the last few kept.

use std::sync::{Arc, Mutex, PoisonError};

use super::Plan;
use crate::decoder::error::DecoderError;

/// Plans by number of prompt tokens, the most recently used first.
#[derive(Debug)]
pub(super) struct Plans {
    capacity: usize,
    slots: Mutex<Vec<(usize, Arc<Slot>)>>,
}

/// A plan, or the place where it is being made: threads that want the same one wait, others do not.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<Arc<Plan>>>);

impl Plans {
    /// None yet, and never more than `capacity`.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, slots: Mutex::new(Vec::new()) }
    }

    /// The plan for `n` prompt tokens, made by `make` if it is not there.
    pub fn get(
        &self,
        n: usize,
        make: impl FnOnce() -> Result<Plan, DecoderError>,
    ) -> Result<Arc<Plan>, DecoderError> {
        let slot = self.slot(n);
        // A panic inside `make` leaves the slot empty, which is a valid state.
        let mut plan = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = &*plan {
            return Ok(Arc::clone(plan));
        }
        let made = Arc::new(make()?);
        *plan = Some(Arc::clone(&made));
        Ok(made)
    }

    fn slot(&self, n: usize) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match slots.iter().position(|(tokens, _)| *tokens == n) {
            Some(i) => slots.remove(i).1,
            None => Arc::default(),
        };
        slots.insert(0, (n, Arc::clone(&slot)));
        slots.truncate(self.capacity);
        slot
    }

    /// For which numbers of tokens there is a plan or one in the making, the most recently used first.
    #[cfg(test)]
    pub fn kept(&self) -> Vec<usize> {
        self.slots.lock().unwrap().iter().map(|(n, _)| *n).collect()
    }
}
