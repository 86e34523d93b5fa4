//! The configuration of `geosam-edge serve`: a TOML file, flags that win over it, and defaults for all.
//!
//! A key that does not exist is refused with the nearest one that does: a typo must not leave a limit
//! at its default. Values are checked here for form and range; whether a folder or the broker is there
//! is not, since both come and go while the service runs.

use std::path::{Path, PathBuf};

use crate::api;
use crate::bus::{BrokerUrl, ProtocolChoice, TlsFiles};
use crate::decoder::onnxruntime::Provider;
use crate::engine::EngineChoice;

mod broker;
mod cot;
mod error;
mod parse;
mod reader;
mod service;
mod show;
mod surroundings;
mod tensorrt;
mod web;

pub use cot::CotConfig;
pub use error::ConfigError;
pub use surroundings::Surroundings;
pub(crate) use tensorrt::COMPARED_NAME;
pub use web::WebConfig;

/// Everything `geosam-edge serve` can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of this board in topics.
    pub device: String,
    /// First level, or levels, of every topic.
    pub root: String,
    /// Directories that hold feature folders.
    pub features: Vec<PathBuf>,
    /// Directory of imported models.
    pub models: PathBuf,
    /// Directory of what must survive a restart: inbox, outbox, sessions, layers.
    pub state: PathBuf,
    /// What is logged, as `tracing`'s filters say it: `info`, `geosam_edge=debug`.
    pub log: String,
    /// The broker and our session there.
    pub broker: BrokerConfig,
    /// Bounds of requests, queues and stores.
    pub limits: LimitsConfig,
    /// What a request asks for that does not say.
    pub defaults: DefaultsConfig,
    /// Requests with `"preview": true`.
    pub preview: PreviewConfig,
    /// The decoder.
    pub decoder: DecoderConfig,
    /// The engine on a GPU.
    pub tensorrt: TensorRtConfig,
    /// The `health` message.
    pub health: HealthConfig,
    /// Groups of boards.
    pub fleet: FleetConfig,
    /// The map page.
    pub web: WebConfig,
    /// Saved objects as Cursor on Target events.
    pub cot: CotConfig,
}

/// The broker and our session there.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// Address.
    pub url: BrokerUrl,
    /// Version of MQTT.
    pub protocol: ProtocolChoice,
    /// Name of the session; `geosam-<device>` unless given.
    pub client_id: String,
    /// User name, if the broker wants one.
    pub username: Option<String>,
    /// Where the password is.
    pub password: Option<PasswordSource>,
    /// Certificates and key.
    pub tls: TlsFiles,
    /// Seconds of silence after which the connection is tested.
    pub keep_alive_s: u16,
    /// Seconds that the broker keeps our session while we are away.
    pub session_expiry_s: u32,
    /// Publishes under way before the first is acknowledged.
    pub in_flight: u16,
    /// Requests that the broker may send before the first is acknowledged.
    pub receive_maximum: u16,
    /// Bytes of the largest packet that we send.
    pub max_packet_bytes: usize,
}

/// Where the password is; it never stands in the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The content of a file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

/// Bounds of requests, queues and stores.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Of one request.
    pub request: api::Limits,
    /// Bytes of an answer where the request does not say (`max_bytes`).
    pub answer_bytes: usize,
    /// Bytes of any answer, whatever its request says.
    pub max_answer_bytes: usize,
    /// Requests waiting for a decoder; one more is answered `BUSY`.
    pub queue: usize,
    /// Of these, from one client.
    pub client_queue: usize,
    /// Sessions at a time.
    pub sessions: usize,
    /// Of these, one client's.
    pub client_sessions: usize,
    /// Seconds after its last use when a session is forgotten.
    pub session_age_s: u64,
    /// Layers that may be saved to.
    pub layers: usize,
    /// Bytes of a layer beyond which nothing is added to it.
    pub layer_bytes: u64,
    /// Requests remembered as carried out, and as many answers of those that changed nothing.
    pub answers: usize,
    /// Seconds that they are remembered.
    pub answer_age_s: u64,
    /// Bytes of the answers' texts.
    pub kept_answer_bytes: u64,
    /// Saved objects that `unsave` can take back.
    pub unsave_objects: usize,
    /// Bytes of requests not yet answered.
    pub inbox_bytes: u64,
    /// Bytes of answers that the broker has not acknowledged.
    pub outbox_bytes: u64,
    /// Where MQTT 5 response topics may point to; see [`crate::bus::Topics::allows_response_topic`].
    pub response_prefixes: Vec<String>,
}

/// What a request asks for that does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultsConfig {
    /// Whether objects are followed into neighbouring chips.
    pub stitch: bool,
    /// Over so many at the most.
    pub max_chips: u16,
}

/// Requests with `"preview": true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviewConfig {
    /// Whether they are served.
    pub enabled: bool,
    /// Clients whose newest preview may wait.
    pub waiting: usize,
}

/// The decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderConfig {
    /// Which engine.
    pub engine: EngineChoice,
    /// Requests decoded at a time.
    pub workers: usize,
    /// Threads of one decoder; 0 shares the cores among the workers.
    pub threads: usize,
    /// Bytes of prepared chips kept in memory.
    pub cache_bytes: u64,
}

/// The engine on a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRtConfig {
    /// `libonnxruntime.so`.
    pub library: PathBuf,
    /// Who computes in it.
    pub provider: Provider,
    /// Whether in half precision.
    pub fp16: bool,
    /// The GPU, as CUDA counts them.
    pub device: u32,
    /// Bytes of GPU memory for intermediate results; 0 leaves it to TensorRT.
    pub workspace_bytes: u64,
    /// Seconds that loading and building may take.
    pub build_timeout_s: u64,
}

/// The `health` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// Seconds between two.
    pub interval_s: u64,
}

/// Groups of boards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetConfig {
    /// Those whose requests this board shares.
    pub groups: Vec<String>,
}

/// What the command line says; it wins over the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--broker`.
    pub broker: Option<String>,
    /// `--device`.
    pub device: Option<String>,
    /// `--features`; in place of the file's list, not in addition.
    pub features: Vec<PathBuf>,
    /// `--models`.
    pub models: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
    /// `--engine`.
    pub engine: Option<EngineChoice>,
    /// `--web`.
    pub web: Option<String>,
}

impl Config {
    /// Reads the file, if there is one, and puts the command line on top.
    ///
    /// # Errors
    /// [`ConfigError`], with the file's path, the key and the line.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let surroundings = Surroundings::of_this_process();
        let Some(path) = path else { return Self::from_text("", None, overrides, &surroundings) };
        let bytes =
            std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        let text = error::decoded(&bytes, path)?;
        Self::from_text(text, Some(path), overrides, &surroundings)
    }
}

#[cfg(test)]
mod tests;
