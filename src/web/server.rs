//! The server's thread: sockets, and how many of them.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::error::WebError;
use super::options::WebOptions;
use super::patience::Patient;
use super::site::Site;
use crate::service::ShownFolder;

/// Connections at a time. A browser opens six.
const MOST_CONNECTIONS: usize = 96;
/// How long a connection may take to say what it wants, the next time too.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long TLS may take to begin.
const TLS_PATIENCE: Duration = Duration::from_secs(10);
/// Threads for what may wait for a card.
const BLOCKING_THREADS: usize = 4;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// Time between two tries to listen on an address that the board does not have yet.
const AGAIN: Duration = Duration::from_secs(5);

/// The running server. It ends when this is dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Listens, and serves what `look` sees.
    ///
    /// # Errors
    /// An address that cannot be had, or a password, certificate or key that cannot be used.
    pub fn start(
        options: WebOptions,
        look: impl Fn() -> Vec<ShownFolder> + Send + Sync + 'static,
    ) -> Result<Self, WebError> {
        let listen = options.listen;
        let listener = bind(listen).map_err(|source| WebError::Listen { address: listen, source })?;
        Self::spawn(options, Some(listener), look)
    }

    /// The same for an address that the board may not have yet: it is tried again until it can be had.
    ///
    /// # Errors
    /// A password, certificate or key that cannot be used.
    pub fn start_patiently(
        options: WebOptions,
        look: impl Fn() -> Vec<ShownFolder> + Send + Sync + 'static,
    ) -> Result<Self, WebError> {
        let listener = match bind(options.listen) {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::error!(address = %options.listen, %error, "the map page cannot listen; trying again");
                None
            }
        };
        Self::spawn(options, listener, look)
    }

    fn spawn(
        options: WebOptions,
        listener: Option<StdListener>,
        look: impl Fn() -> Vec<ShownFolder> + Send + Sync + 'static,
    ) -> Result<Self, WebError> {
        let listen = options.listen;
        let tls = match &options.tls {
            None => None,
            Some((cert, key)) => Some(tls(cert, key)?),
        };
        let site = Arc::new(Site::new(options, Box::new(look))?);
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok()).unwrap_or(listen);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(Duration::from_secs(5))
            .thread_name("page")
            .build()
            .map_err(WebError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let run = move || run(runtime, listener, listen, site, tls, stopped);
        let thread =
            std::thread::Builder::new().name("page".to_owned()).spawn(run).map_err(WebError::Thread)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It tells of its faults itself.
            let _ = thread.join();
        }
    }
}

/// Reads what the options point to and must be there from the start: password, certificate, key.
///
/// # Errors
/// As [`WebServer::start`], but for the address.
pub fn check(options: &WebOptions) -> Result<(), WebError> {
    Access::new(options.password_file.as_deref(), options.tls.is_some())?;
    options.tls.as_ref().map_or(Ok(()), |(cert, key)| tls(cert, key).map(drop))
}

fn bind(address: SocketAddr) -> std::io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn tls(cert: &std::path::Path, key: &std::path::Path) -> Result<TlsAcceptor, WebError> {
    let config = crate::bus::server_config(cert, key);
    config.map(TlsAcceptor::from).map_err(|error| match error {
        crate::bus::BusError::Tls { path, problem } => WebError::Tls { path, problem },
        other => WebError::Tls { path: cert.to_owned(), problem: other.to_string() },
    })
}

fn run(
    runtime: Runtime,
    listener: Option<StdListener>,
    address: SocketAddr,
    site: Arc<Site>,
    tls: Option<TlsAcceptor>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let serve = async {
            let mut listener = listener;
            let listener = loop {
                let bound = listener.take().map_or_else(|| bind(address), Ok);
                match bound.and_then(TcpListener::from_std) {
                    Ok(listener) => break listener,
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            };
            tracing::info!(%address, "the map page is served");
            accept(&listener, &site, tls.as_ref()).await;
        };
        tokio::select! {
            () = serve => {}
            _ = stopped => {}
        }
    });
    // A tile that a card does not give is left behind.
    runtime.shutdown_background();
}

async fn accept(listener: &TcpListener, site: &Arc<Site>, tls: Option<&TlsAcceptor>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            // Out of descriptors, for example: others end meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One too many is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        tokio::spawn(connection(tcp, Arc::clone(site), tls.cloned(), place));
    }
}

async fn connection(tcp: TcpStream, site: Arc<Site>, tls: Option<TlsAcceptor>, place: OwnedSemaphorePermit) {
    // Answers and masks leave at once; without it they are only later.
    let _ = tcp.set_nodelay(true);
    match tls {
        None => http(tcp, site).await,
        Some(acceptor) => {
            if let Ok(Ok(tls)) = tokio::time::timeout(TLS_PATIENCE, acceptor.accept(tcp)).await {
                http(tls, site).await;
            }
        }
    }
    drop(place);
}

async fn http<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(socket: S, site: Arc<Site>) {
    let answer = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES);
    // How a connection ends is the browser's affair.
    let _ = server.serve_connection(TokioIo::new(Patient::new(socket)), answer).with_upgrades().await;
}
