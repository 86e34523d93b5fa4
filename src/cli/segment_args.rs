//! The arguments of `segment`, and the prompt that they make.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueEnum};

use super::CliError;
use super::ending::{check_geojson, check_png, check_responses};
use super::finish_args::FinishArgs;
use super::models_dir::{MODELS_VARIABLE, models_parser};
use crate::api::{
    CrsChoice, MAX_CHIPS, MOST_TOLERANCE, Multimask, OutputOptions, PromptItem, PromptSet, Vectorization,
    checked_box,
};
use crate::engine::EngineChoice;
use crate::geo::Bounds;

const EXAMPLES: &str = "\
Examples:
  One point, longitude and latitude:
    geosam-edge segment /card/beiluhe --point 92.7291,35.0783

  A foreground and a background point inside a box, simplified, into a file:
    geosam-edge segment /card/beiluhe --box 92.727,35.077,92.731,35.080 \\
        --point 92.7291,35.0783 --point 92.7301,35.0790,0 --vectorization simplified --output pond.geojson

  In the folder's own coordinates:
    geosam-edge segment /card/beiluhe --crs source --point 474620.5,3882210.5 --output-crs source

  And a picture to look at:
    geosam-edge segment /card/beiluhe --point 92.7291,35.0783 --overlay pond.png

  The trees that were clicked in QGIS, each one object, with its own attributes:
    geosam-edge segment /card/beiluhe --prompts trees.geojson --output crowns.geojsonl

  Twice, the second time from its own mask:
    geosam-edge segment /card/beiluhe --point 92.7291,35.0783 --refine

  Corrected: the answer \"b\" starts from the mask of \"a\", and has one more point:
    printf '%s\\n' '{\"id\":\"a\",\"points\":[[92.7291,35.0783]]}' \\
        '{\"id\":\"b\",\"mask_of\":\"a\",\"points\":[[92.7291,35.0783],[92.7301,35.0790]],\"labels\":[1,0]}' |
        geosam-edge segment /card/beiluhe --request -

  Roofs with right angles, each with its perimeter and the bearing of its long side:
    geosam-edge segment /card/beiluhe --prompts houses.geojson --right-angles --measures --output roofs.geojsonl

  Many prompts, one request JSON a line (the same as over MQTT), one response a line:
    geosam-edge segment /card/beiluhe --request prompts.jsonl > responses.jsonl

Exit status: 0 all was answered, 1 a prompt was refused or something failed, 2 the command line is wrong.";

/// Segment the object under a prompt and print it as a GeoJSON FeatureCollection (RFC 7946).
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, its manifest, or the directory above several folders.
    pub folder: PathBuf,

    /// Directory of imported models [default: `models` beside the folder, else
    /// /var/lib/geosam-edge/models].
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// A point; LABEL is 1 for foreground (default) or 0 for background. Repeatable.
    #[arg(long = "point", value_name = "X,Y[,LABEL]", value_parser = point, allow_hyphen_values = true)]
    pub points: Vec<LabelledPoint>,

    /// A box around the object: west, south, east, north.
    #[arg(long = "box", value_name = "W,S,E,N", value_parser = bounds, allow_hyphen_values = true)]
    pub bbox: Option<Bounds>,

    /// CRS of the coordinates given: EPSG:n, or `source` for the folder's own.
    #[arg(long, value_name = "EPSG:n", default_value = "EPSG:4326", value_parser = crs)]
    pub crs: CrsChoice,

    /// Objects drawn in another program: GeoJSON, GeoJSON lines, FlatGeobuf, or CSV with columns lon, lat (or wkt) and,
    /// where wanted, label and object. Each feature is an object, or all those with one value of `object`; its properties
    /// come back with its outline, one Feature a line, chip by chip and not in the file's order. `-` reads standard input.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["points", "bbox", "request"])]
    pub prompts: Option<PathBuf>,

    /// Requests in the JSON of the MQTT interface, one a line or over several lines; `-` reads standard input. What a
    /// request does not say is as the flags here say.
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["points", "bbox"])]
    pub request: Option<PathBuf>,

    /// Where the answer goes; `-` is standard output. It is GeoJSON, whatever the prompts came in: a file ends in .geojson, or in
    /// .geojsonl where it holds an answer or a Feature a line.
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub output: PathBuf,

    /// CRS of the answer: EPSG:n, or `source` for the folder's own.
    #[arg(long, value_name = "EPSG:n|source", default_value = "EPSG:4326", value_parser = crs)]
    pub output_crs: CrsChoice,

    /// How polygons are drawn: along pixel edges, or simplified with the topology kept.
    #[arg(long, value_enum, default_value_t)]
    pub vectorization: Drawing,

    /// Tolerance of --vectorization simplified, in source pixels [default: 1.5].
    #[arg(long, value_name = "PIXELS", value_parser = tolerance)]
    pub tolerance: Option<f64>,

    /// Keep only the largest polygon.
    #[arg(long)]
    pub largest_only: bool,

    /// Holes, staircases, right angles, measures.
    #[command(flatten)]
    pub finish: FinishArgs,

    /// Return the model's three candidate masks instead of the single one, or the best of the three by its predicted IoU: a single
    /// click may mean a window, a house or a block.
    #[arg(long, value_enum, value_name = "best", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub multimask: Option<Candidates>,

    /// Follow the object beyond its chip into the neighbours: the whole lake, the whole road. Boxes larger than a chip and points on
    /// several chips are taken.
    #[arg(long)]
    pub stitch: bool,

    /// Chips that one object is followed over at the most.
    #[arg(long, value_name = "N", default_value_t = MAX_CHIPS, requires = "stitch",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_chips: u16,

    /// Decode each prompt twice, the second time from the mask of the first, as segment-anything refines a mask. A request
    /// of --request may say "refine": false; or "mask_of" with the id of an earlier request of the same input, whose mask
    /// it starts from instead (those of the last 64 are kept). The model must have been imported with the parameters for
    /// masks.
    #[arg(long)]
    pub refine: bool,

    /// A picture of the first mask over the raster beside the folder, with the prompt drawn; a PNG.
    #[arg(long, value_name = "FILE.png", conflicts_with_all = ["request", "prompts"])]
    pub overlay: Option<PathBuf>,

    /// The raster under the picture, in place of the one found beside the folder.
    #[arg(long, value_name = "FILE.tif", requires = "overlay")]
    pub raster: Option<PathBuf>,

    /// Which engine decodes: "fused" (what "auto" takes), or "tract", the slower one that it is verified against.
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = super::engine_flag::processor_engine())]
    pub engine: EngineChoice,

    /// Threads of the decoder [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Write `<id>.logits.npy` and `<id>.mask.png` of every request here; without an id its line number.
    #[arg(long, value_name = "DIR")]
    pub dump: Option<PathBuf>,
}

