//! The sender against a server that speaks TLS.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::reader::{Heard, read_on};
use super::*;
use crate::bus::TlsFiles;

#[path = "../../../tests/support/certificates.rs"]
mod certificates;

use certificates::Authority;

/// A TLS server that asks for a certificate of its authority.
fn tls_server(authority: &Authority, host: &str, listener: TcpListener) -> Receiver<Receiver<Heard>> {
    let identity = authority.issue("server", Some(host));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(identity.cert).unwrap()],
            PrivateKeyDer::from_pem_file(identity.key).unwrap(),
        )
        .unwrap();
    let (sender, receiver) = channel();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            if sender.send(read_on(StreamOwned::new(connection, stream.unwrap()))).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn over_tls_both_show_certificates_and_a_wrong_one_is_told_with_what_to_do() {
    let (scene, dir) = (Scene::new(), tempfile::tempdir().unwrap());
    scene.write("ponds", &[line("a", 5)]);
    let (ours, other) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "other"));
    let board = ours.issue("board", None);
    let files = |ca: &Authority| TlsFiles {
        ca: Some(ca.ca()),
        cert: Some(board.cert.clone()),
        key: Some(board.key.clone()),
    };
    let server = |host: &str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = format!("tls://localhost:{}", listener.local_addr().unwrap().port());
        (target, tls_server(&ours, host, listener))
    };
    let run = |target: &str, tls: TlsFiles, check_name: bool| {
        let options = CotOptions { tls, check_name, ..Scene::options(target) };
        assert!(check(&options).is_ok());
        scene.start(options)
    };

    let (target, connections) = server("localhost");
    let sender = run(&target, files(&ours), true);
    let events = connections.recv_timeout(PATIENCE).unwrap();
    assert_eq!(uids(&events, 2), ["geosam-edge-board-7", "a"]);
    sender.until_well();

    let sender = run(&target, files(&other), true);
    sender.until_problem("cot.ca does not hold");
    let sender_without = run(&target, TlsFiles { ca: Some(ours.ca()), ..TlsFiles::default() }, true);
    sender_without.until_problem("cot.cert and key");
    drop((sender, sender_without));

    let (target, connections) = server("takserver");
    let sender = run(&target, files(&ours), true);
    assert!(sender.until_problem("is not for \"localhost\"").contains("cot.check_name = false"));
    drop(sender);
    while connections.try_recv().is_ok() {}
    let _sender = run(&target, files(&ours), false);
    let events = connections.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(&events).kind, "a-f-G-U-C");
    let sender = run(&target, files(&other), false);
    sender.until_problem("cot.ca does not hold");
}
