//! Names of tables and columns: SQLite does not tell case apart, and some names are taken.

use super::FORMAT;
use crate::layers::export::ExportError;
use crate::layers::export::columns::{Kind, told_apart};

/// The row's own number.
pub(super) const KEY: &str = "fid";
/// The geometry.
pub(super) const GEOMETRY: &str = "geom";

/// What names of tables begin with that are the format's, SQLite's or GDAL's own.
const RESERVED: [&str; 5] = ["gpkg_", "sqlite_", "rtree_", "ogr_empty_table", "layer_styles"];

/// Whether a layer may be a table under its name.
pub(super) fn check_table(layer: &str) -> Result<(), ExportError> {
    let lower = layer.to_ascii_lowercase();
    match RESERVED.iter().find(|reserved| lower.starts_with(**reserved)) {
        None => Ok(()),
        Some(reserved) => {
            let problem = format!("tables that begin with {reserved} are the format's own; export geojson");
            Err(ExportError::Format { layer: layer.to_owned(), format: FORMAT, problem })
        }
    }
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns of a table after key and geometry.
pub(super) struct Names {
    columns: Vec<(String, Kind)>,
}

impl Names {
    /// Names that no two columns share, with those of key and geometry taken: others get a number.
    pub fn of(list: &[(&str, Kind)]) -> Self {
        let plain = |name: &str| -> String {
            let plain: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
            if plain.is_empty() { "_".to_owned() } else { plain }
        };
        let plain: Vec<String> = list.iter().map(|(name, _)| plain(name)).collect();
        // SQLite folds ASCII alone; what more is folded here does no harm.
        let names = told_apart(plain.iter().map(String::as_str), &[KEY, GEOMETRY]);
        Self { columns: names.into_iter().zip(list).map(|(name, (_, kind))| (name, *kind)).collect() }
    }

    /// The columns' names, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// `"name" TYPE, ...`, with a comma before each.
    pub fn definitions(&self) -> String {
        let definition = |(name, kind): &(String, Kind)| {
            let kind = match kind {
                Kind::Bool => "BOOLEAN",
                Kind::Integer | Kind::Long => "INTEGER",
                Kind::Float => "DOUBLE",
                Kind::DateTime => "DATETIME",
                Kind::Text | Kind::Json => "TEXT",
            };
            format!(", {} {kind}", quoted(name))
        };
        self.columns.iter().map(definition).collect()
    }

    /// The statement for a row: its number, the geometry, then the columns.
    pub fn insert(&self, table: &str) -> String {
        let names: String = self.columns.iter().map(|(name, _)| format!(", {}", quoted(name))).collect();
        let values = ", ?".repeat(self.columns.len());
        format!("INSERT INTO {} ({KEY}, {GEOMETRY}{names}) VALUES (?, ?{values})", quoted(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_apart_where_sqlite_would_not() {
        let list = [
            ("id", Kind::Text),
            ("FID", Kind::Integer),
            ("Name", Kind::Text),
            ("geom", Kind::Bool),
            ("name", Kind::Float),
            ("name_2", Kind::Float),
            ("a\"b\0", Kind::Json),
            ("", Kind::Text),
        ];
        let names = Names::of(&list);
        let plain: Vec<&str> = names.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(plain, ["id", "FID_2", "Name", "geom_2", "name_2", "name_2_2", "a\"b_", "_"]);
        assert!(names.definitions().ends_with(", \"a\"\"b_\" TEXT, \"_\" TEXT"));
    }

    #[test]
    fn a_layer_with_a_name_of_the_format_is_refused() {
        for name in ["gpkg_contents", "GPKG_x", "rtree_a_geom", "sqlite_master", "layer_styles"] {
            let error = check_table(name).unwrap_err().to_string();
            assert!(error.contains("the format's own"), "{error}");
        }
        check_table("ponds.2026-11").unwrap();
    }
}
