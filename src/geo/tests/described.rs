//! CRSs that a text describes by their parameters.

use proptest::prelude::*;

use crate::geo::{Crs, Transform};

#[derive(serde::Deserialize)]
struct TextCase {
    name: String,
    kind: String,
    text: String,
    /// `[lon, lat, x, y]`
    positions: Vec<[f64; 4]>,
}

fn cases() -> Vec<TextCase> {
    serde_json::from_str(include_str!("../../../tests/fixtures/crs_texts.json")).unwrap()
}

#[test]
fn crss_described_by_their_parameters_give_the_positions_of_proj() {
    let cases = cases();
    assert!(cases.len() > 140);
    let mut failures = Vec::new();
    for TextCase { name, kind, text, positions } in cases {
        let crs = match Crs::parse(&text) {
            Ok(crs) => crs,
            Err(error) => {
                failures.push(format!("{name} {kind}: {error}"));
                continue;
            }
        };
        let transform = Transform::new(&Crs::wgs84(), &crs).unwrap();
        for [lon, lat, x, y] in positions {
            let (our_x, our_y) = transform.point(lon, lat).unwrap();
            let distance = (our_x - x).hypot(our_y - y);
            if distance >= 0.001 {
                failures.push(format!("{name} {kind} {crs:?}: {distance} at {lon} {lat}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const DEGREE: &str = r#"{"type":"AngularUnit","name":"Degree","conversion_factor":0.0174532925199433}"#;
const GRAD: &str = r#"{"type":"AngularUnit","name":"Grad","conversion_factor":0.0157079632679489}"#;
const METRE: &str = r#"{"type":"LinearUnit","name":"Meter","conversion_factor":1}"#;
const FOOT: &str = r#"{"type":"LinearUnit","name":"US survey foot","conversion_factor":0.304800609601219}"#;
const WGS84: &str = r#"{"type":"GeodeticReferenceFrame","name":"World Geodetic System 1984","ellipsoid":{"name":"WGS 84","semi_major_axis":{"value":6378137,"unit":METRE},"inverse_flattening":298.257223563},"prime_meridian":{"name":"Greenwich","longitude":{"value":0,"unit":DEGREE}}}"#;
const NAD83: &str = r#"{"type":"GeodeticReferenceFrame","name":"North American Datum 1983","ellipsoid":{"name":"GRS 1980","semi_major_axis":6378137,"inverse_flattening":298.257222101}}"#;

/// Transverse Mercator in PROJJSON, with the units of angles and lengths as they stand.
fn transverse_mercator(
    datum: &str,
    [lat, lon, scale, easting]: [f64; 4],
    angle: &str,
    length: &str,
) -> String {
    let parameter =
        |name: &str, value: f64, unit: &str| format!(r#"{{"name":"{name}","value":{value},"unit":{unit}}}"#);
    let parameters = [
        parameter("Latitude of natural origin", lat, angle),
        parameter("Longitude of natural origin", lon, angle),
        parameter(
            "Scale factor at natural origin",
            scale,
            r#"{"type":"ScaleUnit","name":"unity","conversion_factor":1}"#,
        ),
        parameter("False easting", easting, length),
        parameter("False northing", 0.0, length),
    ];
    let text = format!(
        r#"{{"type":"ProjectedCRS","name":"x","base_crs":{{"name":"y","datum":{datum}}},"conversion":{{"name":"z","method":{{"name":"Transverse Mercator"}},"parameters":[{}]}},"coordinate_system":{{"subtype":"Cartesian","axis":[{{"name":"Easting","abbreviation":"E","direction":"east","unit":{length}}},{{"name":"Northing","abbreviation":"N","direction":"north","unit":{length}}}]}}}}"#,
        parameters.join(",")
    );
    text.replace("DEGREE", DEGREE).replace("METRE", METRE)
}

#[test]
fn units_of_projjson_that_are_objects_count_by_their_factor() {
    let utm = [0.0, 9.0, 0.9996, 500_000.0];
    for (angle, length) in [(DEGREE, METRE), (r#""degree""#, METRE), (DEGREE, r#""metre""#)] {
        let crs = Crs::parse(&transverse_mercator(WGS84, utm, angle, length)).unwrap();
        assert_eq!(crs.epsg(), Some(32632), "{angle} {length}");
    }
    // Positions of PROJ 9.5 for the same texts.
    let grads = transverse_mercator(WGS84, [0.0, 10.5, 0.9996, 500_000.0], GRAD, METRE);
    let missouri = [35.8333333333333, -90.5, 0.999933333333333, 820_208.333333333];
    let feet = transverse_mercator(NAD83, missouri, DEGREE, FOOT);
    for (text, [lon, lat], [x, y]) in [
        (grads, [9.5, 47.0], [503_801.2787621148, 5_205_165.3231907785]),
        (feet, [-90.3, 38.6], [877_364.5562029943, 1_007_373.4971728633]),
    ] {
        let crs = Crs::parse(&text).unwrap();
        assert_eq!(crs.epsg(), None, "{text}");
        let (our_x, our_y) = Transform::new(&Crs::wgs84(), &crs).unwrap().point(lon, lat).unwrap();
        assert!((our_x - x).hypot(our_y - y) < 0.001, "{our_x} {our_y} for {text}");
    }
}

#[test]
fn units_of_projjson_of_another_kind_are_refused() {
    let utm = [0.0, 9.0, 0.9996, 500_000.0];
    let second = r#"{"type":"TimeUnit","name":"second","conversion_factor":1}"#;
    let geographic = |direction: &str, unit: &str| {
        format!(
            r#"{{"type":"GeographicCRS","name":"x","datum":{WGS84},"coordinate_system":{{"subtype":"ellipsoidal","axis":[{{"name":"Longitude","abbreviation":"lon","direction":"{direction}","unit":{unit}}},{{"name":"Latitude","abbreviation":"lat","direction":"north","unit":{unit}}}]}}}}"#
        )
        .replace("DEGREE", DEGREE)
        .replace("METRE", METRE)
    };
    for (text, expected) in [
        (transverse_mercator(WGS84, utm, second, METRE), "parameter Latitude of natural origin"),
        (transverse_mercator(WGS84, utm, DEGREE, second), "unit of its axes"),
        (transverse_mercator(WGS84, utm, DEGREE, DEGREE), "unit of its axes"),
        (geographic("east", GRAD), "not in degrees"),
        (geographic("west", DEGREE), "its axes run north and west"),
        (geographic("east", DEGREE).replace("\"value\":0", "\"value\":2.33722917"), "prime meridian"),
    ] {
        let error = Crs::parse(&text).unwrap_err();
        assert_eq!(error.code().as_str(), "UNKNOWN_CRS", "{text}: {error}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    assert_eq!(Crs::parse(&geographic("east", DEGREE)).unwrap().epsg(), Some(4326));
}

#[test]
fn what_is_no_supported_crs_is_refused_with_its_name_and_a_way_out() {
    let texts = [
        ("ESRI:102003", "ESRI:102003"),
        ("IAU_2015:49900", "IAU_2015:49900"),
        (r#"LOCAL_CS["site grid",UNIT["metre",1]]"#, "LOCAL_CS"),
        (r#"ENGCRS["site grid",EDATUM[""],CS[Cartesian,2]]"#, "ENGCRS"),
        (r#"PROJCS["S-JTSK / Krovak East North",AUTHORITY["EPSG","5514"]]"#, "EPSG:5514"),
        (r#"{"type":"EngineeringCRS","name":"site grid"}"#, "site grid"),
        (
            r#"GEOGCS["Pulkovo 1942",DATUM["Pulkovo_1942",SPHEROID["Krassowsky 1940",6378245,298.3]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]"#,
            "datum \"Pulkovo_1942\"",
        ),
        (
            r#"GEOGCS["GCS_Moon_2000",DATUM["D_Moon_2000",SPHEROID["Moon_2000_IAU_IAG",1737400,0]],PRIMEM["Reference_Meridian",0],UNIT["degree",0.0174532925199433]]"#,
            "not the Earth's",
        ),
        (
            r#"GEOGCS["x",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Paris",2.33722917],UNIT["degree",0.0174532925199433]]"#,
            "Greenwich",
        ),
        (
            r#"PROJCS["x",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Hotine_Oblique_Mercator"],UNIT["metre",1]]"#,
            "Hotine_Oblique_Mercator",
        ),
        (
            r#"GEOGCS["x",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AXIS["Longitude",WEST],AXIS["Latitude",NORTH]]"#,
            "its axes run north and west",
        ),
    ];
    for (text, expected) in texts {
        let error = Crs::parse(text).unwrap_err();
        assert_eq!(error.code().as_str(), "UNKNOWN_CRS", "{text}: {error}");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
    for text in ["", "EPSG:", "EPSG:x", "WGS85", "PROJCS[", "{}", "{\"type\":", "VERTCRS(\"a", "4326.5", "-1"]
    {
        let error = Crs::parse(text).unwrap_err();
        assert_eq!(error.code().as_str(), "BAD_REQUEST", "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn a_broken_description_is_transformed_or_refused(
        case in 0..148_usize,
        place in 0.0..1.0,
        replacement in "[\\[\\]\",{}:0-9eE.+-]{0,4}",
    ) {
        let mut text = cases().swap_remove(case).text;
        let place = (place * text.len() as f64) as usize;
        // The texts are ASCII.
        text.replace_range(place..=place, &replacement);
        if let Ok(crs) = Crs::parse(&text)
            && let Ok((x, y)) = Transform::new(&Crs::wgs84(), &crs).unwrap().point(100.0, 40.0)
        {
            prop_assert!(x.is_finite() && y.is_finite());
        }
    }

    #[test]
    fn any_numbers_in_a_described_crs_are_transformed_or_refused(
        method in prop::sample::select(vec![
            "Transverse_Mercator", "Lambert_Conformal_Conic_2SP", "Lambert_Conformal_Conic_1SP",
            "Albers_Conic_Equal_Area", "Lambert_Azimuthal_Equal_Area", "Polar_Stereographic",
            "Oblique_Stereographic", "Mercator_1SP", "Mercator_2SP", "Sinusoidal",
        ]),
        numbers in prop::array::uniform9(prop_oneof![any::<f64>(), -400.0..400.0, Just(0.0), Just(90.0), Just(1.0)]),
        shift in prop::collection::vec(-500.0..500.0, 0..9),
        position in [-180.0..180.0, -90.0..90.0],
    ) {
        let [a, flattening, lat, lon, k, first, second, easting, unit] = numbers;
        let a = if a.abs() < 200.0 { 6_378_137.0 + a } else { a };
        let flattening = if flattening.abs() < 40.0 { 298.257_222_101 } else { flattening };
        let shift: Vec<String> = shift.iter().map(f64::to_string).collect();
        let text = format!(
            r#"PROJCS["x",GEOGCS["y",DATUM["unknown",SPHEROID["z",{a},{flattening}],TOWGS84[{}]],PRIMEM["Greenwich",0],
            UNIT["degree",0.0174532925199433]],PROJECTION["{method}"],PARAMETER["latitude_of_origin",{lat}],
            PARAMETER["central_meridian",{lon}],PARAMETER["scale_factor",{k}],PARAMETER["standard_parallel_1",{first}],
            PARAMETER["standard_parallel_2",{second}],PARAMETER["false_easting",{easting}],UNIT["metre",{unit}]]"#,
            shift.join(","),
        );
        if let Ok(crs) = Crs::parse(&text) {
            let there = Transform::new(&Crs::wgs84(), &crs).unwrap();
            if let Ok((x, y)) = there.point(position[0], position[1]) {
                prop_assert!(x.is_finite() && y.is_finite());
                if let Ok((lon, lat)) = there.inverse().unwrap().point(x, y) {
                    prop_assert!(lon.is_finite() && lat.is_finite());
                }
            }
        }
    }
}
