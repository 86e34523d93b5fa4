//! Who is let in: passwords, access lists, TLS.

use geosam_edge::bus::{
    BrokerUrl, BusClient, BusError, BusOptions, Credentials, OutgoingMessage, Password, Protocol,
    PublishOutcome, Secret, TlsFiles, connect,
};

use crate::certificates::{self, Authority};
use crate::mosquitto::{Mosquitto, Setup, Tls};
use crate::{BOTH, Bus, options};

#[test]
fn a_user_needs_the_right_password_and_none_is_ever_shown() {
    let users = vec![("board".to_owned(), "hunter2".to_owned())];
    let Some(broker) = Mosquitto::start(Setup { users, ..Setup::default() }) else { return };
    for protocol in BOTH {
        let with = |password: &str| BusOptions {
            credentials: Some(Credentials {
                username: "board".to_owned(),
                password: Password::Given(Secret::new(password)),
            }),
            ..options(&broker, protocol, "board")
        };
        let mut bus = Bus::start(with("hunter2"));
        bus.connected();
        let wrong = with("hunter3");
        assert!(!format!("{wrong:?}").contains("hunter"));
        let mut bus = Bus::start(wrong);
        let error = bus.connect_failed();
        assert!(matches!(error, BusError::Refused { .. }), "{error:?}");
        assert!(!error.to_string().contains("hunter"));
        bus.connect_failed();
    }
}

#[test]
fn a_publish_that_the_access_list_forbids_is_refused_under_mqtt5() {
    let acl = "topic readwrite geosam/board/#\n".to_owned();
    let Some(broker) = Mosquitto::start(Setup { acl: Some(acl), ..Setup::default() }) else { return };
    let mut bus = Bus::start(options(&broker, Protocol::V5, "board"));
    bus.connected();
    let allowed = bus.handle.publish_with(OutgoingMessage::new("geosam/board/state", "online")).unwrap();
    let forbidden = bus.handle.publish_with(OutgoingMessage::new("geosam/other/state", "x")).unwrap();
    assert_eq!(bus.outcome(allowed), PublishOutcome::Accepted);
    let outcome = bus.outcome(forbidden);
    assert!(matches!(&outcome, PublishOutcome::Refused { reason } if reason.contains("NotAuthorized")));
}

#[test]
fn tls_wants_a_known_authority_and_the_brokers_listener_a_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    let server = ours.issue("localhost", Some("localhost"));
    let (board, stranger) = (ours.issue("board", None), theirs.issue("board", None));
    let tls = Tls { ca: ours.ca(), cert: server.cert, key: server.key, require_certificate: true };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    for protocol in BOTH {
        let with = |ca, identity: Option<&certificates::Identity>| BusOptions {
            tls: TlsFiles {
                ca: Some(ca),
                cert: identity.map(|identity| identity.cert.clone()),
                key: identity.map(|identity| identity.key.clone()),
            },
            ..options(&broker, protocol, "board")
        };
        let mut bus = Bus::subscribed(with(ours.ca(), Some(&board)), "a");
        bus.handle.publish_with(OutgoingMessage::new("a", vec![b'x'; 300_000])).unwrap();
        assert_eq!(bus.message().payload.len(), 300_000);

        for refused in
            [with(theirs.ca(), Some(&board)), with(ours.ca(), None), with(ours.ca(), Some(&stranger))]
        {
            let error = Bus::start(refused).connect_failed();
            assert!(matches!(error, BusError::Unreachable { .. } | BusError::Refused { .. }), "{error:?}");
        }
    }
    let mixed =
        TlsFiles { ca: Some(ours.ca()), cert: Some(board.cert.clone()), key: Some(stranger.key.clone()) };
    let mixed = BusOptions { tls: mixed, ..options(&broker, Protocol::V5, "board") };
    let error = connect(mixed).err().expect("the key is another's");
    assert!(error.to_string().contains("does not go with the key"), "{error}");
    let half = TlsFiles { ca: Some(ours.ca()), cert: Some(board.cert), key: None };
    let half = BusOptions { tls: half, ..options(&broker, Protocol::V5, "board") };
    assert!(matches!(connect(half), Err(BusError::Tls { .. })));
}

#[test]
fn a_plain_connection_to_a_tls_listener_fails_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::new(dir.path(), "ours");
    let server = ours.issue("localhost", Some("localhost"));
    let tls = Tls { ca: ours.ca(), cert: server.cert, key: server.key, require_certificate: false };
    let Some(broker) = Mosquitto::start(Setup { tls: Some(tls), ..Setup::default() }) else { return };
    let plain = BrokerUrl { tls: false, ..BrokerUrl::parse(&broker.url()).unwrap() };
    let error =
        Bus::start(BusOptions { broker: plain, ..options(&broker, Protocol::V5, "board") }).connect_failed();
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_new_password_in_its_file_is_used_from_the_next_attempt_on() {
    let users = vec![("board".to_owned(), "second".to_owned())];
    let Some(broker) = Mosquitto::start(Setup { users, ..Setup::default() }) else { return };
    for protocol in BOTH {
        let file = broker.dir().join(format!("password-{protocol}"));
        std::fs::write(&file, "first\n").unwrap();
        let password = Password::File(file.clone());
        let credentials = Some(Credentials { username: "board".to_owned(), password });
        let mut bus = Bus::start(BusOptions { credentials, ..options(&broker, protocol, "board") });
        assert!(matches!(bus.connect_failed(), BusError::Refused { .. }));
        std::fs::write(&file, "second\n").unwrap();
        bus.connected();
    }
}
