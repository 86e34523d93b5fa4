//! By which names browsers may call the board, and from which pages they may open its WebSocket.
//!
//! A browser sends any page's requests to us, and has no same-origin rule for WebSockets: a foreign page is told by its
//! `Origin`. A foreign page that calls the board by a name of its own (DNS rebinding) has an origin that agrees; it is told
//! by that name: taken are addresses, and names that are given out within the board's own network, besides those of the
//! configuration.

use std::net::IpAddr;

/// Endings of names that no one outside the board's network can give out (RFC 6761, 6762, 8375; `lan` and `internal` by
/// use and by ICANN's reservation).
const OURS: [&str; 5] = [".localhost", ".local", ".lan", ".home.arpa", ".internal"];

/// The name in a `Host` header, without its port; `None` where it is none.
fn name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            (name, port.strip_prefix(':').or(port.is_empty().then_some("0"))?)
        }
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    (!name.is_empty() && port.parse::<u16>().is_ok()).then_some(name)
}

/// Whether the board may be called so.
pub(super) fn is_ours(host: &str, configured: &[String]) -> bool {
    let Some(name) = name(host) else { return false };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_local = || !name.contains('.') || OURS.iter().any(|ending| name.ends_with(ending));
    name.parse::<IpAddr>().is_ok()
        || is_local()
        || configured.iter().any(|own| own.eq_ignore_ascii_case(&name))
}

/// Whether a page of this origin is ours: of the same scheme, name and port as the request.
pub(super) fn is_same_origin(origin: &str, host: &str, tls: bool) -> bool {
    let (scheme, port) = if tls { ("https://", ":443") } else { ("http://", ":80") };
    let Some(of) = origin.strip_prefix(scheme) else { return false };
    let bare = |text: &str| text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase();
    bare(of) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_is_called_by_addresses_local_names_and_those_that_are_configured() {
        let configured = ["board.example.org".to_owned()];
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "[fe80::1]",
            "localhost",
            "board:8080",
            "Board.local",
            "board.lan.",
            "BOARD.example.org:1",
        ] {
            assert!(is_ours(host, &configured), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "board.example.org.evil",
            "",
            ":80",
            "[::1",
            "a:b",
            "local.evil",
        ] {
            assert!(!is_ours(host, &configured), "{host}");
        }
    }

    #[test]
    fn only_a_page_of_the_same_scheme_name_and_port_is_ours() {
        for (origin, host, tls) in [
            ("http://board:8080", "board:8080", false),
            ("http://board", "board:80", false),
            ("http://Board", "board", false),
            ("https://board", "board", true),
            ("https://[::1]:8443", "[::1]:8443", true),
        ] {
            assert!(is_same_origin(origin, host, tls), "{origin} {host}");
        }
        for (origin, host, tls) in [
            ("http://evil", "board", false),
            ("http://board:8081", "board:8080", false),
            ("http://board", "board", true),
            ("https://board", "board", false),
            ("http://board.evil", "board", false),
            ("null", "board", false),
            ("", "board", false),
        ] {
            assert!(!is_same_origin(origin, host, tls), "{origin} {host}");
        }
    }
}
