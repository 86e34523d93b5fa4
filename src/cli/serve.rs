//! `geosam-edge serve`: the flags, `--check`, and the wait for the signal that ends the service. What the
//! service does is not here.

use std::io::{self, Write};
use std::path::PathBuf;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::CliError;
use crate::bus::OutgoingMessage;
use crate::config::{Config, ConfigError, Overrides};
use crate::engine::EngineChoice;
use crate::service::{Service, ServiceError};

/// Serve feature folders over MQTT.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// Configuration file (TOML); systemd/geosam-edge.example.toml explains every key. Without one the
    /// folders below ./features are served with models from ./models against a broker on localhost.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the configuration, print what is in force as TOML, and exit.
    #[arg(long)]
    pub check: bool,
    /// Address of the broker: mqtt://HOST:PORT, or mqtts:// for TLS.
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Name of this board in topics; default: the host's name.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Directory of feature folders; may be repeated. Takes the place of the file's list.
    #[arg(long, value_name = "DIR")]
    pub features: Vec<PathBuf>,
    /// Directory of imported models.
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// Directory of what must survive a restart.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Which engine decodes: "auto" takes TensorRT where it can be used, otherwise "fused" on the processor.
    #[arg(long, value_name = "ENGINE", value_parser = super::engine_flag::any_engine())]
    pub engine: Option<EngineChoice>,
    /// Serve the map page on this address, for example 127.0.0.1:8080.
    #[cfg(feature = "web")]
    #[arg(long, value_name = "ADDR:PORT")]
    pub web: Option<String>,
}

/// Why `serve` does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is in force cannot be printed.
    #[error("cannot print the configuration: {0}")]
    Output(#[from] io::Error),
}

impl ServeArgs {
    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// A configuration that is wrong, a state directory that cannot be used, or a thread that ended by a fault of ours.
    /// A broker or card that is not there is waited for.
    pub(super) fn run(&self) -> Result<bool, CliError> {
        let Some(config) = self.prepare(&mut io::stdout().lock())? else { return Ok(true) };
        super::logging::start(&config.log)?;
        let topics = config.topics().map_err(ServiceError::from)?;
        let mut bus = config.bus_options().map_err(ServeError::from)?;
        bus.will = Some(OutgoingMessage::new(topics.state(), "offline").retained());
        let (client, events) = crate::bus::connect(bus).map_err(ServiceError::from)?;
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(CliError::file("signals"))?;
        let service = Service::start(config.service_options(), client, events)?;
        tracing::info!(device = config.device, broker = %config.broker.url, "the board has started");
        #[cfg(feature = "web")]
        let _page = serve_page(&config, &service);
        let stopper = service.stopper();
        let listen = move || {
            if signals.forever().next().is_some() {
                stopper.stop();
            }
        };
        let listener = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
        listener.map_err(CliError::file("signals"))?;
        // Where a thread is gone the program ends at once, with a status: who has started it starts it again.
        service.wait()?;
        tracing::info!("the board stops");
        service.stop();
        Ok(true)
    }

    /// What the flags say.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            broker: self.broker.clone(),
            device: self.device.clone(),
            features: self.features.clone(),
            models: self.models.clone(),
            state: self.state.clone(),
            engine: self.engine,
            #[cfg(feature = "web")]
            web: self.web.clone(),
            #[cfg(not(feature = "web"))]
            web: None,
        }
    }

    /// Loads the configuration. With `--check` it is printed to `out`, with what is worth a look as
    /// comments, and there is nothing to serve: `None`.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn prepare(&self, out: &mut dyn Write) -> Result<Option<Config>, ServeError> {
        let config = Config::load(self.config.as_deref(), &self.overrides())?;
        if !self.check {
            return Ok(Some(config));
        }
        config.check_files()?;
        for note in config.notes() {
            writeln!(out, "# note: {note}")?;
        }
        out.write_all(config.effective().as_bytes())?;
        out.flush()?;
        Ok(None)
    }
}

/// Serves the map page, where the configuration says so. Whatever becomes of it, the service goes on.
#[cfg(feature = "web")]
fn serve_page(config: &Config, service: &Service) -> Option<crate::web::WebServer> {
    let options = config.web_options()?;
    for note in options.notes() {
        tracing::warn!("{note}");
    }
    let shown = service.folders_shown();
    match crate::web::WebServer::start_patiently(options, move || shown.now()) {
        Ok(page) => Some(page),
        Err(error) => {
            tracing::error!(%error, "the map page is not served");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn args(line: &str) -> ServeArgs {
        Command::parse_from(std::iter::once("serve").chain(line.split_whitespace())).serve
    }

    #[test]
    fn a_check_prints_what_is_in_force_and_serves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edge.toml");
        std::fs::write(&file, "device = \"a\"\n[health]\ninterval_s = 5\n").unwrap();
        let line = format!("--check --config {} --device b --features /f1 --features /f2", file.display());
        let mut out = Vec::new();
        assert!(args(&line).prepare(&mut out).unwrap().is_none());
        let text = String::from_utf8(out).unwrap();
        for expected in ["device = \"b\"", "features = [\"/f1\", \"/f2\"]", "interval_s = 5", "# note: /f1"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn without_check_the_configuration_is_for_the_service() {
        let mut out = Vec::new();
        let config = args("--broker mqtts://b --models /m --state /s").prepare(&mut out).unwrap().unwrap();
        assert_eq!((config.broker.url.port, config.models, config.state), (8883, "/m".into(), "/s".into()));
        assert!(out.is_empty());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = args("--config /nowhere/edge.toml").prepare(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/edge.toml: cannot be read"), "{error}");
    }
}
