//! Who we are to the broker: user, password, certificates. What stands in files is read again for each connection,
//! so that a new password or certificate needs no restart.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use super::error::BusError;
use super::options::BusOptions;
use super::tls;

/// A password is not longer than this, in bytes; a larger file is something else.
const MAX_PASSWORD: usize = 4096;

/// A text that is never shown, not even by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A password as it stands in a file or an environment variable: its only line.
    ///
    /// # Errors
    /// Says what is wrong, without the text.
    pub fn from_line(text: &str) -> Result<Self, String> {
        // Editors begin a file with a byte order mark and end it with a line break; neither is part of the password.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let password = text.strip_suffix('\n').unwrap_or(text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        match password {
            "" => Err("it is empty".to_owned()),
            long if long.len() > MAX_PASSWORD => Err(format!("it is longer than {MAX_PASSWORD} bytes")),
            lines if lines.contains('\n') => Err("it has several lines".to_owned()),
            password => Ok(Self::new(password)),
        }
    }

    /// A password as it stands in a file.
    ///
    /// # Errors
    /// As [`Secret::from_line`], and where the file cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        // With a byte order mark, a line break, and one byte more than may be.
        let most = MAX_PASSWORD as u64 + 6;
        file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        Self::from_line(&text)
    }

    /// The text, to hand to the broker, or to compare with, and to nobody else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// Here.
    Given(Secret),
    /// The only line of a file.
    File(PathBuf),
}

/// User and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password; an empty one where the broker wants none.
    pub password: Password,
}

/// What stood in the files when they were last read.
pub(super) struct Identity {
    pub(super) login: Option<(String, Secret)>,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BusError::Password`] and [`BusError::Tls`], with the file.
    pub(super) fn read(options: &BusOptions) -> Result<Self, BusError> {
        let login = options.credentials.as_ref().map(|Credentials { username, password }| {
            let password = match password {
                Password::Given(secret) => secret.clone(),
                Password::File(path) => Secret::read(path)
                    .map_err(|problem| BusError::Password { path: path.clone(), problem })?,
            };
            Ok((username.clone(), password))
        });
        let tls = options.broker.tls.then(|| tls::client_config(&options.tls, true));
        Ok(Self { login: login.transpose()?, tls: tls.transpose()? })
    }

    /// Reads the files again. While they cannot be used, what they said before stays: a file may be half written.
    pub(super) fn refresh(&mut self, options: &BusOptions) {
        match Self::read(options) {
            Ok(now) => *self = now,
            Err(error) => {
                tracing::warn!(%error, "the connection is tried with what was read before");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::BrokerUrl;
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let password = Password::Given(Secret::new("hunter2"));
        let credentials = Credentials { username: "pilot".to_owned(), password };
        let shown = format!("{credentials:?}");
        assert_eq!(shown, "Credentials { username: \"pilot\", password: Given(***) }");
    }

    #[test]
    fn a_new_password_is_read_and_a_file_that_is_gone_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let password = Password::File(path.clone());
        let options = BusOptions {
            credentials: Some(Credentials { username: "board".to_owned(), password }),
            ..BusOptions::new(BrokerUrl::parse("mqtt://localhost").unwrap(), "board")
        };
        assert!(matches!(Identity::read(&options), Err(BusError::Password { .. })));
        std::fs::write(&path, "first\n").unwrap();
        let mut identity = Identity::read(&options).unwrap();
        let login = |identity: &Identity| identity.login.as_ref().unwrap().1.reveal().to_owned();
        assert_eq!(login(&identity), "first");
        std::fs::write(&path, "\u{feff}second\r\n").unwrap();
        identity.refresh(&options);
        assert_eq!(login(&identity), "second");
        for unusable in ["", "two\nlines", &"x".repeat(MAX_PASSWORD + 1)] {
            std::fs::write(&path, unusable).unwrap();
            identity.refresh(&options);
            assert_eq!(login(&identity), "second");
        }
        std::fs::remove_file(&path).unwrap();
        identity.refresh(&options);
        assert_eq!(login(&identity), "second");
    }
}
