//! The thread behind a connection to a real broker: it connects, passes on what happens, and connects
//! again with growing waits. What differs between versions of MQTT is a [`Dialect`].
//!
//! `rumqttc` would reconnect by itself; it is given a new event loop for each attempt instead. It drops
//! queued publishes when a session is not resumed and resends an oversized one for ever when it is, and
//! both are decided here: nothing is carried over, the owner of a message publishes it again. (MQTT asks
//! a client to repeat unacknowledged packets under their old packet ids; a broker cannot tell the
//! difference at least-once, since it has kept nothing of a publish that it did not acknowledge.)

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::conversation::{Ended, converse, stop_requested};
use super::error::BusError;
use super::events::EventLimits;
use super::fault::caught;
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

async fn run(mut identity: Identity, shared: &Shared, options: &BusOptions) {
    let (v5, v4) = (rumqttc_v5::V5::new(options), rumqttc_v4::V4::new(options));
    let mut versions = Versions::new(options.protocol);
    let mut retain_will = true;
    let mut backoff = Backoff::new(options.backoff);
    while !shared.is_stopping() {
        let protocol = versions.current();
        let begun = Instant::now();
        let attempt = Attempt { shared, options, identity: &identity, retain_will, versions: &mut versions };
        let ended = caught(async {
            match protocol {
                Protocol::V5 => connection(&v5, attempt).await,
                Protocol::V311 => connection(&v4, attempt).await,
            }
        });
        // Whatever a peer sends costs the connection at the most, also where it meets a fault of ours or of the library.
        let ended = ended.await.unwrap_or_else(|fault| {
            tracing::error!(fault, "a fault of this program ended the connection to the broker");
            let loss = Loss::new(format!("a fault of this program: {fault}"));
            Ended::Lost { loss, lasted: shared.is_connected().then(|| begun.elapsed()) }
        });
        let (loss, lasted) = match ended {
            Ended::Departed => return shared.stopped(true),
            Ended::Stopped => break,
            Ended::Lost { loss, lasted } => (loss, lasted),
        };
        if lasted.is_some() {
            versions.ended();
        }
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
    let ended = converse(&mut link, shared, options, &relay, since).await;
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

/// Why there is no connection, in the words of whoever knows best: the broker's CONNACK, TLS, the library.
fn refused(loss: Loss, relay: &Relay, tried: Protocol) -> Loss {
    if let Some(connack) = relay.connack() {
        let doubt = refusal::doubt(&connack, tried);
        let taken = connack.code == 0 && doubt == VersionDoubt::Spoken;
        return Loss {
            reason: if taken {
                format!("it takes us, but breaks MQTT {tried}: {}", loss.reason)
            } else {
                refusal::words(&connack, tried)
            },
            refused: true,
            refuses_retain: refusal::refuses_retain(&connack),
            doubt,
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

#[cfg(test)]
mod tests;
