//! `doctor`: what this program is, and how each engine does on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::CliError;
use super::models_dir::models_dir;
use super::output::{Output, note};
use super::serve::ServeError;
use crate::accelerator::{
    AcceleratorOptions, Difference, Launch, Performance, RemoteDecoder, Subject, Trial, try_here, try_out,
};
use crate::broker_check::{Finding, Verdict, examine};
use crate::config::{Config, Overrides};
use crate::decoder::CpuEngine;
use crate::engine::EngineChoice;
use crate::machine::Machine;
use crate::models::{ModelInfo, ModelStore};
use crate::service::ServiceError;
use crate::{Family, program};

const EXAMPLES: &str = "\
Examples:
  geosam-edge doctor --config /etc/geosam-edge/geosam-edge.toml
  geosam-edge doctor --config /etc/geosam-edge/geosam-edge.toml --broker
  geosam-edge doctor --models /card/models --library /opt/onnxruntime/lib/libonnxruntime.so
Each engine runs in a process of its own: if it crashes or hangs, that is told, and its memory is its own. Engines of \
TensorRT that are built stay in the state directory, so the service starts with them at once.";

/// Check this board: what the program is, which engines it has, whether they agree, how fast they are; or its broker.
///
/// Each engine decodes the same probe, a chip and prompts that the program carries, with the weights of each imported
/// model. `fused` and `tensorrt` are compared with `tract`, the plain way. The exit status is 1 where an engine disagrees
/// or fails, or where one that was asked for by name cannot be used.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Configuration of the service (TOML): models, state, threads and the section [tensorrt].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directory of imported models; without one that holds any, weights made by a formula are tried.
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,

    /// State directory, which keeps the engines of TensorRT.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Only the model of this name; default: all.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,

    /// libonnxruntime.so, in place of the configured one.
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,

    /// Threads of one decode [default: the service's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,

    /// Try fused and tract inside this process, where a system starts no other (under an emulator).
    #[arg(long)]
    pub in_process: bool,

    /// Try the configured broker instead of the engines: rights, round trip, sizes, what becomes of requests while the
    /// board is away. Under client ids of its own; a service that runs is not disturbed.
    #[arg(long, requires = "config", conflicts_with_all = ["models", "state", "model", "library", "threads", "in_process"])]
    pub broker: bool,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    program: &'static str,
    version: &'static str,
    commit: &'static str,
    target: &'static str,
    features: Vec<&'static str>,
    machine: Machine,
    /// The setting.
    engine: &'static str,
    threads: usize,
    models: Vec<ModelReport>,
}

/// The engines with the weights of one model.
#[derive(Debug, Serialize)]
struct ModelReport {
    model: String,
    model_type: Family,
    engines: Vec<EngineReport>,
    /// Who decodes on the processor with the setting "auto".
    auto: CpuEngine,
}

/// One engine.
#[derive(Debug, Serialize)]
struct EngineReport {
    name: &'static str,
    state: State,
    /// Words on the state.
    message: String,
    /// From tract; absent where there is nothing to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    performance: Option<Performance>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It can be used.
    Good,
    /// It is not there, and need not be.
    Absent,
    /// It is there, or was asked for, and cannot be used.
    Bad,
}

