//! PEM files to a TLS client configuration: rustls with the ring provider, TLS 1.2 and 1.3. And what to do when it does
//! not take the broker's certificate, or ours, in words.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "web")]
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as RustlsError, RootCertStore};

use super::error::BusError;
use super::options::TlsFiles;

/// Where distributions keep the certificates of public authorities.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Reads the files.
///
/// # Errors
/// [`BusError::Tls`] with the file that is missing, unreadable or not what it should be.
pub(super) fn client_config(files: &TlsFiles) -> Result<Arc<ClientConfig>, BusError> {
    let ca = authorities(files)?;
    let mut roots = RootCertStore::empty();
    let (accepted, _ignored) = roots.add_parsable_certificates(certificates(&ca)?);
    if accepted == 0 {
        return Err(problem(&ca, "holds no certificate of an authority that can be used"));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(&ca, &format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let config = match (&files.cert, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(|error| problem(cert, &own_certificate(&error, key)))?
        }
        (Some(cert), None) => return Err(problem(cert, "is a certificate without a key; give key too")),
        (None, Some(key)) => return Err(problem(key, "is a key without a certificate; give cert too")),
    };
    Ok(Arc::new(config))
}

fn authorities(files: &TlsFiles) -> Result<PathBuf, BusError> {
    if let Some(ca) = &files.ca {
        return Ok(ca.clone());
    }
    let found = SYSTEM_BUNDLES.iter().map(Path::new).find(|bundle| bundle.is_file());
    found.map(Path::to_path_buf).ok_or_else(|| {
        let problem = "the system has no certificates of authorities here; install ca-certificates, or \
                       give the broker's authority as ca";
        BusError::Tls { path: PathBuf::from(SYSTEM_BUNDLES[0]), problem: problem.to_owned() }
    })
}

/// What a server of ours shows to those who connect to it.
///
/// # Errors
/// As [`client_config`].
#[cfg(feature = "web")]
pub(crate) fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, BusError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(cert, &format!("TLS cannot be set up: {error}")))?
        .with_no_client_auth();
    let mut config = builder
        .with_single_cert(certificates(cert)?, private_key(key)?)
        .map_err(|error| problem(cert, &own_certificate(&error, key)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BusError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(list) if list.is_empty() => Err(problem(path, "holds no certificate in PEM")),
        Ok(list) => Ok(list),
        Err(error) => Err(problem(path, &format!("is not PEM: {error}"))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, BusError> {
    let pem = read(path)?;
    let text = String::from_utf8_lossy(&pem);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        let advice = "is encrypted with a passphrase, and nobody is there to type it; decrypt it (openssl pkey -in KEY -out \
                      PLAIN) and protect the file by its mode";
        return Err(problem(path, advice));
    }
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| problem(path, &format!("holds no private key that can be used: {error}")))
}

/// A file without the byte order mark that editors put before it.
fn read(path: &Path) -> Result<Vec<u8>, BusError> {
    let bytes = std::fs::read(path).map_err(|error| problem(path, &format!("cannot be read: {error}")))?;
    Ok(bytes.strip_prefix(b"\xEF\xBB\xBF").map(<[u8]>::to_vec).unwrap_or(bytes))
}

/// Why our own certificate cannot be used.
fn own_certificate(error: &RustlsError, key: &Path) -> String {
    match error {
        RustlsError::InconsistentKeys(_) => format!("does not go with the key {}: {error}", key.display()),
        RustlsError::InvalidCertificate(_) => {
            format!(
                "cannot be used as our certificate: {}",
                certificate(error, "").unwrap_or_else(|| error.to_string())
            )
        }
        _ => format!("cannot be used with the key {}: {error}", key.display()),
    }
}

/// Why a connection failed, in words that say what to do where that is known.
pub(super) fn explain(error: &io::Error, host: &str) -> String {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    match rustls {
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the broker closed the connection in the middle of TLS; does its port speak TLS?".to_owned()
        }
        None => error.to_string(),
        Some(error) => certificate(error, host).unwrap_or_else(|| match error {
            RustlsError::AlertReceived(alert) => format!(
                "the broker ends TLS: {alert:?}; it may want a certificate of ours (broker.cert and key), or another one"
            ),
            RustlsError::InvalidMessage(_) => format!("TLS: {error}; does the broker's port speak TLS?"),
            other => format!("TLS: {other}"),
        }),
    }
}

/// What is wrong with a certificate, and what to do.
fn certificate(error: &RustlsError, host: &str) -> Option<String> {
    let RustlsError::InvalidCertificate(problem) = error else { return None };
    let extensions = "openssl x509 -req ... -extfile FILE, with subjectAltName=DNS:HOST in the file";
    let text = format!("{problem:?}");
    Some(match problem {
        CertificateError::Other(other) if text.contains("UnsupportedCertVersion") => {
            let _ = other;
            format!(
                "the certificate is of version 1, as openssl makes them without extensions (also by the recipe of \
                 mosquitto-tls(7)); make one of version 3: {extensions}"
            )
        }
        CertificateError::Other(_) if text.contains("CaUsedAsEndEntity") => format!(
            "the broker shows the certificate of an authority as its own (self-signed, with CA:TRUE); make it one of its \
             own, signed by that authority: {extensions} and basicConstraints=CA:FALSE"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the broker's certificate is not for {host:?} ({problem}); names are taken from its subjectAltName alone, \
             never from CN: use a name that stands there in broker.url, or make the certificate anew: {extensions}"
        ),
        CertificateError::UnknownIssuer => {
            "the broker's certificate is signed by an authority that broker.ca does not hold; give the file of the one that \
             signed it"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the broker's certificate has expired, or the board's clock is wrong ({problem}); boards without a battery \
             start at the time of the image"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "the broker's certificate is not valid yet, or the board's clock is wrong ({problem}); boards without a \
             battery start at the time of the image"
        ),
        _ => format!("the certificate cannot be used: {problem}"),
    })
}

fn problem(path: &Path, problem: &str) -> BusError {
    BusError::Tls { path: path.to_path_buf(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_no_certificate_is_named() {
        let missing = TlsFiles { ca: Some("/nowhere/ca.pem".into()), ..TlsFiles::default() };
        let error = client_config(&missing).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/ca.pem: cannot be read"), "{error}");

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        for (text, expected) in [
            ("no pem at all", "holds no certificate in PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is not PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "holds no certificate of an authority that can be used",
            ),
        ] {
            std::fs::write(&path, text).unwrap();
            let files = TlsFiles { ca: Some(path.clone()), ..TlsFiles::default() };
            let error = client_config(&files).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