/// Whether two names lead to one regular file.
pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// `--point`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledPoint {
    position: [f64; 2],
    foreground: bool,
}

/// `--vectorization`.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Drawing {
    /// Along the pixel edges.
    #[default]
    Pixel,
    /// Simplified by the tolerance.
    Simplified,
}

/// Of simplification, unless another is given.
pub(super) const TOLERANCE: f64 = 1.5;

impl Drawing {
    /// Refuses a tolerance that nothing would use.
    pub(super) fn check(self, tolerance: Option<f64>) -> Result<(), CliError> {
        match (self, tolerance) {
            (Self::Pixel, Some(_)) => {
                let message =
                    "--tolerance simplifies nothing by itself: give --vectorization simplified with it";
                Err(CliError::Usage(message.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

impl From<Drawing> for Vectorization {
    fn from(drawing: Drawing) -> Self {
        match drawing {
            Drawing::Pixel => Self::Pixel,
            Drawing::Simplified => Self::Simplified,
        }
    }
}

/// `--multimask`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Candidates {
    /// All three.
    All,
    /// The one with the highest predicted IoU.
    Best,
}

impl Args {
    /// Refuses what cannot be written as asked, before anything is read.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.stitch && self.multimask == Some(Candidates::All) {
            let message = "--stitch follows one mask: it does not go with --multimask; give --multimask=best";
            return Err(CliError::Usage(message.to_owned()));
        }
        if self.overlay.as_ref() == Some(&self.output) && self.output != Path::new("-") {
            let path = self.output.display();
            return Err(CliError::Usage(format!(
                "--output and --overlay both name {path}; one would be lost"
            )));
        }
        if self.request.is_none() {
            self.vectorization.check(self.tolerance)?;
        }
        let mut inputs = self.prompts.iter().chain(&self.request);
        if let Some(input) = inputs.find(|input| is_same_file(input, &self.output)) {
            let input = input.display();
            let message = format!("--output is {input} itself, which would be lost; name another file");
            return Err(CliError::Usage(message));
        }
        match &self.request {
            Some(_) => check_responses(&self.output)?,
            None => check_geojson(&self.output)?,
        }
        self.overlay.as_deref().map_or(Ok(()), check_png)
    }

    /// What a request that says nothing else inherits from the flags.
    pub(super) fn defaults(&self) -> PromptItem {
        let output = self.output_options();
        let stitch = self.stitch();
        PromptItem { crs: self.crs, output, stitch, refine: self.refine, ..PromptItem::default() }
    }

    /// The one prompt that the flags describe, of so many points at the most.
    pub(super) fn prompt(&self, max_points: usize) -> Result<PromptSet, CliError> {
        let prompt = PromptSet {
            points: self.points.iter().map(|p| p.position).collect(),
            foreground: self.points.iter().map(|p| p.foreground).collect(),
            bbox: self.bbox()?,
        };
        if prompt.is_empty() {
            let message =
                "nothing to segment: give --point X,Y, --box W,S,E,N, --prompts FILE or --request FILE";
            return Err(CliError::Usage(message.to_owned()));
        }
        if prompt.points.len() > max_points {
            let message =
                format!("{} points are given; a prompt has {max_points} at the most", prompt.points.len());
            return Err(CliError::Usage(message));
        }
        Ok(prompt)
    }

    fn stitch(&self) -> Option<u16> {
        self.stitch.then_some(self.max_chips)
    }

    /// The box, in the CRS of the coordinates given: in degrees it may lie across the antimeridian.
    fn bbox(&self) -> Result<Option<Bounds>, CliError> {
        checked_sides(self.bbox, self.crs)
    }

    fn output_options(&self) -> OutputOptions {
        self.finish.over(OutputOptions {
            crs: self.output_crs,
            vectorization: self.vectorization.into(),
            tolerance: self.tolerance.unwrap_or(TOLERANCE),
            largest_only: self.largest_only,
            multimask: match self.multimask {
                None => Multimask::Off,
                Some(Candidates::All) => Multimask::All,
                Some(Candidates::Best) => Multimask::Best,
            },
            ..OutputOptions::default()
        })
    }
}

fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let number = |part: &str| {
        let value: f64 = part.trim().parse().map_err(|_| format!("\"{part}\" is not a number"))?;
        if value.is_finite() { Ok(value) } else { Err(format!("\"{part}\" is not a finite number")) }
    };
    text.split(',').map(number).collect()
}

fn point(text: &str) -> Result<LabelledPoint, String> {
    match *numbers(text)? {
        [x, y] => Ok(LabelledPoint { position: [x, y], foreground: true }),
        [x, y, label] if label == 1.0 || label == 0.0 => {
            Ok(LabelledPoint { position: [x, y], foreground: label == 1.0 })
        }
        [_, _, label] => Err(format!("label {label} is neither 1 (foreground) nor 0 (background)")),
        _ => Err("a point is X,Y or X,Y,LABEL".to_owned()),
    }
}

/// The box of `--box`, whose sides must lie as the CRS has them.
pub(super) fn checked_sides(sides: Option<Bounds>, crs: CrsChoice) -> Result<Option<Bounds>, CliError> {
    let checked = sides.map(|sides| checked_box(sides.into(), crs)).transpose();
    checked.map_err(|problem| CliError::Usage(format!("--box has {problem}; the order is W,S,E,N")))
}

pub(super) fn bounds(text: &str) -> Result<Bounds, String> {
    match *numbers(text)? {
        // Whether west may exceed east depends on the CRS.
        [west, south, east, north] => Ok(Bounds::new(west, south, east, north)),
        _ => Err("a box is W,S,E,N".to_owned()),
    }
}

pub(super) fn crs(text: &str) -> Result<CrsChoice, String> {
    CrsChoice::parse(text).map_err(|error| format!("{error}; give EPSG:n (for example EPSG:4326), or source"))
}

pub(super) fn tolerance(text: &str) -> Result<f64, String> {
    match not_negative(text) {
        Ok(value) if value <= MOST_TOLERANCE => Ok(value),
        _ => Err(format!("a tolerance is one number of source pixels from 0 to {MOST_TOLERANCE}")),
    }
}

pub(super) fn area(text: &str) -> Result<f64, String> {
    not_negative(text).map_err(|()| "an area is one number of square metres, 0 or more".to_owned())
}

/// One number that is not negative.
pub(super) fn not_negative(text: &str) -> Result<f64, ()> {
    match numbers(text).as_deref() {
        Ok(&[value]) if value >= 0.0 => Ok(value),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_takes_an_optional_label_of_one_or_zero() {
        assert_eq!(point("1,2").unwrap(), LabelledPoint { position: [1.0, 2.0], foreground: true });
        assert!(!point("-1.5, 2,0").unwrap().foreground);
        for bad in ["1", "1,2,3", "1,2,1,1", "NaN,2", "inf,2", "a,b", ""] {
            assert!(point(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_reversed_box_names_the_side_that_is_reversed() {
        let refused = |text, crs| checked_box(bounds(text).unwrap().into(), crs).unwrap_err();
        let utm = CrsChoice::parse("EPSG:32632").unwrap();
        assert!(refused("3,0,1,1", utm).contains("west 3"));
        assert!(refused("0,3,1,1", CrsChoice::WGS84).contains("south 3"));
        assert!(checked_box(bounds("0,0,1,1").unwrap().into(), utm).is_ok());
        assert!(bounds("0,0,1").is_err());
    }
}
