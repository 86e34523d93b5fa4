//! The CRS of a folder as its manifest tells it. Whether we can transform to and from it is `geo`'s
//! affair.

use serde::Serialize;
use serde_json::Value;

/// The CRS that a folder is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderCrs {
    /// As the manifest tells it: `EPSG:32618`, or a whole WKT.
    pub text: String,
    /// The EPSG code, from the text or from the GeoParquet metadata. To be preferred over the WKT.
    pub epsg: Option<u32>,
    /// The text, where it is a WKT.
    #[serde(skip)]
    pub wkt: Option<String>,
    /// The unit of x and y, where known: `m`, `degrees`, or as the CRS names it.
    pub unit: Option<String>,
}

/// What the `geo` metadata of a GeoParquet file tells about its CRS.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GeoMetadata {
    pub(super) epsg: Option<u32>,
    pub(super) unit: Option<String>,
    /// How the geometry is encoded; `WKB` in a manifest.
    pub(super) encoding: Option<String>,
}

impl GeoMetadata {
    /// Reads the JSON text under the key `geo` (GeoParquet 1.1). What cannot be read is not known.
    pub(super) fn parse(json: &str) -> Self {
        let Ok(Value::Object(geo)) = serde_json::from_str(json) else { return Self::default() };
        let column = geo.get("primary_column").and_then(Value::as_str).unwrap_or("geometry");
        let Some(column) = geo.get("columns").and_then(|columns| columns.get(column)) else {
            return Self::default();
        };
        let encoding = column.get("encoding").and_then(Value::as_str).map(str::to_owned);
        let Some(crs) = column.get("crs") else { return Self { encoding, ..Self::default() } };
        let horizontal = horizontal(crs);
        Self {
            epsg: projjson_epsg(crs).or_else(|| projjson_epsg(horizontal)),
            unit: projjson_unit(horizontal),
            encoding,
        }
    }
}

/// The horizontal part of a compound CRS, the source of a bound one.
fn horizontal(crs: &Value) -> &Value {
    let inner = crs.get("source_crs").or_else(|| crs.get("components").and_then(|parts| parts.get(0)));
    inner.unwrap_or(crs)
}

fn projjson_epsg(crs: &Value) -> Option<u32> {
    let id = crs.get("id")?;
    match (id.get("authority")?.as_str()?, id.get("code")?) {
        ("EPSG", Value::Number(code)) => code.as_u64()?.try_into().ok(),
        ("EPSG", Value::String(code)) => code.parse().ok(),
        ("OGC", Value::String(code)) if code == "CRS84" => Some(4326),
        _ => None,
    }
}

fn projjson_unit(crs: &Value) -> Option<String> {
    let unit = crs.get("coordinate_system")?.get("axis")?.get(0)?.get("unit")?;
    let name = unit.as_str().or_else(|| unit.get("name")?.as_str())?;
    Some(short_unit(name).to_owned())
}

fn short_unit(name: &str) -> &str {
    match name {
        "metre" | "meter" | "Metre" | "Meter" => "m",
        "degree" | "Degree" => "degrees",
        other => other,
    }
}

impl FolderCrs {
    /// The CRS of the column `crs`, completed by the metadata.
    pub(super) fn new(text: &str, metadata: &GeoMetadata) -> Self {
        let text = text.trim();
        let named = epsg_of_text(text);
        let epsg = named.or(metadata.epsg);
        let wkt = (named.is_none() && text.contains('[')).then(|| text.to_owned());
        let unit = metadata
            .unit
            .clone()
            .or_else(|| wkt.as_deref().and_then(wkt_unit))
            .or_else(|| epsg.and_then(well_known_unit).map(str::to_owned));
        let text = match (text.is_empty(), epsg) {
            (true, Some(code)) => format!("EPSG:{code}"),
            _ => text.to_owned(),
        };
        Self { text, epsg, wkt, unit }
    }
}

impl FolderCrs {
    /// The CRS for a message: its code, or the beginning of its WKT.
    pub fn short(&self) -> String {
        match (self.epsg, &self.wkt) {
            (Some(code), _) => format!("EPSG:{code}"),
            (None, None) => self.text.clone(),
            (None, Some(wkt)) => wkt.split(',').next().unwrap_or("").chars().take(80).chain(['…']).collect(),
        }
    }
}

