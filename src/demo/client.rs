//! A client of the service, as anyone may write one: requests to `request/<client>/<verb>`, answers from
//! `response/<client>/<verb>`, matched by MQTT 5 correlation data. Only the topics' grammar is known here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DemoError;
use crate::bus::{
    BusClient as _, BusConnection as _, BusEvent, BusEvents, BusHandle, BusOptions, IncomingMessage,
    OutgoingMessage, Properties, Subscription,
};

/// The longest wait for an answer; a first request on a slow board prepares the model, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request that has been published.
#[derive(Debug)]
pub(super) struct Asked {
    pub topic: String,
    pub payload: String,
    correlation: Vec<u8>,
    at: Instant,
}

/// An answer that came in.
#[derive(Debug)]
pub(super) struct Answer {
    pub topic: String,
    pub body: Value,
    pub bytes: usize,
    /// From publishing the request to receiving the answer.
    pub round_trip: Duration,
}

/// The client, connected and subscribed.
pub(super) struct Client {
    handle: BusHandle,
    events: BusEvents,
    /// `<root>/<device>`.
    base: String,
    name: &'static str,
    asked: u64,
    /// Answers that came before they were waited for, by correlation data.
    answers: BTreeMap<Vec<u8>, (IncomingMessage, Instant)>,
    /// The newest message of every other topic.
    told: BTreeMap<String, Vec<u8>>,
}

impl Client {
    /// Connects, subscribes, and waits until the service says that it is online.
    pub fn connect(options: BusOptions, base: String, name: &'static str) -> Result<Self, DemoError> {
        let (handle, events) = crate::bus::connect(options)?;
        let (answers, told) = (BTreeMap::new(), BTreeMap::new());
        let mut client = Self { handle, events, base, name, asked: 0, answers, told };
        let state = client.topic("state");
        client.wait("the service's \"online\"", |c| {
            (c.told.get(&state).map(Vec::as_slice) == Some(b"online")).then_some(())
        })?;
        Ok(client)
    }

    /// A topic of the board.
    pub fn topic(&self, below: &str) -> String {
        format!("{}/{below}", self.base)
    }

    /// Publishes a request and does not wait.
    pub fn publish(&mut self, verb: &str, payload: String) -> Result<Asked, DemoError> {
        self.asked += 1;
        let correlation = self.asked.to_be_bytes().to_vec();
        let topic = self.topic(&format!("request/{}/{verb}", self.name));
        let properties = Properties { correlation_data: Some(correlation.clone()), ..Properties::default() };
        let at = Instant::now();
        self.handle.publish_with(OutgoingMessage::new(topic.clone(), payload.clone()).with(properties))?;
        Ok(Asked { topic, payload, correlation, at })
    }

    /// Waits for the answer to a request.
    pub fn answer(&mut self, asked: &Asked) -> Result<Answer, DemoError> {
        let what = format!("the answer to {}", asked.topic);
        let (message, at) = self.wait(&what, |c| c.answers.remove(&asked.correlation))?;
        let body = serde_json::from_slice(&message.payload)
            .map_err(|source| DemoError::NotJson { topic: message.topic.clone(), source })?;
        let round_trip = at.saturating_duration_since(asked.at);
        Ok(Answer { topic: message.topic, body, bytes: message.payload.len(), round_trip })
    }

    /// Waits for a message of another topic, and takes it.
    pub fn told(&mut self, topic: &str) -> Result<Vec<u8>, DemoError> {
        self.wait(topic, |c| c.told.remove(topic))
    }

    /// Takes leave.
    pub fn stop(mut self) {
        self.handle.stop(None);
        // Until the last event, which follows within the bus's own time limit.
        while let Ok(Some(event)) = self.events.next_event(Some(Duration::from_secs(10))) {
            if matches!(event, BusEvent::Stopped { .. }) {
                break;
            }
        }
    }

    fn wait<T>(&mut self, what: &str, mut take: impl FnMut(&mut Self) -> Option<T>) -> Result<T, DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = take(self) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.next_event(Some(left))? {
                Some(event) => self.take_in(event)?,
                None => return Err(DemoError::Silence { what: what.to_owned(), waited: PATIENCE }),
            }
        }
    }

    fn take_in(&mut self, event: BusEvent) -> Result<(), DemoError> {
        match event {
            BusEvent::Connected(_) => {
                let response = format!("response/{}/+", self.name);
                let filters = [response.as_str(), "state", "folder/+", "mask/+", "saved/+"];
                let filters = filters.map(|below| Subscription::new(self.topic(below)));
                self.handle.subscribe_with(&filters)?;
            }
            BusEvent::Message(message) => {
                if let Some(ack) = message.ack {
                    self.handle.acknowledge(ack);
                }
                match message.properties.correlation_data.clone() {
                    Some(correlation) => drop(self.answers.insert(correlation, (message, Instant::now()))),
                    None => drop(self.told.insert(message.topic, message.payload)),
                }
            }
            BusEvent::Subscribed { refused, .. } if !refused.is_empty() => {
                return Err(DemoError::Refused { filters: refused });
            }
            BusEvent::Disconnected { error, .. } | BusEvent::ConnectFailed { error, .. } => {
                tracing::warn!(%error, "the demo's client");
            }
            _ => {}
        }
        Ok(())
    }
}
