//! Which features of a layer are asked for: by id, by who saved them and when, by place.

use std::collections::HashSet;
use std::fmt;
use std::time::SystemTime;

use serde::Deserialize;
use serde::de::{Error as _, SeqAccess, Visitor};

use crate::geo::Bounds;
use crate::rfc3339;

/// What a feature must be; the default is nothing in particular.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Its id is one of these.
    pub ids: Option<HashSet<String>>,
    /// Its property `client` is this.
    pub client: Option<String>,
    /// Its property `saved_at` is this time or later.
    pub since: Option<SystemTime>,
    /// Its property `saved_at` is before this time.
    pub until: Option<SystemTime>,
    /// The bounds of its geometry meet these; in degrees of WGS84, as layers are kept, east may go on beyond 180.
    pub bbox: Option<Bounds>,
}

/// What is looked at of a feature.
#[derive(Deserialize)]
struct Looked {
    #[serde(default)]
    properties: Option<Properties>,
    #[serde(default)]
    geometry: Option<Geometry>,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(default)]
    client: Option<serde_json::Value>,
    #[serde(default)]
    saved_at: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(default)]
    coordinates: Option<Extent>,
    #[serde(default)]
    geometries: Vec<Geometry>,
}

impl Filter {
    /// Whether every feature fits.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a feature fits, of which the id is known already. A feature without what is asked for does not.
    pub fn fits(&self, id: Option<&str>, line: &[u8]) -> bool {
        if self.ids.as_ref().is_some_and(|ids| !id.is_some_and(|id| ids.contains(id))) {
            return false;
        }
        let Self { client, since, until, bbox, .. } = self;
        if client.is_none() && since.is_none() && until.is_none() && bbox.is_none() {
            return true;
        }
        let Ok(looked) = serde_json::from_slice::<Looked>(line) else { return false };
        let text = |value: &Option<serde_json::Value>| value.as_ref()?.as_str().map(str::to_owned);
        let told = looked.properties.as_ref();
        if client.is_some() && told.and_then(|told| text(&told.client)) != *client {
            return false;
        }
        if since.is_some() || until.is_some() {
            let saved = told.and_then(|told| text(&told.saved_at));
            let Some(saved) = saved.and_then(|text| rfc3339::time(&text)) else {
                return false;
            };
            if since.is_some_and(|since| saved < since) || until.is_some_and(|until| saved >= until) {
                return false;
            }
        }
        bbox.is_none_or(|bbox| looked.geometry.is_some_and(|geometry| geometry.meets(&bbox)))
    }
}

impl Geometry {
    /// Whether a part of it meets the box. Each part counts by its own bounds: an object that the antimeridian splits has
    /// parts on both sides of the map.
    fn meets(&self, bbox: &Bounds) -> bool {
        // A map that was dragged around the world counts on, to the east or to the west.
        let round = |turn: f64| Bounds { min_x: bbox.min_x + turn, max_x: bbox.max_x + turn, ..*bbox };
        let boxes = [0.0, -360.0, 360.0].map(round);
        let meets = |part: &Bounds| boxes.iter().any(|bbox| part.intersects(bbox));
        self.coordinates.as_ref().is_some_and(|extent| extent.parts.iter().any(meets))
            || self.geometries.iter().any(|geometry| geometry.meets(bbox))
    }
}

/// The bounds of coordinates, read without keeping them: those of each ring, or of what is no ring.
struct Extent {
    parts: Vec<Bounds>,
}

impl<'de> Deserialize<'de> for Extent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Coordinates::deserialize(deserializer)? {
            Coordinates::Number(_) => Err(D::Error::custom("coordinates are a number")),
            Coordinates::Position(x, y) => Ok(Self { parts: vec![Bounds::new(x, y, x, y)] }),
            Coordinates::Line(bounds) => Ok(Self { parts: vec![bounds] }),
            Coordinates::Parts(parts) => Ok(Self { parts }),
        }
    }
}

enum Coordinates {
    Number(f64),
    Position(f64, f64),
    /// Of a line or ring.
    Line(Bounds),
    /// Of lines or rings.
    Parts(Vec<Bounds>),
}

