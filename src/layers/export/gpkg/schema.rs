//! The tables that make an SQLite file a GeoPackage, and those of a layer: definitions as the standard has them (OGC
//! 12-128r14, annexes C and F.3).

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::geometry::SRS;
use super::names::{GEOMETRY, KEY, Names, quoted};
use super::{FORMAT, Failure};
use crate::layers::export::ExportError;

/// `GPKG`.
const APPLICATION: i32 = 0x4750_4b47;
/// Version 1.2.0.
const VERSION: i32 = 10200;
/// From here on the index has other triggers.
const VERSION_OF_NEW_TRIGGERS: i32 = 10400;

const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE IF NOT EXISTS gpkg_extensions (
  table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL,
  CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));";

const TABLES_OF_A_NEW_FILE: &str = "\
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
INSERT INTO gpkg_spatial_ref_sys VALUES
  ('Undefined cartesian SRS', -1, 'NONE', -1, 'undefined', 'undefined cartesian coordinate reference system'),
  ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', 'undefined geographic coordinate reference system'),
  ('WGS 84 geodetic', 4326, 'EPSG', 4326, 'GEOGCS[\"WGS 84\",DATUM[\"WGS_1984\",SPHEROID[\"WGS 84\",6378137,298.257223563,\
AUTHORITY[\"EPSG\",\"7030\"]],AUTHORITY[\"EPSG\",\"6326\"]],PRIMEM[\"Greenwich\",0,AUTHORITY[\"EPSG\",\"8901\"]],\
UNIT[\"degree\",0.0174532925199433,AUTHORITY[\"EPSG\",\"9122\"]],AXIS[\"Latitude\",NORTH],AXIS[\"Longitude\",EAST],\
AUTHORITY[\"EPSG\",\"4326\"]]', 'longitude and latitude in degrees');";

/// Tables of other programs that may say something of a layer.
const OTHERS: [&str; 3] = ["gpkg_data_columns", "gpkg_metadata_reference", "gpkg_ogr_contents"];

/// Makes an empty file say what it is.
pub(super) fn identify(database: &Connection) -> rusqlite::Result<()> {
    database
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"))
}

/// Whether a file is a GeoPackage that layers can be added to.
pub(super) fn check(database: &Connection) -> Result<(), Failure> {
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table'
        AND name IN ('gpkg_contents', 'gpkg_spatial_ref_sys')";
    let found: i64 = database.query_row(tables, [], |row| row.get(0))?;
    if found < 2 {
        let problem = "it is no GeoPackage; leave out --append to replace it";
        return Err(Failure::Problem(problem.to_owned()));
    }
    let known = "SELECT count(*) FROM gpkg_spatial_ref_sys WHERE srs_id = ?1";
    let known: i64 = database.query_row(known, [SRS], |row| row.get(0))?;
    if known == 0 {
        let problem = "its gpkg_spatial_ref_sys lacks EPSG:4326, which every GeoPackage must have";
        return Err(Failure::Problem(problem.to_owned()));
    }
    Ok(())
}

pub(super) fn create(change: &Transaction<'_>, adding: bool) -> rusqlite::Result<()> {
    if !adding {
        change.execute_batch(TABLES_OF_A_NEW_FILE)?;
    }
    change.execute_batch(TABLES)
}

/// Takes away the table that a layer had, with all that says something of it but its style.
pub(super) fn remove_table(change: &Transaction<'_>, layer: &str) -> Result<(), Failure> {
    let clash = |problem: String| ExportError::Format { layer: layer.to_owned(), format: FORMAT, problem };
    let there =
        "SELECT name, type FROM sqlite_master WHERE lower(name) = lower(?1) AND type IN ('table', 'view')";
    let there: Option<(String, String)> =
        change.query_row(there, [layer], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((name, kind)) = there else { return Ok(()) };
    let data_type = "SELECT data_type FROM gpkg_contents WHERE table_name = ?1";
    let data_type: Option<String> = change.query_row(data_type, [layer], |row| row.get(0)).optional()?;
    if name != layer || kind != "table" || data_type.as_deref() != Some("features") {
        let problem = format!("the file has a {kind} {name} that is no such layer; export to another file");
        return Err(clash(problem).into());
    }
    let column = "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?1";
    let column: Option<String> = change.query_row(column, [layer], |row| row.get(0)).optional()?;
    if let Some(column) = column {
        change
            .execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&format!("rtree_{layer}_{column}"))))?;
    }
    change.execute_batch(&format!("DROP TABLE {}", quoted(layer)))?;
    for table in ["gpkg_geometry_columns", "gpkg_extensions", "gpkg_contents"] {
        change.execute(&format!("DELETE FROM {table} WHERE table_name = ?1"), [layer])?;
    }
    for table in OTHERS {
        let has = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
        if change.query_row(has, [table], |row| row.get::<_, i64>(0))? > 0 {
            change.execute(&format!("DELETE FROM {table} WHERE table_name = ?1"), [layer])?;
        }
    }
    Ok(())
}

