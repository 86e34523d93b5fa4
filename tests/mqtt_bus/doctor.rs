//! What `doctor --broker` finds of a real broker, set up in the ways that hurt boards.

use geosam_edge::broker_check::{Finding, Verdict, examine};
use geosam_edge::bus::{BusOptions, Credentials, Password, Protocol, Secret, Topics};

use crate::mosquitto::{Mosquitto, Setup};
use crate::{BOTH, options};

fn findings(options: &BusOptions, groups: &[String]) -> Vec<Finding> {
    examine(options, &Topics::new("geosam", "edge", groups).unwrap()).unwrap()
}

#[track_caller]
fn assert_found(findings: &[Finding], what: &str, verdict: Verdict, message: &str) {
    let Some(found) = findings.iter().find(|finding| finding.what == what) else {
        panic!("nothing about {what} in {findings:?}")
    };
    assert!(found.verdict == verdict && found.message.contains(message), "{found:?}");
}

#[test]
fn a_broker_that_is_set_up_for_boards_is_good_and_left_as_it_was() {
    let setup = Setup { persistence: true, ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    for protocol in BOTH {
        let found = findings(&options(&broker, protocol, "board"), &["boats".to_owned()]);
        for finding in &found {
            let expected = match finding.what {
                "persistence" => Verdict::Unknown,
                "connection" if protocol == Protocol::V311 => Verdict::Lacking,
                _ => Verdict::Good,
            };
            assert_eq!(finding.verdict, expected, "{finding:?}");
        }
        assert_found(&found, "session", Verdict::Good, "all of 1200 requests");
        assert_found(
            &found,
            "sizes",
            Verdict::Good,
            "up to 2.0 MiB come through; larger ones are not tried here",
        );
    }
    let left = broker.subscribe("#", &[]);
    assert_eq!(left.until_silent(std::time::Duration::from_millis(300)).len(), 0, "nothing is retained");
}

#[test]
fn what_a_broker_lacks_is_told_with_what_to_do() {
    let extra = ["message_size_limit 100000", "max_queued_messages 100", "retain_available false"];
    let setup = Setup { extra: extra.map(str::to_owned).into(), ..Setup::default() };
    let Some(broker) = Mosquitto::start(setup) else { return };
    let found = findings(&options(&broker, Protocol::V5, "board"), &[]);
    assert_found(&found, "connection", Verdict::Good, "MQTT 5");
    assert_found(&found, "retained", Verdict::Lacking, "clients that come later");
    assert_found(&found, "sizes", Verdict::Lacking, "up to 16 KiB come through; of one of 128 KiB refused");
    assert_found(&found, "session", Verdict::Lacking, "max_queued_messages");
    assert_found(&found, "last will", Verdict::Good, "told");
}

#[test]
fn a_user_without_rights_is_told_which_it_needs() {
    let users = vec![("board".to_owned(), "secret".to_owned())];
    let acl = Some("user board\ntopic read geosam/#\n".to_owned());
    let Some(broker) = Mosquitto::start(Setup { users, acl, ..Setup::default() }) else { return };
    let with = |password: &str| BusOptions {
        credentials: Some(Credentials {
            username: "board".to_owned(),
            password: Password::Given(Secret::new(password)),
        }),
        ..options(&broker, Protocol::V5, "board")
    };
    let found = findings(&with("secret"), &[]);
    assert_found(&found, "round trip", Verdict::Bad, "publish and subscribe below its own topic");
    let found = findings(&with("wrong"), &[]);
    assert_found(&found, "connection", Verdict::Bad, "");
    assert_eq!(found.len(), 1, "nothing else can be tried: {found:?}");
}
