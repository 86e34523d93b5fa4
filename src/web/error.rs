//! What keeps the page from being served.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the page's server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}; choose another address with --web or web.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The password cannot be read.
    #[error("{path}: cannot be used as the page's password: {problem}", path = path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The page's certificate or key.
    #[error("{path}: {problem}", path = path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the page's server: {0}")]
    Thread(std::io::Error),
}
