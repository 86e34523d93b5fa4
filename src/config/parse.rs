//! The keys: where each stands, what it may be, and what it is when nobody says.

use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use super::error::{ConfigError, Place};
use super::reader::{Document, Section};
use super::{
    BrokerConfig, Config, CotConfig, DecoderConfig, DefaultsConfig, EngineChoice, FleetConfig, HealthConfig,
    LimitsConfig, Overrides, PasswordSource, PreviewConfig, Surroundings, TensorRtConfig, WebConfig,
};
use crate::api::MAX_CHIPS;
use crate::bus::{BrokerUrl, Protocol, ProtocolChoice, TlsFiles, Topics};
use crate::service::ServiceOptions;

const DAY_S: u64 = 24 * 3600;
const YEAR_S: u64 = 366 * DAY_S;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// The largest packet of MQTT.
const MAX_PACKET: u64 = 268_435_455;

impl Config {
    /// What holds without a file and without flags.
    pub fn defaults(surroundings: &Surroundings) -> Self {
        Self {
            device: surroundings.device.clone(),
            root: "geosam".to_owned(),
            features: vec![PathBuf::from("./features")],
            models: PathBuf::from("./models"),
            state: surroundings.state.clone().unwrap_or_else(|| PathBuf::from("./state")),
            log: "info".to_owned(),
            broker: BrokerConfig {
                url: BrokerUrl { tls: false, host: "localhost".to_owned(), port: 1883 },
                protocol: ProtocolChoice::Auto,
                client_id: client_id(&surroundings.device),
                username: None,
                password: None,
                tls: TlsFiles::default(),
                keep_alive_s: 30,
                session_expiry_s: 604_800,
                in_flight: 16,
                receive_maximum: 32,
                max_packet_bytes: 16 << 20,
            },
            limits: LimitsConfig::default(),
            defaults: DefaultsConfig { stitch: false, max_chips: MAX_CHIPS },
            preview: PreviewConfig { enabled: true, waiting: ServiceOptions::default().previews },
            decoder: DecoderConfig {
                engine: EngineChoice::Auto,
                workers: 1,
                threads: 0,
                cache_bytes: 64 * MIB,
            },
            tensorrt: TensorRtConfig::default(),
            health: HealthConfig { interval_s: 30 },
            fleet: FleetConfig::default(),
            web: WebConfig::default(),
            cot: CotConfig::default(),
        }
    }

    /// The configuration of a text; `path` is where it stands, for messages.
    ///
    /// # Errors
    /// [`ConfigError`], with the path, the key and the line.
    pub fn from_text(
        text: &str,
        path: Option<&Path>,
        overrides: &Overrides,
        surroundings: &Surroundings,
    ) -> Result<Self, ConfigError> {
        let document = Document::parse(text, path)?;
        let mut config = Self::defaults(surroundings);
        config.read(&document)?;
        document.finish()?;
        config.put_on_top(overrides)?;
        let named = Topics::new(&config.root, &config.device, &config.fleet.groups);
        named.map_err(|error| ConfigError::Value {
            place: Place::line(path, None),
            key: "device, root, fleet.groups".to_owned(),
            problem: error.to_string(),
        })?;
        Ok(config)
    }

    /// Reads every key there is.
    pub(super) fn read(&mut self, document: &Document<'_>) -> Result<(), ConfigError> {
        let root = document.root();
        if let Some(device) = root.text("device")? {
            check(&root, "device", Topics::new("geosam", device, &[]))?;
            device.clone_into(&mut self.device);
            self.broker.client_id = client_id(device);
        }
        if let Some(topic) = root.text("root")? {
            check(&root, "root", Topics::new(topic, "board", &[]))?;
            topic.clone_into(&mut self.root);
        }
        if let Some(features) = root.paths("features")? {
            if features.is_empty() {
                return Err(root.error("features", "is an empty list; name at least one directory"));
            }
            self.features = features;
        }
        self.models = root.path("models")?.unwrap_or_else(|| self.models.clone());
        self.state = root.path("state")?.unwrap_or_else(|| self.state.clone());
        if let Some(log) = root.text("log")? {
            check(&root, "log", EnvFilter::try_new(log))?;
            log.clone_into(&mut self.log);
        }
        self.broker.read(&document.section("broker")?)?;
        self.limits.read(&document.section("limits")?)?;

        let defaults = document.section("defaults")?;
        self.defaults.stitch = defaults.flag("stitch")?.unwrap_or(self.defaults.stitch);
        defaults.number("max_chips", 1..=1024, &mut self.defaults.max_chips)?;

        let preview = document.section("preview")?;
        self.preview.enabled = preview.flag("enabled")?.unwrap_or(self.preview.enabled);
        preview.number("waiting", 1..=4096, &mut self.preview.waiting)?;

        let decoder = document.section("decoder")?;
        if let Some(engine) = decoder.text("engine")? {
            self.decoder.engine =
                EngineChoice::parse(engine).map_err(|problem| decoder.error("engine", problem))?;
        }
        decoder.number("workers", 1..=64, &mut self.decoder.workers)?;
        decoder.number("threads", 0..=256, &mut self.decoder.threads)?;
        decoder.number("cache_bytes", 0..=TIB, &mut self.decoder.cache_bytes)?;

        self.tensorrt.read(&document.section("tensorrt")?)?;

        let health = document.section("health")?;
        health.number("interval_s", 1..=DAY_S, &mut self.health.interval_s)?;

        let fleet = document.section("fleet")?;
        if let Some(groups) = fleet.texts("groups")? {
            check(&fleet, "groups", Topics::new("geosam", "board", &groups))?;
            self.fleet.groups = groups;
        }
        self.web.read(&document.section("web")?)?;
        self.cot.read(&document.section("cot")?)?;
        Ok(())
    }

