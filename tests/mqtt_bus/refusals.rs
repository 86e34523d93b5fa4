//! Brokers that do not take us: of another version, with a reason, with certificates that cannot be used.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use geosam_edge::bus::{BrokerUrl, BusError, BusOptions, Protocol, ProtocolChoice, TlsFiles, connect};

use crate::Bus;
use crate::certificates::Authority;
use crate::mosquitto::{Mosquitto, Setup, Tls};

/// What a scripted broker answers to a CONNECT of this level (4 is MQTT 3.1.1); nothing closes the connection, and an
/// answer of no bytes is silence.
type Answers = fn(level: u8) -> Option<&'static [u8]>;

/// A broker of a few lines, which knows CONNECT and nothing else.
fn scripted(answers: Answers) -> BusOptions {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, answers));
        }
    });
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    BusOptions { connect_timeout: Duration::from_secs(2), ..BusOptions::new(url, "board") }
}

fn serve(mut stream: TcpStream, answers: Answers) {
    let mut connect = [0; 1024];
    let Ok(bytes) = stream.read(&mut connect) else { return };
    let Some(name) = connect[..bytes].windows(4).position(|window| window == b"MQTT") else { return };
    let Some(answer) = answers(connect[name + 4]) else { return };
    let _ = stream.write_all(answer);
    // Until the other end has had enough.
    while stream.read(&mut connect).is_ok_and(|bytes| bytes > 0) {}
}

/// MQTT 3.1.1's "accepted".
const TAKEN: Option<&[u8]> = Some(&[0x20, 2, 0, 0]);

#[test]
fn a_broker_of_3_1_1_only_is_found_out() {
    let brokers: [Answers; 4] = [
        // In its own form, as it should.
        |level| if level == 5 { Some(&[0x20, 2, 0, 1]) } else { TAKEN },
        |level| if level == 5 { Some(&[0x20, 3, 0, 0x84, 0]) } else { TAKEN },
        |level| if level == 5 { None } else { TAKEN },
        |level| if level == 5 { Some(&[]) } else { TAKEN },
    ];
    for answers in brokers {
        let options = scripted(answers);
        assert_eq!(options.protocol, ProtocolChoice::Auto);
        let session = Bus::start(options).session();
        assert_eq!(session.protocol, Protocol::V311);
    }
}

#[test]
fn what_was_asked_for_is_not_left_and_the_setting_is_named() {
    let options = BusOptions { protocol: Protocol::V5.into(), ..scripted(|_| Some(&[0x20, 2, 0, 1])) };
    let error = Bus::start(options).connect_failed();
    assert!(matches!(error, BusError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("broker.protocol"), "{error}");
}

#[test]
fn the_brokers_own_words_are_told() {
    // Banned, with a reason string.
    let options = scripted(|_| Some(b"\x20\x0c\x00\x8a\x09\x1f\x00\x06flappy"));
    let error = Bus::start(options).connect_failed().to_string();
    assert!(error.contains("banned") && error.contains("flappy"), "{error}");
    // Moved, with the other server.
    let options = scripted(|_| Some(b"\x20\x0b\x00\x9d\x08\x1c\x00\x05other"));
    let error = Bus::start(options).connect_failed().to_string();
    assert!(error.contains("other") && error.contains("broker.url"), "{error}");
}

#[test]
fn a_broker_that_retains_nothing_gets_our_will_without_retain() {
    // The will's retain flag is the sixth bit of the connect flags, two bytes behind the level.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut connect = [0; 1024];
            let Ok(bytes) = stream.read(&mut connect) else { continue };
            let Some(name) = connect[..bytes].windows(4).position(|window| window == b"MQTT") else {
                continue;
            };
            let retained = connect[name + 5] & 0x20 != 0;
            // RetainNotSupported; or taken, with "retain available: no".
            let answer: &[u8] = if retained { &[0x20, 3, 0, 0x9A, 0] } else { &[0x20, 5, 0, 0, 2, 0x25, 0] };
            let _ = stream.write_all(answer);
            std::thread::spawn(move || while stream.read(&mut connect).is_ok_and(|bytes| bytes > 0) {});
        }
    });
    let url = BrokerUrl::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    let will = Some(geosam_edge::bus::OutgoingMessage::new("a/state", "offline").retained());
    let session = Bus::start(BusOptions { will, ..BusOptions::new(url, "board") }).session();
    assert!(!session.retain);
}

