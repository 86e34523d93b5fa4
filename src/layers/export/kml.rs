//! KML 2.2 (OGC 07-147r2), and KMZ: the same, compressed.
//!
//! Each part is a Placemark with a name of its own and one simple geometry, and has no label point beside it: MAVProxy
//! lists Placemarks by their name and reads the first part of a MultiGeometry alone, QGroundControl reads every `Polygon`.
//! Properties are the fields of a `Schema`, whose types are those of all their values; so the layer is read twice. The style is
//! a plain `Style`, which Mission Planner's overlay shows as well. KML is longitude and latitude on WGS84 by definition, and so
//! are layers. An empty layer is an empty `Folder`.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use geojson::{Feature, Position};
use rawzip::{CompressionMethod, ZipArchiveWriter};
use serde_json::Value;

use super::columns::{Columns, Kind, MAX_COLUMNS, renamed, told_apart};
use super::objects::{Piece, name, part_name, pieces};
use super::xml::escape;
use super::{ExportError, Exported, Failure, Source, colour};

/// The one style of a file.
const STYLE: &str = "object";
/// The one schema of a file.
const SCHEMA: &str = "properties";
/// Names of whole numbers of KML's own: GDAL takes properties of these names for those.
const OWN: [&str; 4] = ["visibility", "tessellate", "extrude", "draworder"];

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
    let mut columns = Columns::default();
    let mut is_empty = true;
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        is_empty = false;
        if !columns.add(&feature) {
            let problem =
                format!("its features have more than {MAX_COLUMNS} different properties; export geojson");
            return Err(ExportError::Format { layer, format, problem }.into());
        }
    }
    let skipped = features.skipped;
    if is_empty && skipped > 0 {
        return Err(ExportError::Empty { layer, format, skipped }.into());
    }
    let names = told_apart(columns.list().into_iter().map(|(name, _)| name), &OWN);
    head(&layer, &columns, &names, out)?;
    if is_empty {
        writeln!(out, "<Folder><name>{layer}</name></Folder>")?;
    }
    let properties = columns.list().into_iter().map(|(name, _)| name);
    let renamed = renamed(properties, names.iter().map(String::as_str));
    let mut exported = Exported { renamed, ..Exported::default() };
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        exported.features += 1;
        let data = extended_data(&feature, &columns, &names);
        placemarks(&feature, &data, &name(&feature, &layer, exported.features), out)?;
    }
    features.count(&mut exported);
    out.write_all(b"</Document>\n</kml>\n")?;
    Ok(exported)
}

/// A layer's name has no character that XML escapes. Colours are alpha, blue, green, red.
fn head(layer: &str, columns: &Columns, names: &[String], out: &mut dyn Write) -> io::Result<()> {
    let [red, green, blue] = colour::of_layer(layer);
    let filled = colour::FILLED;
    write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<kml xmlns=\"http://www.opengis.net/kml/2.2\">\n<Document>\n\
         <name>{layer}</name>\n<Style id=\"{STYLE}\">\
         <LineStyle><color>ff{blue:02x}{green:02x}{red:02x}</color><width>2</width></LineStyle>\
         <PolyStyle><color>{filled:02x}{blue:02x}{green:02x}{red:02x}</color></PolyStyle></Style>\n"
    )?;
    let fields = columns.list();
    if fields.is_empty() {
        return Ok(());
    }
    writeln!(out, "<Schema name=\"{layer}\" id=\"{SCHEMA}\">")?;
    for (name, (_, kind)) in names.iter().zip(fields) {
        let kind = match kind {
            Kind::Integer => "int",
            Kind::Float => "double",
            // KML has neither whole numbers of 64 bits, nor times, nor trees; of its bool GDAL 3.6 (QGIS 3.22) makes 0.
            Kind::Bool | Kind::Long | Kind::Text | Kind::DateTime | Kind::Json => "string",
        };
        writeln!(out, "<SimpleField type=\"{kind}\" name=\"{}\"></SimpleField>", escape(name))?;
    }
    out.write_all(b"</Schema>\n")
}

fn placemarks(feature: &Feature, data: &str, object: &str, out: &mut dyn Write) -> io::Result<()> {
    let pieces = feature.geometry.as_ref().map_or_else(Vec::new, |geometry| pieces(&geometry.value));
    if pieces.is_empty() {
        return placemark(object, data, None, out);
    }
    for (index, piece) in pieces.iter().enumerate() {
        placemark(&part_name(object, index, pieces.len()), data, Some(piece), out)?;
    }
    Ok(())
}

fn extended_data(feature: &Feature, columns: &Columns, names: &[String]) -> String {
    let mut data = String::new();
    for (column, name, kind, value) in columns.cells(feature) {
        let name = names.get(column).map_or(name, String::as_str);
        let value = match value {
            Value::String(text) if kind != Kind::Json => escape(&text),
            other => escape(&other.to_string()),
        };
        data.push_str(&format!("<SimpleData name=\"{}\">{value}</SimpleData>", escape(name)));
    }
    if data.is_empty() {
        return data;
    }
    format!("<ExtendedData><SchemaData schemaUrl=\"#{SCHEMA}\">{data}</SchemaData></ExtendedData>")
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
