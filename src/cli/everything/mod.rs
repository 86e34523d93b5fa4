//! `everything`: all objects of a folder, or of a part of it, as they are found. `fleet` has the boards of a group ask the chips,
//! `handout` says which.

mod fleet;
mod handout;

use std::path::PathBuf;

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

pub use self::fleet::FleetError;
use self::fleet::{FleetArgs, Question};
use super::CliError;
use super::features::FeatureWriter;
use super::finish_args::FinishArgs;
use super::models_dir::{MODELS_VARIABLE, models_dir, models_parser};
use super::output::note;
use super::segment::{CACHE_BYTES, all_cores, open_folders};
use super::segment_args::{Drawing, TOLERANCE, area, bounds, checked_sides, crs, tolerance};
use crate::api::{CrsChoice, EverythingOptions, MOST_POINTS_PER_SIDE, OutputOptions, PromptItem, PromptSet};
use crate::engine::{Engine, EngineChoice, EngineOptions, FoundObject, Step, Survey};
use crate::geo::Bounds;

const EXAMPLES: &str = "\
Examples:
  All objects of a folder, one GeoJSON Feature a line, as they are found:
    geosam-edge everything /card/beiluhe --output objects.geojsonl

  Of a part of it, as one FeatureCollection for a map, smooth, without what is smaller than 20 square metres:
    geosam-edge everything /card/beiluhe --box 92.72,35.07,92.74,35.09 --vectorization simplified \\
        --min-area 20 --output objects.geojson

  Finer, for small objects; every chip costs (points per side)^2 prompts:
    geosam-edge everything /card/beiluhe --points-per-side 64 --output objects.geojsonl

  Over the boards of a group, which serve the same folder with the same model:
    geosam-edge everything /card/beiluhe --fleet field --broker mqtt://broker.lan --output objects.geojsonl

  Nothing is found, or too little: the model is less sure of your images. Lower the filters one by one:
    geosam-edge everything /card/beiluhe --pred-iou-thresh 0.8 --stability-score-thresh 0.9

Each Feature says how sure the model is (score, stability_score), which chips the object lies on (chips), and whether it ends
within them (complete; incomplete_because: raster_edge, area where --box ends, disagreement, max_chips).

Exit status: 0 all was asked, 1 a chip could not be read or something failed, 2 the command line is wrong.";

/// Find everything in a folder, or in a part of it, and write it as GeoJSON: each object once, over all chips.
///
/// A grid of points is asked on every chip; where chips overlap, each place is asked on one of them. Masks that the
/// model is not sure of, and duplicates, are left out; what a chip's border cuts is put together with what lies beyond.
/// The filters have the names and the values that segment-anything gave them.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, or its manifest.
    pub folder: PathBuf,

    /// Directory of imported models [default: `models` beside the folder, else
    /// /var/lib/geosam-edge/models].
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// Only what a point of this box gives: west, south, east, north. Objects that go on beyond it come whole, as far
    /// as its chips reach.
    #[arg(long = "box", value_name = "W,S,E,N", value_parser = bounds, allow_hyphen_values = true)]
    pub bbox: Option<Bounds>,

    /// CRS of the box: EPSG:n, or `source` for the folder's own.
    #[arg(long, value_name = "EPSG:n", default_value = "EPSG:4326", value_parser = crs)]
    pub crs: CrsChoice,

    /// Where the objects go; `-` is standard output. One Feature a line, or one FeatureCollection where the name ends
    /// in .geojson or .json.
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

    /// Parts with a smaller area on the ground are left out, in square metres.
    #[arg(long, value_name = "M2", default_value_t = 0.0, value_parser = area)]
    pub min_area: f64,

    /// Holes, staircases, right angles, measures.
    #[command(flatten)]
    pub finish: FinishArgs,

    /// Points along each side of a chip.
    #[arg(long, value_name = "N", default_value_t = EverythingOptions::default().points_per_side,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_POINTS_PER_SIDE)))]
    pub points_per_side: u16,

    /// Masks with a lower predicted IoU are left out, 0 to 1.
    #[arg(long, value_name = "IOU", default_value_t = EverythingOptions::default().pred_iou_thresh, value_parser = share)]
    pub pred_iou_thresh: f32,

    /// Masks with a lower stability score are left out, 0 to 1: the share of a mask that stays when the cutoff is
    /// raised.
    #[arg(long, value_name = "SCORE", default_value_t = EverythingOptions::default().stability_score_thresh,
        value_parser = share)]
    pub stability_score_thresh: f32,

    /// How far the cutoff of the logits is raised and lowered for the stability score.
    #[arg(long, value_name = "LOGIT", default_value_t = EverythingOptions::default().stability_score_offset,
        value_parser = offset)]
    pub stability_score_offset: f32,

    /// Of two masks of a chip with a greater IoU the less sure one is a duplicate, 0 to 1.
    #[arg(long, value_name = "IOU", default_value_t = EverythingOptions::default().nms_thresh, value_parser = share)]
    pub nms_thresh: f32,

    /// Regions of an object with fewer pixels are left out.
    #[arg(long, value_name = "PIXELS", default_value_t = EverythingOptions::default().min_mask_region_area)]
    pub min_mask_region_area: u64,

    /// Which engine decodes: "fused" (what "auto" takes), or "tract", the slower one that it is verified against.
    #[arg(long, value_name = "ENGINE", default_value = "auto", value_parser = super::engine_flag::processor_engine())]
    pub engine: EngineChoice,

    /// Threads of the decoder [default: all cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// A group of boards that asks the chips.
    #[command(flatten, next_help_heading = "Over many boards")]
    pub fleet: FleetArgs,
}

