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
use super::message::{BrokerSession, LossCause, Protocol};
use super::options::BusOptions;
use super::packet::Mark;
use super::refusal::{self, VersionDoubt};
use super::relay::Relay;
use super::versions::Versions;
use super::wire::{Step, Wire};
use super::{rumqttc_v4, rumqttc_v5};

/// How long what we sent last may take on its way out of this process.
const PARTING: Duration = Duration::from_secs(2);

/// How long nothing is read for a service that does not take what came, and how often it is looked at meanwhile.
const SLOWNESS: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(5);

/// What a connection is begun with.
pub(super) struct Opening<'a> {
    /// The socket in this process behind which the broker is.
    pub(super) address: &'a str,
    /// What stands in place of payloads that were cut.
    pub(super) mark: Mark,
    pub(super) identity: &'a Identity,
    /// Whether the broker may be asked to retain the last will.
    pub(super) retain_will: bool,
}

/// Why a connection ended, or did not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) reason: String,
    /// Who ended it.
    pub(super) cause: LossCause,
    /// The broker answered, and refused us.
    pub(super) refused: bool,
    /// It refused us for the retain flag of our last will.
    pub(super) refuses_retain: bool,
    /// What the end says of the version that was tried.
    pub(super) doubt: VersionDoubt,
}

impl Loss {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            cause: LossCause::HungUp,
            refused: false,
            refuses_retain: false,
            doubt: VersionDoubt::None,
        }
    }

    /// One that no message of ours is to blame for.
    pub(super) fn elsewhere(reason: impl Into<String>) -> Self {
        Self { cause: LossCause::Elsewhere, ..Self::new(reason) }
    }
}

/// One version of MQTT, as a client library speaks it.
pub(super) trait Dialect: Send + 'static {
    type Link: Link;

    /// Prepares a connection; it is made by the first poll.
    fn open(&self, opening: &Opening<'_>) -> (Box<dyn Wire>, Self::Link);
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
    let shared = Shared::new(options.queue, EventLimits::default());
    let theirs = Arc::clone(&shared);
    let failed = {
        let options = options.clone();
        move |error: std::io::Error| start_failed(&options, &error)
    };
    let body = move || {
        let _end = EndOfThread(Arc::clone(&theirs));
        runtime.block_on(run(identity, &theirs, &options));
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
    /// Otherwise; `lasted` is for how long it was up.
    Lost { loss: Loss, lasted: Option<Duration> },
}

async fn run(mut identity: Identity, shared: &Shared, options: &BusOptions) {
    let (v5, v4) = (rumqttc_v5::V5::new(options), rumqttc_v4::V4::new(options));
    let mut versions = Versions::new(options.protocol);
    let mut retain_will = true;
    let mut backoff = Backoff::new(options.backoff);
    while !shared.is_stopping() {
        let protocol = versions.current();
        let ended = {
            let attempt =
                Attempt { shared, options, identity: &identity, retain_will, versions: &mut versions };
            match protocol {
                Protocol::V5 => connection(&v5, attempt).await,
                Protocol::V311 => connection(&v4, attempt).await,
            }
        };
        let (loss, lasted) = match ended {
            Ended::Departed => return shared.stopped(true),
            Ended::Stopped => break,
            Ended::Lost { loss, lasted } => (loss, lasted),
        };
        if lasted.is_none() && versions.failed(loss.doubt) {
            let next = versions.current();
            tracing::warn!(
                reason = loss.reason,
                "the broker does not answer in MQTT {protocol}; trying {next}"
            );
            continue;
        }
        if loss.refuses_retain && retain_will {
            tracing::warn!(
                "the broker retains nothing; our last will goes without: only who listens hears of our end"
            );
            retain_will = false;
            continue;
        }
        let retry_in = backoff.next(lasted);
        let broker = options.broker_name();
        let error = match (loss.refused, lasted) {
            (true, _) => BusError::Refused { broker, reason: loss.reason },
            (false, None) => {
                let doubt = tls_doubt(options, &loss.reason);
                let reason = loss.reason + doubt;
                BusError::Unreachable { broker, reason }
            }
            (false, Some(_)) => BusError::Lost { broker, reason: loss.reason },
        };
        shared.lost(error, loss.cause, retry_in);
        tokio::select! {
            () = sleep(retry_in) => {}
            () = stop_requested(shared) => {}
        }
        identity.refresh(options);
    }
    shared.stopped(false);
}

/// What to do where a connection without TLS ends before the broker has said a word.
fn tls_doubt(options: &BusOptions, reason: &str) -> &'static str {
    match !options.broker.tls && (reason.contains("reset by peer") || reason.contains("closed")) {
        true => {
            "; if this port wants TLS, the address begins with mqtts://, and broker.ca names the authority"
        }
        false => "",
    }
}

