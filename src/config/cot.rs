//! The section `[cot]`: where saved objects go as Cursor on Target events.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::Config;
use super::error::ConfigError;
use super::reader::Section;
use crate::api::check_name;
use crate::bus::TlsFiles;
use crate::cot::{CotOptions, CotTarget};

const DAY_S: u64 = 24 * 3600;
/// More targets are somebody's mistake.
const MOST_TARGETS: usize = 8;
/// Bytes of a callsign.
const MOST_CALLSIGN: usize = 64;

/// Saved objects as Cursor on Target events; they are sent where there are targets.
#[derive(Debug, Clone, PartialEq)]
pub struct CotConfig {
    /// Where they go.
    pub targets: Vec<CotTarget>,
    /// Layers whose objects are sent; none named are all.
    pub layers: Vec<String>,
    /// Layer for the objects under markers that people set on TAK's maps; without it nobody is listened to.
    pub marker_layer: Option<String>,
    /// What people read at the board's presence; its name unless given.
    pub callsign: Option<String>,
    /// Seconds after which all objects are sent again.
    pub interval_s: u64,
    /// Seconds that a receiver shows an object that it hears no more of.
    pub stale_s: u64,
    /// Milliseconds between two events to one target.
    pub pause_ms: u64,
    /// Certificates and key for `tls://`.
    pub tls: TlsFiles,
    /// Whether a server's certificate must be for its name.
    pub check_name: bool,
    /// The address, on this board, of the network that multicast leaves by.
    pub multicast_interface: Option<Ipv4Addr>,
    /// Networks that multicast may pass through.
    pub multicast_ttl: u32,
}

impl Default for CotConfig {
    /// The one table of defaults is the sender's.
    fn default() -> Self {
        let options = CotOptions::new("", "");
        Self {
            targets: options.targets,
            layers: options.layers,
            marker_layer: options.marker_layer,
            callsign: None,
            interval_s: options.interval.as_secs(),
            stale_s: options.stale.as_secs(),
            pause_ms: u64::try_from(options.pause.as_millis()).unwrap_or(u64::MAX),
            tls: options.tls,
            check_name: options.check_name,
            multicast_interface: options.multicast_interface,
            multicast_ttl: options.multicast_ttl,
        }
    }
}

impl CotConfig {
    pub(super) fn read(&mut self, section: &Section<'_>) -> Result<(), ConfigError> {
        if let Some(targets) = section.texts("targets")? {
            self.targets = targets_of(&targets).map_err(|problem| section.error("targets", problem))?;
        }
        if let Some(layers) = section.texts("layers")? {
            if let Some(problem) = layers.iter().find_map(|layer| check_name(layer).err()) {
                return Err(section.error("layers", format!("has the name of a layer that {problem}")));
            }
            self.layers = layers;
        }
        if let Some(layer) = section.text("marker_layer")? {
            check_name(layer).map_err(|problem| {
                section.error("marker_layer", format!("is no name of a layer: it {problem}"))
            })?;
            if !self.targets.iter().any(CotTarget::can_be_heard) {
                let problem = "needs a target that can be listened to, a server (tcp://, tls://) or a multicast group \
                               (udp://239.2.3.1:6969); name one in targets, or leave marker_layer out";
                return Err(section.error("marker_layer", problem));
            }
            self.marker_layer = Some(layer.to_owned());
        }
        if let Some(callsign) = section.text("callsign")? {
            if callsign.len() > MOST_CALLSIGN || callsign.contains(char::is_control) {
                return Err(section.error("callsign", "has more than 64 bytes, or control characters"));
            }
            self.callsign = Some(callsign.to_owned());
        }
        section.number("interval_s", 10..=DAY_S, &mut self.interval_s)?;
        section.number("stale_s", 60..=366 * DAY_S, &mut self.stale_s)?;
        if self.stale_s < self.interval_s {
            let problem = "is shorter than interval_s: objects would disappear before they are sent again";
            return Err(section.error("stale_s", problem));
        }
        section.number("pause_ms", 0..=10_000, &mut self.pause_ms)?;
        self.tls.ca = section.path("ca")?;
        self.tls.cert = section.path("cert")?;
        self.tls.key = section.path("key")?;
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            let (present, missing) = if self.tls.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            return Err(section.error(present, format!("stands without {missing}; give both, or none")));
        }
        // Whoever gives certificates believes the connection to be encrypted.
        let encrypted = self.targets.iter().any(|target| matches!(target, CotTarget::Tls { .. }));
        if !encrypted && !self.targets.is_empty() && self.tls != TlsFiles::default() {
            let problem = "has no target that is encrypted, but ca, cert or key are given; write tls://, or leave them out";
            return Err(section.error("targets", problem));
        }
        self.check_name = section.flag("check_name")?.unwrap_or(self.check_name);
        if let Some(address) = section.text("multicast_interface")? {
            let address = address.parse().map_err(|_| {
                let problem =
                    "is no IPv4 address; give the board's own address in that network, for example \"192.168.4.1\"";
                section.error("multicast_interface", problem)
            })?;
            self.multicast_interface = Some(address);
        }
        section.number("multicast_ttl", 1..=255, &mut self.multicast_ttl)
    }
}