impl Args {
    pub(super) fn run(&self) -> Result<bool, CliError> {
        if self.broker {
            return self.examine_broker();
        }
        // Without a configuration, as `segment` finds them: here, or where the package keeps them.
        let found = || self.config.is_none().then(|| models_dir(None, Some(Path::new("."))));
        let models = self.models.clone().or_else(found);
        let overrides = Overrides { models, state: self.state.clone(), ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), &overrides).map_err(ServeError::from)?;
        let threads = self.threads.map_or_else(|| config.decoder_threads(), usize::from);
        let models = self.models_to_try(&config)?;
        let mut report = Report {
            program: "geosam-edge doctor",
            version: program::VERSION,
            commit: program::COMMIT,
            target: program::TARGET,
            features: program::features(),
            machine: Machine::here(),
            engine: config.decoder.engine.as_str(),
            threads,
            models: Vec::new(),
        };
        for (name, family, model) in models {
            note(&format_args!("trying the engines with {name} ..."));
            let subject = model.as_ref().map_or(Subject::Formula(family), Subject::from);
            let (mut engines, auto) = self.on_the_processor(&subject, threads);
            if let Some(model) = &model {
                engines.push(self.on_a_gpu(&config, threads, model)?);
            }
            report.models.push(ModelReport { model: name, model_type: family, engines, auto });
        }
        let mut output = Output::create(Path::new("-"))?;
        if self.json {
            output.json_line(&report)?;
        } else {
            output.text(&report.as_text())?;
        }
        output.finish()?;
        Ok(report.models.iter().flat_map(|model| &model.engines).all(|engine| engine.state != State::Bad))
    }

    /// Tries the broker; says whether a board can be served by it.
    fn examine_broker(&self) -> Result<bool, CliError> {
        let config = Config::load(self.config.as_deref(), &Overrides::default()).map_err(ServeError::from)?;
        let options = config.bus_options().map_err(ServeError::from)?;
        let topics = config.topics().map_err(|error| CliError::Usage(error.to_string()))?;
        note(&format_args!("trying {} ...", options.broker));
        let findings = examine(&options, &topics).map_err(ServiceError::from)?;
        let mut output = Output::create(Path::new("-"))?;
        if self.json {
            output.json_line(&findings)?;
        } else {
            let line = |finding: &Finding| {
                let verdict = match finding.verdict {
                    Verdict::Good => "good",
                    Verdict::Unknown => "unknown",
                    Verdict::Lacking => "lacking",
                    Verdict::Bad => "BAD",
                };
                format!("{:<20} {verdict:<7} {}", finding.what, finding.message)
            };
            output.text(&findings.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        }
        output.finish()?;
        Ok(findings.iter().all(|finding| finding.verdict != Verdict::Bad))
    }

    /// Imported models, or none but a family.
    fn models_to_try(&self, config: &Config) -> Result<Vec<(String, Family, Option<ModelInfo>)>, CliError> {
        let list = match ModelStore::open(&config.models) {
            Ok(store) => store.list().to_vec(),
            // Nobody said that there must be one.
            Err(_) if self.models.is_none() && self.config.is_none() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if let Some(name) = &self.model {
            let model = list.into_iter().find(|model| model.name == *name).ok_or_else(|| {
                let dir = config.models.display();
                CliError::Usage(format!("{dir}: there is no model \"{name}\" to try; import it"))
            })?;
            return Ok(vec![(model.name.clone(), model.family, Some(model))]);
        }
        if list.is_empty() {
            let dir = config.models.display();
            let family = Family::Sam;
            return Ok(vec![(format!("weights of a formula (no model is in {dir})"), family, None)]);
        }
        Ok(list.into_iter().map(|model| (model.name.clone(), model.family, Some(model))).collect())
    }

    /// fused and tract, and which of them `auto` would take.
    fn on_the_processor(&self, subject: &Subject, threads: usize) -> (Vec<EngineReport>, CpuEngine) {
        let launch = Launch::own(Duration::from_secs(600));
        let try_engine = |engine: CpuEngine| -> Result<Trial, String> {
            if self.in_process {
                return try_here(engine, subject, threads, |_| ());
            }
            try_out(&launch, engine, subject, threads).map_err(|error| error.to_string())
        };
        let fused = try_engine(CpuEngine::Fused);
        if !CpuEngine::Tract.is_built_in() {
            let message = "it is not compared: this program was built without tract".to_owned();
            let fused = EngineReport::of(CpuEngine::Fused, fused, State::Good, message, None);
            let absent = "this program was built without it (cargo feature \"tract\")".to_owned();
            return (vec![fused, EngineReport::without("tract", State::Absent, absent)], CpuEngine::Fused);
        }
        let tract = try_engine(CpuEngine::Tract);
        let difference = match (&fused, &tract) {
            (Ok(fused), Ok(tract)) => Some(fused.difference(tract)),
            _ => None,
        };
        let agrees = difference.is_some_and(|found| found.is_agreement(false));
        let (state, message) = match difference {
            Some(_) if agrees => (State::Good, "it agrees with tract"),
            Some(_) => (State::Bad, "it DISAGREES with tract on this processor; please report it"),
            None => (State::Bad, "it is not compared"),
        };
        let fused = EngineReport::of(CpuEngine::Fused, fused, state, message.to_owned(), difference);
        let message = "what the others are compared with".to_owned();
        let tract = EngineReport::of(CpuEngine::Tract, tract, State::Good, message, None);
        (vec![fused, tract], if agrees { CpuEngine::Fused } else { CpuEngine::Tract })
    }

    /// TensorRT, or what stands in for it.
    fn on_a_gpu(&self, config: &Config, threads: usize, model: &ModelInfo) -> Result<EngineReport, CliError> {
        let mut onnxruntime = config.onnxruntime(threads, &config.state);
        if let Some(library) = &self.library {
            onnxruntime.library = std::path::absolute(library).map_err(CliError::file(library))?;
        }
        let name = onnxruntime.provider.engine_name();
        let required = self.library.is_some() || config.decoder.engine == EngineChoice::TensorRt;
        let launch = Launch::own(Duration::from_secs(config.tensorrt.build_timeout_s));
        let options = AcceleratorOptions { onnxruntime, required, launch };
        if let Err(error) = options.check() {
            let state = if required { State::Bad } else { State::Absent };
            return Ok(EngineReport::without(name, state, error.to_string()));
        }
        Ok(match RemoteDecoder::start(&options.launch, &options.onnxruntime, model.family, &model.dir) {
            Ok(decoder) => EngineReport::without(
                name,
                State::Good,
                format!("it can be used: {}", decoder.report().summary()),
            ),
            Err(error) => EngineReport::without(name, State::Bad, error.to_string()),
        })
    }
}

impl EngineReport {
    fn without(name: &'static str, state: State, message: String) -> Self {
        Self { name, state, message, difference: None, performance: None }
    }

    fn of(
        engine: CpuEngine,
        trial: Result<Trial, String>,
        state: State,
        message: String,
        difference: Option<Difference>,
    ) -> Self {
        match trial {
            Ok(trial) => Self {
                name: engine.as_str(),
                state,
                message,
                difference: difference.map(|difference| difference.to_string()),
                performance: Some(trial.performance),
            },
            Err(error) => Self::without(engine.as_str(), State::Bad, error),
        }
    }

    fn as_text(&self) -> Vec<String> {
        let Self { name, state, message, difference, performance } = self;
        let there = match state {
            State::Good => "good",
            State::Absent => "absent",
            State::Bad => "BAD",
        };
        let difference = difference.as_ref().map(|difference| format!(": {difference}")).unwrap_or_default();
        let mut lines = vec![format!("  {name:<10} {there:<7} {message}{difference}")];
        if let Some(Performance { start_ms, prepare_ms, decode_ms, peak_memory_mb, instruction_set }) =
            performance
        {
            let memory = peak_memory_mb.map(|mb| format!(", {mb:.0} MB")).unwrap_or_default();
            let set = if *name == CpuEngine::Fused.as_str() {
                format!(", {instruction_set}")
            } else {
                String::new()
            };
            lines.push(format!(
                "  {:<18} {decode_ms:.1} ms a prompt, {prepare_ms:.1} ms a chip, {start_ms:.0} ms to start{memory}{set}",
                ""
            ));
        }
        lines
    }
}

impl Report {
    fn as_text(&self) -> String {
        let Machine { processor, instruction_set, cores, .. } = &self.machine;
        let mut lines = vec![
            format!(
                "geosam-edge {}, commit {}, {}, features: {}",
                self.version,
                self.commit,
                self.target,
                self.features.join(" ")
            ),
            format!("{processor}, {cores} cores, {} of memory, {instruction_set}", self.machine.memory()),
            format!("decoder.engine is \"{}\", {} threads", self.engine, self.threads),
        ];
        for model in &self.models {
            lines.push(format!("\n{} ({}): auto decodes with {}", model.model, model.model_type, model.auto));
            lines.extend(model.engines.iter().flat_map(EngineReport::as_text));
        }
        lines.join("\n")
    }
}
