//! OGC GeoPackage 1.2 (OGC 12-128r14): a table a layer, with the extension `gpkg_rtree_index` and a style as QGIS keeps
//! it. Version 1.2 is what every reader of today opens without a warning.
//!
//! A new file is written by its one owner and not synced; whoever calls puts it into its place when it is whole. An
//! existing one is changed in place and in one transaction: it may be open in QGIS, and a database must not be replaced
//! under those that have it open, nor copied without its journal.

mod geometry;
mod names;
mod numbers;
mod schema;
mod style;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use geojson::Feature;
use rusqlite::config::DbConfig;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use serde_json::Value;

use self::geometry::Blob;
use self::names::{Names, check_table};
use self::numbers::RowNumbers;
use super::columns::{Columns, Kind, MAX_COLUMNS, renamed};
use super::{ExportError, Exported, Format, Source};

/// How long another program may keep the file to itself.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 5000 });

const FORMAT: &str = Format::GeoPackage.name();

/// A failure that does not yet know the file.
enum Failure {
    Export(ExportError),
    Sqlite(rusqlite::Error),
    Problem(String),
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::Export(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Writes layers into an empty file, or `adding` into a GeoPackage; it does not grow beyond `most_bytes`.
pub(super) fn write(
    sources: &mut [Source],
    path: &Path,
    adding: bool,
    most_bytes: Option<u64>,
) -> Result<Exported, ExportError> {
    let written = open(path, adding).and_then(|mut database| {
        if let Some(most) = most_bytes {
            let page: i64 = database.pragma_query_value(None, "page_size", |row| row.get(0))?;
            database.execute_batch(&format!(
                "PRAGMA max_page_count = {}",
                most / u64::try_from(page).unwrap_or(4096).max(1)
            ))?;
        }
        let exported = fill(&mut database, sources, adding)?;
        database.close().map_err(|(_, error)| error)?;
        Ok(exported)
    });
    written.map_err(|failure| match failure {
        Failure::Export(error) => error,
        Failure::Problem(problem) => ExportError::Database { path: path.to_owned(), problem },
        Failure::Sqlite(error) => ExportError::Database { path: path.to_owned(), problem: told(&error) },
    })
}

fn told(error: &rusqlite::Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program is writing to it: save and stop editing there first"
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            "; the GeoPackage is damaged: export into a new file, or leave out --append to replace this one"
        }
        Some(ErrorCode::NotADatabase) => "; it is no GeoPackage: leave out --append to replace it",
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            "; the file and its directory must be such that you may write to them"
        }
        Some(ErrorCode::DiskFull) => "; free some space there",
        _ => "",
    };
    format!("{error}{advice}")
}

fn open(path: &Path, adding: bool) -> Result<Connection, Failure> {
    // SQLite takes a name that begins with `file:` for a URI.
    let path = if path.is_absolute() { path.to_owned() } else { PathBuf::from(".").join(path) };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(PATIENCE)?;
    if !adding {
        // Nobody else sees the file; it is thrown away unless it becomes whole, and synced then.
        database.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")?;
    }
    // A file from elsewhere: nothing that stands in its schema is run, and triggers for spatial functions, which we
    // have not, do not fire.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
    if adding {
        schema::check(&database)?;
    } else {
        schema::identify(&database)?;
    }
    Ok(database)
}

