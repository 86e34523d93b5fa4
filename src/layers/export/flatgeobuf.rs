//! FlatGeobuf 3 through the `flatgeobuf` crate, in two passes over the layer: its columns first, since they stand in
//! the head of the file, then its features. Features go through a temporary file, since the format wants them
//! sorted along the index; memory grows by some 60 bytes a feature.

use std::io::Write;

use ::flatgeobuf::geozero::error::Result as GeoResult;
use ::flatgeobuf::geozero::{ColumnValue, GeomProcessor, GeozeroGeometry, PropertyProcessor as _};
use ::flatgeobuf::{ColumnType, FgbCrs, FgbWriter, FgbWriterOptions, GeometryType};
use geojson::{GeometryValue, Position};
use serde_json::Value;

use super::columns::{Columns, Kind, MAX_COLUMNS};
use super::{ExportError, Exported, Failure, Source};

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    let failed =
        |problem: String| ExportError::Format { layer: layer.clone(), format: "FlatGeobuf", problem };

    let mut columns = Columns::default();
    let (mut polygons_only, mut is_empty) = (true, true);
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        let Some(geometry) = feature.geometry.as_ref().map(|g| &g.value).filter(|g| fits(g)) else {
            continue;
        };
        is_empty = false;
        polygons_only &=
            matches!(geometry, GeometryValue::Polygon { .. } | GeometryValue::MultiPolygon { .. });
        if !columns.add(&feature) {
            let problem =
                format!("its features have more than {MAX_COLUMNS} different properties; export geojson");
            return Err(failed(problem).into());
        }
    }

    let options = FgbWriterOptions {
        // All polygons as MultiPolygon: one type for the whole file, as QGIS wants it.
        detect_type: false,
        promote_to_multi: polygons_only,
        write_index: !is_empty,
        crs: FgbCrs { org: Some("EPSG"), code: 4326, ..FgbCrs::default() },
        ..FgbWriterOptions::default()
    };
    let kind = if polygons_only { GeometryType::MultiPolygon } else { GeometryType::Unknown };
    let mut writer =
        FgbWriter::create_with_options(&layer, kind, options).map_err(|e| failed(e.to_string()))?;
    for (name, kind) in columns.list() {
        let column = match kind {
            Kind::Bool => ColumnType::Bool,
            Kind::Integer | Kind::Long => ColumnType::Long,
            Kind::Float => ColumnType::Double,
            Kind::Text => ColumnType::String,
            Kind::DateTime => ColumnType::DateTime,
            Kind::Json => ColumnType::Json,
        };
        writer.add_column(name, column, |_, _| {});
    }

    let mut exported = Exported::default();
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        let Some(geometry) = feature.geometry.as_ref().filter(|g| fits(&g.value)) else {
            exported.skipped += 1;
            continue;
        };
        let cells = columns.cells(&feature);
        let mut wrong = None;
        let added = writer.add_feature_geom(Shape(&geometry.value), |row| {
            for (index, name, kind, value) in &cells {
                let text = match value {
                    Value::String(text) if *kind != Kind::Json => text.clone(),
                    other => other.to_string(),
                };
                let cell = match kind {
                    Kind::Bool => ColumnValue::Bool(value.as_bool().unwrap_or_default()),
                    Kind::Integer | Kind::Long => ColumnValue::Long(value.as_i64().unwrap_or_default()),
                    Kind::Float => ColumnValue::Double(value.as_f64().unwrap_or_default()),
                    Kind::Text => ColumnValue::String(&text),
                    Kind::DateTime => ColumnValue::DateTime(&text),
                    Kind::Json => ColumnValue::Json(&text),
                };
                if let Err(error) = row.property(*index, name, &cell) {
                    wrong = Some(error);
                }
            }
        });
        if let Some(error) = added.err().or(wrong) {
            return Err(failed(error.to_string()).into());
        }
        exported.features += 1;
    }
    features.count(&mut exported);
    writer.write(out).map_err(|error| match error {
        ::flatgeobuf::Error::IO(error) => Failure::Out(error),
        other => failed(other.to_string()).into(),
    })?;
    Ok(exported)
}

/// Whether a geometry can be written: it is somewhere, or the index has no place for it, and it is no
/// GeometryCollection, which GDAL does not read the way the crate writes it. Masks are polygons; other geometries
/// come into a layer only by hand.
fn fits(geometry: &GeometryValue) -> bool {
    match geometry {
        GeometryValue::Point { coordinates } => coordinates.len() >= 2,
        GeometryValue::MultiPoint { coordinates } | GeometryValue::LineString { coordinates } => {
            !coordinates.is_empty()
        }
        GeometryValue::MultiLineString { coordinates } | GeometryValue::Polygon { coordinates } => {
            coordinates.iter().any(|part| !part.is_empty())
        }
        GeometryValue::MultiPolygon { coordinates } => coordinates.iter().flatten().any(|r| !r.is_empty()),
        GeometryValue::GeometryCollection { .. } => false,
    }
}

/// A GeoJSON geometry, told to the writer in two dimensions.
struct Shape<'a>(&'a GeometryValue);

impl GeozeroGeometry for Shape<'_> {
    fn process_geom<P: GeomProcessor>(&self, to: &mut P) -> GeoResult<()> {
        tell(self.0, 0, to)
    }
}

fn tell<P: GeomProcessor>(geometry: &GeometryValue, index: usize, to: &mut P) -> GeoResult<()> {
    match geometry {
        GeometryValue::Point { coordinates } => {
            to.point_begin(index)?;
            positions(std::slice::from_ref(coordinates), to)?;
            to.point_end(index)
        }
        GeometryValue::MultiPoint { coordinates } => {
            to.multipoint_begin(coordinates.len(), index)?;
            positions(coordinates, to)?;
            to.multipoint_end(index)
        }
        GeometryValue::LineString { coordinates } => line(coordinates, true, index, to),
        GeometryValue::MultiLineString { coordinates } => {
            to.multilinestring_begin(coordinates.len(), index)?;
            for (part, positions) in coordinates.iter().enumerate() {
                line(positions, false, part, to)?;
            }
            to.multilinestring_end(index)
        }
        GeometryValue::Polygon { coordinates } => polygon(coordinates, true, index, to),
        GeometryValue::MultiPolygon { coordinates } => {
            to.multipolygon_begin(coordinates.len(), index)?;
            for (part, rings) in coordinates.iter().enumerate() {
                polygon(rings, false, part, to)?;
            }
            to.multipolygon_end(index)
        }
        // Left out before, see `fits`.
        GeometryValue::GeometryCollection { .. } => Ok(()),
    }
}

fn polygon<P: GeomProcessor>(
    rings: &[Vec<Position>],
    tagged: bool,
    index: usize,
    to: &mut P,
) -> GeoResult<()> {
    to.polygon_begin(tagged, rings.len(), index)?;
    for (part, ring) in rings.iter().enumerate() {
        line(ring, false, part, to)?;
    }
    to.polygon_end(tagged, index)
}

fn line<P: GeomProcessor>(line: &[Position], tagged: bool, index: usize, to: &mut P) -> GeoResult<()> {
    to.linestring_begin(tagged, line.len(), index)?;
    positions(line, to)?;
    to.linestring_end(tagged, index)
}

fn positions<P: GeomProcessor>(positions: &[Position], to: &mut P) -> GeoResult<()> {
    for (index, position) in positions.iter().enumerate() {
        if let [x, y, ..] = position.as_slice() {
            to.xy(*x, *y, index)?;
        }
    }
    Ok(())
}
