//! The numbers of a layer's rows. They outlive an export: programs that compare two versions of a file, as Mergin Maps does,
//! go by them, and would take every later object for another where one was taken out.

use std::collections::HashMap;

use geojson::Feature;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::names::{KEY, quoted};
use crate::layers::export::id_text;

/// Numbers that objects of a table have, and the last one that any has had.
pub(super) struct RowNumbers {
    by_id: HashMap<String, i64>,
    last: i64,
}

impl RowNumbers {
    /// Those of the table that the layer has in the file; none where there is none, or one of another program that names
    /// neither objects nor rows as ours do.
    pub fn of(change: &Transaction<'_>, layer: &str) -> rusqlite::Result<Self> {
        let mut numbers = Self { by_id: HashMap::new(), last: 0 };
        let columns = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2 AND pk = 1 OR name = 'id'";
        if change.query_row(columns, [layer, KEY], |row| row.get::<_, i64>(0))? < 2 {
            return Ok(numbers);
        }
        let rows = format!("SELECT {KEY}, CAST(id AS TEXT) FROM {} ORDER BY {KEY} DESC", quoted(layer));
        let mut rows = change.prepare(&rows)?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            numbers.last = numbers.last.max(number);
            // Of several rows of one object the first keeps its number.
            if let Some(id) = row.get::<_, Option<String>>(1)? {
                numbers.by_id.insert(id, number);
            }
        }
        let last = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let last: Option<i64> = change.query_row(last, [layer], |row| row.get(0)).optional()?;
        numbers.last = numbers.last.max(last.unwrap_or_default());
        Ok(numbers)
    }

    /// The number of an object's row: the one it has, or one that none has had.
    pub fn of_object(&mut self, object: &Feature) -> i64 {
        // Two objects of one id are two rows.
        let known = object.id.as_ref().and_then(|id| self.by_id.remove(&id_text(id)));
        known.unwrap_or_else(|| {
            self.last += 1;
            self.last
        })
    }

    /// Remembers in the file which numbers were given, also those of objects that are gone.
    pub fn keep(&self, change: &Transaction<'_>, layer: &str) -> rusqlite::Result<()> {
        change.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [layer])?;
        change
            .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![layer, self.last])?;
        Ok(())
    }
}
