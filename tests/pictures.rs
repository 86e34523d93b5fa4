//! Pictures of the demo: what is drawn where.

mod support;

use std::path::{Path, PathBuf};

use geosam_edge::catalog::{ChipRef, Folder};
use geosam_edge::geo::{Crs, Transform};
use serde_json::Value;
use support::{run, stdout_of};
use tiff::encoder::{TiffEncoder, colortype::Gray8};
use tiff::tags::Tag;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo")
}

/// A card with the demo's folder, and no raster beside it.
fn valley() -> (tempfile::TempDir, PathBuf) {
    let card = tempfile::tempdir().unwrap();
    let folder = card.path().join("valley");
    std::fs::create_dir(&folder).unwrap();
    for name in ["manifest.parquet", "features"] {
        std::os::unix::fs::symlink(demo().join("features").join(name), folder.join(name)).unwrap();
    }
    (card, folder)
}

/// As clipped to what somebody works on.
#[test]
fn info_says_of_a_raster_under_some_chips_alone_how_many_they_are() {
    let (card, folder) = valley();
    let file = std::fs::File::create(card.path().join("scene.tif")).unwrap();
    let mut encoder = TiffEncoder::new(file).unwrap();
    let mut image = encoder.new_image::<Gray8>(64, 64).unwrap();
    let written = image.encoder();
    written.write_tag(Tag::ModelPixelScaleTag, &[0.5, 0.5, 0.0][..]).unwrap();
    // In the corner that the last chip alone has.
    written.write_tag(Tag::ModelTiepointTag, &[0.0, 0.0, 0.0, 512_980.0, 5_277_270.0, 0.0][..]).unwrap();
    image.write_data(&[7; 64 * 64]).unwrap();
    let folder = folder.to_str().unwrap();
    let text = stdout_of(&run(&["info", folder]));
    assert!(text.contains("scene.tif (under 1 of 6 chips)\n"), "{text}");
    let reports: Value = serde_json::from_str(&stdout_of(&run(&["info", folder, "--json"]))).unwrap();
    assert_eq!(reports[0]["raster"]["chips_above"], serde_json::json!([1, 6]));
    let whole = demo().join("features");
    let text = stdout_of(&run(&["info", whole.to_str().unwrap()]));
    assert!(text.contains("scene.tif\n") && !text.contains("(under"), "{text}");
}

#[test]
fn info_says_of_a_raster_that_cannot_be_shown_what_the_overlay_says() {
    let (card, folder) = valley();
    // TIFF's entry of the compression, one short, as that of ZSTD.
    let mut raster = std::fs::read(demo().join("scene.tif")).unwrap();
    let entry = [3, 1, 3, 0, 1, 0, 0, 0];
    let at = raster.windows(entry.len()).position(|part| part == entry).unwrap() + entry.len();
    raster[at..at + 2].copy_from_slice(&50_000_u16.to_le_bytes());
    std::fs::write(card.path().join("scene.tif"), raster).unwrap();

    let folder = folder.to_str().unwrap();
    let told = "its compression ZSTD is not read; it can be rewritten with: gdal_translate";
    let text = stdout_of(&run(&["info", folder]));
    assert!(text.contains("none that can be shown: ") && text.contains(told), "{text}");
    let reports: Value = serde_json::from_str(&stdout_of(&run(&["info", folder, "--json"]))).unwrap();
    let raster = &reports[0]["raster"];
    assert!(raster["path"].is_null() && raster["problems"][0].as_str().unwrap().contains(told), "{raster}");
    let picture = card.path().join("a.png");
    let models = demo().join("models");
    let point = ponds()[0];
    let words =
        ["segment", folder, "--models", models.to_str().unwrap(), "--overlay", picture.to_str().unwrap()];
    let output = run(&[&words[..], &["--point", &format!("{},{}", point.0, point.1)]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains(told));
}

struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn read(path: &Path) -> Self {
        let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        assert_eq!((info.width, info.height), (1024, 1024));
        Self { width: info.width as usize, pixels }
    }

    fn at(&self, column: f64, row: f64) -> [u8; 3] {
        let at = (row as usize * self.width + column as usize) * 3;
        self.pixels[at..at + 3].try_into().unwrap()
    }
}

/// Points well inside two ponds that lie together on a chip, in degrees.
fn ponds() -> [(f64, f64); 2] {
    let truth: Value = serde_json::from_slice(&std::fs::read(demo().join("truth.geojson")).unwrap()).unwrap();
    let features = truth["features"].as_array().unwrap();
    let inside = |index: usize| {
        let mut ponds = features.iter().filter(|f| f["properties"]["kind"] == "pond");
        let point = &ponds.nth(index).unwrap()["properties"]["inside"];
        (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())
    };
    [inside(0), inside(2)]
}

fn pixel(chip: &ChipRef<'_>, (lon, lat): (f64, f64)) -> (f64, f64) {
    let to_utm = Transform::new(&Crs::wgs84(), &Crs::from_epsg(32632).unwrap()).unwrap();
    let (x, y) = to_utm.point(lon, lat).unwrap();
    chip.to_pixel(x, y)
}

