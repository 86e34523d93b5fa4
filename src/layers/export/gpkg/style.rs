//! The table `layer_styles`, in which QGIS looks for the style of a layer when it opens it (and GeoServer for its SLD).

use rusqlite::{Transaction, params};

use super::names::GEOMETRY;
use crate::layers::export::colour;

const CREATE: &str = "\
CREATE TABLE IF NOT EXISTS layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
  styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, srs_id)
  VALUES ('layer_styles', 'attributes', 'layer_styles', NULL);";

/// Gives a layer its style, unless somebody has given it one.
pub(super) fn add(change: &Transaction<'_>, layer: &str) -> rusqlite::Result<()> {
    change.execute_batch(CREATE)?;
    let of_layer = "SELECT count(*) FROM layer_styles WHERE f_table_name = ?1";
    let styles: i64 = change.query_row(of_layer, [layer], |row| row.get(0))?;
    if styles > 0 {
        return Ok(());
    }
    let insert = "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,
        styleQML, styleSLD, useAsDefault, description) VALUES ('', '', ?1, ?2, 'default', ?3, ?4, 1, '')";
    let colour = colour::of_layer(layer);
    change.execute(insert, params![layer, GEOMETRY, qml(colour), sld(layer, colour)])?;
    Ok(())
}

/// A style of QGIS: an outline and a thin filling.
fn qml([red, green, blue]: [u8; 3]) -> String {
    let filled = colour::FILLED;
    format!(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n\
         <qgis version=\"3.22.0\" styleCategories=\"Symbology\">\
         <renderer-v2 type=\"singleSymbol\" symbollevels=\"0\" forceraster=\"0\" enableorderby=\"0\"><symbols>\
         <symbol type=\"fill\" name=\"0\" alpha=\"1\" clip_to_extent=\"1\" force_rhr=\"0\">\
         <layer class=\"SimpleFill\" enabled=\"1\" pass=\"0\" locked=\"0\">\
         <prop k=\"color\" v=\"{red},{green},{blue},{filled}\"/><prop k=\"style\" v=\"solid\"/>\
         <prop k=\"outline_color\" v=\"{red},{green},{blue},255\"/><prop k=\"outline_style\" v=\"solid\"/>\
         <prop k=\"outline_width\" v=\"0.6\"/><prop k=\"outline_width_unit\" v=\"MM\"/>\
         </layer></symbol></symbols></renderer-v2>\
         <blendMode>0</blendMode><layerGeometryType>2</layerGeometryType></qgis>"
    )
}

/// The same as an OGC Styled Layer Descriptor 1.1. A layer's name has no character that XML escapes.
fn sld(layer: &str, [red, green, blue]: [u8; 3]) -> String {
    let opacity = f64::from(colour::FILLED) / 255.0;
    let colour = format!("#{red:02x}{green:02x}{blue:02x}");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <StyledLayerDescriptor xmlns=\"http://www.opengis.net/sld\" xmlns:se=\"http://www.opengis.net/se\" \
         version=\"1.1.0\"><NamedLayer><se:Name>{layer}</se:Name><UserStyle><se:Name>{layer}</se:Name>\
         <se:FeatureTypeStyle><se:Rule><se:PolygonSymbolizer>\
         <se:Fill><se:SvgParameter name=\"fill\">{colour}</se:SvgParameter>\
         <se:SvgParameter name=\"fill-opacity\">{opacity:.2}</se:SvgParameter></se:Fill>\
         <se:Stroke><se:SvgParameter name=\"stroke\">{colour}</se:SvgParameter>\
         <se:SvgParameter name=\"stroke-width\">2</se:SvgParameter></se:Stroke>\
         </se:PolygonSymbolizer></se:Rule></se:FeatureTypeStyle></UserStyle></NamedLayer></StyledLayerDescriptor>"
    )
}
