//! How to reach the broker and how to behave there.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::BusError;
use super::identity::Credentials;
use super::message::{OutgoingMessage, Protocol};
use super::wire::QueueLimits;

/// Files for TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Certificates of the authorities that may vouch for the broker; without it the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate and those between it and its authority, where the broker asks for one.
    pub cert: Option<PathBuf>,
    /// The key of our certificate.
    pub key: Option<PathBuf>,
}

/// Address of the broker: `mqtt://HOST[:PORT]`, or `mqtts://` for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Host name or address, an IPv6 address without its brackets.
    pub host: String,
    /// Port; 1883, or 8883 with TLS, unless given.
    pub port: u16,
}

impl BrokerUrl {
    /// Reads an address. The message of an error does not repeat the address: there may be a password
    /// in it.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(url: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err("is not of the form mqtt://HOST:PORT".to_owned());
        };
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err("starts with another scheme than mqtt:// or mqtts://".to_owned()),
        };
        if rest.contains('@') {
            let problem = "has a user or password in it; use username and password_file or password_env";
            return Err(problem.to_owned());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("has something behind the port; only HOST:PORT is expected".to_owned());
        }
        let (host, port) = if let Some(bracketed) = rest.strip_prefix('[') {
            let Some((host, after)) = bracketed.split_once(']') else {
                return Err("has an IPv6 address without the closing bracket".to_owned());
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has something in brackets that is no IPv6 address".to_owned());
            }
            if tls {
                return Err("names the broker by an IPv6 address; certificates are checked against a \
                            name, so give the host name"
                    .to_owned());
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("has something between the bracket and the port".to_owned()),
            }
        } else {
            match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("has no host name".to_owned());
        }
        let port = match port {
            None => {
                if tls {
                    8883
                } else {
                    1883
                }
            }
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err("has a port that is not a number of 1 to 65535".to_owned()),
            },
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// The host as an address shows it.
    fn shown_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.shown_host(), self.port)
    }
}

/// Which MQTT to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProtocolChoice {
    /// MQTT 5, or 3.1.1 with a broker that does not take that.
    #[default]
    Auto,
    /// This one.
    Only(Protocol),
}

impl From<Protocol> for ProtocolChoice {
    fn from(protocol: Protocol) -> Self {
        Self::Only(protocol)
    }
}

impl fmt::Display for ProtocolChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Only(protocol) => protocol.fmt(f),
        }
    }
}

/// How long to wait between attempts to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffOptions {
    /// After the first failure; doubled after each further one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
    /// A connection that lasted this long counts as a success. Two boards with one client id, which the
    /// broker throws out in turn, so slow down.
    pub stable: Duration,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            stable: Duration::from_secs(3),
        }
    }
}

/// Everything the bus has to be told.
#[derive(Debug, Clone)]
pub struct BusOptions {
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// Which MQTT to speak.
    pub protocol: ProtocolChoice,
    /// Name of our session at the broker; it must stay the same over restarts, and be nobody else's.
    pub client_id: String,
    /// User and password, if the broker wants them.
    pub credentials: Option<Credentials>,
    /// Files for TLS; of no effect without it.
    pub tls: TlsFiles,
    /// Silence after which the connection is tested: 5 s to 65,535 s.
    pub keep_alive: Duration,
    /// How long the broker keeps our session while we are away. An MQTT 3.1.1 broker is not told.
    pub session_expiry: Duration,
    /// What the broker publishes when we are gone without leave.
    pub will: Option<OutgoingMessage>,
    /// Bytes of the largest packet that we take whole. The broker is not told: it would keep larger ones to itself, and
    /// nobody would be answered. The payload of a larger one is thrown away as it comes, so that it can be refused.
    pub max_incoming_bytes: usize,
    /// Messages that the broker may send before the first is acknowledged.
    pub receive_maximum: u16,
    /// Bounds of what waits for the broker.
    pub queue: QueueLimits,
    /// Waiting between attempts.
    pub backoff: BackoffOptions,
    /// How long the broker may leave a message or a subscription of ours unanswered on a connection that is alive
    /// otherwise, before another is made. The time in which a slow line carries something does not count.
    pub answer_timeout: Duration,
    /// How long an attempt may take.
    pub connect_timeout: Duration,
    /// How long a stop may take.
    pub stop_timeout: Duration,
}

