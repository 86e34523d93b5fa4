//! The section `[web]`: where the map page is served, and who may see it.

use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(feature = "web")]
use super::Config;
use super::error::ConfigError;
use super::reader::Section;

/// The map page; it is served where `listen` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebConfig {
    /// Where its server listens.
    pub listen: Option<SocketAddr>,
    /// Names that browsers may call the board by, besides addresses and local names.
    pub hosts: Vec<String>,
    /// The file with the password of page and tiles.
    pub password_file: Option<PathBuf>,
    /// Certificate chain, for https.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl WebConfig {
    /// Reads an address, as the configuration and `--web` say it.
    ///
    /// # Errors
    /// Says what would be right.
    pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
        if !cfg!(feature = "web") {
            return Err(
                "is for the map page, which this program was built without (cargo feature web)".to_owned()
            );
        }
        let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        local.as_deref().unwrap_or(text).parse().map_err(|_| {
            "is no address with a port; write for example \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for all networks \
             of the board"
                .to_owned()
        })
    }

    pub(super) fn read(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        if let Some(listen) = section.text("listen")? {
            self.listen = Some(Self::address(listen).map_err(|problem| section.error("listen", problem))?);
        }
        if let Some(hosts) = section.texts("hosts")? {
            if hosts.iter().any(|host| host.contains([':', '/', '*', ' '])) {
                let problem =
                    "has an entry that is no name; write for example \"board.example.org\", without a port";
                return Err(section.error("hosts", problem));
            }
            self.hosts = hosts;
        }
        self.password_file = section.path("password_file")?;
        self.cert = section.path("cert")?;
        self.key = section.path("key")?;
        if self.cert.is_some() != self.key.is_some() {
            let (present, missing) = if self.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            return Err(section.error(present, format!("stands without {missing}; give both, or none")));
        }
        Ok(())
    }
}

#[cfg(feature = "web")]
impl Config {
    /// Options of the map page's server; `None` where it is not served.
    pub fn web_options(&self) -> Option<crate::web::WebOptions> {
        let web = &self.web;
        Some(crate::web::WebOptions {
            hosts: web.hosts.clone(),
            password_file: web.password_file.clone(),
            tls: web.cert.clone().zip(web.key.clone()),
            state: Some(self.state.clone()),
            root: self.root.clone(),
            device: self.device.clone(),
            broker_ca: self.broker.tls.ca.clone(),
            ..crate::web::WebOptions::new(web.listen?, self.broker.url.clone())
        })
    }
}
