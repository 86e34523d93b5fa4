//! A broker's no to our CONNECT in words that say what to do. Pure.

use super::message::Protocol;
use super::packet::ConnAck;

/// What a failed attempt says of the version of MQTT that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VersionDoubt {
    /// The broker speaks another.
    Certain,
    /// It may: it closed, or was silent, in place of an answer.
    Possible,
    /// None: the broker speaks it.
    Spoken,
    /// It cannot be told.
    None,
}

/// What CONNACK says of the version that was tried.
pub(super) fn doubt(connack: &ConnAck, tried: Protocol) -> VersionDoubt {
    match tried {
        // MQTT 5 has at least a length of properties behind the code.
        Protocol::V5 if connack.short || connack.code == 0x84 || connack.code == 1 => VersionDoubt::Certain,
        Protocol::V311 if connack.code == 1 || connack.code == 0x84 => VersionDoubt::Certain,
        _ => VersionDoubt::Spoken,
    }
}

/// Whether the broker refuses our last will for its retain flag.
pub(super) const fn refuses_retain(connack: &ConnAck) -> bool {
    connack.code == 0x9A
}

/// The reason of a refusal, with what the broker says itself and what to do.
pub(super) fn words(connack: &ConnAck, tried: Protocol) -> String {
    let (what, advice) = match (tried, connack.code) {
        _ if doubt(connack, tried) == VersionDoubt::Certain => {
            ("it does not speak this version of MQTT", "set broker.protocol = \"auto\", \"5\" or \"3.1.1\"")
        }
        (Protocol::V311, 2) | (_, 0x85) => ("it does not take our client id", "set broker.client_id"),
        (Protocol::V311, 3) | (_, 0x88) => ("it is not available now", "it is tried again"),
        (Protocol::V311, 4) | (_, 0x86) => {
            ("user name or password are wrong", "check broker.username and password_file")
        }
        (Protocol::V311, 5) | (_, 0x87) => (
            "we are not authorized",
            "check broker.username, password_file, the certificate, and what the broker lets this client id do",
        ),
        (_, 0x89) => ("it is busy", "it is tried again"),
        (_, 0x8A) => {
            ("it has banned us", "ask its operator; two boards under one client id look like one that flaps")
        }
        (_, 0x8C) => {
            ("it wants another way to authenticate", "only user and password, and certificates, are known")
        }
        (_, 0x90) => {
            ("it does not allow the topic of our last will", "let the board publish to its own topics")
        }
        (_, 0x95) => ("our CONNECT is too large for it", "raise its limit"),
        (_, 0x97) => ("a quota of ours is used up", "ask its operator"),
        (_, 0x9A) => ("it keeps no retained messages", "the last will is sent without retain from now on"),
        (_, 0x9C | 0x9D) => ("it sends us to another server", "set broker.url"),
        (_, 0x9F) => ("we connect too often", "it is tried again"),
        _ => ("", "see the broker's log"),
    };
    let code = connack.code;
    let mut text = match what {
        "" => format!("code 0x{code:02X}"),
        what => format!("{what} (code 0x{code:02X})"),
    };
    if let Some(reason) = &connack.reason {
        text += &format!("; it says {reason:?}");
    }
    if let Some(server) = &connack.server {
        text += &format!("; it names {server:?}");
    }
    format!("{text}; {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_says_itself_is_told_with_what_to_do() {
        let banned =
            ConnAck { code: 0x8A, reason: Some("back in 5 minutes".to_owned()), ..ConnAck::default() };
        let text = words(&banned, Protocol::V5);
        assert!(text.contains("banned") && text.contains("back in 5 minutes"), "{text}");
        let moved = ConnAck { code: 0x9D, server: Some("b:1883".to_owned()), ..ConnAck::default() };
        assert!(words(&moved, Protocol::V5).contains("b:1883"));
        let wrong = ConnAck { code: 5, short: true, ..ConnAck::default() };
        assert!(words(&wrong, Protocol::V311).contains("password_file"));
    }

    #[test]
    fn a_broker_of_another_version_is_known_by_what_it_answers() {
        let short = ConnAck { code: 1, short: true, ..ConnAck::default() };
        assert_eq!(doubt(&short, Protocol::V5), VersionDoubt::Certain);
        assert!(words(&short, Protocol::V5).contains("broker.protocol"));
        let unsupported = ConnAck { code: 0x84, ..ConnAck::default() };
        assert_eq!(doubt(&unsupported, Protocol::V5), VersionDoubt::Certain);
        let password = ConnAck { code: 0x86, ..ConnAck::default() };
        assert_eq!(doubt(&password, Protocol::V5), VersionDoubt::Spoken);
        let refused = ConnAck { code: 5, short: true, ..ConnAck::default() };
        assert_eq!(doubt(&refused, Protocol::V311), VersionDoubt::Spoken);
    }
}
