//! One table for features that each have properties of their own.

use std::collections::{BTreeMap, HashSet};

use geojson::Feature;
use serde_json::Value;

use super::id_text;
use crate::free_name::free_name;

/// What a column holds: the narrowest type that all its values fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// Whole numbers of 32 bits.
    Integer,
    /// Whole numbers of 64 bits.
    Long,
    Float,
    Text,
    /// Texts that are each a time in UTC as RFC 3339 writes it, `2026-11-29T12:00:00Z`, with or without decimals.
    DateTime,
    Json,
}

/// The most columns; FlatGeobuf numbers them with 16 bits, and nobody reads so many.
pub(super) const MAX_COLUMNS: usize = 1024;

/// The column of a feature's own id, unless a property has that name.
const ID: &str = "id";

/// Names for columns of which readers that do not tell case apart see each: one that is `taken` (in lower case), or that another has,
/// gets a number.
pub(super) fn told_apart<'a>(names: impl Iterator<Item = &'a str>, taken: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = taken.iter().map(|&name| name.to_owned()).collect();
    names.map(|name| free_name(name, '_', |free| taken.insert(free.to_lowercase()))).collect()
}

/// The properties that have another name as columns, and that name.
pub(super) fn renamed<'a>(
    properties: impl Iterator<Item = &'a str>,
    names: impl Iterator<Item = &'a str>,
) -> Vec<(String, String)> {
    let pairs = properties.zip(names).filter(|(property, name)| property != name);
    pairs.map(|(property, name)| (property.to_owned(), name.to_owned())).collect()
}

/// The columns of all features, in order of their names, `id` first.
#[derive(Debug, Default)]
pub(super) struct Columns {
    kinds: BTreeMap<String, Option<Kind>>,
    /// Columns with a whole number that a double does not hold, as the ids of S2 cells are.
    wide: HashSet<String>,
    has_id: bool,
}

impl Columns {
    /// Takes note of a feature's properties; `false` if there are too many different ones.
    pub fn add(&mut self, feature: &Feature) -> bool {
        self.has_id |= feature.id.is_some();
        for (name, value) in feature.properties.iter().flatten() {
            let kind = kind_of(value);
            if is_wide(value) && !self.wide.contains(name) {
                self.wide.insert(name.clone());
            }
            if let Some(known) = self.kinds.get_mut(name) {
                *known = merge(*known, kind);
            } else if self.kinds.len() < MAX_COLUMNS {
                self.kinds.insert(name.clone(), kind);
            } else {
                return false;
            }
        }
        true
    }

    fn own_id(&self) -> bool {
        self.has_id && !self.kinds.contains_key(ID)
    }

    /// The kind in the end: where doubles would change a whole number, text keeps it.
    fn settled(&self, name: &str, kind: Option<Kind>) -> Kind {
        match kind {
            Some(Kind::Float) if self.wide.contains(name) => Kind::Text,
            kind => kind.unwrap_or(Kind::Text),
        }
    }

    /// Names and kinds; a column of nothing but nulls is text.
    pub fn list(&self) -> Vec<(&str, Kind)> {
        let own = self.own_id().then_some((ID, Kind::Text));
        let others = self.kinds.iter().map(|(name, kind)| (name.as_str(), self.settled(name, *kind)));
        own.into_iter().chain(others).collect()
    }

    /// A feature's cells, without those that are absent or null: column, name, kind, value.
    pub fn cells<'a>(&'a self, feature: &'a Feature) -> Vec<(usize, &'a str, Kind, Value)> {
        let mut cells = Vec::new();
        let first = usize::from(self.own_id());
        if let Some(id) = feature.id.as_ref().filter(|_| self.own_id()) {
            cells.push((0, ID, Kind::Text, Value::String(id_text(id))));
        }
        for (index, (name, kind)) in self.kinds.iter().enumerate() {
            let value = feature.properties.as_ref().and_then(|properties| properties.get(name));
            if let Some(value) = value.filter(|value| !value.is_null()) {
                cells.push((first + index, name, self.settled(name, *kind), value.clone()));
            }
        }
        cells
    }
}

