//! From the configuration to what the bus wants to know, the password included.

use std::path::Path;
use std::time::Duration;

use super::error::ConfigError;
use super::{Config, PasswordSource};
use crate::bus::{
    self, BusOptions, Credentials, OutgoingMessage, Password, QueueLimits, Secret, TopicError, Topics,
};

impl Config {
    /// The topics of this board.
    ///
    /// # Errors
    /// None for a configuration that was loaded; it has been checked then.
    pub fn topics(&self) -> Result<Topics, TopicError> {
        Topics::new(&self.root, &self.device, &self.fleet.groups)
    }

    /// Options of the bus, with `offline` on the state topic as last will. A password in the environment is read
    /// now, one in a file by the bus, for each connection.
    ///
    /// # Errors
    /// Where the environment has no password.
    pub fn bus_options(&self) -> Result<BusOptions, ConfigError> {
        let broker = &self.broker;
        let state = format!("{}/{}/state", self.root, self.device);
        let credentials = match &broker.username {
            None => None,
            Some(username) => Some(Credentials { username: username.clone(), password: self.password()? }),
        };
        // A request over the limit is still taken, up to four times its size, so that it can be answered.
        let incoming = self.limits.request.max_payload_bytes.saturating_mul(4).max(1 << 20);
        Ok(BusOptions {
            protocol: broker.protocol,
            credentials,
            tls: broker.tls.clone(),
            keep_alive: Duration::from_secs(u64::from(broker.keep_alive_s)),
            session_expiry: Duration::from_secs(u64::from(broker.session_expiry_s)),
            will: Some(OutgoingMessage::new(state, "offline").retained()),
            max_incoming_bytes: incoming.min(MAX_PACKET),
            receive_maximum: broker.receive_maximum,
            queue: QueueLimits {
                in_flight: broker.in_flight,
                max_packet_bytes: broker.max_packet_bytes,
                ..QueueLimits::default()
            },
            ..BusOptions::new(broker.url.clone(), broker.client_id.clone())
        })
    }

    /// Reads what the configuration points to and must be there from the start: password, certificates.
    ///
    /// # Errors
    /// As [`Self::bus_options`], and where a certificate or key cannot be used.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        bus::check(&self.bus_options()?)?;
        #[cfg(feature = "web")]
        if let Some(options) = self.web_options() {
            crate::web::check(&options)?;
        }
        if let Some(options) = self.cot_options() {
            crate::cot::check(&options)?;
        }
        Ok(())
    }

    /// What is not wrong, but worth a look before the board is left alone.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for dir in self.features.iter().chain([&self.models]).filter(|dir| !dir.is_dir()) {
            notes.push(format!("{} is not a directory now; it is served as soon as it is", dir.display()));
        }
        if self.device.contains('.') {
            notes.push(format!(
                "the device's name {:?} has a dot, of which some brokers (RabbitMQ) make two topic levels",
                self.device
            ));
        }
        if let Some(PasswordSource::File(path)) = &self.broker.password
            && is_readable_by_others(path)
        {
            notes.push(format!("{} can be read by every user; chmod 600 it", path.display()));
        }
        if self.broker.username.is_some() && !self.broker.url.tls && self.broker.url.host != "localhost" {
            notes.push("the password travels unencrypted; use mqtts:// if the broker can".to_owned());
        }
        let (session, answers) = (u64::from(self.broker.session_expiry_s), self.limits.answer_age_s);
        if session == 0 {
            notes.push(
                "session_expiry_s is 0: each time the connection is lost the broker throws away the requests that wait \
                 for this board"
                    .to_owned(),
            );
        }
        if session > answers {
            notes.push(format!(
                "the broker keeps requests for {session} s (session_expiry_s), but what was carried out is remembered \
                 for {answers} s (answer_age_s): a request that is delivered again after that is run again; raise \
                 answer_age_s, or lower session_expiry_s"
            ));
        }
        notes.extend(self.cot_notes());
        #[cfg(feature = "web")]
        notes.extend(self.web_options().iter().flat_map(crate::web::WebOptions::notes));
        notes
    }

    fn password(&self) -> Result<Password, ConfigError> {
        let name = match &self.broker.password {
            None => return Ok(Password::Given(Secret::new(""))),
            Some(PasswordSource::File(path)) => return Ok(Password::File(path.clone())),
            Some(PasswordSource::Environment(name)) => name,
        };
        let text = std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => "it is not set".to_owned(),
            std::env::VarError::NotUnicode(_) => "it is not UTF-8".to_owned(),
        });
        let password = text.and_then(|text| Secret::from_line(&text));
        password.map(Password::Given).map_err(|problem| ConfigError::Password { name: name.clone(), problem })
    }
}

/// The largest packet of MQTT.
const MAX_PACKET: usize = 268_435_455;

#[cfg(unix)]
fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_readable_by_others(_path: &Path) -> bool {
    false
}
