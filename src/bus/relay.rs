//! The socket to the broker, which is ours and not the library's: `rumqttc` talks to it over a socket within this process.
//!
//! So we decide what its own connection leaves no way to: that the kernel acknowledges at once what has been read
//! (`TCP_QUICKACK`; a broker whose small packets wait for that would cost 40 ms an answer), what TLS says when it fails,
//! what becomes of packets that the library cannot deal with ([`super::packet`]), and whether a slow line still carries something. Nobody else can connect to that
//! socket: it has a name of its own for each connection, and whoever is not this process is turned away.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
#[cfg(feature = "web")]
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::identity::Identity;
#[cfg(feature = "web")]
use super::options::TlsFiles;
use super::options::{BrokerUrl, BusOptions};
use super::packet::{ConnAck, Incoming, Mark};
use super::tls;

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// A connection to the broker, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Bytes that the kernel may hold for a line that has not taken them: what it holds is no sign that the line carries anything.
#[cfg(target_os = "linux")]
const HELD: u32 = 64 << 10;
/// A packet of which so many bytes are still to come keeps answers behind it waiting.
const LONG_WAY: usize = 64 << 10;

/// Counts signs that the line carries something which keeps others waiting. Clones count together.
#[derive(Debug, Clone, Default)]
struct Strain(Arc<AtomicU64>);

