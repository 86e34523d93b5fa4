//! Geometries in a table as well-known text (OGC 06-103r4, 7): what GDAL writes with `GEOMETRY=AS_WKT`, QGIS puts into the clipboard,
//! and PostGIS writes with an SRID before it.

use serde_json::{Value, json};

/// A geometry of GeoJSON, `null` for an empty one, and its CRS where the text has one. Other kinds than those of a prompt have their
/// name and no coordinates; heights and measures are passed over.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn read(text: &str) -> Result<(Value, Option<u32>), String> {
    let shown: String = text.chars().take(40).collect();
    let mut rest = Rest(text.trim());
    let srid = rest.srid();
    let geometry = rest.geometry().filter(|_| rest.0.is_empty());
    // What PostGIS and pandas write of a geometry that nobody made text of: byte order, then the type, in hexadecimal digits.
    let is_binary =
        text.len() >= 10 && text.starts_with("0") && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let advice = if is_binary { "; it is well-known binary: select ST_AsText(geom) AS wkt" } else { "" };
    let told = || format!("{shown:?} is no well-known text, as POINT (9.17 47.65){advice}");
    Ok((geometry.ok_or_else(told)?, srid))
}

/// What has not been read yet.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    /// `SRID=4326;`; zero says nothing.
    fn srid(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_once(';')?;
        let (name, code) = first.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("srid") {
            return None;
        }
        self.0 = rest.trim_start();
        code.trim().parse().ok().filter(|&code| code != 0)
    }

    fn geometry(&mut self) -> Option<Value> {
        let kind = self.word().to_ascii_uppercase();
        // PointZ, POINT Z, POINTZM ...
        let stem = kind.trim_end_matches('M').trim_end_matches('Z');
        let mut tag = self.word();
        if ["Z", "M", "ZM"].iter().any(|dimension| tag.eq_ignore_ascii_case(dimension)) {
            tag = self.word();
        }
        if tag.eq_ignore_ascii_case("EMPTY") {
            return Some(Value::Null);
        }
        if !tag.is_empty() {
            return None;
        }
        let (name, coordinates) = match stem {
            "POINT" => ("Point", self.list(&mut Self::position)?.into_iter().next()?),
            "MULTIPOINT" => ("MultiPoint", json!(self.list(&mut Self::lone_position)?)),
            "POLYGON" => ("Polygon", json!(self.ring_list()?)),
            "MULTIPOLYGON" => {
                ("MultiPolygon", json!(self.list(&mut |rest| rest.ring_list().map(Value::Array))?))
            }
            "LINESTRING" => return self.other("LineString"),
            "MULTILINESTRING" => return self.other("MultiLineString"),
            "GEOMETRYCOLLECTION" => return self.other("GeometryCollection"),
            _ => return None,
        };
        Some(json!({"type": name, "coordinates": coordinates}))
    }

    /// A kind that no prompt has.
    fn other(&mut self, name: &str) -> Option<Value> {
        self.0 = "";
        Some(json!({"type": name, "coordinates": null}))
    }

    fn ring_list(&mut self) -> Option<Vec<Value>> {
        self.list(&mut |rest| rest.list(&mut Self::position).map(Value::Array))
    }

    /// `( entry, entry ... )`
    fn list(&mut self, entry: &mut dyn FnMut(&mut Self) -> Option<Value>) -> Option<Vec<Value>> {
        self.mark('(')?;
        let mut entries = vec![entry(self)?];
        while self.mark(',').is_some() {
            entries.push(entry(self)?);
        }
        self.mark(')')?;
        Some(entries)
    }

    /// A position of a MULTIPOINT, with or without brackets of its own.
    fn lone_position(&mut self) -> Option<Value> {
        if !self.0.starts_with('(') {
            return self.position();
        }
        self.list(&mut Self::position)?.into_iter().next()
    }

    /// Two numbers, and up to two more that are passed over.
    fn position(&mut self) -> Option<Value> {
        let end = self.0.find([',', '(', ')']).unwrap_or(self.0.len());
        let (numbers, rest) = self.0.split_at(end);
        let numbers: Vec<f64> = numbers
            .split_ascii_whitespace()
            .map(|number| number.parse().ok().filter(|number: &f64| number.is_finite()))
            .collect::<Option<_>>()?;
        self.0 = rest;
        matches!(numbers.len(), 2..=4).then(|| json!([numbers[0], numbers[1]]))
    }

    /// The letters that come next.
    fn word(&mut self) -> &'t str {
        let end = self.0.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.trim_start();
        word
    }

    fn mark(&mut self, mark: char) -> Option<()> {
        self.0 = self.0.strip_prefix(mark)?.trim_start();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_many_programs_are_read() {
        for (text, kind, coordinates) in [
            ("POINT (9.5 47.25)", "Point", json!([9.5, 47.25])),
            ("Point(9.5 47.25)", "Point", json!([9.5, 47.25])),
            ("POINT Z (9.5 47.25 400)", "Point", json!([9.5, 47.25])),
            ("PointZM (9.5 47.25 400 1e3)", "Point", json!([9.5, 47.25])),
            (" MULTIPOINT ((1 2),(3 -4)) ", "MultiPoint", json!([[1.0, 2.0], [3.0, -4.0]])),
            ("MULTIPOINT (1 2, 3 4)", "MultiPoint", json!([[1.0, 2.0], [3.0, 4.0]])),
            (
                "POLYGON((0 0,1 0,1 1,0 0))",
                "Polygon",
                json!([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]),
            ),
            (
                "MultiPolygon (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5), (5.4 5.2, 5.5 5.2, 5.5 5.3, 5.4 5.2)))",
                "MultiPolygon",
                json!([
                    [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]],
                    [
                        [[5.0, 5.0], [6.0, 5.0], [6.0, 6.0], [5.0, 5.0]],
                        [[5.4, 5.2], [5.5, 5.2], [5.5, 5.3], [5.4, 5.2]]
                    ]
                ]),
            ),
            ("LINESTRING (0 0, 1 1)", "LineString", Value::Null),
            ("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))", "GeometryCollection", Value::Null),
        ] {
            assert_eq!(read(text), Ok((json!({"type": kind, "coordinates": coordinates}), None)), "{text}");
        }
        assert_eq!(read("POINT EMPTY"), Ok((Value::Null, None)));
        assert_eq!(read("SRID=32632;POINT(5 6)").unwrap().1, Some(32632));
    }

    #[test]
    fn other_texts_are_told() {
        for text in [
            "",
            "POINT",
            "POINT (1)",
            "POINT (1 2",
            "POINT (1 2) x",
            "POINT (a b)",
            "CIRCLE (1 2)",
            "POINT ((1 2))",
            "POINT (1 2 3 4 5)",
            "0101000020E6100000",
            "SRID=4326",
            "POLYGON (1 2)",
            "POINT (1,5 2,5)",
            "POINT (NaN 1)",
            "0101000020E61000000000000000002240",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("is no well-known text"), "{text}: {error}");
            assert_eq!(error.contains("ST_AsText"), text.starts_with("01"), "{error}");
        }
    }
}
