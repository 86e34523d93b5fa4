//! KML 2.2 (OGC 07-147r2), and KMZ: the same, compressed.
//!
//! Each part is a Placemark with a name of its own and one simple geometry, and has no label point beside it: MAVProxy
//! lists Placemarks by their name and reads the first part of a MultiGeometry alone, QGroundControl reads every `Polygon`.
//! Properties are ExtendedData. The style is a plain `Style`, which Mission Planner's overlay shows as well. KML is longitude
//! and latitude on WGS84 by definition, and so are layers.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use geojson::{Feature, Position};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use serde_json::Value;

use super::objects::{Piece, name, part_name, pieces};
use super::xml::escape;
use super::{ExportError, Exported, Failure, Source, colour};

/// The one style of a file.
const STYLE: &str = "object";

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    document(source, "KML", out)
}

/// A ZIP with the document as `doc.kml`, as Google Earth and Mission Planner look for it.
pub(super) fn write_kmz(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    let mut archive = ZipArchiveWriter::new(out);
    let mut begun = archive.new_file("doc.kml");
    begun = begun.compression_method(CompressionMethod::DEFLATE);
    let (mut entry, config) = begun.start().map_err(zip_failed)?;
    let mut text = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
    let exported = document(source, "KMZ", &mut text)?;
    let (deflated, descriptor) = text.finish().map_err(zip_failed)?;
    deflated.finish()?;
    entry.finish(descriptor).map_err(zip_failed)?;
    archive.finish().map_err(zip_failed)?;
    Ok(exported)
}

fn zip_failed(error: rawzip::Error) -> Failure {
    Failure::Out(match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        other => io::Error::other(other.to_string()),
    })
}

fn document(source: &mut Source, format: &'static str, out: &mut dyn Write) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    let mut features = source.lines()?;
    let mut exported = Exported::default();
    while let Some(feature) = features.next_feature()? {
        if exported.features == 0 {
            head(&layer, out)?;
        }
        exported.features += 1;
        placemarks(&feature, &name(&feature, &layer, exported.features), out)?;
    }
    exported.skipped = features.skipped;
    if exported.features == 0 {
        return Err(ExportError::Empty { layer, format, skipped: exported.skipped }.into());
    }
    out.write_all(b"</Document>\n</kml>\n")?;
    Ok(exported)
}

/// A layer's name has no character that XML escapes. Colours are alpha, blue, green, red.
fn head(layer: &str, out: &mut dyn Write) -> io::Result<()> {
    let [red, green, blue] = colour::of_layer(layer);
    let filled = colour::FILLED;
    write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<kml xmlns=\"http://www.opengis.net/kml/2.2\">\n<Document>\n\
         <name>{layer}</name>\n<Style id=\"{STYLE}\">\
         <LineStyle><color>ff{blue:02x}{green:02x}{red:02x}</color><width>2</width></LineStyle>\
         <PolyStyle><color>{filled:02x}{blue:02x}{green:02x}{red:02x}</color></PolyStyle></Style>\n"
    )
}

fn placemarks(feature: &Feature, object: &str, out: &mut dyn Write) -> io::Result<()> {
    let data = extended_data(feature);
    let pieces = feature.geometry.as_ref().map_or_else(Vec::new, |geometry| pieces(&geometry.value));
    if pieces.is_empty() {
        return placemark(object, &data, None, out);
    }
    for (index, piece) in pieces.iter().enumerate() {
        placemark(&part_name(object, index, pieces.len()), &data, Some(piece), out)?;
    }
    Ok(())
}

fn extended_data(feature: &Feature) -> String {
    let mut data = String::new();
    for (name, value) in feature.properties.iter().flatten().filter(|(_, value)| !value.is_null()) {
        let value = match value {
            Value::String(text) => escape(text),
            other => escape(&other.to_string()),
        };
        data.push_str(&format!("<Data name=\"{}\"><value>{value}</value></Data>", escape(name)));
    }
    if data.is_empty() { data } else { format!("<ExtendedData>{data}</ExtendedData>") }
}

/// Elements in the order of the schema.
fn placemark(name: &str, data: &str, piece: Option<&Piece<'_>>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "<Placemark><name>{}</name><styleUrl>#{STYLE}</styleUrl>{data}", escape(name))?;
    match piece {
        None => {}
        Some(Piece::Point(position)) => {
            out.write_all(b"<Point>")?;
            coordinates(std::slice::from_ref(*position), out)?;
            out.write_all(b"</Point>")?;
        }
        Some(Piece::Line(positions)) => {
            out.write_all(b"<LineString>")?;
            coordinates(positions, out)?;
            out.write_all(b"</LineString>")?;
        }
        Some(Piece::Polygon(rings)) => polygon(rings, out)?,
    }
    out.write_all(b"</Placemark>\n")
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
