//! Which folder and chip a prompt goes to, and in which CRS, on manifests as they lie on a card.

use std::path::Path;
use std::sync::Arc;

use super::locate::locate;
use super::{Engine, EngineChoice, EngineError, EngineOptions, ServedFolder};
use crate::api::{Limits, PromptItem, parse_request};
use crate::catalog::Folder;
use crate::catalog::testing::{ManifestBuilder, Row, grid_rows};
use crate::geo::Affine;

fn served(card: &Path) -> Vec<Arc<ServedFolder>> {
    let discovery = Folder::discover(card).unwrap();
    assert!(discovery.problems.is_empty(), "{:?}", discovery.problems);
    let folders = discovery.folders.into_iter();
    folders.map(|folder| Arc::new(ServedFolder::new(folder.name().to_owned(), folder))).collect()
}

fn item(request: &str) -> PromptItem {
    parse_request(request.as_bytes(), &Limits::default()).map(|request| request.item).unwrap()
}

fn answers(folders: &[Arc<ServedFolder>], request: &str) -> String {
    locate(folders, &item(request))
        .map(|located| located.folder.name.clone())
        .unwrap_or_else(|error| error.to_string())
}

/// One chip of so many pixels of a side in metres, centred at (x, y) in a zone.
fn chip(zone: u32, x: f64, y: f64, side: f64, pixels: usize) -> Vec<Row> {
    let half = side * pixels as f64 / 2.0;
    let mut row = Row::on_grid(0, Affine::new([side, 0.0, x - half, 0.0, -side, y + half]), (pixels, pixels));
    row.crs = format!("EPSG:{zone}");
    vec![row]
}

fn write(card: &Path, name: &str, rows: Vec<Row>) {
    ManifestBuilder::new(rows).write(&card.join(name));
}

