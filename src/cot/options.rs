//! Where events go, and how. The configuration fills this.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use crate::api::check_name;
use crate::bus::{BusError, TlsFiles};

/// Levels below the board's own topic that have another meaning, so that no events may go there.
pub const TAKEN_LEVELS: [&str; 9] =
    ["state", "info", "health", "folder", "request", "response", "mask", "saved", "event"];

/// Somewhere that events go to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CotTarget {
    /// Datagrams, to a multicast group or a host.
    Udp {
        /// Name or address, an IPv6 address without its brackets.
        host: String,
        /// Port; 6969 unless given.
        port: u16,
    },
    /// A TAK server's plain port.
    Tcp {
        /// Name or address.
        host: String,
        /// Port; 8087 unless given.
        port: u16,
    },
    /// A TAK server's encrypted port.
    Tls {
        /// Name or address.
        host: String,
        /// Port; 8089 unless given.
        port: u16,
    },
    /// A topic an object of the board's own broker: `<root>/<device>/<level>/<uid>`.
    Mqtt {
        /// The level.
        level: String,
    },
}

impl CotTarget {
    /// Reads a target. The message of an error does not repeat it.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err("is no target; write udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or mqtt:NAME"
                .to_owned());
        };
        if rest.contains('@') {
            return Err("has a user or password in it, which servers of TAK do not know; they know certificates (tls://, \
                        cot.cert and cot.key)"
                .to_owned());
        }
        let scheme = scheme.to_ascii_lowercase();
        if matches!(scheme.as_str(), "mqtt" | "mqtts") {
            if rest.starts_with("//") || scheme == "mqtts" {
                return Err(
                    "is the address of a broker; events go through the board's own broker ([broker]): write \
                            mqtt:NAME, for example mqtt:cot"
                        .to_owned(),
                );
            }
            check_name(rest)
                .map_err(|problem| format!("has a level of topics after mqtt: that {problem}"))?;
            if TAKEN_LEVELS.contains(&rest) {
                return Err("has a level of topics after mqtt: that stands for something else; write for example mqtt:cot"
                    .to_owned());
            }
            return Ok(Self::Mqtt { level: rest.to_owned() });
        }
        let Some(address) = rest.strip_prefix("//") else {
            if matches!(scheme.as_str(), "udp" | "tcp" | "tls" | "ssl") {
                return Err(format!("lacks the two slashes; write {scheme}://HOST:PORT"));
            }
            return Err(format!("has no scheme; write {}", with_scheme(text)));
        };
        match scheme.as_str() {
            "udp" => host_and_port(address, 6969).map(|(host, port)| Self::Udp { host, port }),
            "tcp" => host_and_port(address, 8087).map(|(host, port)| Self::Tcp { host, port }),
            "tls" | "ssl" => host_and_port(address, 8089).map(|(host, port)| Self::Tls { host, port }),
            _ => Err("starts with another scheme than udp, tcp, tls or mqtt".to_owned()),
        }
    }
}