/// What one attempt needs.
struct Attempt<'a> {
    shared: &'a Shared,
    options: &'a BusOptions,
    identity: &'a Identity,
    retain_will: bool,
    versions: &'a mut Versions,
}

async fn connection<D: Dialect>(dialect: &D, attempt: Attempt<'_>) -> Ended {
    let Attempt { shared, options, identity, retain_will, versions } = attempt;
    let protocol = versions.current();
    let relay = tokio::select! {
        relay = Relay::open(options, identity, protocol == Protocol::V5) => relay,
        () = stop_requested(shared) => return Ended::Stopped,
    };
    let relay = match relay {
        Ok(relay) => relay,
        Err(reason) => return Ended::Lost { loss: Loss::new(reason), lasted: None },
    };
    let opening = Opening { address: &relay.address, mark: relay.mark, identity, retain_will };
    let (wire, mut link) = dialect.open(&opening);
    let first = tokio::select! {
        first = link.poll() => first,
        () = stop_requested(shared) => return Ended::Stopped,
    };
    let session = match first {
        Ok(Some(Step::Connected(session))) => {
            BrokerSession { broker: options.broker_name(), client_id: options.client_id.clone(), ..session }
        }
        Ok(other) => {
            let loss = Loss::new(format!("the broker began with {other:?} in place of CONNACK"));
            return Ended::Lost { loss, lasted: None };
        }
        Err(loss) => return Ended::Lost { loss: refused(loss, &relay, protocol), lasted: None },
    };
    if versions.connected() {
        tracing::warn!(
            "the broker speaks MQTT 3.1.1 only; broker.protocol = \"3.1.1\" saves asking it at each start"
        );
    }
    let since = Instant::now();
    shared.connected(wire, session);
    let ended = converse(&mut link, shared, options, since).await;
    drop(link);
    match ended {
        Ended::Departed => relay.drained(PARTING).await,
        Ended::Lost { mut loss, lasted } => {
            if let Some(problem) = relay.problem() {
                loss.reason = problem;
            }
            if relay.network_failed() {
                loss.cause = LossCause::Elsewhere;
            }
            return Ended::Lost { loss, lasted };
        }
        Ended::Stopped => {}
    }
    ended
}

/// Goes on until the connection ends.
async fn converse(link: &mut impl Link, shared: &Shared, options: &BusOptions, since: Instant) -> Ended {
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
                    () = &mut silence => break Err(Loss::elsewhere("the broker is silent")),
                    () = shared.reconnect.notified() => {
                        if shared.takes_leave() {
                            break Err(Loss::elsewhere("given up by the service, which hears nothing on it"));
                        }
                    }
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
                return Ended::Lost { loss, lasted: Some(since.elapsed()) };
            }
        };
        if pushed == Pushed::Full && !has_room(shared, link.keep_alive()).await {
            let loss = Loss::elsewhere(
                "the service takes messages more slowly than they come; the broker keeps the rest",
            );
            return Ended::Lost { loss, lasted: Some(since.elapsed()) };
        }
    }
}

/// Waits until the service has taken some of what came; meanwhile nothing is read from the network, so that the broker keeps the rest.
/// Says whether it has, in a time in which no ping is missed.
async fn has_room(shared: &Shared, keep_alive: Duration) -> bool {
    let begin = Instant::now();
    while !shared.has_room() && !shared.is_stopping() {
        if begin.elapsed() > keep_alive.min(SLOWNESS) {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

/// Why there is no connection, in the words of whoever knows best: the broker's CONNACK, TLS, the library.
fn refused(loss: Loss, relay: &Relay, tried: Protocol) -> Loss {
    if let Some(connack) = relay.connack() {
        return Loss {
            reason: refusal::words(&connack, tried),
            refused: true,
            refuses_retain: refusal::refuses_retain(&connack),
            doubt: refusal::doubt(&connack, tried),
            ..loss
        };
    }
    match relay.problem() {
        Some(problem) => Loss { reason: problem, ..loss },
        None => Loss {
            reason: format!("it answers our CONNECT of MQTT {tried} with nothing ({})", loss.reason),
            doubt: VersionDoubt::Possible,
            ..loss
        },
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