fn fill(database: &mut Connection, sources: &mut [Source], adding: bool) -> Result<Exported, Failure> {
    let mut all = Exported::default();
    let mut nothing = None;
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    schema::create(&change, adding)?;
    for source in sources {
        match add_layer(&change, source) {
            Ok(exported) => {
                all.features += exported.features;
                all.skipped += exported.skipped;
                all.unread.extend(exported.unread);
                for pair in exported.renamed {
                    if !all.renamed.contains(&pair) {
                        all.renamed.push(pair);
                    }
                }
            }
            Err(Failure::Export(error @ (ExportError::Empty { .. } | ExportError::Unreadable(_)))) => {
                if let ExportError::Unreadable(problem) = &error {
                    all.unread.push(problem.clone());
                }
                all.empty.push(source.layer.clone());
                nothing.get_or_insert(error);
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(error) = nothing.filter(|_| all.features == 0) {
        return Err(error.into());
    }
    change.commit()?;
    Ok(all)
}

/// What has to be known of a layer before its table is made.
struct Survey {
    columns: Columns,
    polygons_only: bool,
}

fn survey(source: &mut Source) -> Result<Survey, Failure> {
    let layer = source.layer.clone();
    let mut survey = Survey { columns: Columns::default(), polygons_only: true };
    let mut count = 0u64;
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        count += 1;
        survey.polygons_only &= feature.geometry.as_ref().is_none_or(|g| geometry::is_polygon(&g.value));
        if !survey.columns.add(&feature) {
            let problem =
                format!("its features have more than {MAX_COLUMNS} different properties; export geojson");
            return Err(ExportError::Format { layer, format: FORMAT, problem }.into());
        }
    }
    if count == 0 {
        return Err(ExportError::Empty { layer, format: FORMAT, skipped: features.skipped }.into());
    }
    Ok(survey)
}

/// Makes the table of a layer and fills it. The triggers that keep the index come last: filled by hand, it needs no
/// spatial functions.
fn add_layer(change: &Transaction<'_>, source: &mut Source) -> Result<Exported, Failure> {
    let layer = source.layer.clone();
    check_table(&layer)?;
    let Survey { columns, polygons_only } = survey(source)?;
    let list = columns.list();
    let names = Names::of(&list);
    let mut numbers = RowNumbers::of(change, &layer)?;
    schema::remove_table(change, &layer)?;
    schema::create_table(change, &layer, &names, polygons_only)?;

    let mut insert = change.prepare(&names.insert(&layer))?;
    let mut index = change.prepare(&schema::index_insert(&layer))?;
    let renamed = renamed(list.iter().map(|(name, _)| *name), names.columns());
    let mut exported = Exported { renamed, ..Exported::default() };
    let mut extent: Option<[f64; 4]> = None;
    let mut features = source.lines()?;
    while let Some(feature) = features.next_feature()? {
        let blob = feature.geometry.as_ref().and_then(|g| Blob::of(&g.value, polygons_only));
        let bounds = blob.as_ref().map(|blob| blob.bounds);
        let number = numbers.of_object(&feature);
        insert.execute(rusqlite::params_from_iter(row(number, &feature, &columns, list.len(), blob)))?;
        if let Some([min_x, min_y, max_x, max_y]) = bounds {
            index.execute(params![number, min_x, max_x, min_y, max_y])?;
            let [a, b, c, d] = extent.unwrap_or([min_x, min_y, max_x, max_y]);
            extent = Some([a.min(min_x), b.min(min_y), c.max(max_x), d.max(max_y)]);
        }
        exported.features += 1;
    }
    features.count(&mut exported);
    numbers.keep(change, &layer)?;
    schema::set_extent(change, &layer, extent)?;
    schema::create_triggers(change, &layer)?;
    if polygons_only {
        style::add(change, &layer)?;
    }
    Ok(exported)
}

/// A row: its number, the geometry, then the columns in their order.
fn row(number: i64, feature: &Feature, columns: &Columns, width: usize, blob: Option<Blob>) -> Vec<Cell> {
    let mut row = vec![Cell::Null; width + 2];
    row[0] = Cell::Integer(number);
    row[1] = blob.map_or(Cell::Null, |blob| Cell::Blob(blob.bytes));
    for (index, _, kind, value) in columns.cells(feature) {
        row[index + 2] = match (kind, value) {
            (Kind::Bool, value) => Cell::Integer(i64::from(value.as_bool().unwrap_or_default())),
            (Kind::Integer | Kind::Long, value) => Cell::Integer(value.as_i64().unwrap_or_default()),
            (Kind::Float, value) => Cell::Real(value.as_f64().unwrap_or_default()),
            (Kind::DateTime, Value::String(text)) => Cell::Text(in_milliseconds(text)),
            (Kind::Text, Value::String(text)) => Cell::Text(text),
            (Kind::Text | Kind::DateTime | Kind::Json, value) => Cell::Text(value.to_string()),
        };
    }
    row
}

/// A time as a DATETIME has it, with three decimals (table 1 of the standard).
fn in_milliseconds(text: String) -> String {
    match humantime::parse_rfc3339(&text) {
        Ok(time) => humantime::format_rfc3339_millis(time).to_string(),
        Err(_) => text,
    }
}