/// The code of `EPSG:n`, `epsg:n` or `urn:ogc:def:crs:EPSG::n`; 4326 for `OGC:CRS84`, which has the same
/// coordinates in the order we use.
pub(super) fn epsg_of_text(text: &str) -> Option<u32> {
    if text.eq_ignore_ascii_case("OGC:CRS84") || text.eq_ignore_ascii_case("urn:ogc:def:crs:OGC:1.3:CRS84") {
        return Some(4326);
    }
    let (authority, code) = text.rsplit_once(':')?;
    let authority = authority.to_ascii_lowercase();
    let is_epsg = authority == "epsg" || authority.starts_with("urn:ogc:def:crs:epsg:");
    (is_epsg && code.bytes().all(|b| b.is_ascii_digit())).then(|| code.parse().ok()).flatten()
}

/// The unit of a WKT: degrees if it is geographic, else the last unit it names, which is that of the
/// projected coordinates.
fn wkt_unit(wkt: &str) -> Option<String> {
    let start = wkt.trim_start();
    if ["GEOGCS", "GEOGCRS", "GEODCRS", "GEOGRAPHICCRS"].iter().any(|key| start.starts_with(key)) {
        return Some("degrees".to_owned());
    }
    let unit = wkt.rsplit("UNIT[\"").next().filter(|rest| rest.len() < wkt.len())?;
    Some(short_unit(unit.split('"').next()?).to_owned())
}

fn well_known_unit(epsg: u32) -> Option<&'static str> {
    match epsg {
        4326 => Some("degrees"),
        3857 | 32601..=32660 | 32701..=32760 => Some("m"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTM_18N: &str = r#"{"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs":
        {"type": "ProjectedCRS", "id": {"authority": "EPSG", "code": 32618},
         "coordinate_system": {"axis": [{"name": "Easting", "unit": "metre"}]}}}}}"#;

    #[test]
    fn codes_are_read_in_the_ways_they_are_written() {
        for text in
            ["EPSG:32618", "epsg:32618", "urn:ogc:def:crs:EPSG::32618", "urn:ogc:def:crs:EPSG:9.8:32618"]
        {
            assert_eq!(epsg_of_text(text), Some(32618), "{text}");
        }
        assert_eq!(epsg_of_text("OGC:CRS84"), Some(4326));
        for text in ["", "32618x", "ESRI:102008", "EPSG:", "EPSG:99999999999", "PROJCS[\"a:1\"]", "EPSG:-5"] {
            assert_eq!(epsg_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn the_metadata_completes_a_wkt() {
        let metadata = GeoMetadata::parse(UTM_18N);
        let crs = FolderCrs::new("PROJCS[\"WGS 84 / UTM zone 18N\",UNIT[\"metre\",1]]", &metadata);
        assert_eq!((crs.epsg, crs.unit.as_deref()), (Some(32618), Some("m")));
        assert!(crs.wkt.is_some());
        let crs = FolderCrs::new("  ", &metadata);
        assert_eq!(crs.text, "EPSG:32618");
    }

    #[test]
    fn a_wkt_alone_tells_its_unit() {
        for (wkt, unit) in [
            ("GEOGCS[\"WGS 84\",UNIT[\"degree\",0.0174]]", Some("degrees")),
            (
                "PROJCS[\"x\",GEOGCS[\"y\",UNIT[\"degree\",0.0174]],UNIT[\"US survey foot\",0.3048006]]",
                Some("US survey foot"),
            ),
            ("PROJCRS[\"x\",LENGTHUNIT[\"metre\",1]]", Some("m")),
            ("LOCAL_CS[\"x\"]", None),
        ] {
            let crs = FolderCrs::new(wkt, &GeoMetadata::default());
            assert_eq!((crs.epsg, crs.unit.as_deref()), (None, unit), "{wkt}");
        }
    }

    #[test]
    fn metadata_that_is_something_else_tells_nothing() {
        for json in ["", "[]", "{}", r#"{"columns": 3}"#, r#"{"columns": {"geometry": {"crs": null}}}"#] {
            assert_eq!(GeoMetadata::parse(json).epsg, None, "{json}");
        }
        let compound = UTM_18N
            .replace(
                r#""type": "ProjectedCRS""#,
                r#""type": "CompoundCRS", "components": [{"id": {"authority": "EPSG", "code": 32618}}]"#,
            )
            .replace(
                r#""code": 32618},
         "#,
                r#""code": "n"},
         "#,
            );
        assert_eq!(GeoMetadata::parse(&compound).epsg, Some(32618));
    }
}
