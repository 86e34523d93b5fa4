//! What the service, the keeper and the targets share: changes on their way, what is known, what is wrong. Each use of it
//! is a moment's lock.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::known::{Known, Owed, Verdict};
use super::markers::Markers;
use super::options::CotOptions;
use crate::layers::LayerOp;
use crate::layers::export::cot::Shapes;

/// Bytes of changes that the keeper has not looked at.
const MOST_INBOX: usize = 4 << 20;
/// Changes that targets have not sent, and bytes of these.
const MOST_LIVE: usize = 256;
const MOST_LIVE_BYTES: usize = 4 << 20;
/// Parts of which it was told that they are simplified.
const MOST_TOLD: usize = 1000;

/// How the connection to the board's own broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BrokerState {
    /// Which connection is or was the last, counted from one.
    pub connection: u64,
    /// Whether it is there.
    pub up: bool,
    /// On this connection the broker has refused an event.
    pub refused: bool,
}

#[derive(Debug)]
struct State {
    inbox: VecDeque<LayerOp>,
    inbox_bytes: usize,
    /// Changes were dropped: the layers' files are to be looked at.
    overflown: bool,
    known: Known,
    live: VecDeque<Arc<Shapes>>,
    live_bytes: usize,
    /// Number of the first of them.
    first: u64,
    /// What is wrong with each target, and with the clock.
    troubles: Vec<Option<String>>,
    clock: Option<String>,
    /// There were more objects than can be known.
    full: bool,
    /// Of it what no event has told.
    news: VecDeque<String>,
    simplified: BTreeSet<String>,
}

/// What the service, the keeper and the targets share.
#[derive(Debug)]
pub(super) struct Shared {
    pub options: CotOptions,
    state: Mutex<State>,
    /// Grows with everything that somebody may wait for.
    pub wake: watch::Sender<u64>,
    pub broker: watch::Sender<BrokerState>,
    /// Where targets are listened to.
    pub markers: Option<Markers>,
}

/// What a target sends next of the changes.
pub(super) enum Live {
    Nothing,
    /// Some are no longer held; the next is this.
    Missed(u64),
    Next(Arc<Shapes>),
}

impl Shared {
    pub fn new(options: CotOptions, known: Known) -> Self {
        let troubles = vec![None; options.targets.len()];
        let state = State {
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            overflown: false,
            known,
            live: VecDeque::new(),
            live_bytes: 0,
            first: 0,
            troubles,
            clock: None,
            full: false,
            news: VecDeque::new(),
            simplified: BTreeSet::new(),
        };
        let (wake, broker) = (watch::Sender::new(0), watch::Sender::new(BrokerState::default()));
        let markers = Markers::new(&options);
        Self { options, state: Mutex::new(state), wake, broker, markers }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Its methods leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes that are in their layers' files.
    pub fn changed<'a>(&self, changes: impl Iterator<Item = &'a LayerOp>) {
        let mut state = self.state();
        for change in changes {
            let bytes = change.line().len() + 256;
            if state.inbox_bytes + bytes > MOST_INBOX {
                state.overflown = true;
                continue;
            }
            state.inbox_bytes += bytes;
            state.inbox.push_back(change.clone());
        }
        drop(state);
        self.wake();
    }

    /// The next change, for the keeper.
    pub fn next_change(&self) -> Option<LayerOp> {
        let mut state = self.state();
        let change = state.inbox.pop_front()?;
        state.inbox_bytes = state.inbox_bytes.saturating_sub(change.line().len() + 256);
        Some(change)
    }

    /// Whether changes were dropped since the last call. All objects are then sent again.
    pub fn take_overflown(&self) -> bool {
        let mut state = self.state();
        let overflown = std::mem::take(&mut state.overflown);
        if overflown {
            state.first += state.live.len() as u64 + 1;
            state.live.clear();
            state.live_bytes = 0;
        }
        overflown
    }

