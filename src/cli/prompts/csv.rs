//! Prompts in a table: a point a row (lon, lat, label), a box a row (west, south, east, north) or a geometry as well-known text a row;
//! `object` puts rows together, other columns are properties.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value, json};

use super::read::{Drawn, DrawnFeature, PromptsError};
use super::wkt;
use crate::free_name::free_name;

/// Names of the columns, as people and programs write them (GDAL's `AS_XY` writes X and Y).
const LON: &[&str] = &["lon", "longitude", "lng", "long", "x", "easting"];
const LAT: &[&str] = &["lat", "latitude", "y", "northing"];
const BOX: [&[&str]; 4] = [
    &["west", "xmin", "minx"],
    &["south", "ymin", "miny"],
    &["east", "xmax", "maxx"],
    &["north", "ymax", "maxy"],
];

/// Columns of well-known text: those of GDAL and of QGIS's clipboard are nothing else; the others may be, where there are no numbers.
const WKT: &[&str] = &["wkt", "wkt_geom"];
const GEOMETRY: &[&str] = &["geometry", "geom", "the_geom", "st_astext", "st_asewkt"];

/// What R, pandas and databases write where there is no value: no object is called so.
const MISSING: &[&str] = &["NA", "N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"];

pub(super) fn read(path: &Path, text: &[u8]) -> Result<Drawn, PromptsError> {
    if text.contains(&0) {
        let told = "is no text, and no format that is read here; save it as GeoJSON or CSV";
        return Err(PromptsError::unreadable(path, told));
    }
    let whole = text;
    let (declared, text) = declared_delimiter(whole);
    let mut lines = Lines { text: whole, at: 0, line: 1 };
    let delimiter = declared.unwrap_or_else(|| delimiter(text));
    let mut table = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text);
    let failed = |error: csv::Error| PromptsError::unreadable(path, error.to_string());
    let header: Vec<String> =
        table.byte_headers().map_err(failed)?.iter().map(|name| text_of(name).trim().to_owned()).collect();
    let (named, header) = (header.clone(), told_apart(header));
    let columns = Columns::find(&header).map_err(|missing| {
        let found = header.join(", ").chars().take(200).collect();
        PromptsError::Columns { path: path.to_owned(), missing, found }
    })?;
    let twins = columns.twins(&named);
    let mut drawn = Drawn::default();
    for (index, row) in table.byte_records().enumerate() {
        // Spreadsheets write rows of nothing but delimiters below those that were filled.
        if row.as_ref().is_ok_and(|row| row.iter().all(|field| field.trim_ascii().is_empty())) {
            continue;
        }
        let (place, feature) = match row {
            Ok(row) => {
                let before = whole.len() - text.len();
                let start = row.position().and_then(|position| usize::try_from(position.byte()).ok());
                let line = start.map_or(index as u64 + 2, |start| lines.line_of(before + start));
                let feature =
                    tell_twins(&twins, &named, &row).and_then(|()| columns.feature(&header, &row, delimiter));
                (format!("line {line}"), feature)
            }
            Err(error) => (format!("row {}", index + 1), Err(error.to_string())),
        };
        drawn.features.push(DrawnFeature { place, feature });
    }
    Ok(drawn)
}

/// Counts the lines of a text: the reader takes the two bytes that end one on Windows for the end and a beginning.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line, from 1, of the first byte from a place on that ends none. Places ascend.
    fn line_of(&mut self, place: usize) -> u64 {
        while let Some(&byte) = self.text.get(self.at) {
            if self.at >= place && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            let next = self.text.get(self.at + 1);
            self.line += u64::from(byte == b'\n' || (byte == b'\r' && next != Some(&b'\n')));
            self.at += 1;
        }
        self.line
    }
}

/// What parts the columns as the first line says it, `sep=;`, as Excel takes and others write it; and the text after it.
fn declared_delimiter(text: &[u8]) -> (Option<u8>, &[u8]) {
    let end = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |newline| newline + 1);
    let (first, rest) = text.split_at(end);
    let line = first.strip_suffix(b"\n").unwrap_or(first);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => (Some(*delimiter), rest),
        _ => (None, text),
    }
}