#[test]
fn of_several_folders_the_finest_that_covers_the_prompt_answers() {
    let card = tempfile::tempdir().unwrap();
    // The coarse one's centre is the prompt itself, and it comes first.
    write(card.path(), "a_coarse", chip(32632, 500_000.0, 5_000_000.0, 10.0, 1000));
    write(card.path(), "b_fine", chip(32632, 500_100.0, 5_000_100.0, 0.5, 1000));
    write(card.path(), "c_finest_elsewhere", chip(32632, 510_000.0, 5_000_000.0, 0.1, 1000));
    let folders = served(card.path());
    let ask = |request: &str| answers(&folders, request);
    assert_eq!(ask(r#"{"crs":"EPSG:32632","points":[[500000,5000000]]}"#), "b_fine");
    assert_eq!(ask(r#"{"crs":"EPSG:32632","points":[[502000,5000000]]}"#), "a_coarse");
    assert_eq!(
        ask(r#"{"crs":"EPSG:32632","bbox":[499900,4999900,500900,5000100]}"#),
        "a_coarse",
        "too large for the fine one"
    );
    assert_eq!(ask(r#"{"crs":"EPSG:32632","points":[[500000,5000000]],"folder":"a_coarse"}"#), "a_coarse");
}

#[test]
fn of_folders_with_equal_pixels_the_nearest_centre_answers() {
    let card = tempfile::tempdir().unwrap();
    // The same ground in two zones: the scales differ by a thousandth.
    let to_31 = crate::geo::Transform::new(
        &crate::geo::Crs::from_epsg(32632).unwrap(),
        &crate::geo::Crs::from_epsg(32631).unwrap(),
    );
    let (x, y) = to_31.unwrap().point(300_000.0, 5_000_000.0).unwrap();
    write(card.path(), "far", chip(32631, x + 200.0, y, 1.0, 1000));
    write(card.path(), "near", chip(32632, 300_010.0, 5_000_000.0, 1.0, 1000));
    assert_eq!(answers(&served(card.path()), r#"{"crs":"EPSG:32632","points":[[300000,5000000]]}"#), "near");
}

#[test]
fn a_box_larger_than_the_imagery_is_told_as_too_large_and_not_as_outside() {
    let card = tempfile::tempdir().unwrap();
    write(card.path(), "near", chip(32632, 500_000.0, 5_000_000.0, 0.5, 1000));
    write(card.path(), "far", chip(32632, 600_000.0, 5_000_000.0, 0.5, 1000));
    let folders = served(card.path());
    let told = |request: &str| {
        let error = locate(&folders, &item(request)).err().unwrap();
        (error.code(), error.to_string())
    };
    for request in [
        r#"{"bbox":[8.9,45.1,9.1,45.2]}"#,
        // The middle of the box lies far off, and so do the poles.
        r#"{"bbox":[8.99,45.1,20,50]}"#,
        r#"{"bbox":[-180,-90,180,90]}"#,
        r#"{"bbox":[8.99,45.1,20,50],"folder":"near"}"#,
        r#"{"crs":"EPSG:32632","bbox":[499900,4999900,700000,5000100]}"#,
    ] {
        let (code, text) = told(request);
        assert_eq!(code, crate::ErrorCode::OutsideChip, "{text}");
        assert!(
            text.contains("too large for one chip of near") || text.contains("too large for one chip of far"),
            "{text}"
        );
        assert!(text.contains("\"stitch\": true") && text.contains("outside the imagery"), "{text}");
    }
    let (code, text) = told(r#"{"bbox":[20,45.1,20.1,45.2]}"#);
    assert_eq!(code, crate::ErrorCode::NoChipCovers, "{text}");
    assert!(!text.contains("stitch"), "{text}");
}

#[test]
fn the_box_of_an_object_at_the_edge_is_taken_in_any_crs_that_answers_may_have() {
    let card = tempfile::tempdir().unwrap();
    // Where a zone ends, degrees are turned against it by two degrees: 6 m on these 160.
    write(card.path(), "edge", chip(32632, 700_000.0, 5_300_000.0, 0.5, 1000));
    let folders = served(card.path());
    let object = crate::geo::Bounds::new(700_090.0, 5_300_150.0, 700_250.0, 5_300_250.0);
    for crs in [4326, 3857, 3035, 32633] {
        let from = crate::geo::Crs::from_epsg(32632).unwrap();
        let out = crate::geo::Transform::new(&from, &crate::geo::Crs::from_epsg(crs).unwrap()).unwrap();
        let sides: [f64; 4] = out.bounds(object, 21).unwrap().into();
        let request = serde_json::json!({"crs": format!("EPSG:{crs}"), "bbox": sides});
        let found =
            locate(&folders, &item(&request.to_string())).unwrap_or_else(|error| panic!("{crs}: {error}"));
        let chip = found.folder.chip(found.chip).unwrap();
        let asked = found.prompt.bbox.unwrap();
        // Cut off where the chip ends, and nowhere else.
        assert_eq!(
            (asked.max_x, asked.max_y),
            (chip.footprint.bounds.max_x, chip.footprint.bounds.max_y),
            "{crs}"
        );
        assert!(asked.min_x <= object.min_x && asked.min_y <= object.min_y, "{crs}: {asked:?}");
        assert!(found.frame_prompt(&chip, &[]).unwrap().bbox.is_some());
        // What reaches farther than that is still told, and in the folder's own CRS nothing leans.
        let farther: [f64; 4] =
            out.bounds(crate::geo::Bounds { max_x: object.max_x + 20.0, ..object }, 21).unwrap().into();
        let request = serde_json::json!({"crs": format!("EPSG:{crs}"), "bbox": farther});
        assert!(locate(&folders, &item(&request.to_string())).is_err(), "{crs}");
    }
    let own = r#"{"crs":"EPSG:32632","bbox":[700090,5300150,700250.1,5300250]}"#;
    assert!(locate(&folders, &item(own)).is_err());
}

#[test]
fn of_folders_in_other_units_the_one_that_is_nearer_on_the_ground_is_told() {
    let card = tempfile::tempdir().unwrap();
    write(card.path(), "metres", chip(32632, 500_000.0, 5_000_000.0, 0.5, 1000));
    // 500 m to the east, 0.0044 degrees wide.
    write(card.path(), "degrees", chip(4326, 9.0085, 45.153_5, 4.4e-6, 1000));
    let folders = served(card.path());
    let told = |x: f64| {
        let request = format!(r#"{{"crs":"EPSG:32632","points":[[{x},5000000]]}}"#);
        locate(&folders, &item(&request)).err().unwrap().to_string()
    };
    // The chip in metres ends at 500,250, the one in degrees begins at some 500,495.
    assert!(told(500_270.0).starts_with("no chip of metres covers"), "{}", told(500_270.0));
    assert!(told(500_480.0).starts_with("no chip of degrees covers"), "{}", told(500_480.0));
}

#[test]
fn a_folder_whose_crs_is_not_supported_is_told_beside_the_nearest_chip() {
    let card = tempfile::tempdir().unwrap();
    write(card.path(), "good", chip(32632, 500_000.0, 5_000_000.0, 0.5, 1000));
    // Krovak, of which the axes run to the south and west.
    write(card.path(), "krovak", chip(5514, -500_000.0, -1_100_000.0, 0.5, 1000));
    let folders = served(card.path());
    let request = r#"{"crs":"EPSG:32632","points":[[500400,5000000]]}"#;
    let error = locate(&folders, &item(request)).err().unwrap();
    assert_eq!(error.code(), crate::ErrorCode::NoChipCovers);
    let told = error.to_string();
    assert!(
        told.contains("150.00 m outside the nearest chip") && told.contains("not supported: krovak"),
        "{told}"
    );
    let alone = r#"{"crs":"EPSG:32632","points":[[500400,5000000]],"folder":"krovak"}"#;
    assert_eq!(locate(&folders, &item(alone)).err().unwrap().code(), crate::ErrorCode::UnknownCrs);
}

#[test]
fn a_folder_is_asked_for_by_its_served_its_directorys_and_its_long_name() {
    let card = tempfile::tempdir().unwrap();
    write(card.path(), "Bei Lu He", grid_rows(2, 1));
    write(card.path(), "other", grid_rows(3, 1));
    let folders = served(card.path());
    let long = folders[0].folder.long_name();
    assert!(long.starts_with("Bei%20Lu%20He-"), "{long}");
    for name in ["Bei Lu He", "Bei%20Lu%20He", &long] {
        let request = format!(r#"{{"crs":"source","points":[[10,-10]],"folder":"{name}"}}"#);
        assert_eq!(answers(&folders, &request), "Bei%20Lu%20He");
    }
    let unknown = answers(&folders, r#"{"points":[[1,2]],"folder":"beiluhe"}"#);
    assert!(unknown.contains("Bei%20Lu%20He, other"), "{unknown}");
}

#[test]
fn of_two_directories_of_one_name_neither_answers_to_it() {
    let cards = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    write(cards[0].path(), "valley", grid_rows(2, 1));
    write(cards[1].path(), "valley", grid_rows(3, 1));
    let name = |order: [usize; 2]| {
        let opened: Vec<Folder> =
            order.map(|card| Folder::discover(cards[card].path()).unwrap().folders.remove(0)).into();
        let unnamed: Vec<_> = opened
            .iter()
            .map(|folder| crate::catalog::Unnamed { directory: folder.root(), folder: Some(folder) })
            .collect();
        let names = crate::catalog::served_names(&unnamed);
        let folders =
            names.into_iter().zip(opened).map(|(name, folder)| Arc::new(ServedFolder::new(name, folder)));
        folders.collect::<Vec<_>>()
    };
    let (forth, back) = (name([0, 1]), name([1, 0]));
    assert_eq!((&forth[0].name, &forth[1].name), (&back[1].name, &back[0].name), "whichever came first");
    assert_ne!(forth[0].name, forth[1].name);
    let asked = item(r#"{"crs":"source","points":[[10,-10]],"folder":"valley"}"#);
    let Err(error @ EngineError::SeveralFolders { .. }) = locate(&forth, &asked) else {
        panic!("one of them answered")
    };
    assert!(forth.iter().all(|folder| error.to_string().contains(&folder.name)), "{error}");
    // A copy on a third card is the same folder, and its own long name still means the same content.
    let alone = served(cards[1].path());
    assert_eq!(alone[0].name, "valley");
    assert_eq!(alone[0].folder.long_name(), forth[1].name);
}

#[test]
fn a_raster_that_goes_on_beyond_the_end_of_its_map_is_found_from_both_sides() {
    // Web Mercator across the antimeridian, as tiles of Fiji are merged: from half a kilometre before the end to half a
    // kilometre after it, and the other way round.
    let end = std::f64::consts::PI * 6_378_137.0;
    for x in [end, -end] {
        let card = tempfile::tempdir().unwrap();
        write(card.path(), "f", chip(3857, x, -2_000_000.0, 1.0, 1000));
        let folders = served(card.path());
        for request in [
            r#"{"points":[[179.997,-17.678]]}"#,
            r#"{"points":[[-179.997,-17.678]]}"#,
            r#"{"points":[[180.003,-17.678],[179.997,-17.678]]}"#,
            r#"{"bbox":[179.997,-17.679,-179.997,-17.677]}"#,
            r#"{"bbox":[179.997,-17.679,180.003,-17.677]}"#,
            r#"{"crs":"EPSG:3857","points":[[-20037400,-2000000],[20037400,-2000000]]}"#,
            r#"{"crs":"source","points":[[20037400,-2000000]]}"#,
            r#"{"crs":"EPSG:32701","points":[[182039,8042911]]}"#,
        ] {
            assert_eq!(answers(&folders, request), "f", "{x}: {request}");
        }
        let elsewhere = answers(&folders, r#"{"points":[[179.9,-17.678]]}"#);
        assert!(elsewhere.contains("no chip"), "{elsewhere}");
        let [west, .., east, _] = folders[0].summary().extent_wgs84.unwrap();
        assert!((west - 179.9955).abs() < 1e-3 && (east + 179.9955).abs() < 1e-3, "{west} {east}");
    }
}

/// A folder of one chip around EPSG:28992's (150000, 450000) whose column and metadata say this.
fn folder_in(column: &str, metadata: Option<&str>) -> Vec<Arc<ServedFolder>> {
    let card = tempfile::tempdir().unwrap();
    let mut rows = chip(28992, 150_000.0, 450_000.0, 1.0, 1000);
    rows[0].crs = column.to_owned();
    let mut builder = ManifestBuilder::new(rows);
    builder.geo =
        metadata.map(|crs| format!(r#"{{"columns": {{"geometry": {{"encoding": "WKB", "crs": {crs}}}}}}}"#));
    builder.write(&card.path().join("f"));
    served(card.path())
}

/// (150000, 450000) in EPSG:28992, by PROJ without grids.
const DUTCH: &str = r#"{"points":[[5.3143309,52.0383057]]}"#;

#[test]
fn a_folder_in_a_compound_crs_is_in_its_horizontal_part() {
    let compound = r#"{"type": "CompoundCRS", "name": "Amersfoort / RD New + NAP height", "id": {"authority": "EPSG", "code": 7415},
        "components": [{"type": "ProjectedCRS", "name": "Amersfoort / RD New", "id": {"authority": "EPSG", "code": 28992}},
                       {"type": "VerticalCRS", "name": "NAP height"}]}"#;
    for (column, metadata) in [
        ("EPSG:7415", Some(compound)),
        ("EPSG:7415", None),
        ("EPSG:28992+5709", None),
        ("EPSG:28992+5709", Some(compound)),
        ("", Some(compound)),
    ] {
        let folders = folder_in(column, metadata);
        assert_eq!(answers(&folders, DUTCH), "f", "{column}");
        for crs in ["EPSG:28992", "EPSG:7415"] {
            let request = format!(r#"{{"points":[[150000,450000]],"crs":"{crs}"}}"#);
            assert_eq!(answers(&folders, &request), "f", "{column}");
        }
    }
    // A CRS that is not supported needs no support for its own coordinates, and the advice is that for a folder.
    let alone = folder_in("EPSG:31287", None);
    assert_eq!(answers(&alone, r#"{"points":[[150000,450000]],"crs":"EPSG:31287"}"#), "f");
    let refusal = answers(&alone, DUTCH);
    assert!(refusal.contains("EPSG:31287") && refusal.contains("reproject the raster"), "{refusal}");
}

#[test]
fn a_code_of_another_authority_is_read_from_the_metadata() {
    let albers = r#"{"type": "ProjectedCRS", "name": "USA_Contiguous_Albers_Equal_Area_Conic", "id": {"authority": "ESRI", "code": 102003},
        "base_crs": {"name": "NAD83", "datum": {"type": "GeodeticReferenceFrame", "name": "North American Datum 1983",
            "ellipsoid": {"name": "GRS 1980", "semi_major_axis": 6378137, "inverse_flattening": 298.257222101}}},
        "conversion": {"name": "x", "method": {"name": "Albers Equal Area"}, "parameters": [
            {"name": "Latitude of false origin", "value": 37.5, "unit": "degree"},
            {"name": "Longitude of false origin", "value": -96, "unit": "degree"},
            {"name": "Latitude of 1st standard parallel", "value": 29.5, "unit": "degree"},
            {"name": "Latitude of 2nd standard parallel", "value": 45.5, "unit": "degree"},
            {"name": "Easting at false origin", "value": 0, "unit": "metre"},
            {"name": "Northing at false origin", "value": 0, "unit": "metre"}]},
        "coordinate_system": {"subtype": "Cartesian", "axis": [
            {"name": "Easting", "abbreviation": "E", "direction": "east", "unit": "metre"},
            {"name": "Northing", "abbreviation": "N", "direction": "north", "unit": "metre"}]}}"#;
    let folders = folder_in("ESRI:102003", Some(albers));
    // (150000, 450000) by PROJ.
    assert_eq!(answers(&folders, r#"{"points":[[-94.1894077,41.5034999]]}"#), "f");
    let refusal = answers(&folder_in("ESRI:102003", None), r#"{"points":[[-94.2,41.5]]}"#);
    assert!(refusal.contains("ESRI:102003"), "{refusal}");
}

#[test]
fn the_advice_for_a_prompts_crs_is_not_that_for_a_folders() {
    let folders = folder_in("EPSG:28992", None);
    let refusal = answers(&folders, r#"{"points":[[1,2]],"crs":"EPSG:4230"}"#);
    assert!(refusal.contains("EPSG:4230") && refusal.contains("give them in EPSG:4326"), "{refusal}");
    assert!(!refusal.contains("raster"), "{refusal}");
}

/// A comb and a block between its teeth: one by one simplified they overlap.
fn comb_and_block() -> crate::mask::Mask {
    let side = 60;
    let set = |row: i32, column: i32| {
        let comb = column < 12 || (row % 12 < 6 && column < 40);
        let block = (row % 12 >= 8 && row % 12 < 10) && column >= 14;
        comb || block
    };
    let pixels: Vec<bool> = (0..side * side).map(|i| set(i / side, i % side)).collect();
    crate::mask::Mask::from_pixels(side as usize, side as usize, &pixels).unwrap()
}

fn polygons(geometry: &crate::geo::Geometry) -> geo::MultiPolygon {
    let ring =
        |ring: &Vec<[f64; 2]>| geo::LineString::from(ring.iter().map(|&[x, y]| (x, y)).collect::<Vec<_>>());
    let polygon = |rings: &Vec<Vec<[f64; 2]>>| {
        let mut rings = rings.iter().map(ring).collect::<Vec<_>>();
        let exterior = rings.remove(0);
        geo::Polygon::new(exterior, rings)
    };
    match geometry {
        crate::geo::Geometry::Polygon(rings) => geo::MultiPolygon::new(vec![polygon(rings)]),
        crate::geo::Geometry::MultiPolygon(parts) => {
            geo::MultiPolygon::new(parts.iter().map(polygon).collect())
        }
    }
}

#[test]
fn the_parts_of_an_object_are_simplified_as_one_and_its_area_is_its_own() {
    use super::answer::{DrawnMask, Writer};
    use crate::api::{CrsChoice, OutputOptions, Vectorization};
    use geo::{Area, BooleanOps, Validation};

    let card = tempfile::tempdir().unwrap();
    write(card.path(), "f", chip(32632, 500_000.0, 5_000_000.0, 0.5, 60));
    let folders = served(card.path());
    let mask = DrawnMask::new(0.9, &comb_and_block());
    assert!(mask.polygons.len() > 2);
    let object = |options: &OutputOptions, bytes: &dyn Fn(&super::MaskObject) -> usize| {
        let mut writer = Writer::new(&folders[0], 0, CrsChoice::WGS84, None).unwrap();
        writer.write_object(&mask, options, bytes).unwrap().unwrap()
    };
    let length = |object: &super::MaskObject| serde_json::to_string(&object.geometry).unwrap().len();
    let plain = object(&OutputOptions::default(), &length);
    assert_eq!((plain.tolerance, plain.pixels), (None, mask.pixels));
    let area = plain.area_m2.unwrap();
    assert!((area / (mask.pixels as f64 * 0.25) - 1.0).abs() < 2e-3, "{area}");
    for tolerance in [1.5, 3.0, 6.0, 20.0] {
        let options =
            OutputOptions { vectorization: Vectorization::Simplified, tolerance, ..OutputOptions::default() };
        let simplified = object(&options, &length);
        assert!(polygons(&simplified.geometry).is_valid(), "{tolerance}: {:?}", simplified.geometry);
        let own = crate::geo::geodesic_area(&simplified.geometry);
        assert!((simplified.area_m2.unwrap() - own).abs() <= 0.005, "{tolerance}");
        assert_eq!(simplified.tolerance, Some(tolerance));
        // As Features of their own they do not overlap either.
        let mut writer = Writer::new(&folders[0], 0, CrsChoice::WGS84, None).unwrap();
        let masks = std::slice::from_ref(&mask);
        let parts = writer.write(masks, &options).unwrap().features;
        assert_eq!(parts.len(), mask.polygons.len());
        let parts: Vec<geo::MultiPolygon> = parts.iter().map(|f| polygons(&f.geometry)).collect();
        let sum: f64 = parts.iter().map(geo::MultiPolygon::unsigned_area).sum();
        let covered = parts.iter().fold(geo::MultiPolygon::empty(), |all, part| all.union(part));
        assert!((covered.unsigned_area() / sum - 1.0).abs() < 1e-6, "{tolerance}");
        // A file of prompts gets the same object as a layer.
        let [feature] = &writer.write_objects(masks, &options).unwrap()[..] else { panic!("one mask") };
        assert_eq!(
            (&feature.geometry, feature.properties.area_m2),
            (&simplified.geometry, simplified.area_m2)
        );
    }
    // The bound is for what is written of it, and what was coarsened says so.
    let less = OutputOptions { max_bytes: Some(length(&plain) * 9 / 10), ..OutputOptions::default() };
    let fitted = object(&less, &length);
    assert!(length(&fitted) <= length(&plain) * 9 / 10 && fitted.tolerance.is_some());
    let whole = OutputOptions { max_bytes: Some(length(&plain)), ..OutputOptions::default() };
    assert_eq!(object(&whole, &length).tolerance, None, "it fits as it is");
    // Equally large parts: the first is the largest.
    let largest = OutputOptions { largest_only: true, ..OutputOptions::default() };
    assert!(object(&largest, &length).pixels < mask.pixels);
}

#[test]
fn holes_below_an_area_on_the_ground_are_filled_and_objects_are_told_as_a_whole() {
    use super::answer::{DrawnMask, Writer};
    use crate::api::{CrsChoice, Finish, OutputOptions, RightAngles};
    use crate::mask::Mask;
    use geo::Validation;

    let card = tempfile::tempdir().unwrap();
    write(card.path(), "f", chip(32632, 500_000.0, 5_000_000.0, 0.5, 60));
    let folders = served(card.path());
    // A house with a yard of 8 x 8 pixels, which is 16 m2, and a disc beside it.
    let pixel = |place: usize| {
        let (x, y) = ((place % 60) as i64, (place / 60) as i64);
        let (house, yard) =
            ((4..28).contains(&x) && (4..24).contains(&y), (12..20).contains(&x) && (10..18).contains(&y));
        (house && !yard) || (x - 42).pow(2) + (y - 40).pow(2) < 150
    };
    let mask = Mask::from_pixels(60, 60, &(0..3600).map(pixel).collect::<Vec<_>>()).unwrap();
    let mask = DrawnMask::new(0.9, &mask);
    for crs in [CrsChoice::WGS84, CrsChoice::Source, CrsChoice::Epsg(3857)] {
        let drawn = |finish: Finish| {
            let options = OutputOptions { crs, finish, measures: true, ..OutputOptions::default() };
            let mut writer = Writer::new(&folders[0], 0, crs, None).unwrap();
            let features = writer.write(std::slice::from_ref(&mask), &options).unwrap().features;
            let object = writer.write_object(&mask, &options, |_| 0).unwrap().unwrap();
            (features, object)
        };
        let holes = |finish: Finish| {
            let (features, object) = drawn(finish);
            assert!(polygons(&object.geometry).is_valid());
            assert_eq!(object.pixels, mask.pixels);
            polygons(&features[0].geometry).0[0].interiors().len()
        };
        let filling = |fill_holes_m2| Finish { fill_holes_m2, ..Finish::default() };
        // The scale of the zone's middle is 0.9996.
        assert_eq!([holes(filling(15.99)), holes(filling(16.05))], [1, 0]);

        let finish = Finish { right_angles: true, smooth: 1.5, ..Finish::default() };
        let (features, object) = drawn(finish);
        let told = |feature: &crate::api::Feature| feature.properties.report.right_angles;
        let house = polygons(&features[0].geometry);
        assert_eq!((told(&features[0]), house.0[0].exterior().0.len()), (Some(RightAngles::Kept), 5));
        assert_eq!(house.0[0].interiors()[0].0.len(), 5);
        let report = features[0].properties.report;
        // 24 x 20 pixels around, 8 x 8 inside.
        assert!((report.perimeter_m.unwrap() - 60.0 / 0.9996).abs() < 0.05, "{report:?}");
        assert_eq!((report.orientation_deg.map(f64::round), report.elongation), (Some(90.0), Some(1.2)));
        // The disc has none, and so the object as a whole.
        let parts = [told(&features[1]), object.report.right_angles];
        assert_eq!(parts[0].max(parts[1]), parts[1]);
        assert!(object.report.perimeter_m > report.perimeter_m);
    }
}

#[test]
fn objects_drawn_at_once_are_those_that_an_answer_is_drawn_to_afterwards() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folders = served(&fixtures.join("folder_sam"));
    let engine = Engine::open(&EngineOptions {
        models: fixtures.join("models"),
        engine: EngineChoice::Auto,
        threads: 2,
        cache_bytes: 64 << 20,
    })
    .unwrap();
    let point = r#""crs":"EPSG:32633","points":[[458120,5427215]]"#;
    for (output, crs) in [
        (r#"{"crs":"source","multimask":true}"#, Some("urn:ogc:def:crs:EPSG::32633")),
        (r#"{"vectorization":"simplified"}"#, None),
    ] {
        let item = item(&format!(r#"{{{point},"output":{output}}}"#));
        // The ways to the output CRS are learnt by the first of each, and used by the second.
        for _ in 0..2 {
            let answer = engine.segment(&folders, &item).unwrap();
            let (at_once, objects) = engine.segment_objects(&folders, &item).unwrap();
            assert!(!objects.is_empty());
            let afterwards = answer.objects(&item.output).unwrap();
            assert_eq!(serde_json::json!(objects), serde_json::json!(afterwards));
            assert_eq!(at_once.collection().crs.as_ref().map(|crs| crs.name.as_str()), crs);
            assert_eq!(at_once.collection().crs, answer.collection().crs);
            assert_eq!(at_once.logits, answer.logits);
        }
    }
}
