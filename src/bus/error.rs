//! What can go wrong between us and the broker.

use std::path::PathBuf;

/// Errors of the bus. None of them carries a password, a key or a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// There is no connection to publish or subscribe on. What must not be lost stays with the caller,
    /// who sends it again after the next `Connected`.
    #[error(
        "cannot send to {topic}: there is no connection to the broker; it is sent again after the next connect"
    )]
    NotConnected {
        /// Topic or filter.
        topic: String,
    },
    /// The broker acknowledges more slowly than we publish.
    #[error("cannot send to {topic}: {waiting} messages wait for the broker already; try again later")]
    QueueFull {
        /// Topic or filter.
        topic: String,
        /// Messages waiting.
        waiting: usize,
    },
    /// Larger than what the broker, or the configuration, lets through. Sending it would end the
    /// connection, and sending it again would end the next.
    #[error(
        "cannot send to {topic}: the packet has {bytes} bytes, at most {limit} are allowed; make the message smaller or raise the limit"
    )]
    TooLarge {
        /// Topic.
        topic: String,
        /// Bytes of the packet.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a topic that can be published to, or not a filter.
    #[error("the topic {topic:?} {problem}")]
    BadTopic {
        /// The topic, cut for display.
        topic: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A response topic, content type or the like that MQTT cannot carry.
    #[error("cannot send to {topic}: {problem}")]
    BadProperty {
        /// Topic of the message.
        topic: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The password cannot be read.
    #[error("{}: cannot be used as the broker's password: {problem}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate or key file cannot be used.
    #[error("{}: {problem}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The options contradict each other or lie outside what MQTT allows.
    #[error("cannot use the broker {broker}: {problem}")]
    Options {
        /// Address of the broker.
        broker: String,
        /// What is wrong.
        problem: String,
    },
    /// The broker cannot be reached.
    #[error("cannot connect to {broker}: {reason}")]
    Unreachable {
        /// Address of the broker.
        broker: String,
        /// The system's words.
        reason: String,
    },
    /// The broker answers, but does not take us.
    #[error("{broker} refuses the connection: {reason}")]
    Refused {
        /// Address of the broker.
        broker: String,
        /// The broker's reason, and what to do.
        reason: String,
    },
    /// The connection ended without our doing.
    #[error("lost the connection to {broker}: {reason}")]
    Lost {
        /// Address of the broker.
        broker: String,
        /// Why, as far as it is known.
        reason: String,
    },
    /// The bus has been stopped.
    #[error("the bus has been stopped")]
    Stopped,
}
