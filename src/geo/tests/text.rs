//! Texts that name or define a CRS.

use proptest::prelude::*;

use crate::geo::{Crs, GeoError};

const UTM_WKT1: &str = r#"PROJCS["WGS 84 / UTM zone 50N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",117],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1]]"#;
const UTM_ESRI: &str = r#"PROJCS["WGS_1984_UTM_Zone_23S",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",10000000.0],PARAMETER["Central_Meridian",-45.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]"#;
const UTM_WKT2: &str = r#"PROJCRS["WGS 84 / UTM zone 1N",BASEGEOGCRS["WGS 84",ENSEMBLE["World Geodetic System 1984 ensemble",MEMBER["World Geodetic System 1984 (Transit)"],ELLIPSOID["WGS 84",6378137,298.257223563,LENGTHUNIT["metre",1]],ENSEMBLEACCURACY[2.0]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]]],CONVERSION["UTM zone 1N",METHOD["Transverse Mercator",ID["EPSG",9807]],PARAMETER["Latitude of natural origin",0,ANGLEUNIT["degree",0.0174532925199433]],PARAMETER["Longitude of natural origin",-177],PARAMETER["Scale factor at natural origin",0.9996],PARAMETER["False easting",500000],PARAMETER["False northing",0]],CS[Cartesian,2],AXIS["(E)",east,ORDER[1]],AXIS["(N)",north,ORDER[2]],LENGTHUNIT["metre",1]]"#;

fn code(text: &str) -> Option<u32> {
    Crs::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).epsg()
}

#[test]
fn codes_are_read_in_every_spelling() {
    for text in [
        "EPSG:32650",
        "epsg:32650",
        " 32650 ",
        "urn:ogc:def:crs:EPSG::32650",
        "urn:ogc:def:crs:EPSG:9.8:32650",
        "http://www.opengis.net/def/crs/EPSG/0/32650",
    ] {
        assert_eq!(code(text), Some(32650), "{text}");
    }
    for text in [
        "OGC:CRS84",
        "ogc:crs84",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "EPSG:4326",
        "\u{feff}EPSG:4326",
        "WGS84",
        "wgs 84",
        "CRS84",
    ] {
        assert_eq!(code(text), Some(4326), "{text}");
    }
    for text in ["EPSG:32650+5773", "epsg:32650+EPSG:5773", "urn:ogc:def:crs,crs:EPSG::32650,crs:EPSG::5773"]
    {
        assert_eq!(code(text), Some(32650), "the horizontal part of {text}");
    }
    for (compound, horizontal) in
        [("EPSG:7415", 28992), ("9707", 4326), ("urn:ogc:def:crs:EPSG::5972", 25832), ("EPSG:4937", 4258)]
    {
        assert_eq!(code(compound), Some(horizontal), "{compound}");
    }
    assert_eq!(Crs::code_in("EPSG:4230"), Some(4230), "a code that is not supported is still a code");
    for text in [
        "",
        "32618x",
        "ESRI:102008",
        "EPSG:",
        "EPSG:99999999999",
        "PROJCS[\"a:1\"]",
        "EPSG:-5",
        "+5",
        "EPSG:1+",
    ] {
        assert_eq!(Crs::code_in(text), None, "{text}");
    }
}

