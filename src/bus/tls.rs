//! PEM files to a TLS client configuration: rustls with the ring provider, TLS 1.2 and 1.3.
//!
//! `rumqttc` is given the finished configuration, so its own reading of certificates never runs. That
//! matters because it also links an old `rustls-webpki` (0.102) and `rustls-pemfile`, each with
//! advisories: the former for a variant of its error type alone, the latter for that reading. What
//! checks the broker's certificate is rustls's own, current `rustls-webpki`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

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
            builder.with_client_auth_cert(chain, private_key(key)?).map_err(|error| {
                problem(cert, &format!("does not go with the key {}: {error}", key.display()))
            })?
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
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|error| problem(path, &format!("holds no private key that can be used: {error}")))
}

fn read(path: &Path) -> Result<Vec<u8>, BusError> {
    std::fs::read(path).map_err(|error| problem(path, &format!("cannot be read: {error}")))
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
