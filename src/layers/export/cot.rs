//! Cursor on Target: drawn shapes (`u-d-f`) as ATAK, WinTAK and iTAK show them, an event a part, since a shape has one
//! ring. Here is the text of an event, and a file of them; sending them is [`crate::cot`]'s affair.
//!
//! Nothing but ASCII; times in UTC with `Z` and milliseconds; latitude first; a ring is closed by its first vertex once
//! more; the same uid replaces a shape. Events are whole: an incomplete one vanishes without an answer.

use std::fmt::Write as _;
use std::io::Write;
use std::time::{Duration, SystemTime};

use geo::{Simplify as _, SimplifyVwPreserve as _};
use geojson::Feature;

use super::objects::{self, Area, LonLat, each_object};
use super::xml::escape_ascii;
use super::{ExportError, Exported, Failure, Format, Source, colour};

/// The most bytes of an event that every way to a TAK server carries: PyTAK's reader takes 65,536, a datagram 65,507.
pub(crate) const MOST_BYTES: usize = 60_000;

/// How long after the export a shape is shown: a file may be opened at any time.
const SHOWN_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

/// 2024-01-01, in seconds since 1970. A board without a clock believes that it is before that.
const CLOCK_IS_SET: u64 = 1_704_067_200;

/// Whether a clock can be believed. Events tell times, and a receiver drops what seems to be years old.
pub(crate) fn is_clock_set(now: SystemTime) -> bool {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() >= Duration::from_secs(CLOCK_IS_SET)
}

/// A saved object as receivers draw it.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// The object's id.
    pub id: String,
    /// The layer that it is in.
    pub layer: String,
    /// Its parts, at least one.
    pub parts: Vec<Shape>,
}

/// A part of a saved object.
#[derive(Debug)]
pub(crate) struct Shape {
    /// What it is known by: the object's id, with a number where there are more parts.
    pub uid: String,
    area: Area,
    remarks: String,
}

impl Shapes {
    /// The shapes of a line of a layer; `None` where it has no id or no polygon.
    pub fn of_line(layer: &str, line: &str) -> Option<Self> {
        let feature: Feature = serde_json::from_str(line).ok()?;
        let id = feature.id.as_ref().map(super::id_text).filter(|id| !id.is_empty())?;
        let areas = objects::areas(&feature);
        let (of, remarks) = (areas.len(), remarks(layer, &feature));
        let part =
            |(index, area)| Shape { uid: objects::part_name(&id, index, of), area, remarks: remarks.clone() };
        let parts: Vec<Shape> = areas.into_iter().enumerate().map(part).collect();
        (!parts.is_empty()).then(|| Self { id, layer: layer.to_owned(), parts })
    }

    /// Bytes that it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        let vertices =
            |part: &Shape| part.area.outer.len() + part.area.holes.iter().map(Vec::len).sum::<usize>();
        self.parts.iter().map(|part| 256 + 16 * vertices(part)).sum()
    }
}

impl Shape {
    /// West, south, east, north.
    pub fn bounds(&self) -> [f64; 4] {
        let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        self.area.outer.iter().fold(none, |[w, s, e, n], [x, y]| [w.min(*x), s.min(*y), e.max(*x), n.max(*y)])
    }

    /// Its event, shown for so long, in at most [`MOST_BYTES`]; and whether its outline had to be simplified for that.
    pub fn event(&self, layer: &str, now: SystemTime, shown_for: Duration) -> (String, bool) {
        let text = |ring: &[LonLat]| {
            let at = self.area.inside();
            event(&self.uid, layer, (ring, at), &self.remarks, (now, shown_for), true)
        };
        let whole = text(&self.area.outer);
        if whole.len() <= MOST_BYTES {
            return (whole, false);
        }
        let bare = text(&[]).len();
        let fits = |ring: &[LonLat]| bare + ring_bytes(ring) <= MOST_BYTES;
        (text(&simplified(&self.area.outer, fits)), true)
    }
}

