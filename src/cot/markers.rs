//! Markers on their way from targets to the board: heard, and asked for through the broker as any client would ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

use super::asked::{Answered, Asked, CLIENT, Next, Question, Taken};
use super::heard::{EventReader, Marker};
use super::options::CotOptions;
use super::shared::Shared;
use super::text::own_uid;
use super::thread::Outlet;
use crate::bus::OutgoingMessage;

/// How long it waits for the service to take a message, and before it tries again where there is no broker.
const HANDING: Duration = Duration::from_secs(5);

/// Markers of all targets.
#[derive(Debug)]
pub(super) struct Markers {
    /// Where their objects go.
    layer: String,
    /// Topic of the requests for them, and of the answers.
    topic: String,
    answers: String,
    own_uid: String,
    state: Mutex<State>,
    /// Grows with everything that may let something be asked.
    wake: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    asked: Asked,
    /// The connection on which the broker has refused a request.
    refused_on: Option<u64>,
    is_refusal_told: bool,
    is_full_told: bool,
    /// Targets of which it was told that they send what cannot be read.
    faulty: BTreeSet<usize>,
}

impl Markers {
    /// `None` where nothing is to be listened to.
    pub fn new(options: &CotOptions) -> Option<Self> {
        let layer = options.marker_layer.clone()?;
        let topic = |way: &str| format!("{}/{way}/{CLIENT}/save", options.topic);
        Some(Self {
            layer,
            topic: topic("request"),
            answers: topic("response"),
            own_uid: own_uid(options),
            state: Mutex::default(),
            wake: watch::Sender::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Its methods leave it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.wake.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A marker was heard.
    fn take(&self, marker: &Marker, now: SystemTime, shared: &Shared) {
        let is_ours = marker.uid == self.own_uid || shared.is_shown(&marker.uid);
        if is_ours || !marker.is_shown_at(now) {
            return;
        }
        let question = Question::of(marker, &self.layer);
        let mut state = self.state();
        let taken = state.asked.take(question);
        let tell_full = taken == Taken::Full && !std::mem::replace(&mut state.is_full_told, true);
        drop(state);
        match taken {
            Taken::New => {
                let (callsign, [lon, lat]) = (marker.callsign.as_deref(), marker.position);
                tracing::info!(
                    uid = marker.uid,
                    callsign,
                    lon,
                    lat,
                    "the object under a marker of TAK is asked for"
                );
                self.wake();
            }
            Taken::Full if tell_full => tracing::warn!(
                uid = marker.uid,
                "too many markers of TAK wait for their answers; this and others are asked for when they come again"
            ),
            Taken::Full | Taken::Known => {}
        }
    }

    /// An answer of the service, if it is one to these requests.
    pub fn answered(&self, topic: &str, answer: &[u8]) {
        if topic != self.answers {
            return;
        }
        let mut state = self.state();
        let Some((marker, answered)) = state.asked.answered(answer, Instant::now()) else { return };
        state.is_refusal_told = false;
        drop(state);
        match answered {
            Answered::Saved(object) => {
                tracing::info!(marker, object, "the object under a marker of TAK is saved")
            }
            Answered::Before => tracing::debug!(marker, "a marker of TAK was asked for before"),
            Answered::Later => tracing::info!(marker, "a marker of TAK has to wait, and is asked for again"),
            Answered::Refused(code, message) => {
                tracing::warn!(marker, code, "there is no object for a marker of TAK: {message}");
            }
        }
        self.wake();
    }

    /// The broker has refused a message on this topic; what is to be told of it, where it was one of these requests.
    pub fn refused(&self, topic: &str, connection: u64) -> Option<Refusal> {
        if topic != self.topic {
            return None;
        }
        let mut state = self.state();
        state.refused_on = Some(connection);
        let is_new = !std::mem::replace(&mut state.is_refusal_told, true);
        Some(Refusal { text: self.refusal(), is_new })
    }

    /// What is wrong on this connection.
    pub fn problem(&self, connection: u64) -> Option<String> {
        (self.state().refused_on == Some(connection)).then(|| self.refusal())
    }

    fn refusal(&self) -> String {
        format!(
            "markers are not asked for: the broker refuses it; let the board publish on {} in the broker's access list",
            self.topic
        )
    }
}

/// That the broker refuses requests for markers.
pub(super) struct Refusal {
    pub text: String,
    /// Whether it has not been told yet.
    pub is_new: bool,
}

/// Listens to a target.
#[derive(Debug)]
pub(super) struct Ears {
    target: usize,
    reader: EventReader,
    found: Vec<Marker>,
}

impl Ears {
    /// Ears for a connection to a target; `None` where nothing is to be listened to.
    pub fn new(target: usize, shared: &Shared) -> Option<Self> {
        shared.markers.as_ref()?;
        Some(Self { target, reader: EventReader::new(), found: Vec::new() })
    }

    /// Takes what has come.
    pub fn take(&mut self, bytes: &[u8], shared: &Shared) {
        let Some(markers) = &shared.markers else { return };
        self.reader.take(bytes, &mut self.found);
        if let Some(fault) = self.reader.take_fault()
            && markers.state().faulty.insert(self.target)
        {
            let target = &shared.options.targets[self.target];
            tracing::warn!(%target, "{fault}; that much is passed over, and the target is listened to from there on");
        }
        let now = (shared.options.clock)();
        for marker in self.found.drain(..) {
            markers.take(&marker, now, shared);
        }
    }

    /// Takes a datagram, which is whole.
    pub fn take_datagram(&mut self, bytes: &[u8], shared: &Shared) {
        self.reader = EventReader::new();
        self.take(bytes, shared);
    }
}

/// Asks for what was heard, as long as there is a broker, until the thread ends.
pub(super) async fn ask(shared: &Shared, markers: &Markers, outlet: &Arc<dyn Outlet>) {
    let (mut woken, mut broker) = (markers.wake.subscribe(), shared.broker.subscribe());
    loop {
        woken.mark_unchanged();
        let (connection, is_up) = {
            let state = broker.borrow_and_update();
            (state.connection, state.up)
        };
        let next = {
            let mut state = markers.state();
            let is_usable = is_up && state.refused_on != Some(connection);
            if is_usable { state.asked.next(connection, Instant::now()) } else { Next::Wait(None) }
        };
        let until = match next {
            Next::Say(question) => {
                let (taken, is_taken) = oneshot::channel();
                outlet.publish(OutgoingMessage::new(&*markers.topic, question.payload), taken);
                if !matches!(timeout(HANDING, is_taken).await, Ok(Ok(true))) {
                    markers.state().asked.unsaid(&question.id);
                    sleep(HANDING).await;
                }
                continue;
            }
            Next::Wait(until) => until,
        };
        let due = async {
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        // The other ends are held by what we borrow.
        tokio::select! {
            _ = woken.changed() => {}
            _ = broker.changed() => {}
            () = due => {}
        }
    }
}
