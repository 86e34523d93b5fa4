//! KML 2.2 (OGC 07-147r2): a Placemark a feature, its properties as ExtendedData.
//!
//! KML is longitude and latitude on WGS84 by definition, and so are layers.

use std::io::{self, Write};

use geojson::{Feature, GeometryValue, Position};
use serde_json::Value;

use super::{Exported, Failure, Source, id_text};

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<kml xmlns=\"http://www.opengis.net/kml/2.2\">\n";
    write!(out, "{head}<Document>\n<name>{}</name>\n", source.layer)?;
    let mut features = source.lines()?;
    let mut exported = Exported::default();
    while let Some(feature) = features.next_feature()? {
        placemark(&feature, out)?;
        exported.features += 1;
    }
    out.write_all(b"</Document>\n</kml>\n")?;
    exported.skipped = features.skipped;
    Ok(exported)
}

fn placemark(feature: &Feature, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<Placemark>")?;
    if let Some(id) = &feature.id {
        write!(out, "<name>{}</name>", escape(&id_text(id)))?;
    }
    let properties = feature.properties.iter().flatten().filter(|(_, value)| !value.is_null());
    let mut data = String::new();
    for (name, value) in properties {
        let value = match value {
            Value::String(text) => escape(text),
            other => escape(&other.to_string()),
        };
        data.push_str(&format!("<Data name=\"{}\"><value>{value}</value></Data>", escape(name)));
    }
    if !data.is_empty() {
        write!(out, "<ExtendedData>{data}</ExtendedData>")?;
    }
    if let Some(geometry) = &feature.geometry {
        write_geometry(&geometry.value, out)?;
    }
    out.write_all(b"</Placemark>\n")
}

fn write_geometry(geometry: &GeometryValue, out: &mut dyn Write) -> io::Result<()> {
    match geometry {
        GeometryValue::Point { coordinates } => point(coordinates, out),
        GeometryValue::LineString { coordinates } => line_string(coordinates, out),
        GeometryValue::Polygon { coordinates } => polygon(coordinates, out),
        GeometryValue::MultiPoint { coordinates } => multi(coordinates, out, |p, out| point(p, out)),
        GeometryValue::MultiLineString { coordinates } => {
            multi(coordinates, out, |l, out| line_string(l, out))
        }
        GeometryValue::MultiPolygon { coordinates } => multi(coordinates, out, |p, out| polygon(p, out)),
        // As deep as the JSON was, which serde_json bounds.
        GeometryValue::GeometryCollection { geometries } => {
            multi(geometries, out, |g, out| write_geometry(&g.value, out))
        }
    }
}

fn multi<T>(
    parts: &[T],
    out: &mut dyn Write,
    write: impl Fn(&T, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"<MultiGeometry>")?;
    for part in parts {
        write(part, out)?;
    }
    out.write_all(b"</MultiGeometry>")
}

fn point(position: &Position, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<Point>")?;
    coordinates(std::slice::from_ref(position), out)?;
    out.write_all(b"</Point>")
}

fn line_string(positions: &[Position], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<LineString>")?;
    coordinates(positions, out)?;
    out.write_all(b"</LineString>")
}

fn polygon(rings: &[Vec<Position>], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<Polygon>")?;
    for (index, ring) in rings.iter().enumerate() {
        let boundary = if index == 0 { "outerBoundaryIs" } else { "innerBoundaryIs" };
        write!(out, "<{boundary}><LinearRing>")?;
        coordinates(ring, out)?;
        write!(out, "</LinearRing></{boundary}>")?;
    }
    out.write_all(b"</Polygon>")
}

/// `x,y x,y ...`; a height is kept, and has no meaning as long as no altitudeMode gives it one.
fn coordinates(positions: &[Position], out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"<coordinates>")?;
    for (index, position) in positions.iter().enumerate() {
        let separator = if index == 0 { "" } else { " " };
        match position.as_slice() {
            [x, y, z, ..] => write!(out, "{separator}{x},{y},{z}")?,
            [x, y] => write!(out, "{separator}{x},{y}")?,
            _ => {}
        }
    }
    out.write_all(b"</coordinates>")
}

/// Text for XML 1.0: markup escaped, characters that XML cannot hold replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A parser would take them for a space in an attribute, or for a newline.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_would_break_xml_is_escaped() {
        assert_eq!(escape("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&apos;");
        assert_eq!(escape("\0\u{1}\u{ffff}\n"), "\u{fffd}\u{fffd}\u{fffd}&#10;");
        assert_eq!(escape("池塘 ]]>"), "池塘 ]]&gt;");
    }
}
