//! What is said beside the shapes: who we are, and that a shape is gone.

use std::time::{Duration, SystemTime};

use super::options::CotOptions;
use crate::layers::export::xml::escape_ascii;

/// How long a receiver believes that we are there, of the times between two presences.
const BELIEVED: u32 = 5;

/// How long a deletion is kept by servers that keep events, for those who come later.
const DELETION_KEPT: Duration = Duration::from_secs(3600);

/// A position that nobody knows, as TAK says it.
const NOWHERE: &str = "<point lat=\"0.0\" lon=\"0.0\" hae=\"9999999.0\" ce=\"9999999.0\" le=\"9999999.0\"/>";

/// The uid of our presence.
pub(super) fn own_uid(options: &CotOptions) -> String {
    format!("geosam-edge-{}", options.device)
}

fn head(uid: &str, kind: &str, now: SystemTime, lasts: Duration) -> String {
    let time = humantime::format_rfc3339_millis(now);
    let stale = humantime::format_rfc3339_millis(now + lasts);
    let uid = escape_ascii(uid);
    format!(
        "<event version=\"2.0\" uid=\"{uid}\" type=\"{kind}\" how=\"m-g\" time=\"{time}\" start=\"{time}\" \
         stale=\"{stale}\">"
    )
}

/// Our presence, without a position. The first event on a connection: by it servers know whose the others are.
pub(super) fn presence(options: &CotOptions, now: SystemTime) -> String {
    let head = head(&own_uid(options), "a-f-G-U-C", now, options.presence * BELIEVED);
    let callsign = escape_ascii(&options.callsign);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{head}{NOWHERE}<detail><takv device=\"{callsign}\" platform=\"geosam-edge\" os=\"Linux\" version=\"{version}\"/>\
         <contact callsign=\"{callsign}\" endpoint=\"*:-1:stcp\"/><__group name=\"Cyan\" role=\"Team Member\"/></detail>\
         </event>"
    )
}

/// That a shape is gone. It has a uid of its own: under the shape's it would take its place.
pub(super) fn deletion(uid: &str, now: SystemTime) -> String {
    let head = head(&format!("{uid}-deleted"), "t-x-d-d", now, DELETION_KEPT);
    let uid = escape_ascii(uid);
    format!(
        "{head}{NOWHERE}<detail><link uid=\"{uid}\" relation=\"none\" type=\"none\"/><__forcedelete/></detail></event>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_we_are_and_what_is_gone_is_ascii_with_all_attributes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_953_600);
        let mut options = CotOptions::new("board-7", "geosam/board-7");
        options.callsign = "Tr\u{e4}ger <7>".to_owned();
        let both = [presence(&options, now), deletion("a\"b", now)];
        assert!(both.iter().all(|text| text.is_ascii() && !text.contains('\n')));
        insta::assert_snapshot!(both.join("\n").replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }
}