/// The event of a shape that is about to be deleted: its box, shown for a moment. A server that keeps events until they
/// are stale would give the shape itself to those who come later.
pub(crate) fn last_event(
    uid: &str,
    layer: &str,
    [west, south, east, north]: [f64; 4],
    now: SystemTime,
    shown_for: Duration,
) -> String {
    let ring = [[west, south], [west, north], [east, north], [east, south]];
    let at = [west.midpoint(east), south.midpoint(north)];
    event(uid, layer, (&ring, at), "deleted", (now, shown_for), false)
}

/// A ring with fewer vertices, so that it fits.
fn simplified(ring: &[LonLat], fits: impl Fn(&[LonLat]) -> bool) -> Vec<LonLat> {
    let closed = ring.iter().chain(ring.first()).map(|[x, y]| geo::Coord { x: *x, y: *y });
    let polygon = geo::Polygon::new(geo::LineString::new(closed.collect()), Vec::new());
    let open = |polygon: &geo::Polygon| {
        let mut open: Vec<LonLat> = polygon.exterior().coords().map(|c| [c.x, c.y]).collect();
        open.pop();
        open
    };
    let first_fit = |from: f64, step: f64, simplify: &dyn Fn(f64) -> geo::Polygon| {
        let tolerances = std::iter::successors(Some(from), |tolerance| Some(tolerance * step));
        let tried =
            tolerances.take_while(|tolerance| *tolerance < 1.0).map(|tolerance| open(&simplify(tolerance)));
        tried.into_iter().find(|tried| tried.len() >= 3 && fits(tried))
    };
    // By the area of triangles, in square degrees: that does not depend on how wide a degree of longitude is here. From
    // some square centimetres on, fourfold each time.
    let by_area = first_fit(1e-14, 4.0, &|tolerance| polygon.simplify_vw_preserve(tolerance));
    // What must not cross itself may not get any shorter.
    let found = by_area.or_else(|| first_fit(1e-6, 2.0, &|tolerance| polygon.simplify(tolerance)));
    if let Some(found) = found {
        return found;
    }
    ring.iter().step_by(ring.len().div_ceil(1000).max(1)).copied().collect()
}

/// Bytes of a ring's links.
fn ring_bytes(ring: &[LonLat]) -> usize {
    ring.iter().chain(ring.first()).map(|[lon, lat]| format!("<link point=\"{lat},{lon}\"/>").len()).sum()
}

/// One file with the root `events`.
pub(super) fn write(source: &mut Source, now: SystemTime, out: &mut dyn Write) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    let format = Format::Cot.name();
    if !is_clock_set(now) {
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
            let (uid, outline) = (object.part_name(index), (&area.outer[..], area.inside()));
            let event = event(&uid, &layer, outline, &remarks(&layer, feature), (now, SHOWN_FOR), true);
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

/// The text of an event: of an outline with a position inside of it, from a time on for a while. What is archived
/// receivers keep over their own restarts.
fn event(
    uid: &str,
    layer: &str,
    (outer, [lon, lat]): (&[LonLat], LonLat),
    remarks: &str,
    (now, shown_for): (SystemTime, Duration),
    archived: bool,
) -> String {
    let time = humantime::format_rfc3339_millis(now);
    let stale = humantime::format_rfc3339_millis(now + shown_for);
    let uid = escape_ascii(uid);
    let [red, green, blue] = colour::of_layer(layer);
    let (stroke, fill) = (argb(255, red, green, blue), argb(colour::FILLED, red, green, blue));
    let mut event = format!(
        "<event version=\"2.0\" uid=\"{uid}\" type=\"u-d-f\" how=\"m-g\" time=\"{time}\" start=\"{time}\" \
         stale=\"{stale}\"><point lat=\"{lat:.7}\" lon=\"{lon:.7}\" hae=\"0.0\" ce=\"9999999.0\" le=\"9999999.0\"/>\
         <detail><contact callsign=\"{uid}\"/>"
    );
    for [lon, lat] in outer.iter().chain(outer.first()) {
        let _ = write!(event, "<link point=\"{lat},{lon}\"/>");
    }
    let _ = write!(
        event,
        "<strokeColor value=\"{stroke}\"/><fillColor value=\"{fill}\"/><strokeWeight value=\"3.0\"/>\
         <labels_on value=\"false\"/><remarks>{}</remarks>{}</detail></event>",
        escape_ascii(remarks),
        if archived { "<archive/>" } else { "" }
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
