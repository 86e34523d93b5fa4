//! The ways out: a datagram, a TCP connection with or without TLS, a topic of the board's own broker. One event a write.
//! What others send on a connection is read and thrown away, so that it does not fill up, unless markers are listened to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::markers::Ears;
use super::options::{CotOptions, CotTarget};
use super::shared::{BrokerState, Shared};
use super::thread::Outlet;
use crate::bus::OutgoingMessage;

/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(20);
/// How long a write may take.
const WRITING: Duration = Duration::from_secs(20);
/// Bytes of a TLS record. taky 0.10 takes 4096 bytes of one and waits for the socket before it takes the rest, which lies in
/// its TLS already: a larger event would be seen only with the next one.
const RECORD: usize = 4096;
/// How long nothing is received after that has failed.
const DEAF: Duration = Duration::from_secs(1);
/// The most bytes of a datagram.
const DATAGRAM: usize = 65_536;
/// Silence on a connection before the kernel asks whether it is still there.
const SILENCE: Duration = Duration::from_secs(30);

/// Why there is no way to the board's own broker. What is wrong with that the service tells anyway.
pub(super) const AWAY: &str = "the broker is away";

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something that is to be shown.
    Shown,
    /// A shape that is about to be deleted.
    Last,
    /// That it is deleted.
    Deleted,
}

/// An event on its way.
#[derive(Debug)]
pub(super) struct Event<'a> {
    /// Of what it is about.
    pub uid: &'a str,
    pub kind: Kind,
    pub xml: String,
}

/// TCP, or TLS on it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A way out that is open.
pub(super) enum Link {
    Udp { socket: UdpSocket, to: SocketAddr, group: Option<Group> },
    Stream { stream: Box<dyn Stream>, buffer: Vec<u8>, ears: Option<Ears> },
    Bus { outlet: Arc<dyn Outlet>, topic: String, state: watch::Receiver<BrokerState>, connection: u64 },
}

/// A multicast group that is listened to.
pub(super) struct Group {
    socket: UdpSocket,
    buffer: Vec<u8>,
    ears: Ears,
}

impl Link {
    /// Opens the way to a target. That to the broker is waited for.
    ///
    /// # Errors
    /// Says why it cannot be opened.
    pub async fn open(index: usize, shared: &Shared, outlet: &Arc<dyn Outlet>) -> Result<Self, String> {
        let options = &shared.options;
        let ears = Ears::new(index, shared);
        match &options.targets[index] {
            CotTarget::Mqtt { level } => {
                let mut state = shared.broker.subscribe();
                let usable = state.wait_for(|state| state.up && !state.refused).await;
                let connection = usable.map(|state| state.connection).map_err(|error| error.to_string())?;
                let topic = format!("{}/{level}", options.topic);
                Ok(Self::Bus { outlet: Arc::clone(outlet), topic, state, connection })
            }
            CotTarget::Udp { host, port } => udp(host, *port, options, ears).await,
            CotTarget::Tcp { host, port } => {
                in_time(tcp(host, *port)).await.map(|tcp| Self::stream(tcp, ears))
            }
            CotTarget::Tls { host, port } => {
                in_time(tls(host, *port, options)).await.map(|tls| Self::stream(tls, ears))
            }
        }
    }

    fn stream(stream: impl Stream + 'static, ears: Option<Ears>) -> Self {
        Self::Stream { stream: Box::new(stream), buffer: vec![0; 4096], ears }
    }

    /// Whether a shape is shown for a moment more before it is deleted, for servers that keep events until they are
    /// stale. A topic keeps just one.
    pub const fn has_last_events(&self) -> bool {
        !matches!(self, Self::Bus { .. })
    }

    /// Sends an event.
    ///
    /// # Errors
    /// Says why the way is closed.
    pub async fn send(&mut self, event: &Event<'_>) -> Result<(), String> {
        match self {
            Self::Udp { socket, to, .. } => {
                socket.send_to(event.xml.as_bytes(), *to).await.map(drop).map_err(|error| of_datagram(&error))
            }
            Self::Stream { stream, .. } => {
                let write = async {
                    stream.write_all(event.xml.as_bytes()).await?;
                    stream.flush().await
                };
                match timeout(WRITING, write).await {
                    Ok(written) => written.map_err(|error| format!("the connection has ended: {error}")),
                    Err(_) => Err(format!("it does not take what is sent, for {WRITING:?}")),
                }
            }
            Self::Bus { outlet, topic, .. } => {
                let topic = format!("{topic}/{}", level(event.uid));
                let message = OutgoingMessage::new(topic.clone(), event.xml.as_bytes());
                match event.kind {
                    Kind::Shown | Kind::Last => publish(outlet, message.retained()).await,
                    Kind::Deleted => {
                        publish(outlet, message).await?;
                        publish(outlet, OutgoingMessage::new(topic, Vec::new()).retained()).await
                    }
                }
            }
        }
    }

