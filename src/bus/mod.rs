//! The way to the broker: topics, messages, and a client that loses nothing which its owner still has.
//!
//! The service subscribes, and publishes what has no properties, through `embedded_svc::mqtt::client`; [`BusClient`] and
//! [`BusConnection`] add what those traits leave out: MQTT 5 properties, acknowledgement by hand, why a publish was
//! refused, a wait with a limit (docs/decisions/2026-11-29-embedded-svc.md). There are three implementations: [`connect`] with MQTT 5 or 3.1.1 (on
//! `rumqttc`), and [`memory`] without a network.
//!
//! What the service has to know:
//! - After every [`BusEvent::Connected`] it subscribes, and publishes again whatever has not been
//!   acknowledged with [`BusEvent::Published`]. Nothing is kept here across connections.
//! - A message with an [`AckToken`] is the broker's until [`BusClient::acknowledge`] is called; on the
//!   wire the acknowledgements leave in the order in which the messages came.
//! - No call waits for the network, and the connection never waits for the service.
//!
//! What the messages say is not decided here, nor what must survive a restart (`outbox`).

use std::time::Duration;

use embedded_svc::mqtt::client::{Client, Connection, Enqueue, ErrorType, Publish};

mod adapter;
mod backoff;
mod conversation;
mod core;
mod driver;
mod error;
mod events;
mod fault;
mod filter;
mod handle;
mod identity;
pub mod memory;
mod message;
mod options;
mod overdue;
mod packet;
mod refusal;
mod relay;
mod rumqttc_v4;
mod rumqttc_v5;
mod tls;
mod topics;
mod versions;
mod wire;

pub use driver::{check, connect};
pub use embedded_svc::mqtt::client::QoS;
pub use error::BusError;
pub use handle::{BusEvents, BusHandle};
pub use identity::{Credentials, Password, Secret};
pub use message::{
    AckToken, BrokerSession, BusEvent, IncomingMessage, LossCause, OutgoingMessage, Properties, Protocol,
    PublishOutcome, PublishToken, SubscribeToken,
};
pub use options::{BackoffOptions, BrokerUrl, BusOptions, ProtocolChoice, TlsFiles};
#[cfg(any(test, feature = "fuzzing"))]
pub use packet::looked_through;
#[cfg(feature = "web")]
pub(crate) use relay::{Stream, dial_for_another};
#[cfg(feature = "web")]
pub(crate) use tls::server_config;
pub(crate) use tls::{TlsWords, client_config, explain};
pub use topics::{AddressFault, Inbound, RequestAddress, Scope, TopicError, Topics, Verb};
pub use wire::{BusStats, QueueLimits, Subscription};

/// What a client of the bus can do beyond the traits. Any thread may call it, and no call waits.
pub trait BusClient: ErrorType<Error = BusError> + Client + Publish + Enqueue + Send + Sync {
    /// Publishes a message with MQTT 5 properties. It is measured first; of one sent at least once the
    /// token comes back in [`BusEvent::Published`].
    ///
    /// # Errors
    /// [`BusError::NotConnected`], [`BusError::QueueFull`], [`BusError::TooLarge`] and so on; nothing has
    /// been sent then.
    fn publish_with(&self, message: OutgoingMessage) -> Result<PublishToken, BusError>;

    /// Asks for several subscriptions at once; one [`BusEvent::Subscribed`] answers.
    ///
    /// # Errors
    /// [`BusError::BadTopic`] for a filter that is none, [`BusError::NotConnected`].
    fn subscribe_with(&self, subscriptions: &[Subscription]) -> Result<SubscribeToken, BusError>;

    /// Says that a message is dealt with, so that the broker may forget it. The broker is told once
    /// everything that came before is acknowledged too. A token of an earlier connection has no effect.
    fn acknowledge(&self, ack: AckToken);

    /// Ends the bus: everything published so far is sent, then `farewell`; when the broker has
    /// acknowledged it all, or after a while, leave is taken, and the last will is not published.
    fn stop(&self, farewell: Option<OutgoingMessage>);

    /// Gives up the present connection and makes another, for a service that hears nothing on it. Without a connection
    /// it has no effect.
    fn reconnect(&self);

    /// How full the bus is.
    fn stats(&self) -> BusStats;

    /// How many messages at most once were thrown away on which topics since the last call, because the service was too
    /// slow; of a few topics only, whoever sends on many.
    fn take_dropped_on(&self) -> std::collections::BTreeMap<String, u64>;
}

/// What the stream of events can do beyond the traits.
pub trait BusConnection: ErrorType<Error = BusError> + Connection + Send {
    /// Waits for the next event, without end if there is no `timeout`; `None` when that has passed.
    ///
    /// # Errors
    /// [`BusError::Stopped`] after the last event.
    fn next_event(&mut self, timeout: Option<Duration>) -> Result<Option<BusEvent>, BusError>;
}
