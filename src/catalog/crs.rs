//! The CRS of a folder as its manifest tells it. Whether we can transform to and from it is `geo`'s
//! affair.

use serde::Serialize;
use serde_json::Value;

use crate::geo::Crs;

/// The CRS that a folder is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FolderCrs {
    /// As the manifest tells it: `EPSG:32618`, or a whole WKT.
    pub text: String,
    /// The EPSG code of the horizontal part, from the text or from the GeoParquet metadata, or else by the parameters that one of
    /// them tells. To be preferred over the WKT.
    pub epsg: Option<u32>,
    /// The text, where it is a WKT.
    #[serde(skip)]
    pub wkt: Option<String>,
    /// PROJJSON of the GeoParquet metadata: what a code of another authority, or of a compound CRS, stands for.
    #[serde(skip)]
    pub definition: Option<String>,
    /// The unit of x and y, where known: `m`, `degrees`, or as the CRS names it.
    pub unit: Option<String>,
    /// The code of the text itself, which may be that of a compound CRS.
    #[serde(skip)]
    own_code: Option<u32>,
}

/// What the `geo` metadata of a GeoParquet file tells about its CRS.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GeoMetadata {
    /// EPSG code of the horizontal part.
    pub(super) epsg: Option<u32>,
    /// Authority and code of the whole, as `EPSG:7415` or `ESRI:102003`.
    pub(super) id: Option<String>,
    /// The CRS in PROJJSON.
    pub(super) definition: Option<String>,
    name: Option<String>,
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
        let Some(crs) = column.get("crs").filter(|crs| crs.is_object()) else {
            return Self { encoding, ..Self::default() };
        };
        let horizontal = horizontal(crs);
        let epsg = match horizontal.get("source_crs") {
            // A shift of its own may make it another CRS than the code's.
            Some(_) => Crs::parse(&horizontal.to_string()).ok().and_then(|crs| crs.epsg()),
            None => projjson_epsg(horizontal),
        };
        let source = horizontal.get("source_crs").unwrap_or(horizontal);
        Self {
            epsg,
            id: projjson_id(crs),
            definition: Some(crs.to_string()),
            name: crs.get("name").and_then(Value::as_str).map(str::to_owned),
            unit: projjson_unit(source),
            encoding,
        }
    }

    /// The CRS for a message.
    pub(super) fn short(&self) -> String {
        let known = self.id.clone().or_else(|| self.epsg.map(|code| format!("EPSG:{code}")));
        known.or_else(|| self.name.clone()).unwrap_or_else(|| "another CRS".to_owned())
    }
}

/// The horizontal part of a compound CRS.
fn horizontal(crs: &Value) -> &Value {
    crs.get("components").and_then(|parts| parts.get(0)).unwrap_or(crs)
}

/// `AUTHORITY:CODE`, from `id` or the first of `ids`.
fn projjson_id(crs: &Value) -> Option<String> {
    let id = crs.get("id").or_else(|| crs.get("ids")?.get(0))?;
    let authority = id.get("authority")?.as_str()?;
    match id.get("code")? {
        Value::Number(code) => Some(format!("{authority}:{code}")),
        Value::String(code) => Some(format!("{authority}:{code}")),
        _ => None,
    }
}

fn projjson_epsg(crs: &Value) -> Option<u32> {
    Crs::code_in(&projjson_id(crs)?)
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
        let own_code = Crs::code_in(text);
        // The code of a compound CRS stands for its horizontal part, where the metadata says which that is.
        let is_whole = metadata
            .id
            .as_deref()
            .is_some_and(|id| id.eq_ignore_ascii_case(text) || own_code == Crs::code_in(id));
        let epsg = if own_code.is_some() && !is_whole { own_code } else { metadata.epsg.or(own_code) };
        let epsg = epsg.or_else(|| described_code(text, metadata.definition.as_deref()));
        let wkt = (own_code.is_none() && text.contains('[')).then(|| text.to_owned());
        let unit = metadata
            .unit
            .clone()
            .or_else(|| wkt.as_deref().and_then(wkt_unit))
            .or_else(|| epsg.and_then(Crs::unit_of).map(str::to_owned));
        let text = match (text.is_empty(), &metadata.id, epsg) {
            (true, Some(id), _) => id.clone(),
            (true, None, Some(code)) => format!("EPSG:{code}"),
            (true, None, None) => metadata.name.clone().unwrap_or_default(),
            _ => text.to_owned(),
        };
        Self { text, epsg, wkt, definition: metadata.definition.clone(), unit, own_code }
    }

    /// Whether an EPSG code names this CRS: coordinates in it are the folder's own.
    pub fn is_called(&self, code: u32) -> bool {
        [self.epsg, self.own_code].contains(&Some(code))
    }

    /// Whether the metadata tells of the same CRS as the column `crs`; `None` where they cannot be compared.
    pub(super) fn agrees_with(&self, metadata: &GeoMetadata) -> Option<bool> {
        let definition = metadata.definition.as_ref()?;
        let own_id = self.own_code.map(|code| format!("EPSG:{code}")).unwrap_or_else(|| self.text.clone());
        if metadata.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(&own_id)) {
            return Some(true);
        }
        match (self.own_code, metadata.epsg) {
            (Some(own), Some(other)) => Some(own == other),
            _ => {
                let same = Crs::parse(&self.text).ok()? == Crs::parse(definition).ok()?;
                // Different texts may still mean one place: then the footprints decide.
                same.then_some(true)
            }
        }
    }

    /// The CRS for a message: its code, or the beginning of its WKT.
    pub fn short(&self) -> String {
        match (self.epsg, &self.wkt) {
            (Some(code), _) => format!("EPSG:{code}"),
            (None, None) => self.text.clone(),
            (None, Some(wkt)) => wkt.split(',').next().unwrap_or("").chars().take(80).chain(['…']).collect(),
        }
    }
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

