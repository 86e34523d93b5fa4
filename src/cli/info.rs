//! `info`: what a folder holds, and what it needs to be answered: model, files, raster. How that is found out is in
//! `info_facts`.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::CliError;
use super::info_facts::{self, ModelFact, RasterFact};
use super::models_dir::{MODELS_VARIABLE, models_dir, models_parser};
use super::output::{Output, note};
use crate::catalog::{Folder, FolderSummary};
use crate::engine::ServedFolder;
use crate::models::ModelStore;

const EXAMPLES: &str = "\
Examples:
  geosam-edge info /card/beiluhe
  geosam-edge info /card --json | jq '.[].chips'

Exit status: 0 every folder can be read, 1 one cannot.";

/// Tell what a folder holds: chips, model, CRS, extent, pixel size, missing chips.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder, its manifest, or the directory above several folders.
    pub folder: PathBuf,

    /// Directory of imported models [default: `models` beside the folder, else
    /// /var/lib/geosam-edge/models].
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// Print a JSON array with one object a folder.
    #[arg(long)]
    pub json: bool,
}

/// What is told of a folder.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    summary: FolderSummary,
    /// The steps from chip to chip that occur, in pixels along columns and rows, with how often.
    strides: [Vec<(u64, usize)>; 2],
    /// Width and height of a pixel on the ground in metres, in the middle of the first chip.
    pixel_size_m: Option<[f64; 2]>,
    model_imported: ModelFact,
    raster: RasterFact,
}

impl Report {
    fn of(served: &ServedFolder, store: &Result<ModelStore, String>) -> Self {
        Self {
            summary: served.summary(),
            strides: info_facts::strides(&served.folder),
            pixel_size_m: info_facts::ground_pixel(served),
            model_imported: ModelFact::of(&served.folder, store),
            raster: RasterFact::of(served),
        }
    }
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let discovered = Folder::discover(&self.folder)?;
        if !discovered.folders.is_empty() {
            for problem in &discovered.problems {
                note(&format_args!("warning: {problem}"));
            }
        }
        let whole = discovered.problems.is_empty();
        let models = models_dir(self.models.as_deref(), Some(&self.folder));
        let store = ModelStore::open(&models).map_err(|error| error.to_string());
        let mut reports = Vec::new();
        for folder in discovered.into_folders()? {
            let report = Report::of(&ServedFolder::new(folder.name().to_owned(), folder), &store);
            reports.push(report);
        }
        let mut output = Output::create("-".as_ref())?;
        if self.json {
            output.json_line(&reports)?;
        } else {
            for report in &reports {
                output.text(&report.as_text())?;
            }
        }
        output.finish()?;
        Ok(whole)
    }
}

/// What to know of a folder whose raster is rotated against its CRS by so many degrees.
pub(super) fn rotation_warning(degrees: f64) -> String {
    format!(
        "its raster is rotated by {degrees:.1} degrees; geosam 0.1.3 puts the chips of rotated rasters in wrong places (by \
         tens of metres), and so will every answer be: warp the raster first (gdalwarp in.tif out.tif) and encode it again"
    )
}

impl Report {
    /// For people, one fact a line.
    fn as_text(&self) -> String {
        let summary = &self.summary;
        let numbers = |values: &[f64], digits: usize| {
            values.iter().map(|v| format!("{v:.digits$}")).collect::<Vec<_>>().join(", ")
        };
        let degrees = summary.crs.unit.as_deref() == Some("degrees");
        let digits = if degrees { 7 } else { 2 };
        let mut lines = vec![summary.name.clone()];
        let mut fact = |name: &str, value: String| lines.push(format!("  {name:<14}{value}"));
        fact("long name", summary.long_name.clone());
        fact("path", summary.path.clone());
        let v1 = if summary.v1 { " (written by Geo-SAM v1)" } else { "" };
        fact("chips", format!("{}{v1}", summary.chips));
        fact("model", format!("{}, family {}", summary.model, summary.model_type));
        fact("imported", self.model_imported.as_text());
        fact("CRS", summary.crs.short());
        fact("extent", numbers(&summary.extent, digits));
        fact(
            "extent WGS84",
            summary
                .extent_wgs84
                .map_or_else(|| "unknown: the CRS is not supported".to_owned(), |e| numbers(&e, 7)),
        );
        let on_the_ground = self.pixel_size_m.map(|size| format!(" ({} m on the ground)", numbers(&size, 3)));
        let size = |size: &[f64]| numbers(size, if degrees { 9 } else { 3 });
        let first = format!("{}{}", size(&summary.pixel_size), on_the_ground.unwrap_or_default());
        let others = summary.pixel_sizes.iter().skip(1).map(|other| format!("; other chips {}", size(other)));
        fact("pixel size", std::iter::once(first).chain(others).collect());
        let [across, down] = &self.strides;
        let stride = match (&across[..], &down[..]) {
            ([], []) => "none, a single chip".to_owned(),
            (across, []) => format!("{} pixels, one row of chips", steps(across)),
            ([], down) => format!("{} pixels, one column of chips", steps(down)),
            (across, down) => format!("{} x {} pixels", steps(across), steps(down)),
        };
        fact("stride", stride);
        let shapes = summary.chip_shapes.iter().map(|[height, width]| format!("{width} x {height}"));
        fact("chip size", format!("{} pixels", shapes.collect::<Vec<_>>().join(", ")));
        let about = if summary.size_is_estimate { "about " } else { "" };
        fact("size on disk", format!("{about}{:.1} MB", summary.size_bytes as f64 / 1e6));
        let missing = match &summary.missing {
            missing if missing.count == 0 => "none".to_owned(),
            missing => {
                let more = if missing.count > missing.first.len() { ", ..." } else { "" };
                format!("{}: {}{more}", missing.count, missing.first.join(", "))
            }
        };
        fact("chips missing", missing);
        fact("raster", self.raster.as_text());
        if let Some(degrees) = summary.rotation {
            fact("warning", rotation_warning(degrees));
        }
        if let Some(shared) = &summary.shared_file {
            fact("warning", shared.clone());
        }
        lines.join("\n")
    }
}

/// The steps along an axis: the most common one, and in brackets the others, as at the edges of a raster.
fn steps(steps: &[(u64, usize)]) -> String {
    const SHOWN: usize = 4;
    let Some(((most, _), others)) = steps.split_first() else { return String::new() };
    if others.is_empty() {
        return most.to_string();
    }
    let shown: Vec<String> = others.iter().take(SHOWN).map(|(step, _)| step.to_string()).collect();
    let more = if others.len() > SHOWN { ", ..." } else { "" };
    format!("{most} (also {}{more})", shown.join(", "))
}
