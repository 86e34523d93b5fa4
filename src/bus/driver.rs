//! The thread behind a connection to a real broker: it connects, passes on what happens, and connects
//! again with growing waits. What differs between versions of MQTT is a [`Dialect`].
//!
//! `rumqttc` would reconnect by itself; it is given a new event loop for each attempt instead. It drops
//! queued publishes when a session is not resumed and resends an oversized one for ever when it is, and
//! both are decided here: nothing is carried over, the owner of a message publishes it again. (MQTT asks
//! a client to repeat unacknowledged packets under their old packet ids; a broker cannot tell the
//! difference at least-once, since it has kept nothing of a publish that it did not acknowledge.)

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::error::BusError;
use super::events::{EventLimits, Pushed};
use super::handle::{BusEvents, BusHandle, Shared};
use super::identity::Identity;
use super::message::Protocol;
use super::options::BusOptions;
use super::wire::{Step, Wire};
use super::{rumqttc_v4, rumqttc_v5};

/// One attempt's peculiarities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Bytes of the largest packet taken.
    pub(super) max_incoming_bytes: usize,
    /// Whether the session at the broker is to be discarded.
    pub(super) discard_session: bool,
}

/// Why a connection ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) reason: String,
    /// The broker answered, and refused us.
    pub(super) refused: bool,
    /// A packet over our limit came in, of this size.
    pub(super) oversized: Option<usize>,
    /// The broker refused the oldest publish in flight, for this reason.
    pub(super) refused_oldest: Option<&'static str>,
}

impl Loss {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), refused: false, oversized: None, refused_oldest: None }
    }
}

/// One version of MQTT, as a client library speaks it.
pub(super) trait Dialect: Send + 'static {
    type Link: Link;

    /// Prepares a connection; it is made by the first poll.
    fn open(&self, attempt: Attempt, identity: &Identity) -> (Box<dyn Wire>, Self::Link);
}

/// A connection.
pub(super) trait Link {
    /// Waits for the next thing to happen; `None` for one that does not matter. The first is
    /// `Connected`. A poll that was cancelled leaves the link unusable.
    async fn poll(&mut self) -> Result<Option<Step>, Loss>;

    /// What had happened before an error and has not been told.
    fn drain(&mut self) -> Vec<Step>;

    /// The keep alive that was agreed on: no poll takes longer on a sound connection.
    fn keep_alive(&self) -> Duration;
}

/// Checks options and reads password and certificates, as [`connect`] would, without connecting.
///
/// # Errors
/// [`BusError::Options`], [`BusError::Password`] and [`BusError::Tls`].
pub fn check(options: &BusOptions) -> Result<(), BusError> {
    prepare(options).map(drop)
}

fn prepare(options: &BusOptions) -> Result<Identity, BusError> {
    options.check()?;
    Identity::read(options)
}

/// Connects to a broker in a thread of its own, now and again whenever the connection is lost. The first
/// event is `Connected` or `ConnectFailed`. Password and certificates are read again for each attempt, so that
/// new ones are used from the next connection on.
///
/// # Errors
/// As [`check`], before anything is tried.
pub fn connect(options: BusOptions) -> Result<(BusHandle, BusEvents), BusError> {
    let identity = prepare(&options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| start_failed(&options, &error))?;
    let shared = Shared::new(options.protocol, options.queue, EventLimits::default());
    let theirs = Arc::clone(&shared);
    let failed = {
        let options = options.clone();
        move |error: std::io::Error| start_failed(&options, &error)
    };
    let body = move || {
        let _end = EndOfThread(Arc::clone(&theirs));
        match options.protocol {
            Protocol::V5 => {
                runtime.block_on(run(rumqttc_v5::V5::new(&options), identity, &theirs, &options));
            }
            Protocol::V311 => {
                runtime.block_on(run(rumqttc_v4::V4::new(&options), identity, &theirs, &options));
            }
        }
    };
    std::thread::Builder::new().name("mqtt".to_owned()).spawn(body).map_err(failed)?;
    Ok((BusHandle { shared: Arc::clone(&shared) }, BusEvents { shared }))
}

fn start_failed(options: &BusOptions, error: &std::io::Error) -> BusError {
    BusError::Options {
        broker: options.broker_name(),
        problem: format!("its thread cannot be started: {error}"),
    }
}

/// Ends the stream of events when the thread ends in whatever way.
struct EndOfThread(Arc<Shared>);

