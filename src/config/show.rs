//! The configuration as TOML: what is in force, in the order of the example file.

use std::path::Path;

use toml::Value;

use super::{Config, PasswordSource};

impl Config {
    /// What is in force, as a file that would say the same. Passwords are not part of a configuration;
    /// what is shown is where they are.
    pub fn effective(&self) -> String {
        let mut out = Text::default();
        out.text("device", &self.device);
        out.text("root", &self.root);
        out.list("features", self.features.iter().map(|path| path.display().to_string()));
        out.path("models", &self.models);
        out.path("state", &self.state);
        out.text("log", &self.log);

        let broker = &self.broker;
        out.section("broker");
        out.text("url", &broker.url.to_string());
        out.text("protocol", &broker.protocol.to_string());
        out.text("client_id", &broker.client_id);
        if let Some(username) = &broker.username {
            out.text("username", username);
        }
        match &broker.password {
            None => {}
            Some(PasswordSource::File(path)) => out.path("password_file", path),
            Some(PasswordSource::Environment(name)) => out.text("password_env", name),
        }
        for (key, path) in [("ca", &broker.tls.ca), ("cert", &broker.tls.cert), ("key", &broker.tls.key)] {
            if let Some(path) = path {
                out.path(key, path);
            }
        }
        out.number("keep_alive_s", u64::from(broker.keep_alive_s));
        out.number("session_expiry_s", u64::from(broker.session_expiry_s));
        out.number("in_flight", u64::from(broker.in_flight));
        out.number("receive_maximum", u64::from(broker.receive_maximum));
        out.number("max_packet_bytes", broker.max_packet_bytes as u64);

        let limits = &self.limits;
        out.section("limits");
        out.number("payload_bytes", limits.request.max_payload_bytes as u64);
        out.number("points", limits.request.max_points as u64);
        out.number("prompts", limits.request.max_prompts as u64);
        out.number("depth", limits.request.max_depth as u64);
        out.number("answer_bytes", limits.answer_bytes as u64);
        out.number("max_answer_bytes", limits.max_answer_bytes as u64);
        out.number("queue", limits.queue as u64);
        out.number("client_queue", limits.client_queue as u64);
        out.number("sessions", limits.sessions as u64);
        out.number("client_sessions", limits.client_sessions as u64);
        out.number("session_age_s", limits.session_age_s);
        out.number("layers", limits.layers as u64);
        out.number("layer_bytes", limits.layer_bytes);
        out.number("answers", limits.answers as u64);
        out.number("answer_age_s", limits.answer_age_s);
        out.number("kept_answer_bytes", limits.kept_answer_bytes);
        out.number("unsave_objects", limits.unsave_objects as u64);
        out.number("inbox_bytes", limits.inbox_bytes);
        out.number("outbox_bytes", limits.outbox_bytes);
        out.list("response_prefixes", limits.response_prefixes.iter().cloned());

        out.section("defaults");
        out.line("stitch", &Value::Boolean(self.defaults.stitch));
        out.number("max_chips", u64::from(self.defaults.max_chips));

        out.section("preview");
        out.line("enabled", &Value::Boolean(self.preview.enabled));
        out.number("waiting", self.preview.waiting as u64);

        out.section("decoder");
        out.text("engine", self.decoder.engine.as_str());
        out.number("workers", self.decoder.workers as u64);
        out.number("threads", self.decoder.threads as u64);
        out.number("cache_bytes", self.decoder.cache_bytes);

        let tensorrt = &self.tensorrt;
        out.section("tensorrt");
        out.path("library", &tensorrt.library);
        out.text("provider", tensorrt.provider.as_str());
        out.line("fp16", &Value::Boolean(tensorrt.fp16));
        out.number("device", u64::from(tensorrt.device));
        out.number("workspace_bytes", tensorrt.workspace_bytes);
        out.number("build_timeout_s", tensorrt.build_timeout_s);

        out.section("health");
        out.number("interval_s", self.health.interval_s);

        out.section("fleet");
        out.list("groups", self.fleet.groups.iter().cloned());

        let web = &self.web;
        out.section("web");
        if let Some(listen) = web.listen {
            out.text("listen", &listen.to_string());
        }
        out.list("hosts", web.hosts.iter().cloned());
        for (key, path) in [("password_file", &web.password_file), ("cert", &web.cert), ("key", &web.key)] {
            if let Some(path) = path {
                out.path(key, path);
            }
        }

        let cot = &self.cot;
        out.section("cot");
        out.list("targets", cot.targets.iter().map(ToString::to_string));
        out.list("layers", cot.layers.iter().cloned());
        if let Some(layer) = &cot.marker_layer {
            out.text("marker_layer", layer);
        }
        if let Some(callsign) = &cot.callsign {
            out.text("callsign", callsign);
        }
        out.number("interval_s", cot.interval_s);
        out.number("stale_s", cot.stale_s);
        out.number("pause_ms", cot.pause_ms);
        for (key, path) in [("ca", &cot.tls.ca), ("cert", &cot.tls.cert), ("key", &cot.tls.key)] {
            if let Some(path) = path {
                out.path(key, path);
            }
        }
        out.line("check_name", &Value::Boolean(cot.check_name));
        if let Some(address) = cot.multicast_interface {
            out.text("multicast_interface", &address.to_string());
        }
        out.number("multicast_ttl", u64::from(cot.multicast_ttl));
        out.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn section(&mut self, name: &str) {
        self.0 += &format!("\n[{name}]\n");
    }

    fn line(&mut self, key: &str, value: &Value) {
        self.0 += &format!("{key} = {value}\n");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.line(key, &Value::String(text.to_owned()));
    }

    fn path(&mut self, key: &str, path: &Path) {
        self.text(key, &path.display().to_string());
    }

    fn number(&mut self, key: &str, number: u64) {
        // Every bound of a key lies far below i64::MAX, which is TOML's.
        self.line(key, &Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    fn list(&mut self, key: &str, texts: impl Iterator<Item = String>) {
        self.line(key, &Value::Array(texts.map(Value::String).collect()));
    }
}