/// A layer's table and index, both still empty, entered where readers look for them.
pub(super) fn create_table(
    change: &Transaction<'_>,
    layer: &str,
    names: &Names,
    polygons_only: bool,
) -> Result<(), Failure> {
    let identifier = "SELECT count(*) FROM gpkg_contents WHERE identifier = ?1";
    if change.query_row(identifier, [layer], |row| row.get::<_, i64>(0))? > 0 {
        let problem = "another table of the file is called that; export to another file".to_owned();
        return Err(ExportError::Format { layer: layer.to_owned(), format: FORMAT, problem }.into());
    }
    let kind = if polygons_only { "MULTIPOLYGON" } else { "GEOMETRY" };
    change.execute_batch(&format!(
        "CREATE TABLE {} ({KEY} INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, {GEOMETRY} {kind}{});
         CREATE VIRTUAL TABLE {} USING rtree(id, minx, maxx, miny, maxy);",
        quoted(layer),
        names.definitions(),
        quoted(&index(layer)),
    ))?;
    let contents = "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES (?1, 'features', ?1, ?2)";
    change.execute(contents, params![layer, SRS])?;
    let geometry = "INSERT INTO gpkg_geometry_columns VALUES (?1, ?2, ?3, ?4, 0, 0)";
    change.execute(geometry, params![layer, GEOMETRY, kind, SRS])?;
    let extension = "INSERT INTO gpkg_extensions VALUES (?1, ?2, 'gpkg_rtree_index', \
        'http://www.geopackage.org/spec120/#extension_rtree', 'write-only')";
    change.execute(extension, params![layer, GEOMETRY])?;
    Ok(())
}

/// The smallest box around a layer; none where nothing of it is anywhere.
pub(super) fn set_extent(
    change: &Transaction<'_>,
    layer: &str,
    extent: Option<[f64; 4]>,
) -> rusqlite::Result<()> {
    if let Some([west, south, east, north]) = extent {
        let update =
            "UPDATE gpkg_contents SET min_x = ?2, min_y = ?3, max_x = ?4, max_y = ?5 WHERE table_name = ?1";
        change.execute(update, params![layer, west, south, east, north])?;
    }
    Ok(())
}

fn index(layer: &str) -> String {
    format!("rtree_{layer}_{GEOMETRY}")
}

/// The statement for an entry of the index: id, west, east, south, north.
pub(super) fn index_insert(layer: &str) -> String {
    format!("INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5)", quoted(&index(layer)))
}

/// The triggers by which others keep the index as they edit, as the file's version of the standard demands.
pub(super) fn create_triggers(change: &Transaction<'_>, layer: &str) -> rusqlite::Result<()> {
    let pragma = |name| change.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let is_new =
        pragma("application_id")? == APPLICATION && pragma("user_version")? >= VERSION_OF_NEW_TRIGGERS;
    let (table, index_table) = (quoted(layer), quoted(&index(layer)));
    let trigger = |suffix: &str| quoted(&format!("{}_{suffix}", index(layer)));
    let is_there = format!("NEW.{GEOMETRY} NOT NULL AND NOT ST_IsEmpty(NEW.{GEOMETRY})");
    let is_gone = format!("NEW.{GEOMETRY} ISNULL OR ST_IsEmpty(NEW.{GEOMETRY})");
    let bounds = format!(
        "ST_MinX(NEW.{GEOMETRY}), ST_MaxX(NEW.{GEOMETRY}), ST_MinY(NEW.{GEOMETRY}), ST_MaxY(NEW.{GEOMETRY})"
    );
    let enter = format!("INSERT OR REPLACE INTO {index_table} VALUES (NEW.{KEY}, {bounds});");
    let change_entry = format!(
        "UPDATE {index_table} SET minx = ST_MinX(NEW.{GEOMETRY}), maxx = ST_MaxX(NEW.{GEOMETRY}), \
         miny = ST_MinY(NEW.{GEOMETRY}), maxy = ST_MaxY(NEW.{GEOMETRY}) WHERE id = NEW.{KEY};"
    );
    let remove = format!("DELETE FROM {index_table} WHERE id = OLD.{KEY};");
    let remove_both = format!("DELETE FROM {index_table} WHERE id IN (OLD.{KEY}, NEW.{KEY});");
    let (same, other) = (format!("OLD.{KEY} = NEW.{KEY}"), format!("OLD.{KEY} != NEW.{KEY}"));
    let of_geometry = format!("UPDATE OF {GEOMETRY}");
    let was_gone = format!("(OLD.{GEOMETRY} ISNULL OR ST_IsEmpty(OLD.{GEOMETRY}))");
    let was_there = format!("(OLD.{GEOMETRY} NOT NULL AND NOT ST_IsEmpty(OLD.{GEOMETRY}))");
    let mut triggers = vec![
        ("insert", "INSERT", format!("({is_there})"), enter.clone()),
        ("update2", of_geometry.as_str(), format!("{same} AND ({is_gone})"), remove.clone()),
        ("update4", "UPDATE", format!("{other} AND ({is_gone})"), remove_both),
        ("delete", "DELETE", format!("OLD.{GEOMETRY} NOT NULL"), remove.clone()),
    ];
    if is_new {
        triggers.extend([
            ("update5", "UPDATE", format!("{other} AND ({is_there})"), format!("{remove} {enter}")),
            (
                "update6",
                of_geometry.as_str(),
                format!("{same} AND ({is_there}) AND {was_there}"),
                change_entry,
            ),
            (
                "update7",
                of_geometry.as_str(),
                format!("{same} AND ({is_there}) AND {was_gone}"),
                enter.replace(" OR REPLACE", ""),
            ),
        ]);
    } else {
        triggers.extend([
            ("update1", of_geometry.as_str(), format!("{same} AND ({is_there})"), enter.clone()),
            ("update3", "UPDATE", format!("{other} AND ({is_there})"), format!("{remove} {enter}")),
        ]);
    }
    for (suffix, event, condition, action) in triggers {
        let name = trigger(suffix);
        change.execute_batch(&format!(
            "CREATE TRIGGER {name} AFTER {event} ON {table} WHEN {condition} BEGIN {action} END;"
        ))?;
    }
    Ok(())
}