/// The code of a CRS without one, where its parameters are those of a well-known code. As a prompt's CRS is read: the text decides,
/// the metadata where the text tells nothing that is supported.
fn described_code(text: &str, definition: Option<&str>) -> Option<u32> {
    Crs::parse(text).ok().or_else(|| Crs::parse(definition?).ok())?.epsg()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTM_18N: &str = r#"{"primary_column": "geometry", "columns": {"geometry": {"encoding": "WKB", "crs":
        {"type": "ProjectedCRS", "id": {"authority": "EPSG", "code": 32618},
         "coordinate_system": {"axis": [{"name": "Easting", "unit": "metre"}]}}}}}"#;

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
    }

    /// Metadata with this CRS.
    fn with(crs: &str) -> GeoMetadata {
        GeoMetadata::parse(&format!(r#"{{"columns": {{"geometry": {{"encoding": "WKB", "crs": {crs}}}}}}}"#))
    }

    #[test]
    fn the_code_of_a_compound_crs_stands_for_its_horizontal_part() {
        let dutch = r#"{"type": "CompoundCRS", "name": "Amersfoort / RD New + NAP height", "id": {"authority": "EPSG", "code": 7415},
            "components": [{"type": "ProjectedCRS", "id": {"authority": "EPSG", "code": 28992}}, {"type": "VerticalCRS"}]}"#;
        let metadata = with(dutch);
        let crs = FolderCrs::new("EPSG:7415", &metadata);
        assert_eq!((crs.epsg, crs.text.as_str()), (Some(28992), "EPSG:7415"));
        assert!(crs.is_called(28992) && !crs.is_called(28991));
        assert_eq!(crs.agrees_with(&metadata), Some(true));
        // Where the parts have no code, the definition is all there is.
        let nameless = with(&dutch.replace("28992", "null"));
        let crs = FolderCrs::new("EPSG:7415", &nameless);
        assert_eq!((crs.epsg, crs.definition.is_some()), (Some(28992), true));
        // One that is newer than our table.
        let crs = FolderCrs::new("EPSG:99415", &with(&dutch.replace("7415", "99415")));
        assert_eq!(crs.epsg, Some(28992));
        // As text alone, PROJ's way to write one.
        let crs = FolderCrs::new("EPSG:28992+5709", &GeoMetadata::default());
        assert_eq!(crs.epsg, Some(28992));
    }

    #[test]
    fn a_code_of_another_authority_has_its_definition_in_the_metadata() {
        let metadata = with(
            r#"{"type": "ProjectedCRS", "name": "USA_Contiguous_Albers", "id": {"authority": "ESRI", "code": 102003}}"#,
        );
        let crs = FolderCrs::new("ESRI:102003", &metadata);
        assert_eq!((crs.epsg, crs.text.as_str()), (None, "ESRI:102003"));
        assert!(crs.definition.is_some_and(|json| json.contains("USA_Contiguous_Albers")));
        assert_eq!(FolderCrs::new("esri:102003", &metadata).agrees_with(&metadata), Some(true));
        assert_eq!(
            FolderCrs::new("EPSG:32618", &metadata).agrees_with(&metadata),
            None,
            "the footprints decide"
        );
        assert_eq!(FolderCrs::new("", &metadata).text, "ESRI:102003");
    }

    const UTM_32N: &str = r#"PROJCS["WGS 84 / UTM zone 32N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",9],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]"#;
    const ESRI_ETRS89_32N: &str = r#"PROJCS["ETRS_1989_UTM_Zone_32N",GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",9.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]"#;
    const ESRI_WGS84: &str = r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#;

    #[test]
    fn a_wkt_without_a_code_gets_that_of_its_parameters() {
        let nad83 =
            ESRI_ETRS89_32N.replace("D_ETRS_1989", "D_North_American_1983").replace(",9.0]", ",-75.0]");
        let mercator = format!(
            r#"PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",{ESRI_WGS84},PROJECTION["Mercator_Auxiliary_Sphere"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],PARAMETER["Standard_Parallel_1",0.0],PARAMETER["Auxiliary_Sphere_Type",0.0],UNIT["Meter",1.0]]"#
        );
        for (wkt, code, unit) in [
            (UTM_32N, 32632, "m"),
            (ESRI_ETRS89_32N, 25832, "m"),
            (&nad83, 26918, "m"),
            (ESRI_WGS84, 4326, "degrees"),
            (&mercator, 3857, "m"),
        ] {
            let crs = FolderCrs::new(wkt, &GeoMetadata::default());
            assert_eq!((crs.epsg, crs.unit.as_deref()), (Some(code), Some(unit)), "{wkt}");
            assert_eq!((crs.text.as_str(), crs.short()), (wkt, format!("EPSG:{code}")));
            assert!(crs.is_called(code));
        }
    }

    #[test]
    fn a_wkt_that_differs_from_a_code_does_not_get_it() {
        for (of, from, to) in [
            (UTM_32N, "500000", "400000"),
            (UTM_32N, "false_northing\",0", "false_northing\",5"),
            (UTM_32N, "0.9996", "1"),
            (UTM_32N, "central_meridian\",9", "central_meridian\",9.5"),
            (UTM_32N, "UNIT[\"metre\",1]", "UNIT[\"foot\",0.3048]"),
            (UTM_32N, "\"WGS_1984\"", "\"Pulkovo_1942\""),
            (UTM_32N, "298.257223563", "298.3"),
            (UTM_32N, "]],PRIMEM", "],TOWGS84[1,2,3,0,0,0,0]],PRIMEM"),
            (UTM_32N, "EAST],", "WEST],"),
            (UTM_32N, "PRIMEM[\"Greenwich\",0]", "PRIMEM[\"Paris\",2.33722917]"),
            (ESRI_WGS84, "PRIMEM[\"Greenwich\",0.0]", "PRIMEM[\"Paris\",2.33722917]"),
            (ESRI_WGS84, "0.0174532925199433]", "0.0157079632679489]"),
            (
                ESRI_WGS84,
                "0.0174532925199433]",
                "0.0174532925199433],AXIS[\"Longitude\",WEST],AXIS[\"Latitude\",NORTH]",
            ),
        ] {
            assert!(of.contains(from), "{from}");
            let crs = FolderCrs::new(&of.replace(from, to), &GeoMetadata::default());
            assert_eq!(crs.epsg, None, "{to}");
        }
    }

    #[test]
    fn a_definition_without_an_epsg_code_gets_that_of_its_parameters() {
        // As PROJ writes it.
        let degree = r#"{"type": "AngularUnit", "name": "Degree", "conversion_factor": 0.0174532925199433}"#;
        let esri = r#"{"type": "ProjectedCRS", "name": "WGS_1984_Web_Mercator_Auxiliary_Sphere", "base_crs": {"name": "WGS 84",
            "datum": {"type": "GeodeticReferenceFrame", "name": "World Geodetic System 1984",
                "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6378137, "inverse_flattening": 298.257223563}}},
            "conversion": {"name": "x", "method": {"name": "Popular Visualisation Pseudo Mercator"}, "parameters": [
                {"name": "Latitude of natural origin", "value": 0, "unit": DEGREE},
                {"name": "Longitude of natural origin", "value": 0, "unit": DEGREE},
                {"name": "False easting", "value": 0, "unit": "metre"}, {"name": "False northing", "value": 0, "unit": "metre"}]},
            "coordinate_system": {"subtype": "Cartesian", "axis": [{"name": "Easting", "direction": "east", "unit": "metre"},
                {"name": "Northing", "direction": "north", "unit": "metre"}]},
            "id": {"authority": "ESRI", "code": 102100}}"#;
        let metadata = with(&esri.replace("DEGREE", degree));
        for text in ["ESRI:102100", ""] {
            let crs = FolderCrs::new(text, &metadata);
            assert_eq!(
                (crs.text.as_str(), crs.epsg, crs.unit.as_deref()),
                ("ESRI:102100", Some(3857), Some("m"))
            );
        }
    }

    #[test]
    fn a_code_tells_its_unit_whether_it_is_supported_or_not() {
        // Units by PROJ 9.5.
        for (code, unit) in [
            (2056, Some("m")),
            (2263, Some("US survey foot")),
            (2222, Some("foot")),
            (27700, Some("m")),
            (3031, Some("m")),
            (3034, Some("m")),
            (5514, Some("m")),
            (7415, Some("m")),
            (4269, Some("degrees")),
            // In grads, in kilometres and in yards.
            (4807, None),
            (22300, None),
            (27291, None),
            (99999, None),
        ] {
            let crs = FolderCrs::new(&format!("EPSG:{code}"), &GeoMetadata::default());
            assert_eq!(crs.unit.as_deref(), unit, "{code}");
        }
    }
}
