//! How the page's server is set up.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bus::BrokerUrl;

/// All that the server needs to know.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names that browsers may call the board by, besides those that nobody else can have (see `hosts`).
    pub hosts: Vec<String>,
    /// The file with the password of page and tiles, where they have one.
    pub password_file: Option<PathBuf>,
    /// Certificate chain and key, in PEM, for https.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The state directory, below which a file may lie for a moment; without it no GeoPackages are made.
    pub state: Option<PathBuf>,
    /// First level of all topics.
    pub root: String,
    /// The board's level of topics.
    pub device: String,
    /// The broker that `/mqtt` leads to.
    pub broker: BrokerUrl,
    /// Who may vouch for the broker; the system's authorities unless given.
    pub broker_ca: Option<PathBuf>,
}

impl WebOptions {
    /// A server without password and TLS.
    pub fn new(listen: SocketAddr, broker: BrokerUrl) -> Self {
        Self {
            listen,
            hosts: Vec::new(),
            password_file: None,
            tls: None,
            state: None,
            root: "geosam".to_owned(),
            device: "edge".to_owned(),
            broker,
            broker_ca: None,
        }
    }

    /// What is not wrong, but worth a look before the board is left alone.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.listen.ip().is_loopback() {
            return notes;
        }
        let open = match (&self.tls, &self.password_file) {
            (None, None) => "has neither TLS nor a password: everybody in its network sees the rasters",
            (None, Some(_)) => "has no TLS: its password, and that of the broker, can be read on the way",
            (Some(_), None) => "has no password: everybody in its network sees the rasters",
            (Some(_), Some(_)) => return notes,
        };
        notes.push(format!(
            "the page at {} {open} (web.cert and web.key, web.password_file). Who may ask for masks is the broker's to \
             decide, by its users and access list",
            self.listen
        ));
        notes
    }
}