impl Drop for EndOfThread {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How one connection ended.
enum Ended {
    /// With our leave taken.
    Departed,
    /// Because the bus is to stop, without leave.
    Stopped,
    /// The session has been discarded as wanted.
    Discarded,
    /// Otherwise; `lasted` is for how long it was up.
    Lost { loss: Loss, lasted: Option<Duration> },
}

async fn run<D: Dialect>(dialect: D, mut identity: Identity, shared: &Shared, options: &BusOptions) {
    let normal = Attempt { max_incoming_bytes: options.max_incoming_bytes, discard_session: false };
    let mut attempt = normal;
    let mut backoff = Backoff::new(options.backoff);
    while !shared.is_stopping() {
        match connection(&dialect, &identity, shared, options, attempt).await {
            Ended::Departed => return shared.stopped(true),
            Ended::Stopped => break,
            Ended::Discarded => attempt = normal,
            Ended::Lost { loss, lasted } => {
                attempt = after(&loss, normal, options.rescue_bytes);
                let retry_in = backoff.next(lasted);
                let broker = options.broker_name();
                let error = match (loss.refused, lasted) {
                    (true, _) => BusError::Refused { broker, reason: loss.reason },
                    (false, None) => BusError::Unreachable { broker, reason: loss.reason },
                    (false, Some(_)) => BusError::Lost { broker, reason: loss.reason },
                };
                tracing::warn!(%error, ?retry_in, "no connection to the broker");
                shared.lost(error, retry_in);
                tokio::select! {
                    () = sleep(retry_in) => {}
                    () = stop_requested(shared) => {}
                }
                identity.refresh(options);
            }
        }
    }
    shared.stopped(false);
}

/// What is different in the attempt after a loss. A packet over the limit would come again and again on
/// a persistent session, so it is let in once.
fn after(loss: &Loss, normal: Attempt, rescue_bytes: usize) -> Attempt {
    match loss.oversized {
        None => normal,
        Some(bytes) if bytes <= rescue_bytes => {
            tracing::warn!(bytes, limit = normal.max_incoming_bytes, "a packet over the limit is read once");
            // The packet's size may be told without its header of at most five bytes.
            Attempt { max_incoming_bytes: bytes.max(normal.max_incoming_bytes) + 16, ..normal }
        }
        Some(bytes) => {
            tracing::error!(
                bytes,
                "the broker holds a packet that is too large to be read at all; our session there is \
                 discarded with all that waits in it. Set message_size_limit in the broker"
            );
            Attempt { discard_session: true, ..normal }
        }
    }
}

async fn connection<D: Dialect>(
    dialect: &D,
    identity: &Identity,
    shared: &Shared,
    options: &BusOptions,
    attempt: Attempt,
) -> Ended {
    let (wire, mut link) = dialect.open(attempt, identity);
    let first = tokio::select! {
        first = link.poll() => first,
        () = stop_requested(shared) => return Ended::Stopped,
    };
    let (session_present, max_packet_bytes, receive_maximum) = match first {
        Ok(Some(Step::Connected { session_present, max_packet_bytes, receive_maximum })) => {
            (session_present, max_packet_bytes, receive_maximum)
        }
        Ok(other) => {
            let loss = Loss::new(format!("the broker began with {other:?} in place of CONNACK"));
            return Ended::Lost { loss, lasted: None };
        }
        Err(loss) => return Ended::Lost { loss, lasted: None },
    };
    if attempt.discard_session {
        return Ended::Discarded;
    }
    let since = Instant::now();
    tracing::info!(broker = %options.broker, session_present, "connected to the broker");
    shared.connected(wire, session_present, max_packet_bytes, receive_maximum);
    // A broker that is silent for two keep alives is gone, also where a write to it never returns.
    let patience = link.keep_alive() * 2 + Duration::from_secs(1);
    let mut deadline = None;
    loop {
        let polled = {
            let mut poll = pin!(link.poll());
            let mut silence = pin!(sleep(patience));
            loop {
                tokio::select! {
                    polled = &mut poll => break polled,
                    () = &mut silence => break Err(Loss::new("the broker is silent")),
                    () = stop_requested(shared), if deadline.is_none() => {
                        if shared.is_abandoned() {
                            return Ended::Stopped;
                        }
                        deadline = Some(Instant::now() + options.stop_timeout);
                    }
                    () = sleep_until(deadline.unwrap_or(since)), if deadline.is_some() => {
                        return Ended::Stopped;
                    }
                }
            }
        };
        let pushed = match polled {
            Ok(None) => Pushed::Queued,
            Ok(Some(Step::Departed)) => return Ended::Departed,
            Ok(Some(step)) => shared.apply(step),
            Err(loss) => {
                for step in link.drain() {
                    // Messages come again; what the broker acknowledged must not be sent again.
                    if !matches!(step, Step::Received { .. }) {
                        shared.apply(step);
                    }
                }
                if let Some(reason) = loss.refused_oldest {
                    shared.refuse_oldest(reason);
                }
                return Ended::Lost { loss, lasted: Some(since.elapsed()) };
            }
        };
        if pushed == Pushed::Overflow {
            let loss =
                Loss::new("the service takes messages more slowly than they come; the broker keeps the rest");
            return Ended::Lost { loss, lasted: Some(since.elapsed()) };
        }
    }
}

async fn stop_requested(shared: &Shared) {
    loop {
        shared.stop.notified().await;
        if shared.is_stopping() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_packet_is_let_in_once_or_costs_the_session() {
        let normal = Attempt { max_incoming_bytes: 1000, discard_session: false };
        let lost = |oversized| Loss { oversized, ..Loss::new("") };
        assert_eq!(after(&lost(None), normal, 60_000), normal);
        let rescue = after(&lost(Some(50_000)), normal, 60_000);
        assert!(rescue.max_incoming_bytes >= 50_005 && !rescue.discard_session);
        assert!(after(&lost(Some(60_001)), normal, 60_000).discard_session);
    }
}
