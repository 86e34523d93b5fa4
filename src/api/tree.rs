//! JSON text to a value tree that tells of a key that an object has twice. RFC 8259 (4) leaves open which of the two
//! counts, and `serde_json` takes the last in silence.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::values::cut;

/// The tree of a text, the first value of a key that comes twice in it, and the first such key with the path that leads to it.
///
/// # Errors
/// The text is not JSON.
pub(super) fn read(text: &[u8]) -> Result<(Value, Option<String>), serde_json::Error> {
    let twice = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let tree = Node { place: &Place::Root, twice: &twice }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((tree, twice.into_inner()))
}

/// Where a value stands.
enum Place<'a> {
    Root,
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(&cut(key)),
            Self::Key(outer, key) => write!(f, "{outer}.{}", cut(key)),
            Self::Index(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

/// A value that is to be read.
struct Node<'a> {
    place: &'a Place<'a>,
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no other numbers than finite ones.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let place = Place::Index(self.place, values.len());
            match list.next_element_seed(Node { place: &place, twice: self.twice })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place::Key(self.place, &key);
            let value = entries.next_value_seed(Node { place: &place, twice: self.twice })?;
            if object.contains_key(&key) {
                self.twice.borrow_mut().get_or_insert_with(|| place.to_string());
            } else {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_that_of_serde_json() {
        for text in [
            r#"{"a": [1, -2, 3.5, 1e300, true, null, "x\u00e9\n"], "b": {"c": {}}, "": []}"#,
            "[18446744073709551615, -9223372036854775808, 18446744073709551616]",
            "\"text\"",
            "0",
        ] {
            let (tree, twice) = read(text.as_bytes()).unwrap();
            assert_eq!((tree, twice), (serde_json::from_str::<Value>(text).unwrap(), None), "{text}");
        }
        for text in ["", "{", "{}{}", "[1,]", "{\"a\":1,}", "nul", "1e999", "\"\u{1}\""] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_that_comes_twice_is_told_with_its_path_at_every_depth() {
        for (text, path) in [
            (r#"{"a": 1, "a": 1}"#, "a"),
            (r#"{"a": 1, "b": 2, "\u0061": 3}"#, "a"),
            (r#"{"output": {"crs": 1, "crs": 2}}"#, "output.crs"),
            (r#"{"prompts": [{}, {"points": [], "x": {}, "points": []}]}"#, "prompts[1].points"),
            (r#"[[{"k": {"l": 0, "l": 0}}]]"#, "[0][0].k.l"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap().1.as_deref(), Some(path), "{text}");
        }
        let (tree, _) = read(br#"{"id": "first", "id": "second"}"#).unwrap();
        assert_eq!(tree, json!({"id": "first"}));
        // Keys of one name in different objects are not the same.
        assert_eq!(read(br#"{"a": {"a": 1}, "b": {"a": 1}}"#).unwrap().1, None);
    }
}