    /// Works with what is known.
    pub fn with_known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.state().known)
    }

    /// An object has been saved or changed.
    pub fn saved(&self, shapes: Shapes) {
        let mut state = self.state();
        if state.known.announce(&shapes, true) == Verdict::Full {
            drop(state);
            self.too_many();
            return;
        }
        state.live_bytes += shapes.bytes();
        state.live.push_back(Arc::new(shapes));
        while state.live.len() > MOST_LIVE || state.live_bytes > MOST_LIVE_BYTES && state.live.len() > 1 {
            let oldest = state.live.pop_front().map_or(0, |oldest| oldest.bytes());
            state.live_bytes = state.live_bytes.saturating_sub(oldest);
            state.first += 1;
        }
        drop(state);
        self.wake();
    }

    /// An object's line was read, and it is about to be sent.
    pub fn read(&self, shapes: &Shapes) -> bool {
        let verdict = self.state().known.announce(shapes, false);
        if verdict == Verdict::Full {
            self.too_many();
        }
        verdict == Verdict::Send
    }

    fn too_many(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.full, true) {
            let text = too_many();
            state.tell(text.clone());
            drop(state);
            tracing::warn!("saved objects and TAK: {text}");
        }
    }

    /// An object is out of a layer.
    pub fn gone(&self, layer: &str, id: &str) {
        self.state().known.gone_from(layer, id);
        self.wake();
    }

    pub fn is_shown(&self, id: &str) -> bool {
        self.state().known.is_shown(id)
    }

    /// Number of the change after the last.
    pub fn end(&self) -> u64 {
        let state = self.state();
        state.first + state.live.len() as u64
    }

    /// The change with this number.
    pub fn live(&self, number: u64) -> Live {
        let state = self.state();
        let Some(index) = number.checked_sub(state.first) else {
            return Live::Missed(state.first + state.live.len() as u64);
        };
        let found = usize::try_from(index).ok().and_then(|index| state.live.get(index));
        found.map_or(Live::Nothing, |shapes| Live::Next(Arc::clone(shapes)))
    }

    pub fn next_owed(&self, target: usize) -> Option<(String, Owed)> {
        self.state().known.next_owed(target)
    }

    pub fn told(&self, target: usize, uid: &str) {
        self.state().known.told(target, uid, Instant::now());
    }

    pub fn connection_ended(&self, target: usize) {
        self.state().known.connection_ended(target);
    }

    /// What was told long enough ago on a connection that lasts has arrived.
    pub fn received(&self, target: usize) {
        if let Some(before) = Instant::now().checked_sub(self.options.received_after) {
            self.state().known.received(target, before);
        }
    }

    /// A part has been simplified; told once.
    pub fn simplified(&self, uid: &str) {
        let mut state = self.state();
        if state.simplified.len() < MOST_TOLD && state.simplified.insert(uid.to_owned()) {
            drop(state);
            tracing::info!(
                uid,
                "an outline is sent with fewer vertices than it has, so that its event can be carried"
            );
        }
    }

    /// A target is reached.
    pub fn well(&self, target: usize) {
        let name = &self.options.targets[target];
        let before = self.state().troubles.get_mut(target).and_then(Option::take);
        match before {
            Some(_) => tracing::info!(target = %name, "saved objects reach TAK again"),
            None => tracing::info!(target = %name, "saved objects are sent to TAK"),
        }
    }

    /// A target is not reached: logged once for each reason, told by an event once until it is reached again.
    pub fn trouble(&self, target: usize, reason: &str) {
        let name = &self.options.targets[target];
        let text = format!("{name} is not sent what is saved: {reason}");
        let mut state = self.state();
        let Some(before) = state.troubles.get_mut(target).map(|slot| slot.replace(text.clone())) else {
            return;
        };
        if before.is_none() {
            state.tell(text.clone());
        }
        drop(state);
        if before.as_ref() == Some(&text) {
            tracing::debug!("{text}");
        } else {
            tracing::warn!("{text}; it is tried again");
        }
    }

    /// What is wrong with the clock, or nothing any more.
    pub fn clock_trouble(&self, text: Option<String>) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.clock, text.clone());
        if let Some(text) = text.filter(|_| before.is_none()) {
            state.tell(text.clone());
            drop(state);
            tracing::warn!("saved objects and TAK: {text}");
        }
    }

    /// The broker has refused a message on this topic; says whether it was a request for a marker.
    pub fn marker_refused(&self, topic: &str) -> bool {
        let connection = self.broker.borrow().connection;
        let Some(refusal) = self.markers.as_ref().and_then(|markers| markers.refused(topic, connection))
        else {
            return false;
        };
        if refusal.is_new {
            tracing::warn!("TAK: {}", refusal.text);
            self.state().tell(refusal.text);
        }
        true
    }

    /// What is wrong at the moment.
    pub fn problems(&self) -> Vec<String> {
        let connection = self.broker.borrow().connection;
        let of_markers = self.markers.as_ref().and_then(|markers| markers.problem(connection));
        let state = self.state();
        let full = state.full.then(too_many);
        let all = state.clock.iter().chain(&full).chain(state.troubles.iter().flatten()).chain(&of_markers);
        all.map(|text| format!("TAK: {text}")).collect()
    }

    /// What has gone wrong since the last call.
    pub fn take_news(&self) -> Vec<String> {
        self.state().news.drain(..).collect()
    }
}

fn too_many() -> String {
    let most = super::known::MOST;
    format!(
        "there are more than {most} saved objects; the others are not sent. Name fewer layers in cot.layers"
    )
}

impl State {
    fn tell(&mut self, text: String) {
        if self.news.len() < MOST_LIVE {
            self.news.push_back(text);
        }
    }
}
