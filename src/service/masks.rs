//! Masks of answers, for other answers to start from: the last few of each client, in memory only.
//!
//! One that an answer's id is asked for by, and one that a session's prompts have made; of a session it can be made again,
//! so nothing depends on how long it is kept. Here is who may have which, and for how long; what a mask is and whether it
//! fits is the engine's affair.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::Multimask;
use crate::engine::LowResMask;
use crate::session::{Session, SessionKey};

/// Bounds on kept masks; told in `info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskLimits {
    /// Masks of one client.
    pub per_client: usize,
    /// Bytes of all.
    pub bytes: usize,
}

impl Default for MaskLimits {
    /// 64 masks of SAM.
    fn default() -> Self {
        Self { per_client: 8, bytes: 16 << 20 }
    }
}

/// What a session's mask was made from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfSession {
    /// The session's name.
    pub name: String,
    /// Its prompts, as [`Session::before`] gives them.
    pub prompts: Session,
    /// Which mask of them was shown.
    pub multimask: Multimask,
}

impl OfSession {
    /// That of a session as it is.
    pub fn new(key: &SessionKey, session: &Session, multimask: Multimask) -> Self {
        Self { name: key.session.clone(), prompts: session.before(usize::MAX), multimask }
    }
}

#[derive(Debug)]
struct Kept {
    client: String,
    /// Id of the answer.
    id: Option<String>,
    session: Option<OfSession>,
    mask: Arc<LowResMask>,
}

/// The masks of all clients.
#[derive(Debug)]
pub(super) struct KeptMasks {
    limits: MaskLimits,
    /// The latest last.
    kept: Mutex<VecDeque<Kept>>,
}

impl KeptMasks {
    pub const fn new(limits: MaskLimits) -> Self {
        Self { limits, kept: Mutex::new(VecDeque::new()) }
    }

    /// The list is whole between any two of its calls, so a poisoned lock still holds one.
    fn with<T>(&self, look: impl FnOnce(&mut VecDeque<Kept>) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub const fn limits(&self) -> MaskLimits {
        self.limits
    }

    /// Keeps a mask under an answer's id, in place of what was kept under it, or a session's prompts, or both.
    pub fn keep(&self, client: &str, id: Option<String>, session: Option<OfSession>, mask: LowResMask) {
        if id.is_none() && session.is_none() {
            return;
        }
        self.with(|kept| {
            let is_other = |one: &Kept| one.client != client || one.id.is_none() || one.id != id;
            kept.retain(is_other);
            kept.push_back(Kept { client: client.to_owned(), id, session, mask: Arc::new(mask) });
            let of_client = |kept: &VecDeque<Kept>| kept.iter().filter(|one| one.client == client).count();
            while of_client(kept) > self.limits.per_client {
                let Some(oldest) = kept.iter().position(|one| one.client == client) else { break };
                kept.remove(oldest);
            }
            while kept.iter().map(|one| one.mask.bytes()).sum::<usize>() > self.limits.bytes {
                kept.pop_front();
            }
        });
    }

    /// The mask of an answer to this client.
    pub fn of_answer(&self, client: &str, id: &str) -> Option<Arc<LowResMask>> {
        self.with(|kept| {
            let mut kept = kept.iter().rev();
            let found = kept.find(|one| one.client == client && one.id.as_deref() == Some(id))?;
            Some(Arc::clone(&found.mask))
        })
    }

    /// The mask of a session's prompts.
    pub fn of_session(&self, client: &str, session: &OfSession) -> Option<Arc<LowResMask>> {
        self.with(|kept| {
            let mut kept = kept.iter().rev();
            let found = kept.find(|one| one.client == client && one.session.as_ref() == Some(session))?;
            Some(Arc::clone(&found.mask))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(masks: &KeptMasks, client: &str, all: &[&str]) -> Vec<String> {
        let kept = all.iter().filter(|id| masks.of_answer(client, id).is_some());
        kept.map(|id| (*id).to_owned()).collect()
    }

    fn keep(masks: &KeptMasks, client: &str, id: &str) {
        masks.keep(client, Some(id.to_owned()), None, LowResMask::blank(256));
    }

    #[test]
    fn each_client_has_its_last_few_and_nobody_elses() {
        let masks = KeptMasks::new(MaskLimits { per_client: 2, bytes: 16 << 20 });
        for id in ["1", "2", "3"] {
            keep(&masks, "a", id);
        }
        keep(&masks, "b", "9");
        assert_eq!(ids(&masks, "a", &["1", "2", "3", "9"]), ["2", "3"]);
        assert_eq!(ids(&masks, "b", &["1", "2", "3", "9"]), ["9"]);
        // The same id again takes one place.
        keep(&masks, "a", "2");
        keep(&masks, "a", "2");
        assert_eq!(ids(&masks, "a", &["2", "3"]), ["2", "3"]);
        keep(&masks, "a", "4");
        assert_eq!(ids(&masks, "a", &["2", "3", "4"]), ["2", "4"]);
    }

    #[test]
    fn beyond_the_bytes_the_oldest_of_all_goes() {
        let masks = KeptMasks::new(MaskLimits { per_client: 8, bytes: 2 * 256 * 256 * 4 });
        keep(&masks, "a", "1");
        keep(&masks, "b", "1");
        keep(&masks, "c", "1");
        assert!(masks.of_answer("a", "1").is_none() && masks.of_answer("c", "1").is_some());
        let none = KeptMasks::new(MaskLimits { per_client: 8, bytes: 0 });
        keep(&none, "a", "1");
        assert!(none.of_answer("a", "1").is_none());
    }

    #[test]
    fn a_sessions_mask_is_that_of_these_prompts_and_no_others() {
        let masks = KeptMasks::new(MaskLimits::default());
        let (key, session) = (SessionKey::new("a", "s"), Session::new());
        let of = |multimask| OfSession::new(&key, &session, multimask);
        masks.keep("a", Some("1".to_owned()), Some(of(Multimask::Off)), LowResMask::blank(256));
        assert!(masks.of_session("a", &of(Multimask::Off)).is_some());
        assert!(masks.of_answer("a", "1").is_some());
        assert!(masks.of_session("a", &of(Multimask::Best)).is_none());
        assert!(masks.of_session("b", &of(Multimask::Off)).is_none());
    }
}