/// Whether it is a whole number beyond those that doubles hold each of.
fn is_wide(value: &Value) -> bool {
    let magnitude = value.as_i64().map(i64::unsigned_abs).or_else(|| value.as_u64());
    magnitude.is_some_and(|magnitude| magnitude > 1 << f64::MANTISSA_DIGITS)
}

fn kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::Null => None,
        Value::Bool(_) => Some(Kind::Bool),
        Value::Number(number) => Some(match number.as_i64() {
            Some(whole) if i32::try_from(whole).is_ok() => Kind::Integer,
            Some(_) => Kind::Long,
            None => Kind::Float,
        }),
        Value::String(text) if humantime::parse_rfc3339(text).is_ok() => Some(Kind::DateTime),
        Value::String(_) => Some(Kind::Text),
        Value::Array(_) | Value::Object(_) => Some(Kind::Json),
    }
}

fn merge(known: Option<Kind>, new: Option<Kind>) -> Option<Kind> {
    match (known, new) {
        (None, kind) | (kind, None) => kind,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(Kind::Integer | Kind::Long), Some(Kind::Integer | Kind::Long)) => Some(Kind::Long),
        (Some(Kind::Integer | Kind::Long | Kind::Float), Some(Kind::Integer | Kind::Long | Kind::Float)) => {
            Some(Kind::Float)
        }
        _ => Some(Kind::Text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(properties: &str) -> Feature {
        let text = format!(r#"{{"type":"Feature","id":"f","geometry":null,"properties":{properties}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_column_is_as_narrow_as_its_values_allow() {
        let mut columns = Columns::default();
        columns.add(&feature(
            r#"{"a":1,"b":true,"c":"x","d":{"k":[1]},"e":1,"f":null,"g":1,"h":1,
            "i":"2026-11-29T12:00:00.250Z","j":"2026-11-29T12:00:00Z"}"#,
        ));
        columns.add(&feature(
            r#"{"a":2.5,"b":false,"c":null,"d":[2],"e":"one","f":null,"g":7,"h":3000000000,
            "i":"2026-11-29T12:00:00Z","j":"yesterday"}"#,
        ));
        let expected = [
            ("id", Kind::Text),
            ("a", Kind::Float),
            ("b", Kind::Bool),
            ("c", Kind::Text),
            ("d", Kind::Json),
            ("e", Kind::Text),
            ("f", Kind::Text),
            ("g", Kind::Integer),
            ("h", Kind::Long),
            ("i", Kind::DateTime),
            ("j", Kind::Text),
        ];
        assert_eq!(columns.list(), expected);
    }

    #[test]
    fn a_property_named_id_is_not_given_twice() {
        let mut columns = Columns::default();
        columns.add(&feature(r#"{"id":5}"#));
        assert_eq!(columns.list(), [("id", Kind::Integer)]);
        let feature = feature(r#"{"id":5}"#);
        assert_eq!(columns.cells(&feature), [(0, "id", Kind::Integer, Value::from(5))]);
    }

    #[test]
    fn too_many_columns_are_refused() {
        let mut columns = Columns::default();
        for n in 0..MAX_COLUMNS {
            assert!(columns.add(&feature(&format!(r#"{{"p{n}":1}}"#))));
        }
        assert!(!columns.add(&feature(r#"{"one_more":1}"#)));
    }

    #[test]
    fn whole_numbers_that_a_double_would_change_are_text_where_the_column_holds_more_than_64_bits_or_fractions()
     {
        let mut columns = Columns::default();
        columns.add(&feature(
            r#"{"cell":5168389043312197633,"both":9007199254740993,"small":7,"long":9007199254740993}"#,
        ));
        columns.add(&feature(r#"{"cell":9749618446378729475,"both":0.5,"small":0.5,"long":-5}"#));
        let kinds: Vec<_> = columns.list().into_iter().skip(1).collect();
        assert_eq!(
            kinds,
            [("both", Kind::Text), ("cell", Kind::Text), ("long", Kind::Long), ("small", Kind::Float)]
        );
    }
}
