//! A certificate authority for tests, made by the openssl command line when it is needed.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority with its directory of certificates.
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Makes an authority whose files stand in `dir` under its name.
    pub fn new(dir: &Path, name: &str) -> Self {
        let authority = Self { dir: dir.to_path_buf(), name: name.to_owned() };
        let (cert, key) = (authority.ca(), authority.file("key"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            &shown(&key),
            "-out",
            &shown(&cert),
        ]);
        authority
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    /// Its certificate.
    pub fn ca(&self) -> PathBuf {
        self.file("pem")
    }

    /// Issues a certificate for a host or a client.
    pub fn issue(&self, name: &str, host: Option<&str>) -> Identity {
        let base = format!("{}-{name}", self.name);
        let (cert, key) = (self.dir.join(format!("{base}.pem")), self.dir.join(format!("{base}.key")));
        let (request, extensions) =
            (self.dir.join(format!("{base}.csr")), self.dir.join(format!("{base}.ext")));
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &shown(&key),
            "-out",
            &shown(&request),
        ]);
        let usage = if host.is_some() { "serverAuth" } else { "clientAuth" };
        let mut text = format!("basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n");
        if let Some(host) = host {
            text += &format!("subjectAltName=DNS:{host}\n");
        }
        std::fs::write(&extensions, text).expect("the extensions");
        openssl(&[
            "x509",
            "-req",
            "-in",
            &shown(&request),
            "-CA",
            &shown(&self.ca()),
            "-CAkey",
            &shown(&self.file("key")),
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &shown(&extensions),
            "-out",
            &shown(&cert),
        ]);
        Identity { cert, key }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn openssl(args: &[&str]) {
    let output = Command::new("openssl").args(args).stdin(Stdio::null()).output().expect("openssl runs");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
