//! Prompts in FlatGeobuf 3, as Features of GeoJSON. The file is taken apart here, within checked bounds, and its tables
//! are read by the verified accessors of the `flatgeobuf` crate, whose own reader trusts lengths in the file.
//!
//! Layout: magic, header with its length before it, index, features each with its length before it
//! (flatgeobuf.org, "Specification").

use std::path::Path;

use ::flatgeobuf::packed_r_tree::PackedRTree;
use ::flatgeobuf::{
    Column, ColumnType, Feature, Geometry, GeometryType, Header, size_prefixed_root_as_feature,
    size_prefixed_root_as_header,
};
use serde_json::{Map, Value, json};

use super::read::{Drawn, DrawnFeature, PromptsError};
use crate::api::NotUtf8;

/// `fgb`, the version 3, `fgb`, a patch number.
const MAGIC_BYTES: usize = 8;
/// Bytes of a node of the index: a box of doubles and an offset.
const NODE_BYTES: u64 = 40;

pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Drawn, PromptsError> {
    features(bytes).map_err(|problem| PromptsError::unreadable(path, problem))
}

fn features(bytes: &[u8]) -> Result<Drawn, String> {
    if bytes.get(3) != Some(&3) {
        return Err("is FlatGeobuf of another version than 3; write it anew with GDAL".to_owned());
    }
    let damaged = |what: &str| format!("is FlatGeobuf, but damaged: {what}");
    let rest = bytes.get(MAGIC_BYTES..).unwrap_or_default();
    let (header, rest) = sized(rest).ok_or_else(|| damaged("its header ends early"))?;
    let header = size_prefixed_root_as_header(header).map_err(|e| damaged(&e.to_string()))?;
    let (count, node) = (header.features_count(), header.index_node_size());
    let index = match (count, node) {
        (0, _) | (_, 0) => 0,
        _ if node == 1 || count > bytes.len() as u64 / NODE_BYTES => {
            return Err(damaged("its index ends early"));
        }
        _ => PackedRTree::index_size(usize::try_from(count).unwrap_or(0), node),
    };
    let mut rest = rest.get(index..).ok_or_else(|| damaged("its index ends early"))?;
    let crs = crs_of(&header)?;
    let mut drawn = Drawn::default();
    while !rest.is_empty() {
        let (feature, after) = sized(rest).ok_or_else(|| damaged("a feature of it ends early"))?;
        rest = after;
        let place = format!("feature {}", drawn.features.len() + 1);
        let feature = match size_prefixed_root_as_feature(feature) {
            Ok(feature) => feature_of(&feature, &header, crs.as_ref()),
            Err(error) => Err(damaged(&error.to_string())),
        };
        drawn.features.push(DrawnFeature { place, feature });
    }
    // Writers that stream tell no count.
    if count != 0 && count != drawn.features.len() as u64 {
        return Err(damaged(&format!("it holds {} of {count} features", drawn.features.len())));
    }
    Ok(drawn)
}

/// What begins with its length (without these four bytes), and what comes after it.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    bytes.split_at_checked(usize::try_from(length).ok()?.checked_add(4)?)
}

/// The CRS as a member of GeoJSON; none where it is WGS84, or not said.
fn crs_of(header: &Header<'_>) -> Result<Option<Value>, String> {
    let Some(crs) = header.crs() else { return Ok(None) };
    match (crs.org().unwrap_or("EPSG"), crs.code()) {
        (_, 0) => match crs.wkt() {
            None => Ok(None),
            // Of a CRS with heights the horizontal part counts, which has one.
            Some(wkt) => Ok(Some(json!({"type": "name", "properties": {"name": wkt}}))),
        },
        ("EPSG", 4326) => Ok(None),
        (authority, code) => Ok(Some(
            json!({"type": "name", "properties": {"name": format!("urn:ogc:def:crs:{authority}::{code}")}}),
        )),
    }
}

fn feature_of(feature: &Feature<'_>, header: &Header<'_>, crs: Option<&Value>) -> Result<Value, String> {
    let geometry = match feature.geometry() {
        None => Value::Null,
        Some(geometry) => {
            let kind = match header.geometry_type() {
                GeometryType::Unknown => geometry.type_(),
                kind => kind,
            };
            geometry_of(&geometry, kind).ok_or("its geometry is damaged")?
        }
    };
    let columns = feature.columns().or(header.columns());
    let columns: Vec<Column<'_>> = columns.into_iter().flat_map(|columns| columns.iter()).collect();
    let bytes = feature.properties().map(|bytes| bytes.bytes()).unwrap_or_default();
    let properties = properties_of(bytes, &columns)?;
    let mut tree = json!({"type": "Feature", "geometry": geometry, "properties": properties});
    if let Some(crs) = crs {
        tree["crs"] = crs.clone();
    }
    Ok(tree)
}

