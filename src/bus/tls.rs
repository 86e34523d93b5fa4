//! PEM files to a TLS client configuration: rustls with the ring provider, TLS 1.2 and 1.3. And what to do when it does
//! not take the broker's certificate, or ours, in words.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "web")]
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};

use super::error::BusError;
use super::options::TlsFiles;

/// Where distributions keep the certificates of public authorities.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Reads the files. Without `check_name` a server's certificate may be for any name, as long as one of the authorities
/// vouches for it: for servers whose certificates name nobody.
///
/// # Errors
/// [`BusError::Tls`] with the file that is missing, unreadable or not what it should be.
pub(crate) fn client_config(files: &TlsFiles, check_name: bool) -> Result<Arc<ClientConfig>, BusError> {
    let ca = authorities(files)?;
    let mut roots = RootCertStore::empty();
    let (accepted, _ignored) = roots.add_parsable_certificates(certificates(&ca)?);
    if accepted == 0 {
        return Err(problem(&ca, "holds no certificate of an authority that can be used"));
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(&ca, &format!("TLS cannot be set up: {error}")))?;
    let builder = if check_name {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| problem(&ca, &format!("TLS cannot be set up: {error}")))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
    };
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

/// Checks a certificate in all but its name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last, when everything else is as it should be.
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.0.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
                certificate(error, "", &BROKER).unwrap_or_else(|| error.to_string())
            )
        }
        _ => format!("cannot be used with the key {}: {error}", key.display()),
    }
}

/// What the other side is called, and where the settings for it stand.
pub(crate) struct TlsWords {
    /// Who it is.
    pub peer: &'static str,
    /// The section with `ca`, `cert` and `key`.
    pub section: &'static str,
    /// The key with its address.
    pub address: &'static str,
}

/// The broker.
pub(super) const BROKER: TlsWords = TlsWords { peer: "the broker", section: "broker", address: "broker.url" };

/// Why a connection failed, in words that say what to do where that is known.
pub(crate) fn explain(error: &io::Error, host: &str, words: &TlsWords) -> String {
    let TlsWords { peer, section, .. } = words;
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    match rustls {
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{peer} closed the connection in the middle of TLS; does its port speak TLS?")
        }
        None => error.to_string(),
        Some(error) => certificate(error, host, words).unwrap_or_else(|| match error {
            RustlsError::AlertReceived(alert) => format!(
                "{peer} ends TLS: {alert:?}; it may want a certificate of ours ({section}.cert and key), or another one"
            ),
            RustlsError::InvalidMessage(_) => format!("TLS: {error}; does the port of {peer} speak TLS?"),
            other => format!("TLS: {other}"),
        }),
    }
}

/// What is wrong with a certificate, and what to do.
fn certificate(error: &RustlsError, host: &str, words: &TlsWords) -> Option<String> {
    let TlsWords { peer, section, address } = words;
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
            "{peer} shows the certificate of an authority as its own (self-signed, with CA:TRUE); make it one of its \
             own, signed by that authority: {extensions} and basicConstraints=CA:FALSE"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the certificate of {peer} is not for {host:?} ({problem}); names are taken from its subjectAltName alone, \
             never from CN: use a name that stands there in {address}, or make the certificate anew, with certificates.sh \
             of docs/tls.md or {extensions}"
        ),
        CertificateError::UnknownIssuer => format!(
            "the certificate of {peer} is signed by an authority that {section}.ca does not hold (without {section}.ca, the \
             system); give the file of the one that signed it"
        ),
        CertificateError::BadSignature => format!(
            "the certificate of {peer} was not issued by the authority in {section}.ca, though that has the same name: it \
             was made anew, perhaps; give the file of the one that signed the certificate"
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
            "the certificate of {peer} is not one for servers ({problem}); have one issued with extendedKeyUsage=serverAuth"
        ),
        CertificateError::BadEncoding => {
            format!("the certificate of {peer} cannot be read; make it anew: {extensions}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the certificate of {peer} has expired, or the board's clock is wrong ({problem}); boards without a battery \
             start at the time of the image"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "the certificate of {peer} is not valid yet, or the board's clock is wrong ({problem}); boards without a \
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
        let error = client_config(&missing, true).unwrap_err().to_string();
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
            let error = client_config(&files, true).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