/// Runs `segment` on a foreground and a background point and looks at the picture.
fn look(features: &Path, picture: &Path, see: impl Fn(&Picture, (f64, f64), (f64, f64))) {
    let [kept, other] = ponds();
    let models = demo().join("models");
    let answer = stdout_of(&run(&[
        "segment",
        features.to_str().unwrap(),
        "--models",
        models.to_str().unwrap(),
        "--point",
        &format!("{},{}", kept.0, kept.1),
        "--point",
        &format!("{},{},0", other.0, other.1),
        "--overlay",
        picture.to_str().unwrap(),
    ]));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = answer["features"][0]["properties"]["chip_id"].as_str().unwrap();
    let folder = Folder::discover(features).unwrap().into_folders().unwrap().remove(0);
    let chip = folder.chips().find(|chip| chip.id == id).unwrap();
    see(&Picture::read(picture), pixel(&chip, kept), pixel(&chip, other));
}

#[test]
fn an_overlay_shows_prompts_and_the_mask_over_the_raster() {
    let work = tempfile::tempdir().unwrap();
    look(&demo().join("features"), &work.path().join("pond.png"), |picture, kept, other| {
        assert_eq!(picture.at(kept.0, kept.1), [0, 220, 0], "foreground is green");
        assert_eq!(picture.at(other.0, other.1), [230, 0, 0], "background is red");
        // Beside the points: magenta over the water here, the water itself there.
        let [red, green, blue] = picture.at(kept.0, kept.1 + 14.0);
        assert!(red > 90 && green < red && blue > 90, "{red} {green} {blue} is not of the mask");
        let [red, _, blue] = picture.at(other.0, other.1 + 14.0);
        assert!(blue > red, "the other pond is water without a mask: {red} {blue}");
    });
}

#[test]
fn without_a_raster_the_backdrop_is_plain() {
    let work = tempfile::tempdir().unwrap();
    let features = work.path().join("card/features");
    std::fs::create_dir_all(features.join("features")).unwrap();
    let original = demo().join("features");
    std::fs::copy(original.join("manifest.parquet"), features.join("manifest.parquet")).unwrap();
    for chip in 0..6 {
        let name = format!("features/chip_{chip:06}.pt");
        std::os::unix::fs::symlink(original.join(&name), features.join(&name)).unwrap();
    }
    look(&features, &work.path().join("pond.png"), |picture, kept, other| {
        assert_eq!(picture.at(kept.0, kept.1), [0, 220, 0]);
        assert_eq!(picture.at(other.0, other.1 + 14.0), [72, 76, 80]);
    });
}

#[test]
fn the_raster_that_is_shown_is_told_and_one_that_is_named_must_be_there() {
    let work = tempfile::tempdir().unwrap();
    let (features, models, scene) =
        (demo().join("features"), demo().join("models"), demo().join("scene.tif"));
    let (x, y) = ponds()[0];
    let draw = |more: &[&str]| {
        let (point, picture) = (format!("{x},{y}"), work.path().join("a.png"));
        let mut words = vec!["segment", features.to_str().unwrap(), "--models", models.to_str().unwrap()];
        words.extend(["--point", &point, "--overlay", picture.to_str().unwrap()]);
        words.extend(more);
        let output = run(&words);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, told) = draw(&[]);
    assert_eq!(status, Some(0));
    assert!(told.starts_with("the picture shows ") && told.trim_end().ends_with("scene.tif"), "{told}");
    assert_eq!(draw(&["--raster", scene.to_str().unwrap()]), (Some(0), String::new()));
    let (status, told) = draw(&["--raster", "/nowhere/a.tif"]);
    assert_eq!(status, Some(1));
    assert!(told.contains("/nowhere/a.tif: No such file"), "{told}");
}

#[test]
fn an_overlay_is_for_one_prompt_and_goes_to_a_file() {
    let features = demo().join("features");
    let features = features.to_str().unwrap();
    assert!(!run(&["segment", features, "--request", "-", "--overlay", "a.png"]).status.success());
}

#[test]
fn a_footprint_draws_every_chip_with_its_id() {
    let features = demo().join("features");
    let drawing = stdout_of(&run(&["footprint", features.to_str().unwrap()]));
    assert!(drawing.starts_with("<svg ") && drawing.trim_end().ends_with("</svg>"), "{drawing}");
    assert_eq!(drawing.matches("<polygon ").count(), 6);
    let folder = Folder::discover(&features).unwrap().into_folders().unwrap().remove(0);
    for chip in folder.chips() {
        assert!(drawing.contains(&format!(">{}</text>", chip.id)), "{}", chip.id);
    }
    assert!(drawing.contains("200 m") && drawing.contains("EPSG:32632"), "{drawing}");
}

#[test]
fn a_footprint_as_png_shows_the_chips_and_no_other_ending_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let features = demo().join("features");
    let path = directory.path().join("chips.png");
    stdout_of(&run(&["footprint", features.to_str().unwrap(), "--output", path.to_str().unwrap()]));
    let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let picture = Picture { width: info.width as usize, pixels };
    assert_eq!((info.width, info.height), (1040, 840));
    // Beside the drawing, on the edge of the first chip, inside one, and where four overlap.
    assert_eq!(picture.at(5.0, 5.0), [255, 255, 255]);
    assert_eq!(picture.at(MARGIN, 100.0), [31, 119, 180]);
    let (one, four) = (picture.at(60.0, 60.0), picture.at(400.0, 400.0));
    assert!(one[0] < 238 && four[0] < one[0] && four[2] > four[0], "{one:?} {four:?}");

    let other = directory.path().join("chips.gif");
    let refused = run(&["footprint", features.to_str().unwrap(), "--output", other.to_str().unwrap()]);
    assert!(!refused.status.success() && !other.exists());
    assert!(String::from_utf8_lossy(&refused.stderr).contains(".svg or .png"));
}

const MARGIN: f64 = 20.0;
