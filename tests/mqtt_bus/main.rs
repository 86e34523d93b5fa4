//! The bus on a real broker, Debian's mosquitto, with mosquitto's own clients as the peer. Here is the bus as the
//! tests use it; the tests stand in the modules, by what they are about.

use std::time::{Duration, Instant};

use geosam_edge::bus::{
    BackoffOptions, BrokerSession, BrokerUrl, BusClient, BusConnection, BusError, BusEvent, BusEvents,
    BusHandle, BusOptions, IncomingMessage, Protocol, PublishOutcome, PublishToken, Subscription, connect,
};

mod absence;
mod admission;
#[path = "../support/certificates.rs"]
mod certificates;
mod doctor;
mod exchange;
#[path = "../support/mosquitto.rs"]
mod mosquitto;
mod refusals;
mod sizes;

use mosquitto::{Mosquitto, patience};

const BOTH: [Protocol; 2] = [Protocol::V5, Protocol::V311];

fn options(broker: &Mosquitto, protocol: Protocol, client_id: &str) -> BusOptions {
    let url = BrokerUrl::parse(&broker.url()).unwrap();
    BusOptions {
        protocol: protocol.into(),
        keep_alive: Duration::from_secs(5),
        backoff: BackoffOptions {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            stable: Duration::from_secs(1),
        },
        ..BusOptions::new(url, client_id)
    }
}

/// The bus with a memory of events that a test has not asked for yet.
struct Bus {
    handle: BusHandle,
    events: BusEvents,
    seen: Vec<BusEvent>,
}

impl Bus {
    fn start(options: BusOptions) -> Self {
        let (handle, events) = connect(options).unwrap();
        Self { handle, events, seen: Vec::new() }
    }

    /// Connected and subscribed.
    fn subscribed(options: BusOptions, filter: &str) -> Self {
        let mut bus = Self::start(options);
        bus.connected();
        bus.subscribe(filter);
        bus
    }

    /// The first event that fits; the others are kept for later.
    fn wait<T>(&mut self, what: &str, mut fits: impl FnMut(&BusEvent) -> Option<T>) -> T {
        let start = Instant::now();
        let mut index = 0;
        loop {
            while index < self.seen.len() {
                if let Some(found) = fits(&self.seen[index]) {
                    self.seen.remove(index);
                    return found;
                }
                index += 1;
            }
            let left = patience().saturating_sub(start.elapsed());
            match self.events.next_event(Some(left)) {
                Ok(Some(event)) => self.seen.push(event),
                other => panic!("{what} does not come ({other:?}) after {:?}", self.seen),
            }
        }
    }

    /// Whether the broker has our session.
    fn connected(&mut self) -> bool {
        self.session().session_present
    }

    fn session(&mut self) -> BrokerSession {
        self.wait("a connection", |event| match event {
            BusEvent::Connected(session) => Some(session.clone()),
            _ => None,
        })
    }

    fn subscribe(&mut self, filter: &str) {
        let wanted = self.handle.subscribe_with(&[Subscription::new(filter)]).unwrap();
        self.wait("the subscription", |event| match event {
            BusEvent::Subscribed { token, refused } if *token == wanted => {
                assert!(refused.is_empty());
                Some(())
            }
            _ => None,
        });
    }

    fn message(&mut self) -> IncomingMessage {
        self.wait("a message", |event| match event {
            BusEvent::Message(message) => Some(message.clone()),
            _ => None,
        })
    }

    fn outcome(&mut self, wanted: PublishToken) -> PublishOutcome {
        self.wait("the acknowledgement of a publish", |event| match event {
            BusEvent::Published { token, outcome } if *token == wanted => Some(outcome.clone()),
            _ => None,
        })
    }

    fn disconnected(&mut self) -> (BusError, Vec<PublishToken>) {
        self.wait("the end of the connection", |event| match event {
            BusEvent::Disconnected { error, unacknowledged, .. } => {
                Some((error.clone(), unacknowledged.clone()))
            }
            _ => None,
        })
    }

    fn connect_failed(&mut self) -> BusError {
        self.wait("a failed attempt", |event| match event {
            BusEvent::ConnectFailed { error, .. } => Some(error.clone()),
            _ => None,
        })
    }

    fn stopped(&mut self) -> bool {
        self.wait("the end", |event| match event {
            BusEvent::Stopped { complete } => Some(*complete),
            _ => None,
        })
    }

    /// No message comes for a while.
    fn silent(&mut self, time: Duration) {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()) {
            match self.events.next_event(Some(left)) {
                Ok(Some(BusEvent::Message(message))) => panic!("{message:?} came"),
                Ok(Some(event)) => self.seen.push(event),
                _ => break,
            }
        }
    }
}
