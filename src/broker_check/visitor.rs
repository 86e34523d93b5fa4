//! One connection to the broker under examination, with waits that end.

use std::time::{Duration, Instant};

use crate::bus::{
    BrokerSession, BusClient as _, BusConnection as _, BusError, BusEvent, BusEvents, BusHandle, BusOptions,
    IncomingMessage, OutgoingMessage, PublishOutcome, Subscription, connect,
};

/// Messages on their way at a time, where there are many.
const AT_A_TIME: usize = 64;

/// A client of the broker.
pub(super) struct Visitor {
    handle: BusHandle,
    events: BusEvents,
    /// Messages that came while something else was waited for.
    came: Vec<IncomingMessage>,
    pub session: BrokerSession,
}

impl Visitor {
    /// Connects, or says why the first attempt failed.
    pub fn connect(options: BusOptions) -> Result<Self, BusError> {
        let patience = options.connect_timeout + Duration::from_secs(5);
        let broker = options.broker.to_string();
        let (handle, events) = connect(options)?;
        let mut visitor = Self { handle, events, came: Vec::new(), session: BrokerSession::default() };
        let answered = visitor.wait(patience, |_, event| match event {
            Some(BusEvent::Connected(session)) => Some(Ok(session)),
            Some(BusEvent::ConnectFailed { error, .. } | BusEvent::Disconnected { error, .. }) => {
                Some(Err(error))
            }
            _ => None,
        });
        let silent = || BusError::Unreachable { broker, reason: "it does not answer".to_owned() };
        visitor.session = answered.unwrap_or_else(|| Err(silent()))?;
        Ok(visitor)
    }

    /// Waits until `says` says something, of what has come (the messages that nobody has asked for yet) or of an event, for
    /// `patience` at most.
    fn wait<T>(
        &mut self,
        patience: Duration,
        mut says: impl FnMut(&mut Vec<IncomingMessage>, Option<BusEvent>) -> Option<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let mut event = None;
        loop {
            if let Some(said) = says(&mut self.came, event.take()) {
                return Some(said);
            }
            let left = patience.saturating_sub(start.elapsed());
            match self.events.next_event(Some(left)) {
                Ok(Some(BusEvent::Message(message))) => {
                    if let Some(ack) = message.ack {
                        self.handle.acknowledge(ack);
                    }
                    self.came.push(message);
                }
                Ok(Some(other)) => event = Some(other),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Subscribes; an error is the broker's refusal, or its silence.
    pub fn subscribe(&mut self, filter: &str, patience: Duration) -> Result<(), String> {
        let token = self.handle.subscribe_with(&[Subscription::new(filter)]).map_err(|e| e.to_string())?;
        let refused = self.wait(patience, |_, event| match event {
            Some(BusEvent::Subscribed { token: answered, refused }) if answered == token => Some(refused),
            _ => None,
        });
        match refused {
            None => Err("no answer to the subscription".to_owned()),
            Some(refused) => refused.into_iter().next().map_or(Ok(()), |(_, reason)| Err(reason)),
        }
    }

    /// Publishes, and waits until the broker has taken the message; else why it has not.
    pub fn publish(&mut self, message: OutgoingMessage, patience: Duration) -> Result<(), String> {
        let token = self.handle.publish_with(message).map_err(|error| error.to_string())?;
        let outcome = self.wait(patience, |_, event| match event {
            Some(BusEvent::Published { token: answered, outcome }) if answered == token => Some(Ok(outcome)),
            Some(BusEvent::Disconnected { error, .. }) => Some(Err(error)),
            _ => None,
        });
        match outcome {
            None => Err("no acknowledgement".to_owned()),
            Some(Err(error)) => Err(format!("the broker ended the connection ({error})")),
            Some(Ok(PublishOutcome::Accepted)) => Ok(()),
            Some(Ok(PublishOutcome::Deferred { reason } | PublishOutcome::Refused { reason })) => {
                Err(format!("refused: {reason}"))
            }
        }
    }

    /// Publishes messages on a topic, many on their way at a time; says how many the broker has taken.
    pub fn publish_numbers(&mut self, topic: &str, count: usize, patience: Duration) -> usize {
        let (mut sent, mut answered, mut taken) = (0, 0, 0);
        while answered < count {
            while sent < count && sent - answered < AT_A_TIME {
                if self.handle.publish_with(OutgoingMessage::new(topic, sent.to_string())).is_err() {
                    return taken;
                }
                sent += 1;
            }
            let outcome = self.wait(patience, |_, event| match event {
                Some(BusEvent::Published { outcome, .. }) => Some(outcome),
                _ => None,
            });
            match outcome {
                None => return taken,
                Some(outcome) => taken += usize::from(outcome == PublishOutcome::Accepted),
            }
            answered += 1;
        }
        taken
    }

    /// The first message on a topic, within `patience`.
    pub fn message(&mut self, topic: &str, patience: Duration) -> Option<IncomingMessage> {
        self.wait(patience, |came, _| {
            let at = came.iter().position(|message| message.topic == topic)?;
            Some(came.remove(at))
        })
    }

    /// Whether it is connected again within `patience`, after the broker has ended the connection.
    pub fn is_back(&mut self, patience: Duration) -> bool {
        if self.handle.stats().connected {
            return true;
        }
        self.wait(patience, |_, event| matches!(event, Some(BusEvent::Connected(_))).then_some(())).is_some()
    }

    /// Ends what the session has subscribed to, and takes leave.
    pub fn leave(mut self, filters: &[&str]) {
        use embedded_svc::mqtt::client::Client as _;
        for filter in filters {
            // What cannot be taken back ends with the session.
            let _ = self.handle.unsubscribe(filter);
        }
        self.handle.stop(None);
        self.wait(Duration::from_secs(5), |_, event| {
            matches!(event, Some(BusEvent::Stopped { .. })).then_some(())
        });
    }
}
