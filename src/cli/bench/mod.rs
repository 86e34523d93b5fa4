//! `bench`: where the time of a prompt goes on this machine, as a report that can be compared with any other board's.
//! The stages themselves are in `stages`.

mod stages;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::CliError;
use super::models_dir::{MODELS_VARIABLE, models_dir, models_parser};
use super::output::{Output, note};
use crate::engine::{EngineChoice, EngineOptions};
use crate::machine::{Machine, peak_memory_mb};

const EXAMPLES: &str = "\
Examples:
  This board, with the folder that comes with the source:
    geosam-edge bench models/demo/features

  Your own folder, with one thread and with four, for a program to read:
    geosam-edge bench /card/beiluhe --threads 1,4 --json > board.json";

/// Measure this machine: reading, preparing, decoding and drawing, stage by stage.
///
/// Every stage is repeated on several chips with a point in the middle of each. `fresh` is the whole way of the first
/// prompt after the start, `cold` that of the first prompt on a chip, its file dropped from the page cache where the
/// system allows it; `hot` that of a prompt on a chip in memory, up to the bytes of the answer.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Feature folder to measure with.
    #[arg(default_value = "models/demo/features")]
    pub folder: PathBuf,

    /// Directory of imported models.
    #[arg(long, value_name = "DIR", env = MODELS_VARIABLE, value_parser = models_parser())]
    pub models: Option<PathBuf>,

    /// Threads of the decoder, one report for each count [default: 1 and all cores].
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Vec<u16>,

    /// Engines to measure: "fused" (what "auto" takes), "tract", or both.
    #[arg(long, value_name = "ENGINE", value_delimiter = ',', default_value = "auto",
          value_parser = super::engine_flag::processor_engine())]
    pub engine: Vec<EngineChoice>,

    /// Chips to measure with, spread over the folder.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub chips: u16,

    /// Repetitions on each chip.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10000))]
    pub rounds: u16,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    machine: Machine,
    folder: String,
    chips: usize,
    model: String,
    model_type: crate::Family,
    /// One entry an engine and count of threads.
    runs: Vec<Run>,
    /// Most memory that the process has used so far, in MB.
    peak_memory_mb: Option<f64>,
}

/// The stages on one engine with so many threads.
#[derive(Debug, Serialize)]
struct Run {
    engine: &'static str,
    threads: usize,
    stages: Vec<Stage>,
}

/// The times of one stage, in milliseconds.
#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    what: &'static str,
    count: usize,
    median_ms: f64,
    least_ms: f64,
    /// The time that nine of ten stay below.
    p90_ms: f64,
}

impl Stage {
    fn new(name: &'static str, what: &'static str, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let index = ((times.len().saturating_sub(1)) as f64 * share).round() as usize;
            // Microseconds are more than any clock on a board can tell.
            times.get(index).map_or(0.0, |t| (t.as_secs_f64() * 1e6).round() / 1e3)
        };
        Self { name, what, count: times.len(), median_ms: at(0.5), least_ms: at(0.0), p90_ms: at(0.9) }
    }
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let folders = super::segment::open_folders(&self.folder)?;
        let Some(folder) = folders.first() else {
            return Err(CliError::Usage(format!("{}: no folder is here", self.folder.display())));
        };
        let models = models_dir(self.models.as_deref(), Some(&self.folder));
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads: Vec<usize> = self.threads.iter().copied().map(usize::from).collect();
        if threads.is_empty() {
            threads = vec![1, all];
            threads.dedup();
        }
        let mut runs = Vec::new();
        for (engine, threads) in self.engine.iter().flat_map(|e| threads.iter().map(move |t| (*e, *t))) {
            let cpu = engine.on_the_processor().as_str();
            note(&format_args!("measuring {cpu} with {threads} threads ..."));
            let options =
                EngineOptions { models: models.clone(), engine, threads, cache_bytes: stages::CACHE_BYTES };
            let (chips, rounds) = (usize::from(self.chips), usize::from(self.rounds));
            let stages = stages::measure(folder, &options, chips, rounds)?;
            runs.push(Run { engine: cpu, threads, stages });
        }
        let report = Report {
            program: "geosam-edge bench",
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            folder: folder.name.clone(),
            chips: folder.folder.len(),
            model: folder.folder.checkpoint().to_owned(),
            model_type: folder.folder.family(),
            runs,
            peak_memory_mb: peak_memory_mb(),
        };
        let mut output = Output::create(std::path::Path::new("-"))?;
        if self.json {
            output.json_line(&report)?;
        } else {
            output.text(&report.as_text())?;
        }
        output.finish()?;
        Ok(true)
    }
}

impl Report {
    fn as_text(&self) -> String {
        let Machine { processor, architecture, instruction_set, cores, system, .. } = &self.machine;
        let memory = self.machine.memory();
        let mut lines = vec![
            format!("{} {}, {system}, {architecture}, {instruction_set}", self.program, self.version),
            format!("{processor}, {cores} cores, {memory} of memory"),
            format!("folder {} of {} chips, {} ({})", self.folder, self.chips, self.model, self.model_type),
        ];
        for run in &self.runs {
            let plural = if run.threads == 1 { "thread" } else { "threads" };
            lines.push(String::new());
            lines.push(format!(
                "{:<36} {:>10} {:>10} {:>10}",
                format!("{}, {} {plural}, ms", run.engine, run.threads),
                "median",
                "least",
                "p90"
            ));
            lines.extend(run.stages.iter().map(|stage| {
                let Stage { name, what, median_ms, least_ms, p90_ms, .. } = stage;
                format!("{name:<11}{what:<25} {median_ms:>10.3} {least_ms:>10.3} {p90_ms:>10.3}")
            }));
        }
        if let Some(peak) = self.peak_memory_mb {
            lines.push(format!("\npeak memory {peak:.0} MB"));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_tells_median_least_and_what_nine_of_ten_stay_below() {
        let times = [5, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11].map(Duration::from_millis);
        let stage = Stage::new("decode", "", times.to_vec());
        assert_eq!((stage.count, stage.median_ms, stage.least_ms, stage.p90_ms), (11, 6.0, 1.0, 10.0));
        assert_eq!(Stage::new("none", "", Vec::new()).median_ms, 0.0);
    }
}