/// An address that has none with the scheme that its port stands for, as far as it is an address.
fn with_scheme(address: &str) -> String {
    let scheme = match address.rsplit_once(':').map(|(_, port)| port) {
        Some("6969") => "udp",
        Some("8089") => "tls",
        _ => "tcp",
    };
    match host_and_port(address, 8087) {
        Ok(_) => format!("{scheme}://{address}"),
        Err(_) => "udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT or mqtt:NAME".to_owned(),
    }
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if text.contains(['/', '?', '#']) {
        return Err("has something behind the port; only HOST:PORT is expected".to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let Some((host, after)) = bracketed.split_once(']') else {
                return Err("has an IPv6 address without the closing bracket".to_owned());
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has something in brackets that is no IPv6 address".to_owned());
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("has something between the bracket and the port".to_owned()),
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("has no host".to_owned());
    }
    let port = match port {
        None => default,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err("has a port that is not a number of 1 to 65535".to_owned()),
        },
    };
    Ok((host.to_owned(), port))
}

impl CotTarget {
    /// Whether others can be heard there: a server sends what its clients do, a group gets what its members send.
    pub fn can_be_heard(&self) -> bool {
        match self {
            Self::Tcp { .. } | Self::Tls { .. } => true,
            Self::Udp { host, .. } => host.parse().is_ok_and(|address: IpAddr| address.is_multicast()),
            Self::Mqtt { .. } => false,
        }
    }
}

impl fmt::Display for CotTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Tls { host, port } => ("tls", host, port),
            Self::Mqtt { level } => return write!(f, "mqtt:{level}"),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// All that sending events needs to know.
#[derive(Debug, Clone)]
pub struct CotOptions {
    /// Where they go.
    pub targets: Vec<CotTarget>,
    /// Layers whose objects are sent; none named are all.
    pub layers: Vec<String>,
    /// Layer for the objects under markers that people set on TAK's maps; without it no target is listened to.
    pub marker_layer: Option<String>,
    /// The board's name, from which the uid of its presence is made.
    pub device: String,
    /// What people read at its presence.
    pub callsign: String,
    /// The board's own topic, `<root>/<device>`.
    pub topic: String,
    /// For `tls://`.
    pub tls: TlsFiles,
    /// Whether a server's certificate must be for the name by which it is reached, besides being signed by an authority that
    /// counts.
    pub check_name: bool,
    /// The address, on this board, of the network that multicast leaves by; the system's choice without it.
    pub multicast_interface: Option<Ipv4Addr>,
    /// How many routers multicast may pass, and one.
    pub multicast_ttl: u32,
    /// Time after which all objects are sent again.
    pub interval: Duration,
    /// How long a receiver shows an object that it hears no more of.
    pub stale: Duration,
    /// Time between two events to one target.
    pub pause: Duration,
    /// Time between two presences.
    pub presence: Duration,
    /// How long a connection must have lasted to count as one.
    pub stable: Duration,
    /// Time before a target is tried again, doubled each time, and the longest.
    pub retry: (Duration, Duration),
    /// How long a connection must have lasted after a deletion for that to count as received.
    pub received_after: Duration,
    /// The clock.
    pub clock: fn() -> SystemTime,
}

impl CotOptions {
    /// Options with the defaults for everything but the board's name and topic; without targets.
    pub fn new(device: &str, topic: &str) -> Self {
        Self {
            targets: Vec::new(),
            layers: Vec::new(),
            marker_layer: None,
            device: device.to_owned(),
            callsign: device.to_owned(),
            topic: topic.to_owned(),
            tls: TlsFiles::default(),
            check_name: true,
            multicast_interface: None,
            multicast_ttl: 1,
            interval: Duration::from_secs(600),
            stale: Duration::from_secs(24 * 3600),
            pause: Duration::from_millis(300),
            presence: Duration::from_secs(60),
            stable: Duration::from_secs(3),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
            received_after: Duration::from_secs(30),
            clock: SystemTime::now,
        }
    }

    /// Whether objects of a layer are sent.
    pub(super) fn has_layer(&self, layer: &str) -> bool {
        self.layers.is_empty() || self.layers.iter().any(|wanted| wanted == layer)
    }

    /// Whether any target is encrypted.
    pub(crate) fn has_tls(&self) -> bool {
        self.targets.iter().any(|target| matches!(target, CotTarget::Tls { .. }))
    }
}

/// Reads what the options point to and must be there from the start: certificates and key.
///
/// # Errors
/// [`BusError::Tls`], with the file.
pub fn check(options: &CotOptions) -> Result<(), BusError> {
    if options.has_tls() {
        crate::bus::client_config(&options.tls, options.check_name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_scheme_a_host_and_perhaps_a_port() {
        let shown = |text| CotTarget::parse(text).map(|target| target.to_string());
        for (text, expected) in [
            ("udp://239.2.3.1", "udp://239.2.3.1:6969"),
            ("udp://10.0.0.7:4242", "udp://10.0.0.7:4242"),
            ("udp://[ff02::1]:6969", "udp://[ff02::1]:6969"),
            ("tcp://takserver/", "tcp://takserver:8087"),
            ("ssl://takserver", "tls://takserver:8089"),
            ("TLS://takserver:1", "tls://takserver:1"),
            ("mqtt:cot", "mqtt:cot"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        for (text, expected) in [
            ("takserver", "is no target"),
            ("tcp:takserver", "lacks the two slashes; write tcp://HOST:PORT"),
            ("tak.lan:8087", "has no scheme; write tcp://tak.lan:8087"),
            ("192.168.1.5:8087", "has no scheme; write tcp://192.168.1.5:8087"),
            ("[fd00::5]:8089", "has no scheme; write tls://[fd00::5]:8089"),
            ("239.2.3.1:6969", "has no scheme; write udp://239.2.3.1:6969"),
            ("tak lan:x", "has no scheme; write udp://HOST:PORT, tcp://"),
            ("http://takserver", "another scheme"),
            ("tcp://", "has no host"),
            ("tcp://a b:1", "has no host"),
            ("tcp://a:0", "has a port"),
            ("tcp://a:1/x", "something behind the port"),
            ("udp://[::1", "closing bracket"),
            ("udp://[zz]:1", "no IPv6 address"),
            ("mqtt://broker:1883/cot", "is the address of a broker"),
            ("mqtt:a/b", "has a level of topics after mqtt: that has the character"),
            ("mqtt:state", "stands for something else"),
        ] {
            let problem = shown(text).unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let problem = shown("tls://pilot:hunter2@host").unwrap_err();
        assert!(problem.contains("certificates") && !problem.contains("hunter2"), "{problem}");
    }
}
