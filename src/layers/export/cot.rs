//! Cursor on Target: drawn shapes (`u-d-f`) as ATAK, WinTAK and iTAK show them, an event a part, since a shape has one
//! ring. Here is the text of an event; sending it is not.
//!
//! Nothing but ASCII; times in UTC with `Z` and milliseconds; latitude first; a ring is closed by its first vertex once
//! more; the same uid replaces a shape. Events are whole: an incomplete one vanishes without an answer.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, SystemTime};

use geojson::Feature;

use super::objects::{Area, each_object};
use super::xml::escape_ascii;
use super::{ExportError, Exported, Failure, Format, Source, colour};

/// The most bytes of an event that every way to a TAK server carries: PyTAK's reader takes 65,536, a datagram 65,507.
const MOST_BYTES: usize = 60_000;

/// How long after the export a shape is shown: a file may be opened at any time.
const SHOWN_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// 2024-01-01, in seconds since 1970. A board without a clock believes that it is before that.
const CLOCK_IS_SET: u64 = 1_704_067_200;

/// One file with the root `events`.
pub(super) fn write(source: &mut Source, now: SystemTime, out: &mut dyn Write) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    let format = Format::Cot.name();
    if now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() < Duration::from_secs(CLOCK_IS_SET) {
        let now = humantime::format_rfc3339_seconds(now.max(SystemTime::UNIX_EPOCH)).to_string();
        return Err(ExportError::Clock { layer, format, now }.into());
    }
    let (mut begun, mut holed, mut large) = (false, 0, 0);
    let exported = each_object(source, format, |object, feature| {
        if !begun {
            begun = true;
            out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<events>\n")?;
        }
        let mut is_large = false;
        for (index, area) in object.areas.iter().enumerate() {
            let event = event(&object.part_name(index), &layer, area, &remarks(&layer, feature), now);
            is_large |= event.len() > MOST_BYTES;
            writeln!(out, "{event}")?;
        }
        holed += u64::from(object.areas.iter().any(|area| !area.holes.is_empty()));
        large += u64::from(is_large);
        Ok(())
    })?;
    out.write_all(b"</events>\n")?;
    Ok(Exported { holed, large, ..exported })
}

/// What people read of an object.
fn remarks(layer: &str, feature: &Feature) -> String {
    let property = |name: &str| feature.properties.as_ref().and_then(|properties| properties.get(name));
    let mut text = format!("layer {layer}");
    if let Some(area) = property("area_m2").and_then(serde_json::Value::as_f64) {
        let _ = write!(text, ", {area} m2");
    }
    if let Some(score) = property("score").and_then(serde_json::Value::as_f64) {
        let _ = write!(text, ", score {score:.2}");
    }
    text
}

fn event(uid: &str, layer: &str, area: &Area, remarks: &str, now: SystemTime) -> String {
    let time = humantime::format_rfc3339_millis(now);
    let stale = humantime::format_rfc3339_millis(now + SHOWN_FOR);
    let uid = escape_ascii(uid);
    let [lon, lat] = area.inside();
    let [red, green, blue] = colour::of_layer(layer);
    let (stroke, fill) = (argb(255, red, green, blue), argb(colour::FILLED, red, green, blue));
    let mut event = format!(
        "<event version=\"2.0\" uid=\"{uid}\" type=\"u-d-f\" how=\"m-g\" time=\"{time}\" start=\"{time}\" \
         stale=\"{stale}\"><point lat=\"{lat:.7}\" lon=\"{lon:.7}\" hae=\"0.0\" ce=\"9999999.0\" le=\"9999999.0\"/>\
         <detail><contact callsign=\"{uid}\"/>"
    );
    for [lon, lat] in area.outer.iter().chain(area.outer.first()) {
        let _ = write!(event, "<link point=\"{lat},{lon}\"/>");
    }
    let _ = write!(
        event,
        "<strokeColor value=\"{stroke}\"/><fillColor value=\"{fill}\"/><strokeWeight value=\"3.0\"/>\
         <labels_on value=\"false\"/><remarks>{}</remarks><archive/></detail></event>",
        escape_ascii(remarks)
    );
    event
}

/// A colour as Android has it: a signed number of 32 bits.
const fn argb(alpha: u8, red: u8, green: u8, blue: u8) -> i32 {
    i32::from_be_bytes([alpha, red, green, blue])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_a_signed_number() {
        assert_eq!(argb(255, 255, 255, 255), -1);
        assert_eq!(argb(77, 255, 214, 0), 0x4dff_d600);
    }
}