#[test]
fn wkt_is_read_by_its_outermost_code() {
    let with_code =
        UTM_WKT1.replace("UNIT[\"metre\",1]]", "UNIT[\"metre\",1],AUTHORITY[\"EPSG\",\"32651\"]]");
    assert_eq!(code(&with_code), Some(32651));
    let compound =
        format!("COMPD_CS[\"both\",{with_code},VERT_CS[\"EGM96 height\"],AUTHORITY[\"EPSG\",\"9999\"]]");
    assert_eq!(code(&compound), Some(32651));
    let bound = format!(
        "BOUNDCRS[SOURCECRS[{UTM_WKT2}],TARGETCRS[GEOGCRS[\"WGS 84\"]],ABRIDGEDTRANSFORMATION[\"x\",
        METHOD[\"Geocentric translations (geog2D domain)\"],PARAMETER[\"X-axis translation\",0]]]"
    );
    assert_eq!(code(&bound), Some(32601));
}

#[test]
fn a_shift_beside_a_code_counts_where_it_is_another() {
    let belge = |shift: &str| {
        let text = format!(
            r#"PROJCS["BD72",GEOGCS["BD72",DATUM["Reseau_National_Belge_1972",SPHEROID["International 1924",6378388,297],TOWGS84[{shift}]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["central_meridian",4.3],UNIT["metre",1],AUTHORITY["EPSG","31370"]]"#
        );
        Crs::parse(&text).unwrap_or_else(|error| panic!("{shift}: {error}")).epsg()
    };
    assert_eq!(belge("-106.8686,52.2978,-103.7239,0.3366,-0.457,1.8422,-1.2747"), Some(31370));
    assert_eq!(belge("-125.8,79.9,-100.5"), None);
}

#[test]
fn wgs84_zones_without_a_code_are_known_by_name_and_parameters() {
    assert_eq!(code(UTM_WKT1), Some(32650));
    assert_eq!(code(UTM_ESRI), Some(32723));
    assert_eq!(code(UTM_WKT2), Some(32601));
    assert_eq!(
        code(
            r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]]"#
        ),
        Some(4326)
    );
    // The name alone proves nothing: the parameters decide.
    for (from, to) in [("117", "118"), ("0.9996", "1"), ("UNIT[\"metre\",1]", "UNIT[\"foot\",0.3048]")] {
        let other = UTM_WKT1.replace(from, to);
        assert_eq!(code(&other), None, "{to}");
        assert_ne!(Crs::parse(&other).unwrap(), Crs::parse(UTM_WKT1).unwrap(), "{to}");
    }
    let error = Crs::parse(&UTM_WKT1.replace("298.257223563", "298.3")).unwrap_err();
    assert!(matches!(error, GeoError::UnknownCrs { .. }), "{error}");
}

#[test]
fn projjson_is_read_by_its_code() {
    assert_eq!(
        code(r#"{"type":"ProjectedCRS","name":"x","id":{"authority":"EPSG","code":32650}}"#),
        Some(32650)
    );
    let compound = r#"{"type":"CompoundCRS","name":"x","components":[{"type":"ProjectedCRS","name":"y","ids":[{"authority":"EPSG","code":"2154"}]}]}"#;
    assert_eq!(code(compound), Some(2154));
    let bound = r#"{"type":"BoundCRS","source_crs":{"type":"ProjectedCRS","name":"y","id":{"authority":"EPSG","code":31370}},"target_crs":{"name":"WGS 84"},"transformation":{"method":{"name":"Geocentric translations"},"parameters":[{"name":"X-axis translation","value":1}]}}"#;
    assert!(
        matches!(Crs::parse(bound), Err(GeoError::UnknownCrs { .. })),
        "another shift than that of the code"
    );
    assert_eq!(
        code(r#"{"type":"GeographicCRS","name":"WGS 84","id":{"authority":"OGC","code":"CRS84"}}"#),
        Some(4326)
    );
    let error = Crs::parse(r#"{"type":"ProjectedCRS","name":"site grid"}"#).unwrap_err();
    assert!(error.to_string().contains("site grid"), "{error}");
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let error = Crs::parse("EPSG:5514").unwrap_err();
    assert!(matches!(error, GeoError::UnknownCrs { .. }));
    assert!(error.to_string().contains("EPSG:5514"), "{error}");
    let error = Crs::parse(r#"LOCAL_CS["mine"]"#).unwrap_err();
    assert!(error.to_string().contains("LOCAL_CS"), "{error}");
    for text in ["", "EPSG:", "EPSG:-1", "EPSG:x", "WGS85", "+proj=utm +zone=50", "{", "[]", "99999999999"] {
        assert!(matches!(Crs::parse(text), Err(GeoError::NotACrs { .. })), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Crs::parse(&text);
    }

    #[test]
    fn a_broken_definition_is_read_or_refused(at in 0..UTM_WKT2.len(), replacement in "[\\[\\]\",A-Z0-9{}:é]{0,4}") {
        let mut text = UTM_WKT2.to_owned();
        text.replace_range(at..=at, &replacement);
        let _ = Crs::parse(&text);
        let _ = Crs::parse(&text[..at]);
        let _ = Crs::parse(&format!("{{\"id\":\"{at}\",{replacement}}}"));
    }
}