impl Args {
    /// Finds everything; `false` where a chip could not be read.
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let item = PromptItem {
            crs: self.crs,
            prompt: PromptSet { bbox: checked_sides(self.bbox, self.crs)?, ..PromptSet::default() },
            output: self.output_options(),
            ..PromptItem::default()
        };
        self.vectorization.check(self.tolerance)?;
        super::ending::check_geojson(&self.output)?;
        let folders = open_folders(&self.folder)?;
        let engine = Engine::open(&EngineOptions {
            models: models_dir(self.models.as_deref(), Some(&self.folder)),
            engine: self.engine,
            threads: self.threads.map_or_else(all_cores, usize::from),
            cache_bytes: CACHE_BYTES,
        })?;
        let mut survey = engine.survey(&folders, &item, self.options())?;
        let question = Question {
            crs: self.crs.to_string(),
            bbox: self.bbox.map(|b| [b.min_x, b.min_y, b.max_x, b.max_y]),
            options: json!(self.options()),
        };
        let sha256 = engine.decoders().sha256_of(survey.folder().folder.checkpoint());
        let mut fleet = self.fleet.open(&survey, sha256, question)?;
        let mut writer = FeatureWriter::create(&self.output)?;
        let bar = ProgressBar::new(survey.progress().1 as u64);
        let style = ProgressStyle::with_template("asking [{wide_bar}] {pos}/{len} chips, {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("no objects yet");
        let mut found = 0u64;
        loop {
            let step = match &mut fleet {
                Some(fleet) => fleet.advance(&engine, &mut survey)?,
                None => engine.advance(&mut survey, &|| false)?,
            };
            match step {
                Step::Done => break,
                Step::Paused => {}
                Step::Chip(objects) => {
                    for object in objects {
                        found += 1;
                        writer.write(&feature(found, &object, &survey), survey.crs())?;
                    }
                    bar.set_position(survey.progress().0 as u64);
                    bar.set_message(format!("{found} objects"));
                }
            }
        }
        bar.finish_and_clear();
        let (skipped, chips) = (survey.skipped().1, survey.progress().1);
        if chips == 0 || skipped < chips {
            writer.finish()?;
        } else if self.output.is_file() {
            note(&format_args!("{} is left as it was", self.output.display()));
        }
        Ok(tell(&survey, found))
    }

    fn output_options(&self) -> OutputOptions {
        self.finish.over(OutputOptions {
            crs: self.output_crs,
            vectorization: self.vectorization.into(),
            tolerance: self.tolerance.unwrap_or(TOLERANCE),
            min_area_m2: self.min_area,
            ..OutputOptions::default()
        })
    }

    const fn options(&self) -> EverythingOptions {
        EverythingOptions {
            points_per_side: self.points_per_side,
            pred_iou_thresh: self.pred_iou_thresh,
            stability_score_thresh: self.stability_score_thresh,
            stability_score_offset: self.stability_score_offset,
            nms_thresh: self.nms_thresh,
            min_mask_region_area: self.min_mask_region_area,
        }
    }
}

/// An object as the text of a Feature. "type" comes first: by it GDAL knows lines of Features.
fn feature(id: u64, object: &FoundObject, survey: &Survey) -> String {
    let properties = Value::Object(object.properties(survey.folder()));
    let geometry = json!(object.object.geometry);
    format!("{{\"type\":\"Feature\",\"id\":{id},\"geometry\":{geometry},\"properties\":{properties}}}")
}

/// What was found, and which chips could not be read.
fn tell(survey: &Survey, found: u64) -> bool {
    let (skipped, count) = survey.skipped();
    for (chip, problem) in skipped {
        note(&format_args!("chip {chip} is passed over: {problem}"));
    }
    if count > skipped.len() {
        note(&format_args!("{} more chips are passed over", count - skipped.len()));
    }
    let chips = survey.progress().1;
    let advice =
        if found == 0 { "; --pred-iou-thresh and --stability-score-thresh may be lowered" } else { "" };
    let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let asked = chips.saturating_sub(count);
    let of = if count == 0 { String::new() } else { format!("{asked} of ") };
    note(&format_args!("{} on {of}{}{advice}", counted(found, "object"), counted(chips as u64, "chip")));
    count == 0
}

fn share(text: &str) -> Result<f32, String> {
    number(text, 1.0)
}

fn offset(text: &str) -> Result<f32, String> {
    number(text, 100.0)
}

fn number(text: &str, most: f32) -> Result<f32, String> {
    let value: f32 = text.trim().parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    if (0.0..=most).contains(&value) { Ok(value) } else { Err(format!("{text} is not from 0 to {most}")) }
}