/// As GeoJSON; other kinds than those of a prompt have their name and no coordinates. `None` where it is damaged.
fn geometry_of(geometry: &Geometry<'_>, kind: GeometryType) -> Option<Value> {
    let positions = || -> Vec<[f64; 2]> {
        let numbers: Vec<f64> = geometry.xy().into_iter().flat_map(|xy| xy.iter()).collect();
        numbers.as_chunks::<2>().0.to_vec()
    };
    let (name, coordinates) = match kind {
        GeometryType::Point => ("Point", json!(positions().first()?)),
        GeometryType::MultiPoint => ("MultiPoint", json!(positions())),
        GeometryType::Polygon => ("Polygon", json!(rings(&positions(), geometry)?)),
        GeometryType::MultiPolygon => {
            let parts = geometry.parts()?.iter();
            let part =
                |part: Geometry<'_>| Some(geometry_of(&part, GeometryType::Polygon)?["coordinates"].take());
            ("MultiPolygon", Value::Array(parts.map(part).collect::<Option<Vec<_>>>()?))
        }
        other => (other.variant_name().unwrap_or("geometry"), Value::Null),
    };
    Some(json!({"type": name, "coordinates": coordinates}))
}

/// The rings of a polygon, which end at these positions.
fn rings<'p>(positions: &'p [[f64; 2]], geometry: &Geometry<'_>) -> Option<Vec<&'p [[f64; 2]]>> {
    let Some(ends) = geometry.ends().filter(|ends| !ends.is_empty()) else { return Some(vec![positions]) };
    let mut start = 0;
    let ring = |end: u32| {
        let end = usize::try_from(end).ok()?;
        let ring = positions.get(start..end)?;
        start = end;
        Some(ring)
    };
    ends.iter().map(ring).collect()
}

/// Pairs of a column's number (u16) and its value.
fn properties_of(mut bytes: &[u8], columns: &[Column<'_>]) -> Result<Map<String, Value>, String> {
    let mut properties = Map::new();
    while !bytes.is_empty() {
        let (column, value) = property(&mut bytes, columns).ok_or("its attributes are damaged")?;
        let name = column.name();
        let value = value.map_err(|at| format!("its attribute {name} has text that is not UTF-8: {at}"))?;
        if let Some(value) = value {
            properties.insert(name.to_owned(), value);
        }
    }
    Ok(properties)
}

/// A column and its value, none for bytes without a meaning; `None` where they are damaged.
fn property<'c>(
    bytes: &mut &[u8],
    columns: &[Column<'c>],
) -> Option<(Column<'c>, Result<Option<Value>, NotUtf8>)> {
    let column = *columns.get(usize::from(u16::from_le_bytes(take(bytes)?)))?;
    let value = match column.type_() {
        ColumnType::Bool => json!(take::<1>(bytes)? != [0]),
        ColumnType::Byte => json!(i8::from_le_bytes(take(bytes)?)),
        ColumnType::UByte => json!(u8::from_le_bytes(take(bytes)?)),
        ColumnType::Short => json!(i16::from_le_bytes(take(bytes)?)),
        ColumnType::UShort => json!(u16::from_le_bytes(take(bytes)?)),
        ColumnType::Int => json!(i32::from_le_bytes(take(bytes)?)),
        ColumnType::UInt => json!(u32::from_le_bytes(take(bytes)?)),
        ColumnType::Long => json!(i64::from_le_bytes(take(bytes)?)),
        ColumnType::ULong => json!(u64::from_le_bytes(take(bytes)?)),
        ColumnType::Float => json!(f32::from_le_bytes(take(bytes)?)),
        ColumnType::Double => json!(f64::from_le_bytes(take(bytes)?)),
        kind => {
            let length = usize::try_from(u32::from_le_bytes(take(bytes)?)).ok()?;
            let (text, after) = bytes.split_at_checked(length)?;
            *bytes = after;
            if kind == ColumnType::Binary {
                return Some((column, Ok(None)));
            }
            let Ok(text) = str::from_utf8(text) else {
                return Some((column, NotUtf8::find(text).map_or(Ok(None), Err)));
            };
            let json = || serde_json::from_str(text).ok();
            let value = if kind == ColumnType::Json { json() } else { None };
            value.unwrap_or_else(|| Value::String(text.to_owned()))
        }
    };
    Some((column, Ok(Some(value))))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