    fn put_on_top(&mut self, overrides: &Overrides) -> Result<(), ConfigError> {
        let refuse = |flag: &'static str, problem: String| ConfigError::Value {
            place: Place::Flag(flag),
            key: flag.to_owned(),
            problem,
        };
        if let Some(url) = &overrides.broker {
            self.broker.url = BrokerUrl::parse(url).map_err(|problem| refuse("broker", problem))?;
            self.broker.check_tls().map_err(|problem| refuse("broker", problem))?;
        }
        if let Some(device) = &overrides.device {
            Topics::new("geosam", device, &[]).map_err(|error| refuse("device", error.to_string()))?;
            if self.broker.client_id == client_id(&self.device) {
                self.broker.client_id = client_id(device);
            }
            device.clone_into(&mut self.device);
        }
        if !overrides.features.is_empty() {
            self.features.clone_from(&overrides.features);
        }
        self.models = overrides.models.clone().unwrap_or_else(|| self.models.clone());
        self.state = overrides.state.clone().unwrap_or_else(|| self.state.clone());
        self.decoder.engine = overrides.engine.unwrap_or(self.decoder.engine);
        if let Some(listen) = &overrides.web {
            self.web.listen = Some(WebConfig::address(listen).map_err(|problem| refuse("web", problem))?);
        }
        Ok(())
    }
}

/// The one table of defaults is the service's.
impl Default for LimitsConfig {
    fn default() -> Self {
        let options = ServiceOptions::default();
        Self {
            request: options.limits,
            answer_bytes: options.answer_bytes,
            max_answer_bytes: options.max_answer_bytes,
            queue: options.queue,
            client_queue: options.queue_per_client,
            sessions: options.sessions.sessions,
            client_sessions: options.sessions.per_client,
            session_age_s: options.sessions.idle_seconds,
            layers: options.layers,
            layer_bytes: options.layer_bytes,
            answers: options.store.answers,
            answer_age_s: options.store.answer_seconds,
            kept_answer_bytes: options.store.answer_bytes,
            inbox_bytes: options.store.inbox_bytes,
            outbox_bytes: options.store.outbox_bytes,
            unsave_objects: options.store.unsave_objects,
            response_prefixes: options.response_prefixes,
        }
    }
}