impl BusOptions {
    /// Options with the defaults for everything but the address and the name.
    pub fn new(broker: BrokerUrl, client_id: impl Into<String>) -> Self {
        Self {
            broker,
            protocol: ProtocolChoice::Auto,
            client_id: client_id.into(),
            credentials: None,
            tls: TlsFiles::default(),
            keep_alive: Duration::from_secs(30),
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            will: None,
            max_incoming_bytes: 1 << 20,
            receive_maximum: 32,
            queue: QueueLimits::default(),
            backoff: BackoffOptions::default(),
            answer_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(5),
        }
    }

    /// Refuses what `rumqttc` would panic on or what MQTT cannot say.
    pub(super) fn check(&self) -> Result<(), BusError> {
        let refuse = |problem: &str| {
            Err(BusError::Options { broker: self.broker.to_string(), problem: problem.to_owned() })
        };
        let keep_alive = self.keep_alive.as_secs();
        if self.client_id.is_empty() || self.client_id.len() > usize::from(u16::MAX) {
            return refuse("the client id must have 1 to 65535 bytes: the session is kept under it");
        }
        if !(5..=u64::from(u16::MAX)).contains(&keep_alive) {
            return refuse("the keep alive must be 5 to 65535 seconds");
        }
        if self.answer_timeout.is_zero() {
            return refuse("the broker must be given time to answer");
        }
        if self.session_expiry.as_secs() > u64::from(u32::MAX) {
            return refuse("the session expiry must be at most 4294967295 seconds");
        }
        if self.receive_maximum == 0 || self.queue.in_flight == 0 || self.queue.in_flight > 128 {
            return refuse(
                "the messages in flight must be 1 to 128 on the way out, 1 to 65535 on the way in",
            );
        }
        if self.max_incoming_bytes > MAX_PACKET || self.queue.max_packet_bytes > MAX_PACKET {
            return refuse("a packet of MQTT has at most 268435455 bytes");
        }
        self.will.as_ref().map_or(Ok(()), OutgoingMessage::check)
    }

    /// The will's quality of service and so on are the message's; its topic for error messages.
    pub(super) fn broker_name(&self) -> String {
        self.broker.to_string()
    }
}

/// The largest remaining length (MQTT 5, 2.1.4).
pub(super) const MAX_PACKET: usize = 268_435_455;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_perhaps_a_port() {
        let parsed = |url| BrokerUrl::parse(url).map(|url| url.to_string());
        assert_eq!(parsed("mqtt://localhost").as_deref(), Ok("mqtt://localhost:1883"));
        assert_eq!(parsed("mqtts://broker.example/").as_deref(), Ok("mqtts://broker.example:8883"));
        assert_eq!(parsed("tcp://10.0.0.7:1884").as_deref(), Ok("mqtt://10.0.0.7:1884"));
        assert_eq!(parsed("mqtt://[::1]:1884").as_deref(), Ok("mqtt://[::1]:1884"));
        for bad in [
            "localhost",
            "http://localhost",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://a:0",
            "mqtt://a:99999",
            "mqtt://a:1883/topic",
            "mqtt://[::1",
            "mqtt://[::zz]:1",
            "mqtts://[::1]",
            "mqtt://a b",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_without_repeating_it() {
        let error = BrokerUrl::parse("mqtt://pilot:hunter2@broker").unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("password_file"));
    }

    #[test]
    fn options_that_would_break_the_client_are_refused() {
        let good = BusOptions::new(BrokerUrl::parse("mqtt://localhost").unwrap(), "board");
        assert_eq!(good.check(), Ok(()));
        let short = BusOptions { keep_alive: Duration::from_secs(4), ..good.clone() };
        let long = BusOptions { keep_alive: Duration::from_secs(70_000), ..good.clone() };
        let nameless = BusOptions { client_id: String::new(), ..good.clone() };
        let wild = BusOptions { will: Some(OutgoingMessage::new("a/#", "offline")), ..good.clone() };
        let hasty = BusOptions { answer_timeout: Duration::ZERO, ..good.clone() };
        let none = BusOptions { receive_maximum: 0, ..good };
        for options in [short, long, nameless, wild, hasty, none] {
            assert!(options.check().is_err());
        }
    }
}
