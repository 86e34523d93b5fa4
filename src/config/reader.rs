//! Reads a TOML document key by key, remembers which keys were asked for, and refuses the others. So
//! the code that reads a key is also what makes it known.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// A parsed file.
pub(super) struct Document<'a> {
    path: Option<&'a Path>,
    text: &'a str,
    table: DeTable<'a>,
    /// (section, key) of what was asked for; the root section has no name.
    known: RefCell<Vec<(&'static str, &'static str)>>,
}

impl<'a> Document<'a> {
    /// Parses a text that stands in the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub(super) fn parse(text: &'a str, path: Option<&'a Path>) -> Result<Self, ConfigError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { path, text, table: table.into_inner(), known: RefCell::new(Vec::new()) }),
            Err(error) => {
                let line = error.span().map(|span| line_of(text, span.start));
                let problem = error.message().lines().collect::<Vec<_>>().join(", ");
                Err(ConfigError::Syntax { place: Place::line(path, line), problem })
            }
        }
    }

    /// The keys outside any section.
    pub(super) const fn root(&self) -> Section<'_> {
        Section { document: self, name: "", table: Some(&self.table) }
    }

    /// A section; its absence is as if it were empty.
    ///
    /// # Errors
    /// Where the name stands for something else than a section.
    pub(super) fn section(&self, name: &'static str) -> Result<Section<'_>, ConfigError> {
        self.known.borrow_mut().push(("", name));
        let table = match self.table.get(name) {
            None => None,
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => {
                    let problem = format!("is a value; write [{name}] and its keys below");
                    return Err(self.value_error("", name, problem));
                }
            },
        };
        Ok(Section { document: self, name, table })
    }

    /// Refuses the keys that nobody asked for.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] for the first in the file.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let known = self.known.borrow();
        let mut unknown: Vec<(usize, String, String)> = Vec::new();
        let mut check = |section: &str, table: &DeTable<'_>| {
            for key in table.keys().filter(|k| !known.iter().any(|(s, n)| *s == section && n == k.get_ref()))
            {
                unknown.push((key.span().start, section.to_owned(), key.get_ref().to_string()));
            }
        };
        check("", &self.table);
        for (name, value) in &self.table {
            if let DeValue::Table(table) = value.get_ref()
                && known.iter().any(|(section, _)| section == name.get_ref())
            {
                check(name.get_ref(), table);
            }
        }
        let Some((start, section, key)) = unknown.into_iter().min() else { return Ok(()) };
        let place = Place::line(self.path, Some(line_of(self.text, start)));
        let hint = hint(&known, &section, &key);
        Err(ConfigError::UnknownKey { place, key: full(&section, &key), hint })
    }

    /// Every key asked for, with its section, in the order asked.
    #[cfg(test)]
    pub(super) fn known(&self) -> Vec<(&'static str, &'static str)> {
        self.known.borrow().clone()
    }

    fn value_error(&self, section: &str, key: &str, problem: impl Into<String>) -> ConfigError {
        let table = match self.table.get(section).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => Some(table),
            _ => None,
        };
        let table = if section.is_empty() { Some(&self.table) } else { table };
        let line = table.and_then(|table| table.get(key)).map(|value| line_of(self.text, value.span().start));
        ConfigError::Value {
            place: Place::line(self.path, line),
            key: full(section, key),
            problem: problem.into(),
        }
    }
}