/// Entries are called by their place: there may be a password in one.
fn targets_of(texts: &[String]) -> Result<Vec<CotTarget>, String> {
    if texts.len() > MOST_TARGETS {
        return Err(format!("has {} entries; at most {MOST_TARGETS} are served", texts.len()));
    }
    let mut targets = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let number = index + 1;
        let target = CotTarget::parse(text)
            .map_err(|problem| format!("has an entry, number {number}, that {problem}"))?;
        if targets.contains(&target) {
            return Err(format!("has an entry, number {number}, that stands there twice"));
        }
        targets.push(target);
    }
    Ok(targets)
}

impl Config {
    /// Options of sending events; `None` where they are not sent.
    pub fn cot_options(&self) -> Option<CotOptions> {
        let cot = &self.cot;
        if cot.targets.is_empty() {
            return None;
        }
        let defaults = CotOptions::new(&self.device, &format!("{}/{}", self.root, self.device));
        Some(CotOptions {
            targets: cot.targets.clone(),
            layers: cot.layers.clone(),
            marker_layer: cot.marker_layer.clone(),
            callsign: cot.callsign.clone().unwrap_or_else(|| self.device.clone()),
            interval: Duration::from_secs(cot.interval_s),
            stale: Duration::from_secs(cot.stale_s),
            pause: Duration::from_millis(cot.pause_ms),
            tls: cot.tls.clone(),
            check_name: cot.check_name,
            multicast_interface: cot.multicast_interface,
            multicast_ttl: cot.multicast_ttl,
            ..defaults
        })
    }

    /// What is worth a look in this section.
    pub(super) fn cot_notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let cot = &self.cot;
        if !cot.check_name && cot.tls.ca.is_none() && !cot.targets.is_empty() {
            notes.push(
                "cot.check_name is false without cot.ca: any server with a certificate of a public authority is taken for \
                 the one that is meant; name the server's own authority"
                    .to_owned(),
            );
        }
        let is_plain = |target: &&CotTarget| matches!(target, CotTarget::Tcp { .. } | CotTarget::Udp { .. });
        if let Some(target) = cot.targets.iter().find(is_plain) {
            notes.push(format!(
                "everybody on the way to {target} can read what is saved; tls:// is encrypted"
            ));
        }
        let Some(layer) = &cot.marker_layer else { return notes };
        if let Some(target) = cot.targets.iter().filter(|target| target.can_be_heard()).find(is_plain) {
            notes.push(format!(
                "everybody on the way to {target} can set markers, and have their objects saved in {layer}; tls:// knows its \
                 server by a certificate"
            ));
        }
        if !cot.layers.is_empty() && !cot.layers.contains(layer) {
            notes.push(format!(
                "objects of markers go into {layer} (cot.marker_layer), which is not among cot.layers: nobody is sent them"
            ));
        }
        notes
    }
}