/// What stands most often between the names of the first line.
fn delimiter(text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| first.iter().filter(|&&byte| byte == wanted).count();
    // Of equals the last: commas.
    [b'\t', b';', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// Where the coordinates stand.
enum Columns {
    Point([usize; 2]),
    Box([usize; 4]),
    Wkt([usize; 1]),
}

impl Columns {
    fn find(header: &[String]) -> Result<Self, String> {
        let find = |names: &[&str]| {
            let named = |name: &&str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
            names.iter().find_map(named)
        };
        if let Some(column) = find(WKT) {
            return Ok(Self::Wkt([column]));
        }
        let sides = BOX.map(find);
        if let [Some(west), Some(south), Some(east), Some(north)] = sides {
            return Ok(Self::Box([west, south, east, north]));
        }
        match (find(LON), find(LAT), find(GEOMETRY)) {
            (Some(lon), Some(lat), _) => Ok(Self::Point([lon, lat])),
            (_, _, Some(column)) => Ok(Self::Wkt([column])),
            (Some(_), None, None) => Err("column lat".to_owned()),
            (None, Some(_), None) => Err("column lon".to_owned()),
            (None, None, None) => Err("columns lon and lat".to_owned()),
        }
    }

    fn used(&self) -> &[usize] {
        match self {
            Self::Point(columns) => columns,
            Self::Box(columns) => columns,
            Self::Wkt(columns) => columns,
        }
    }

    /// Columns with the name of one of the coordinates, each behind that.
    fn twins(&self, named: &[String]) -> Vec<[usize; 2]> {
        let of = |&column: &usize| {
            let is_named = move |(_, name): &(usize, &String)| {
                named.get(column).is_some_and(|own| own.eq_ignore_ascii_case(name))
            };
            named.iter().enumerate().filter(is_named).map(move |(other, _)| [column, other])
        };
        self.used().iter().flat_map(of).filter(|[column, other]| column != other).collect()
    }

    fn feature(&self, header: &[String], row: &ByteRecord, delimiter: u8) -> Result<Value, String> {
        if row.iter().skip(header.len()).any(|field| !field.is_empty()) {
            let (fields, columns) = (row.len(), header.len());
            let told = match delimiter {
                b',' => {
                    "decimals need a point where commas part the columns, and text with commas needs quotes"
                }
                b';' => "text with semicolons needs quotes where these part the columns",
                _ => "text with tabs needs quotes where these part the columns",
            };
            return Err(format!("has {fields} values in {columns} columns; {told}"));
        }
        let number = |column: usize| -> Result<f64, String> {
            let text = row.get(column).map(text_of).unwrap_or_default();
            // Where commas do not part the columns, they may part the decimals.
            let text = if delimiter == b',' { text } else { text.replace(',', ".") };
            let name = header.get(column).map_or("", String::as_str);
            let value: Option<f64> = text.trim().parse().ok().filter(|v: &f64| v.is_finite());
            value.ok_or_else(|| match text.contains(',') {
                true => {
                    format!("{name} is {text:?}; write decimals with a point where commas part the columns")
                }
                false => format!("{name} is {text:?}, no number"),
            })
        };
        let mut crs = None;
        let geometry = match self {
            Self::Wkt(used) => {
                let (geometry, srid) = wkt::read(&row.get(used[0]).map(text_of).unwrap_or_default())?;
                crs =
                    srid.map(|code| json!({"type": "name", "properties": {"name": format!("EPSG:{code}")}}));
                geometry
            }
            Self::Point(used) => {
                let [lon, lat] = [number(used[0])?, number(used[1])?];
                json!({"type": "Point", "coordinates": [lon, lat]})
            }
            Self::Box(used) => {
                let [w, s, e, n] = [number(used[0])?, number(used[1])?, number(used[2])?, number(used[3])?];
                let ring = [[w, s], [e, s], [e, n], [w, n], [w, s]];
                json!({"type": "Polygon", "coordinates": [ring]})
            }
        };
        let used = self.used();
        let text = |column: usize| row.get(column).map(text_of).unwrap_or_default();
        // Who writes coordinates so writes all numbers so.
        let decimal_commas = delimiter != b','
            && !matches!(self, Self::Wkt(_))
            && used.iter().any(|&column| text(column).contains(','));
        let mut properties = Map::new();
        for (column, name) in header.iter().enumerate().filter(|(column, _)| !used.contains(column)) {
            let (text, lower) = (text(column), name.to_ascii_lowercase());
            let is_ours = matches!(lower.as_str(), "label" | "object");
            let value = match is_ours && MISSING.contains(&text.trim()) {
                true => Value::Null,
                false => value_of(&text, decimal_commas),
            };
            properties.insert(if is_ours { lower } else { name.clone() }, value);
        }
        let mut tree = json!({"type": "Feature", "geometry": geometry, "properties": properties});
        if let Some(crs) = crs {
            tree["crs"] = crs;
        }
        Ok(tree)
    }
}

/// Refuses a row in which two columns of one name, a coordinate's, differ: which of them is meant cannot be told. Joined tables have the
/// same twice.
fn tell_twins(twins: &[[usize; 2]], named: &[String], row: &ByteRecord) -> Result<(), String> {
    let field = |column: usize| row.get(column).unwrap_or_default().trim_ascii();
    let Some(&[column, _]) = twins.iter().find(|[column, other]| field(*column) != field(*other)) else {
        return Ok(());
    };
    let name = named.get(column).map_or("", String::as_str);
    Err(format!(
        "has two values of {name}, since two columns are called so; give the one that is not meant another name"
    ))
}

/// Names of columns, of which each but the first of one name has its number behind it: joined tables have several.
fn told_apart(header: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for name in header {
        let is_free = |free: &str| name.is_empty() || !names.iter().any(|taken| taken == free);
        names.push(free_name(&name, '_', is_free));
    }
    names
}

/// A field as text; that it is UTF-8 has been looked at before.
fn text_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// A field as a value: a number where it is written as JSON would write it (so that `007` stays a text), but for a comma in place of
/// the point where the table has such; else a text.
fn value_of(text: &str, decimal_commas: bool) -> Value {
    let written = match decimal_commas && !text.contains('.') {
        true => text.replacen(',', ".", 1),
        false => text.to_owned(),
    };
    match serde_json::from_str::<Value>(&written) {
        _ if text.is_empty() => Value::Null,
        Ok(Value::Number(number)) if number.to_string() == written => Value::Number(number),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str) -> Vec<Result<Value, String>> {
        read(Path::new("t.csv"), text.as_bytes()).unwrap().features.into_iter().map(|f| f.feature).collect()
    }

    #[test]
    fn a_row_is_told_by_its_line_however_lines_end_and_whatever_stands_before() {
        let rows = ["lon,lat,name", "1,2,a", "", "3,4,\"two{end}lines\"", "5,6,c", "x,y,z"];
        for end in ["\n", "\r\n", "\r"] {
            for first in ["", "sep=,"] {
                let mut lines: Vec<String> = rows.iter().map(|row| row.replace("{end}", end)).collect();
                if !first.is_empty() && end != "\r" {
                    lines.insert(0, first.to_owned());
                }
                let shift = lines.len() - rows.len();
                let text = lines.join(end);
                let drawn = read(Path::new("t.csv"), text.as_bytes()).unwrap();
                let told: Vec<&str> = drawn.features.iter().map(|drawn| drawn.place.as_str()).collect();
                let expected = [2, 4, 6, 7].map(|line| format!("line {}", line + shift));
                assert_eq!(told, expected, "{text:?}");
            }
        }
    }

    #[test]
    fn text_that_holds_what_parts_the_columns_is_told_by_its_name() {
        for (delimiter, advice) in [
            (',', "decimals need a point where commas part the columns"),
            (';', "text with semicolons needs quotes"),
            ('\t', "text with tabs needs quotes"),
        ] {
            let text = "lon|lat|name\n9.5|47.25|Teich| klein\n".replace('|', &delimiter.to_string());
            let [row] = features(&text).try_into().unwrap();
            let told = row.unwrap_err();
            assert!(told.contains("has 4 values in 3 columns") && told.contains(advice), "{told}");
        }
    }

    #[test]
    fn two_columns_of_one_coordinate_must_agree() {
        let [same, other] =
            features("lon,lat,name,LON\n9.5,47.25,a,9.5\n9.5,47.25,b,9.6\n").try_into().unwrap();
        assert_eq!(same.unwrap()["geometry"]["coordinates"], json!([9.5, 47.25]));
        assert!(other.unwrap_err().contains("two columns are called so"));
    }

    #[test]
    fn tables_of_many_programs_are_read() {
        for text in [
            "lon,lat,label,name\n9.5,47.25,0,A\n",
            "name;Longitude;Latitude;Label\r\nA;9,5;47,25;0\r\n",
            "X\tY\tlabel\tname\n9.5\t47.25\t0\tA\n",
            "\"lat\",\"lon\",\"name\",\"label\"\n\"47.25\",\"9.5\",\"A\",\"0\"\n",
        ] {
            let feature = features(text).remove(0).unwrap();
            assert_eq!(feature["geometry"]["coordinates"], json!([9.5, 47.25]), "{text}");
            assert_eq!(
                (&feature["properties"]["name"], &feature["properties"]["label"]),
                (&json!("A"), &json!(0))
            );
        }
    }

    #[test]
    fn all_numbers_have_commas_where_the_coordinates_have_them() {
        let [first, second] = features(
            "lon;lat;label;object;height;note\n9,5;47,25;1,0;2,0;420,5;1,2,3\n9,5;47,25;;2,0;421;a,b\n",
        )
        .try_into()
        .unwrap();
        let (first, second) = (first.unwrap()["properties"].take(), second.unwrap()["properties"].take());
        assert_eq!(first, json!({"label": 1.0, "object": 2.0, "height": 420.5, "note": "1,2,3"}));
        assert_eq!(second, json!({"label": null, "object": 2.0, "height": 421, "note": "a,b"}));
        // A text in a table with points stays one.
        let plain = features("lon;lat;sizes\n9.5;47.25;3,4\n").remove(0).unwrap();
        assert_eq!(plain["properties"]["sizes"], "3,4");
    }

    #[test]
    fn what_programs_write_for_no_value_is_no_object() {
        for missing in ["", "NA", "nan", "NULL", "<NA>"] {
            let feature =
                features(&format!("lon,lat,object,label,kind\n9,47,{missing},{missing},{missing}\n"))
                    .remove(0)
                    .unwrap();
            let properties = &feature["properties"];
            assert!(properties["object"].is_null() && properties["label"].is_null(), "{properties}");
            // What other columns mean is not ours to say.
            assert_eq!(properties["kind"].as_str().unwrap_or_default(), missing);
        }
    }

    #[test]
    fn a_first_line_may_say_what_parts_the_columns() {
        for text in ["sep=|\nlon|lat\n9,5|47,25\n", "\"SEP=;\"\nlon;lat\n9.5;47.25\n"] {
            let drawn = read(Path::new("t.csv"), text.as_bytes()).unwrap().features.remove(0);
            assert_eq!(drawn.place, "line 3");
            assert_eq!(drawn.feature.unwrap()["geometry"]["coordinates"], json!([9.5, 47.25]), "{text}");
        }
    }

    #[test]
    fn rows_of_nothing_are_passed_over_and_count_as_lines() {
        let drawn = read(Path::new("t.csv"), b"lon,lat\n9,47\n,\n , \n9,x\n,\n").unwrap().features;
        let places: Vec<&str> = drawn.iter().map(|feature| feature.place.as_str()).collect();
        assert_eq!(places, ["line 2", "line 5"]);
    }

    #[test]
    fn columns_of_one_name_are_all_kept() {
        let feature = features("lon,lat,name,name,name_2,,\n1,2,a,b,c,,\n").remove(0).unwrap();
        assert_eq!(feature["properties"], json!({"name": "a", "name_2": "b", "name_2_2": "c", "": null}));
    }

    #[test]
    fn rows_of_sides_are_boxes() {
        let feature = features("west,south,east,north,plot\n1,2,3,4,007\n").remove(0).unwrap();
        assert_eq!(feature["geometry"]["type"], "Polygon");
        assert_eq!(feature["properties"], json!({"plot": "007"}));
    }

    #[test]
    fn a_column_of_well_known_text_is_a_geometry() {
        for text in [
            "WKT,x,name\n\"POINT (9.5 47.25)\",7,A\n",
            "wkt_geom\tx\tname\nPoint (9.5 47.25)\t7\tA\n",
            "name,x,geom\nA,7,POINT(9.5 47.25)\n",
        ] {
            let feature = features(text).remove(0).unwrap();
            assert_eq!(feature["geometry"], json!({"type": "Point", "coordinates": [9.5, 47.25]}), "{text}");
            assert_eq!(feature["properties"], json!({"name": "A", "x": 7}));
        }
        let feature = features("geom\nSRID=32632;POINT(5 6)\n").remove(0).unwrap();
        assert_eq!(feature["crs"]["properties"]["name"], "EPSG:32632");
        assert!(features("wkt\nnone\n")[0].is_err());
    }

    #[test]
    fn a_table_without_the_columns_names_them() {
        for (text, told) in [
            ("lon,name\n1,a\n", "has no column lat; its columns are lon, name"),
            ("a,b\n1,2\n", "has no columns lon and lat"),
        ] {
            let error = read(Path::new("t.csv"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let bad = features("lon,lat\nabc,1\n1\n,2\n9,5,47,25\n\"9,5\",\"47,25\"\n");
        assert_eq!(bad.len(), 5);
        assert!(bad.iter().all(Result::is_err), "{bad:?}");
    }
}