    /// Waits until the way is closed from the other side; says why. What comes meanwhile is listened to, or thrown away.
    /// It may be given up at any time: what was read is dealt with before it waits again.
    pub async fn closed(&mut self, shared: &Shared) -> String {
        match self {
            // Nobody answers datagrams.
            Self::Udp { group: None, .. } => std::future::pending().await,
            Self::Udp { group: Some(Group { socket, buffer, ears }), .. } => loop {
                match socket.recv(buffer).await {
                    Ok(bytes) => ears.take_datagram(&buffer[..bytes], shared),
                    Err(error) => {
                        tracing::debug!(%error, "a datagram cannot be received");
                        sleep(DEAF).await;
                    }
                }
            },
            Self::Stream { stream, buffer, ears } => loop {
                match stream.read(buffer).await {
                    Ok(0) => return "it has closed the connection".to_owned(),
                    Ok(bytes) => {
                        if let Some(ears) = ears {
                            ears.take(&buffer[..bytes], shared);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        return "it has closed the connection".to_owned();
                    }
                    Err(error) => {
                        return format!(
                            "the connection has ended: {}",
                            crate::bus::explain(&error, "", &WORDS)
                        );
                    }
                }
            },
            Self::Bus { state, connection, topic, .. } => {
                let open = BrokerState { connection: *connection, up: true, refused: false };
                let now = state.wait_for(|state| *state != open).await;
                match now {
                    Ok(state) if state.refused => format!(
                        "the broker refuses it; let the board publish and retain below {topic}/ in the broker's access list"
                    ),
                    _ => AWAY.to_owned(),
                }
            }
        }
    }
}

/// How failures of TLS are told.
const WORDS: crate::bus::TlsWords = crate::bus::TlsWords {
    peer: "the server",
    section: "cot",
    address: "cot.targets, or set cot.check_name = false",
};

async fn in_time<T>(opening: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(CONNECTING, opening).await.unwrap_or_else(|_| Err(format!("no answer within {CONNECTING:?}")))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let tcp =
        TcpStream::connect((host, port)).await.map_err(|error| format!("it cannot be reached: {error}"))?;
    // An event shall leave at once and alone.
    let _ = tcp.set_nodelay(true);
    // Who is gone without a word is noticed. Where it cannot be said, later.
    let socket = SockRef::from(&tcp);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(SILENCE * 3));
    Ok(tcp)
}

async fn tls(host: &str, port: u16, options: &CotOptions) -> Result<TlsStream<TcpStream>, String> {
    // Read for each connection, so that a new certificate needs no restart.
    let config =
        crate::bus::client_config(&options.tls, options.check_name).map_err(|error| error.to_string())?;
    let mut config = Arc::unwrap_or_clone(config);
    config.max_fragment_size = Some(RECORD);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host} is no name that a certificate could be for"))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp(host, port).await?).await;
    connected.map_err(|error| crate::bus::explain(&error, host, &WORDS))
}

async fn udp(host: &str, port: u16, options: &CotOptions, ears: Option<Ears>) -> Result<Link, String> {
    let mut found =
        lookup_host((host, port)).await.map_err(|error| format!("it cannot be found: {error}"))?;
    let to = found.next().ok_or_else(|| "it has no address".to_owned())?;
    let opened = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
        if to.ip().is_multicast() {
            if to.is_ipv4() {
                socket.set_multicast_ttl_v4(options.multicast_ttl)?;
                if let Some(interface) = options.multicast_interface {
                    socket.set_multicast_if_v4(&interface)?;
                }
            } else {
                socket.set_multicast_hops_v6(options.multicast_ttl)?;
            }
        } else if to.ip() == Ipv4Addr::BROADCAST {
            socket.set_broadcast(true)?;
        }
        let any: SocketAddr = if to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        socket.bind(&any.into())?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket.into())
    };
    let socket = opened().map_err(|error| of_datagram(&error))?;
    let joined = ears.filter(|_| to.ip().is_multicast()).map(|ears| (join(to, options), ears));
    let group = joined.and_then(|(joined, ears)| match joined {
        Ok(socket) => Some(Group { socket, buffer: vec![0; DATAGRAM], ears }),
        Err(error) => {
            // What is saved can be sent all the same.
            tracing::warn!(group = %to, %error, "markers cannot be heard there");
            None
        }
    });
    Ok(Link::Udp { socket, to, group })
}

/// Joins a multicast group, beside other programs of this board that have.
fn join(group: SocketAddr, options: &CotOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    // To the group's own address: what goes to this port otherwise is none of it.
    socket.bind(&group.into())?;
    match group.ip() {
        IpAddr::V4(address) => {
            let interface = options.multicast_interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
            socket.join_multicast_v4(&address, &interface)?;
        }
        IpAddr::V6(address) => socket.join_multicast_v6(&address, 0)?,
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn of_datagram(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable => format!(
            "no network leads there: {error}; bring the network up, or name the address of the one that multicast shall leave \
             by in cot.multicast_interface"
        ),
        _ => format!("a datagram cannot be sent: {error}"),
    }
}

async fn publish(outlet: &Arc<dyn Outlet>, message: OutgoingMessage) -> Result<(), String> {
    let (taken, is_taken) = tokio::sync::oneshot::channel();
    outlet.publish(message, taken);
    match timeout(WRITING, is_taken).await {
        Ok(Ok(true)) => Ok(()),
        _ => Err(AWAY.to_owned()),
    }
}

/// A uid as a level of a topic: whatever has a meaning there, and whatever is not plain, as `%` and two digits a byte.
fn level(uid: &str) -> String {
    let mut level = String::with_capacity(uid.len());
    for byte in uid.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => level.push(char::from(byte)),
            _ => level.push_str(&format!("%{byte:02X}")),
        }
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_one_level_of_a_topic_whatever_it_holds() {
        assert_eq!(level("19ac3f-12_a.B"), "19ac3f-12_a.B");
        assert_eq!(level("a/b+#\u{fc} %"), "a%2Fb%2B%23%C3%BC%20%25");
    }
}
