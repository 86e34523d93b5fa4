//! What requests work with: the engine, the folders served, sessions, layers, the store. What a request does with
//! them is `verbs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::attempts::Attempts;
use super::folders::ServedFolders;
use super::job::Job;
use super::masks::KeptMasks;
use super::pulse::Pulse;
use super::under_way::UnderWay;
use super::verbs::ENVELOPE;
use crate::api::OutputOptions;
use crate::bus::Topics;
use crate::cot::CotLive;
use crate::engine::Engine;
use crate::layers::{LayerBounds, LayerError, Layers};
use crate::session::{Session, SessionKey, SessionTable};
use crate::store::{SessionChange, Store};

/// Everything that a request may need.
pub(super) struct Context {
    pub engine: Arc<Engine>,
    pub served: ServedFolders,
    pub store: Store,
    pub layers: Layers,
    pub topics: Topics,
    pub pulse: Arc<Pulse>,
    /// Which durable requests are running.
    pub attempts: Attempts,
    /// Bytes of an answer.
    pub answers: AnswerBounds,
    /// Chips over which the objects of one batch are followed.
    pub batch_chips: usize,
    /// Prompts of one session.
    pub max_points: usize,
    /// Layers, so that no client fills the card with names.
    pub layer_bounds: LayerBounds,
    pub sessions: Mutex<SessionTable>,
    /// Masks that other answers may start from.
    pub masks: KeptMasks,
    /// Searches for everything and batches that are under way.
    pub under_way: UnderWay,
    /// Where saved objects go as Cursor on Target events, if they do.
    pub cot: Option<CotLive>,
    /// Layers with objects that are not in their files yet, because those cannot be written.
    pub behind: Mutex<BTreeSet<String>>,
    /// What a test has decoded before, so that millions of steps cost few decodes.
    #[cfg(test)]
    pub memo: std::sync::OnceLock<Arc<Memo>>,
}

/// Segmentations by their prompts.
#[cfg(test)]
pub(super) type Memo = Mutex<std::collections::HashMap<String, crate::engine::Segmentation>>;

/// Bytes of an answer, so that what a request may cost is bounded before it runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerBounds {
    /// Where the request names no bound.
    pub unsaid: usize,
    /// Whatever the request names.
    pub most: usize,
}

impl AnswerBounds {
    /// Bytes of a saved object as it stands in its layer: `fetch` can deliver it, asked for alone with the largest answer.
    pub const fn object(&self) -> usize {
        self.most.saturating_sub(ENVELOPE)
    }

    /// The bound on an answer whose request wants this output.
    pub fn of(&self, output: &OutputOptions) -> usize {
        output.max_bytes.unwrap_or(self.unsaid).min(self.most)
    }
}

impl Context {
    /// The models, as `info` and `list` tell them.
    pub fn models(&self) -> Vec<Value> {
        let told = |m: &crate::models::ModelInfo| json!({"name": m.name, "model": m.source_file, "model_type": m.family, "sha256": m.sha256, "refine": m.takes_masks});
        self.engine.decoders().models().iter().map(told).collect()
    }

    pub fn sessions(&self) -> MutexGuard<'_, SessionTable> {
        // The table's methods leave it whole.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn behind(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // It is replaced as a whole.
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the layer that a request may bring objects to its place, before anything is worked for it.
    ///
    /// # Errors
    /// If there are as many layers as may be, or the layer is as large as one may be.
    pub fn admit_to(&self, layer: &str, job: &Job) -> Result<(), LayerError> {
        let owed = self.behind().clone();
        self.layers.admit(layer, self.layer_bounds, job.number, &owed)
    }

    /// Keeps a session's new state, and says what the store must change for it.
    pub fn keep_session(&self, key: &SessionKey, session: &Session) -> Vec<SessionChange> {
        let mut table = self.sessions();
        let ended = table.put(key.clone(), session.clone(), self.store.clock_ms());
        let deleted = ended.iter().map(|key| SessionChange::Delete { name: key.stored_name() });
        let put = table.stored(key).map(|state| SessionChange::Put { name: key.stored_name(), state });
        deleted.chain(put).collect()
    }

    /// Sessions that nobody has used for too long, as the store must forget them.
    pub fn expired_sessions(&self) -> Vec<SessionChange> {
        let old = self.sessions().expire(self.store.clock_ms());
        old.iter().map(|key| SessionChange::Delete { name: key.stored_name() }).collect()
    }
}