fn openssl(args: &[&str]) {
    let status = Command::new("openssl").args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "{args:?}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let shown = |name: &str| path(name).to_string_lossy().into_owned();
    let ours = Authority::new(dir.path(), "ours");
    let named = ours.issue("localhost", Some("localhost"));
    // As mosquitto-tls(7) makes one: no extensions, so version 1.
    openssl(&[
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-keyout",
        &shown("v1.key"),
        "-out",
        &shown("v1.csr"),
    ]);
    let key = shown("ours.key");
    openssl(&[
        "x509",
        "-req",
        "-in",
        &shown("v1.csr"),
        "-CA",
        &shown("ours.pem"),
        "-CAkey",
        &key,
        "-CAcreateserial",
        "-days",
        "2",
        "-out",
        &shown("v1.pem"),
    ]);
    let other = ours.issue("elsewhere", Some("elsewhere"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        &shown("self.key"),
        "-out",
        &shown("self.pem"),
    ]);
    let told = |cert, key, ca| {
        let tls = Tls { ca: ours.ca(), cert, key, require_certificate: false };
        let broker = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() })?;
        let url = BrokerUrl::parse(&broker.url()).unwrap();
        let tls = TlsFiles { ca: Some(ca), ..TlsFiles::default() };
        Some(Bus::start(BusOptions { tls, ..BusOptions::new(url, "board") }).connect_failed().to_string())
    };
    let Some(version) = told(path("v1.pem"), path("v1.key"), ours.ca()) else { return };
    assert!(version.contains("version 1") && version.contains("subjectAltName"), "{version}");
    let name = told(other.cert, other.key, ours.ca()).unwrap();
    assert!(name.contains("not for \"localhost\"") && name.contains("broker.url"), "{name}");
    let authority = told(path("self.pem"), path("self.key"), path("self.pem")).unwrap();
    assert!(authority.contains("authority as its own"), "{authority}");
    let unknown = told(named.cert.clone(), named.key.clone(), path("self.pem")).unwrap();
    assert!(unknown.contains("broker.ca"), "{unknown}");
    // An authority that was made anew has the name of the old one, and another key.
    let place = tempfile::tempdir().unwrap();
    let anew = Authority::new(place.path(), "ours");
    let signature = told(named.cert.clone(), named.key.clone(), anew.ca()).unwrap();
    assert!(
        signature.contains("was not issued by the authority in broker.ca") && signature.contains("made anew"),
        "{signature}"
    );

    // Ours.
    let with = |cert: &str, key: &str| {
        let tls = TlsFiles { ca: Some(ours.ca()), cert: Some(path(cert)), key: Some(path(key)) };
        let url = BrokerUrl::parse("mqtts://localhost").unwrap();
        connect(BusOptions { tls, ..BusOptions::new(url, "board") }).err().unwrap().to_string()
    };
    let version = with("v1.pem", "v1.key");
    assert!(version.contains("version 1") && !version.contains("does not go with"), "{version}");
    openssl(&["rsa", "-aes128", "-passout", "pass:x", "-in", &shown("v1.key"), "-out", &shown("locked.key")]);
    let locked = with("v1.pem", "locked.key");
    assert!(locked.contains("passphrase"), "{locked}");

    // A byte order mark is no fault.
    let marked = [b"\xEF\xBB\xBF".to_vec(), std::fs::read(ours.ca()).unwrap()].concat();
    std::fs::write(path("marked.pem"), marked).unwrap();
    let tls = Tls { ca: ours.ca(), cert: named.cert, key: named.key, require_certificate: false };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    let tls = TlsFiles { ca: Some(path("marked.pem")), ..TlsFiles::default() };
    let url = BrokerUrl::parse(&broker.url()).unwrap();
    Bus::start(BusOptions { tls, ..BusOptions::new(url, "board") }).connected();
}