impl BrokerConfig {
    fn read(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        if let Some(url) = section.text("url")? {
            self.url = BrokerUrl::parse(url).map_err(|problem| section.error("url", problem))?;
        }
        self.protocol = match section.text("protocol")? {
            None => self.protocol,
            Some("auto") => ProtocolChoice::Auto,
            Some("5") => Protocol::V5.into(),
            Some("3.1.1") => Protocol::V311.into(),
            Some(_) => {
                return Err(section.error("protocol", "is no version; give \"auto\", \"5\" or \"3.1.1\""));
            }
        };
        if let Some(client_id) = section.text("client_id")? {
            if client_id.len() > 65_535 || client_id.contains('\0') {
                return Err(section.error("client_id", "is too long, or has a null character"));
            }
            client_id.clone_into(&mut self.client_id);
        }
        self.username = section.text("username")?.map(str::to_owned);
        let file = section.path("password_file")?;
        let variable = section.text("password_env")?;
        self.password = match (file, variable) {
            (None, None) => None,
            (Some(file), None) => Some(PasswordSource::File(file)),
            (None, Some(name)) => Some(PasswordSource::Environment(name.to_owned())),
            (Some(_), Some(_)) => {
                let problem = "stands beside password_file; the password comes from one place";
                return Err(section.error("password_env", problem));
            }
        };
        if self.password.is_some() && self.username.is_none() {
            return Err(section.error("username", "is missing; there is a password, so say whose"));
        }
        self.tls.ca = section.path("ca")?;
        self.tls.cert = section.path("cert")?;
        self.tls.key = section.path("key")?;
        self.check_tls().map_err(|problem| section.error("url", problem))?;
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            let (present, missing) = if self.tls.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            return Err(section.error(present, format!("stands without {missing}; give both, or none")));
        }
        section.number("keep_alive_s", 5..=65_535, &mut self.keep_alive_s)?;
        section.number("session_expiry_s", 0..=u64::from(u32::MAX), &mut self.session_expiry_s)?;
        section.number("in_flight", 1..=128, &mut self.in_flight)?;
        section.number("receive_maximum", 1..=65_535, &mut self.receive_maximum)?;
        section.number("max_packet_bytes", 4096..=MAX_PACKET, &mut self.max_packet_bytes)
    }

    /// Whoever gives certificates believes the connection to be encrypted.
    fn check_tls(&self) -> Result<(), String> {
        if !self.url.tls && self.tls != TlsFiles::default() {
            return Err("is not encrypted (mqtt://), but ca, cert or key are given; write mqtts://, or \
                        leave them out"
                .to_owned());
        }
        Ok(())
    }
}

impl LimitsConfig {
    fn read(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        let request = &mut self.request;
        section.number("payload_bytes", 1024..=64 * MIB, &mut request.max_payload_bytes)?;
        section.number("points", 1..=4096, &mut request.max_points)?;
        section.number("prompts", 1..=65_536, &mut request.max_prompts)?;
        section.number("depth", 8..=128, &mut request.max_depth)?;
        let (unsaid, most_unsaid) = (self.answer_bytes, self.max_answer_bytes);
        section.number("answer_bytes", 1024..=64 * MIB, &mut self.answer_bytes)?;
        section.number("max_answer_bytes", 1024..=64 * MIB, &mut self.max_answer_bytes)?;
        if self.answer_bytes > self.max_answer_bytes {
            // The one that was said wins; both said contradict each other.
            if self.max_answer_bytes == most_unsaid {
                self.max_answer_bytes = self.answer_bytes;
            } else if self.answer_bytes == unsaid {
                self.answer_bytes = self.max_answer_bytes;
            } else {
                return Err(
                    section.error("max_answer_bytes", "is smaller than answer_bytes, which it bounds")
                );
            }
        }
        section.number("queue", 1..=65_536, &mut self.queue)?;
        let unsaid = self.client_queue;
        section.number("client_queue", 1..=65_536, &mut self.client_queue)?;
        if self.client_queue > self.queue {
            if self.client_queue != unsaid {
                return Err(section.error("client_queue", "is larger than queue, of which it is a part"));
            }
            self.client_queue = self.queue;
        }
        section.number("sessions", 1..=65_536, &mut self.sessions)?;
        section.number("client_sessions", 1..=65_536, &mut self.client_sessions)?;
        section.number("session_age_s", 60..=YEAR_S, &mut self.session_age_s)?;
        section.number("layers", 1..=4096, &mut self.layers)?;
        section.number("layer_bytes", MIB..=TIB, &mut self.layer_bytes)?;
        section.number("answers", 1..=1_000_000, &mut self.answers)?;
        section.number("answer_age_s", 60..=YEAR_S, &mut self.answer_age_s)?;
        section.number("kept_answer_bytes", MIB..=TIB, &mut self.kept_answer_bytes)?;
        section.number("unsave_objects", 0..=1_000_000, &mut self.unsave_objects)?;
        section.number("inbox_bytes", MIB..=TIB, &mut self.inbox_bytes)?;
        section.number("outbox_bytes", MIB..=TIB, &mut self.outbox_bytes)?;
        if let Some(prefixes) = section.texts("response_prefixes")? {
            for prefix in &prefixes {
                if prefix.contains(['+', '#', '\0']) || prefix.starts_with('$') || prefix.starts_with('/') {
                    let problem = "has an entry that is no prefix of topics; write for example \"reply/\"";
                    return Err(section.error("response_prefixes", problem));
                }
            }
            self.response_prefixes = prefixes;
        }
        Ok(())
    }
}

fn check<T, E: std::fmt::Display>(
    section: &Section<'_>,
    key: &str,
    checked: Result<T, E>,
) -> Result<(), ConfigError> {
    checked.map(drop).map_err(|error| section.error(key, format!("cannot be used: {error}")))
}

/// The name of our session unless another is given: one a board, or they throw each other out.
fn client_id(device: &str) -> String {
    format!("geosam-{device}")
}