impl Strain {
    fn felt(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// TCP that sends at once and acknowledges at once.
struct Prompt {
    tcp: TcpStream,
    strain: Strain,
    /// The line has not taken all that was to be sent.
    full: bool,
}

impl Prompt {
    /// The kernel forgets it whenever it likes (tcp(7)), so it is said after each read. Where it cannot be said, answers
    /// only come later.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&self.tcp).set_tcp_quickack(true);
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if polled.is_ready() {
            self.acknowledge_at_once();
        }
        polled
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        if polled.is_ready() && self.full {
            self.strain.felt();
        }
        self.full = polled.is_pending();
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// What the relay has seen.
#[derive(Debug, Default)]
struct Seen {
    connack: Option<ConnAck>,
    /// Why it ended, where the library would not know.
    problem: Option<String>,
    /// The network is why, and no broker.
    network: bool,
}

/// A relay between the library and the broker, for one connection.
pub(super) struct Relay {
    /// Where the library shall connect.
    pub(super) address: String,
    /// What stands in place of payloads that were cut.
    pub(super) mark: Mark,
    seen: Arc<Mutex<Seen>>,
    strain: Strain,
    task: JoinHandle<()>,
}

impl Relay {
    /// Connects to the broker, and waits for the library.
    ///
    /// # Errors
    /// Says why the broker cannot be reached.
    pub(super) async fn open(options: &BusOptions, identity: &Identity, v5: bool) -> Result<Self, String> {
        let strain = Strain::default();
        let dialled = tokio::time::timeout(
            options.connect_timeout,
            dial(&options.broker, identity.tls.as_ref(), strain.clone()),
        )
        .await;
        let broker = dialled.map_err(|_| format!("no answer within {:?}", options.connect_timeout))??;
        let (address, listener) = listen().map_err(|error| format!("no socket of our own: {error}"))?;
        let mark = Mark((u128::from(random()) << 64 | u128::from(random())).to_be_bytes());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let incoming = Incoming::new(v5, options.max_incoming_bytes, mark);
        let task = tokio::spawn(relay(listener, broker, incoming, Arc::clone(&seen), strain.clone()));
        Ok(Self { address, mark, seen, strain, task })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What CONNACK said, if it has come.
    pub(super) fn connack(&self) -> Option<ConnAck> {
        self.seen().connack.clone()
    }

    /// Why the connection to the broker ended, where that is known better than by the library.
    pub(super) fn problem(&self) -> Option<String> {
        self.seen().problem.clone()
    }

    /// Whether it was the network that failed, so that no message is to blame.
    pub(super) fn network_failed(&self) -> bool {
        self.seen().network
    }

    /// A number that grows while a slow line carries something, either way.
    pub(super) fn strain(&self) -> u64 {
        self.strain.0.load(Ordering::Relaxed)
    }

    /// Waits until what the library has sent is on its way to the broker, once the library has closed its end.
    pub(super) async fn drained(mut self, patience: Duration) {
        let _ = tokio::time::timeout(patience, &mut self.task).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to the broker for somebody else's bytes: those of the map page. They do not travel under a certificate of
/// ours, by which a broker may know us.
///
/// # Errors
/// Says why the broker cannot be reached.
#[cfg(feature = "web")]
pub(crate) async fn dial_for_another(url: &BrokerUrl, ca: Option<&Path>) -> Result<Box<dyn Stream>, String> {
    let files = TlsFiles { ca: ca.map(Path::to_owned), ..TlsFiles::default() };
    let config = if url.tls {
        Some(tls::client_config(&files, true).map_err(|error| error.to_string())?)
    } else {
        None
    };
    dial(url, config.as_ref(), Strain::default()).await
}

async fn dial(
    url: &BrokerUrl,
    config: Option<&Arc<ClientConfig>>,
    strain: Strain,
) -> Result<Box<dyn Stream>, String> {
    let tcp = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|error| error.to_string())?;
    // Without it small packets wait for the acknowledgement of those before them.
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    // Where it cannot be said, a slow line is given up sooner.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(HELD);
    let tcp = Prompt { tcp, strain, full: false };
    let Some(config) = config else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| format!("{} is no name that a certificate could be for", url.host))?;
    let connected = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await;
    let tls = connected.map_err(|error| tls::explain(&error, &url.host, &tls::BROKER))?;
    Ok(Box::new(tls))
}

/// Passes bytes on in both directions until one of them ends.
async fn relay(
    listener: UnixListener,
    broker: Box<dyn Stream>,
    mut incoming: Incoming,
    seen: Arc<Mutex<Seen>>,
    strain: Strain,
) {
    let Some(library) = ours(&listener).await else { return };
    drop(listener);
    let (mut from_library, mut to_library) = library.into_split();
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let up = async {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from_library.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => {
                    to_broker.write_all(&buffer[..bytes]).await?;
                    to_broker.flush().await?;
                }
            }
        }
        // The library has taken leave, or given up.
        to_broker.shutdown().await
    };
    let down = async {
        let (mut buffer, mut out) = (vec![0; CHUNK], Vec::with_capacity(CHUNK));
        loop {
            let bytes = from_broker.read(&mut buffer).await?;
            if bytes == 0 {
                return Ok(());
            }
            out.clear();
            let fed = incoming.feed(&buffer[..bytes], &mut out);
            if incoming.to_come() > LONG_WAY {
                strain.felt();
            }
            if let Some(connack) = incoming.connack() {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.connack.is_none() {
                    seen.connack = Some(connack.clone());
                }
            }
            to_library.write_all(&out).await?;
            fed.map_err(|problem| io::Error::other(problem.0))?;
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = up => ended,
        ended = down => ended,
    };
    if let Err(error) = ended {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.problem = Some(tls::explain(&error, "", &tls::BROKER));
        seen.network = matches!(
            error.kind(),
            io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
        );
    }
}

/// The library's end; whoever else connects is turned away.
async fn ours(listener: &UnixListener) -> Option<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await.ok()?;
        let credentials = stream.peer_cred().ok()?;
        let process = i32::try_from(std::process::id()).ok();
        if credentials.pid() == process {
            return Some(stream);
        }
        tracing::warn!(
            pid = credentials.pid(),
            "another process connected to a socket of ours, and is turned away"
        );
    }
}

/// A socket to listen on that no file stands for, as Linux has them (unix(7)), under a name that nobody can know before.
#[cfg(target_os = "linux")]
fn listen() -> io::Result<(String, UnixListener)> {
    let address = format!("\0geosam-edge-{:016x}{:016x}", random(), random());
    let listener = UnixListener::bind(&address)?;
    Ok((address, listener))
}

/// The same with a file, which stays behind.
#[cfg(not(target_os = "linux"))]
fn listen() -> io::Result<(String, UnixListener)> {
    let name = format!("geosam-edge-{:016x}{:016x}", random(), random());
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path)?;
    Ok((path.to_string_lossy().into_owned(), listener))
}

/// A number that nobody can know, from the standard library's hash keys, which the system seeds.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
