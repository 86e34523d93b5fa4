//! What happens to the connection: it comes and goes, the broker has our session or has lost it, requests reach us or
//! do not.

use std::time::{Duration, Instant};

use super::{Clerk, Then};
use crate::bus::{BrokerSession, BusClient, BusError, BusEvent, OutgoingMessage, SubscribeToken};
use crate::service::echo::Deed;
use crate::service::pulse::tell_status;
use crate::store::Change;

impl<C: BusClient> Clerk<C> {
    pub(super) fn bus_event(&mut self, event: BusEvent) {
        match event {
            BusEvent::Connected(session) => self.connected(session),
            BusEvent::Subscribed { token, refused } => self.subscribed(token, refused),
            BusEvent::Disconnected { error, cause, unacknowledged, retry_in } => {
                self.publisher.disconnected(&unacknowledged, cause);
                self.echo.disconnected();
                if let Some(cot) = &self.context.cot {
                    cot.broker_away();
                }
                self.log_away(&error, retry_in, "the broker is away");
                tell_status(&format!("serving; the broker is away: {error}"));
            }
            BusEvent::ConnectFailed { error, retry_in } => {
                self.log_away(&error, retry_in, "there is no connection to the broker yet");
                tell_status(&format!("serving; no connection to the broker yet: {error}"));
            }
            BusEvent::Message(message) => self.message(message),
            BusEvent::Published { token, outcome } => {
                let (ping, refused) = (self.rules.topics.ping(), self.publisher.published(token, &outcome));
                if let (Some(cot), Some(refused)) = (&self.context.cot, &refused) {
                    cot.broker_refuses(refused);
                }
                if refused.is_some_and(|refused| refused == ping) {
                    tracing::warn!(
                        topic = ping,
                        "the broker does not let the board publish on its own request topic, so it cannot test whether \
                         requests reach it; allow that topic in the broker's access list"
                    );
                    self.echo.forbidden();
                }
                if self.publisher.delivered() > 0 {
                    self.deadlines.linger(Instant::now());
                }
            }
            BusEvent::Unsubscribed { .. } | BusEvent::Stopped { .. } => {}
        }
    }

    /// Logs why there is no connection, once for each reason.
    fn log_away(&mut self, error: &BusError, retry_in: Duration, what: &str) {
        let reason = error.to_string();
        if self.away.as_ref() == Some(&reason) {
            tracing::debug!(error = reason, "{what}; tried again in {:.1} s", retry_in.as_secs_f64());
            return;
        }
        tracing::warn!(error = reason, "{what}; it is tried again, next in {:.1} s", retry_in.as_secs_f64());
        self.away = Some(reason);
    }

    fn connected(&mut self, session: BrokerSession) {
        self.away = None;
        tracing::info!(
            broker = session.broker,
            protocol = %session.protocol,
            session_present = session.session_present,
            max_packet_bytes = session.max_packet_bytes,
            "connected to the broker"
        );
        if !session.retain {
            tracing::warn!(
                "the broker retains nothing: clients hear state, info and folders only if they have subscribed before \
                 the board connects"
            );
        }
        let shared = session.shared_subscriptions;
        if !shared && !self.rules.topics.groups().is_empty() {
            tracing::error!(
                "the broker has no shared subscriptions: requests to a group of boards do not reach us"
            );
        }
        self.look_after_session(&session);
        self.publisher.connected(session);
        self.announcer.set_packet_bytes(self.publisher.packets().told());
        self.deaf = false;
        match self.announcer.subscribe(self.publisher.client_mut(), shared) {
            Ok(asked) => self.asked = asked,
            Err(error) => tracing::warn!(%error, "the board cannot subscribe to its requests"),
        }
    }

    /// The broker has answered a subscription. When it has answered all, the board tells what it is, and that it is online
    /// if requests reach it.
    fn subscribed(&mut self, token: SubscribeToken, refused: Vec<(String, String)>) {
        let requests = self.rules.topics.request_filter();
        self.deaf |= refused.iter().any(|(filter, _)| *filter == requests);
        for (filter, reason) in refused {
            tracing::error!(filter, reason, "the broker does not grant a subscription");
        }
        self.asked.retain(|asked| *asked != token);
        if !self.asked.is_empty() {
            return;
        }
        if !self.deaf {
            self.echo.subscribed();
        }
        self.announce(!self.deaf);
        if let Some(cot) = &self.context.cot {
            cot.broker_connected();
        }
        tell_status(if self.deaf { "the broker does not let requests reach us" } else { "serving" });
    }

    /// A broker that had our session and has it no more has lost what it had accepted for us.
    fn look_after_session(&mut self, session: &BrokerSession) {
        let counter = format!("session {}@{}", session.client_id, session.broker);
        let known = match self.context.store.counters() {
            Ok(counters) => counters.contains_key(&counter),
            Err(error) => {
                tracing::error!(%error, "the counters cannot be read");
                return;
            }
        };
        if !known {
            self.staged.push((Change::Count { name: counter, by: 1 }, Then::Nothing));
        } else if !session.session_present {
            self.sessions_lost += 1;
            let text = "the broker has lost our session, and with it the requests that it had accepted while the board was \
                        away: give it persistence (mosquitto: persistence true, a persistence_location that it can write, \
                        and stop it with SIGTERM), set broker.session_expiry_s longer than the board is away, and let no \
                        other client use this client id";
            tracing::warn!(client_id = session.client_id, "{text}");
            self.event(self.announcer.problem("session_lost", text));
        }
    }

    /// Pings ourselves through the broker, and makes another connection when nothing comes in any more.
    pub(super) fn test_way_in(&mut self, now: Instant) {
        match self.echo.look(now) {
            Deed::Nothing => {}
            Deed::Ping(text) => {
                let ping = OutgoingMessage::new(self.rules.topics.ping(), text);
                if !self.publisher.pass(ping) {
                    self.echo.forbidden();
                }
            }
            Deed::Reconnect { news } => {
                let text = "pings of the board to its own request topic do not come back, so requests may not reach it \
                            either; it connects anew. If that does not help: let the board publish on its own request \
                            topic, and restart the broker";
                tracing::error!("{text}");
                if news {
                    self.event(self.announcer.problem("way_in_closed", text));
                }
                self.publisher.client().reconnect();
            }
        }
    }
}