fn full(section: &str, key: &str) -> String {
    let key: String = key.chars().take(60).collect();
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

/// Names that other programs have for what is said here otherwise: the section, such keys, what to write.
const OTHERS: [(&str, &[&str], &str); 8] = [
    ("broker", &["host", "hostname", "address", "server", "port"], "broker.url = \"mqtt://HOST:PORT\""),
    ("broker", &["tls", "ssl", "use_tls"], "broker.url = \"mqtts://HOST:PORT\""),
    ("broker", &["user", "login"], "broker.username"),
    ("web", &["host", "address", "bind", "port"], "web.listen = \"ADDRESS:PORT\""),
    ("cot", &["host", "address", "server", "port", "url"], "cot.targets = [\"tcp://HOST:PORT\"]"),
    ("", &["host", "hostname", "port", "url", "broker_url"], "[broker] with url = \"mqtt://HOST:PORT\""),
    ("", &["mqtt"], "[broker]"),
    ("", &["tak"], "[cot]"),
];

/// What others call so, else the nearest key: in the same section, then the same anywhere, then one that goes on.
fn hint(known: &[(&'static str, &'static str)], section: &str, key: &str) -> String {
    if matches!(key, "password" | "pass") {
        let instead = match section {
            "web" => "web.password_file",
            _ => "broker.password_file or broker.password_env",
        };
        return format!("; a password never stands in this file: use {instead}");
    }
    let lower = key.to_ascii_lowercase().replace('-', "_");
    let is_other =
        |(of, names, _): &&(&str, &[&str], &str)| *of == section && names.contains(&lower.as_str());
    if let Some((_, _, instead)) = OTHERS.iter().find(is_other) {
        return format!("; write {instead}");
    }
    let within = |part: usize, candidates: &mut dyn Iterator<Item = (&'static str, &'static str)>| {
        candidates
            .map(|(section, name)| (strsim::damerau_levenshtein(&lower, name), section, name))
            .filter(|(distance, _, name)| *distance <= name.len() / part)
            .min()
    };
    // A short name is near to everything.
    let here = within(4, &mut known.iter().copied().filter(|(s, _)| *s == section));
    // A unit left out, or a key in the wrong section.
    let longer = || {
        let mut found = known.iter().filter(|(_, name)| name.starts_with(&format!("{lower}_")));
        found.next().map(|(section, name)| (0, *section, *name))
    };
    let Some((_, section, name)) = here.or_else(|| within(8, &mut known.iter().copied())).or_else(longer)
    else {
        let names: Vec<&str> = known.iter().filter(|(s, _)| *s == section).map(|(_, name)| *name).collect();
        return format!("; known are {}", names.join(", "));
    };
    format!("; did you mean \"{}\"?", full(section, name))
}

/// Line of a byte, counted from one.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.as_bytes().iter().take(byte).filter(|&&b| b == b'\n').count()
}

/// One section of a document.
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    /// An error about a key of this section.
    pub(super) fn error(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        self.document.value_error(self.name, key, problem)
    }

    fn value(&self, key: &'static str) -> Option<&'a DeValue<'a>> {
        self.document.known.borrow_mut().push((self.name, key));
        self.table?.get(key).map(Spanned::get_ref)
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(DeValue::String(text)) if text.trim().is_empty() => {
                Err(self.error(key, "is empty; leave the key out instead"))
            }
            Some(DeValue::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(key, format!("is {}; give a text in quotes", kind(other)))),
        }
    }

    /// A path.
    pub(super) fn path(&self, key: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        self.text(key)?.map(|text| self.path_of(key, text)).transpose()
    }

    /// A list of paths.
    pub(super) fn paths(&self, key: &'static str) -> Result<Option<Vec<PathBuf>>, ConfigError> {
        let Some(texts) = self.texts(key)? else { return Ok(None) };
        texts.iter().map(|text| self.path_of(key, text)).collect::<Result<_, _>>().map(Some)
    }

    fn path_of(&self, key: &str, text: &str) -> Result<PathBuf, ConfigError> {
        if text.starts_with('~') {
            let problem = "begins with ~, which shells alone replace by a home directory; write the path out, as /home/NAME";
            return Err(self.error(key, problem));
        }
        Ok(PathBuf::from(text))
    }

    /// A list of texts, none of them empty.
    pub(super) fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let list = match self.value(key) {
            None => return Ok(None),
            Some(DeValue::Array(list)) => list,
            Some(other) => {
                return Err(self.error(key, format!("is {}; give a list of texts, [\"...\"]", kind(other))));
            }
        };
        let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text.to_string()),
            DeValue::String(_) => Err(self.error(key, "has an empty entry; leave it out")),
            other => Err(self.error(key, format!("has {} in its list; give texts", kind(other)))),
        };
        list.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(DeValue::Boolean(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.error(key, format!("is {}; give true or false", kind(other)))),
        }
    }

    /// A whole number within bounds, put where it belongs if it is given.
    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        slot: &mut T,
    ) -> Result<(), ConfigError> {
        let (low, high) = (range.start(), range.end());
        let wanted = || format!("give a whole number of {low} to {high}");
        let text = match self.value(key) {
            None => return Ok(()),
            Some(DeValue::Integer(number)) => number,
            Some(other) => return Err(self.error(key, format!("is {}; {}", kind(other), wanted()))),
        };
        let number = u64::from_str_radix(text.as_str(), text.radix()).ok().filter(|n| range.contains(n));
        match number.map(T::try_from) {
            Some(Ok(number)) => *slot = number,
            _ => return Err(self.error(key, format!("is {text}; {}", wanted()))),
        }
        Ok(())
    }
}

/// The kind of a value; never the value, which might be a secret in the wrong place.
const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