impl<'de> Deserialize<'de> for Coordinates {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Coordinates;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or an array of coordinates")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Coordinates, E> {
        Ok(Coordinates::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Coordinates, E> {
        Ok(Coordinates::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Coordinates, E> {
        Ok(Coordinates::Number(number as f64))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Coordinates, A::Error> {
        let (mut numbers, mut line, mut parts) = (Vec::new(), None::<Bounds>, Vec::new());
        while let Some(element) = list.next_element::<Coordinates>()? {
            match element {
                // Height and measure are not looked at.
                Coordinates::Number(number) if numbers.len() < 2 => numbers.push(number),
                Coordinates::Number(_) => {}
                Coordinates::Position(x, y) => {
                    let at = Bounds::new(x, y, x, y);
                    line = Some(line.map_or(at, |line| line.union(&at)));
                }
                Coordinates::Line(bounds) => parts.push(bounds),
                Coordinates::Parts(inner) => parts.extend(inner),
            }
        }
        if let [x, y] = numbers[..] {
            return Ok(Coordinates::Position(x, y));
        }
        Ok(match line {
            Some(bounds) if parts.is_empty() => Coordinates::Line(bounds),
            _ => Coordinates::Parts(parts),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"type":"Feature","id":"a","geometry":{"type":"MultiPolygon","coordinates":
        [[[[179.9,-17,5],[180,-17,5],[180,-16.9,5],[179.9,-17,5]]],[[[-180,-17],[-179.8,-17],[-180,-16.9],[-180,-17]]]]},
        "properties":{"client":"c1","saved_at":"2026-05-01T12:00:00.250Z","n":[1,{"x":2}]}}"#;

    fn fits(filter: Filter) -> bool {
        filter.fits(Some("a"), LINE.as_bytes())
    }

    fn at(text: &str) -> Option<SystemTime> {
        Some(humantime::parse_rfc3339_weak(text).unwrap())
    }

    fn within(bbox: [f64; 4]) -> Filter {
        Filter { bbox: Some(bbox.into()), ..Filter::default() }
    }

    #[test]
    fn features_are_told_by_id_client_and_time() {
        assert!(fits(Filter::default()));
        let ids = |id: &str| Filter { ids: Some(HashSet::from([id.to_owned()])), ..Filter::default() };
        assert!(fits(ids("a")) && !fits(ids("b")));
        assert!(!ids("a").fits(None, LINE.as_bytes()));
        let client = |name: &str| Filter { client: Some(name.to_owned()), ..Filter::default() };
        assert!(fits(client("c1")) && !fits(client("c2")));
        let since = |text| Filter { since: at(text), ..Filter::default() };
        assert!(fits(since("2026-05-01T12:00:00.25Z")) && !fits(since("2026-05-01T12:00:00.3Z")));
        let until = |text| Filter { until: at(text), ..Filter::default() };
        assert!(!fits(until("2026-05-01T12:00:00.25Z")) && fits(until("2026-05-01T12:00:01Z")));
        assert!(
            !since("2026-05-01T12:00:00Z").fits(Some("a"), b"{\"type\":\"Feature\",\"properties\":null}")
        );
    }

    #[test]
    fn boxes_meet_each_part_also_across_the_antimeridian() {
        assert!(fits(within([179.0, -18.0, 179.95, -16.0])));
        assert!(fits(within([-179.9, -17.0, -179.0, -16.0])));
        // As a request says 179.9 to -179.9: east goes on beyond 180.
        assert!(fits(within([179.99, -18.0, 180.1, -16.0])));
        // As maps count that were dragged around the world.
        assert!(fits(within([-181.0, -18.0, -180.01, -16.0])) && fits(within([180.05, -18.0, 181.0, -16.0])));
        assert!(!fits(within([-10.0, -18.0, 10.0, -16.0])), "between the parts is nothing");
        assert!(!fits(within([179.0, 16.0, 180.0, 17.0])));
        for geometry in
            ["null", r#"{"type":"Point","coordinates":[]}"#, r#"{"type":"Polygon","coordinates":7}"#]
        {
            let line = format!(r#"{{"type":"Feature","geometry":{geometry}}}"#);
            assert!(!within([-180.0, -90.0, 180.0, 90.0]).fits(None, line.as_bytes()), "{geometry}");
        }
        let point = br#"{"geometry":{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]}]}}"#;
        assert!(within([0.0, 0.0, 1.0, 2.0]).fits(None, point));
    }
}
