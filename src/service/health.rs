//! What the board and the service feel like: counters, latencies, and what Linux tells in `/proc` and
//! `/sys`. Absent values are left out.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::store::Depths;

/// Latencies kept for the percentiles.
const LATENCIES: usize = 512;

/// Counters of one run of the service.
#[derive(Debug)]
pub(super) struct Tally {
    started: Instant,
    served: u64,
    failed: u64,
    latencies: VecDeque<f64>,
}

impl Tally {
    pub fn new(now: Instant) -> Self {
        Self { started: now, served: 0, failed: 0, latencies: VecDeque::with_capacity(LATENCIES) }
    }

    /// A request has been answered.
    pub fn answered(&mut self, ok: bool, latency: Duration) {
        if ok {
            self.served += 1;
        } else {
            self.failed += 1;
        }
        if self.latencies.len() == LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency.as_secs_f64() * 1e3);
    }

    /// The latency that this share of requests stayed below, in milliseconds.
    fn percentile(&self, share: f64) -> Option<f64> {
        let mut sorted: Vec<f64> = self.latencies.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let index = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(index).map(|ms| (ms * 10.0).round() / 10.0)
    }
}

/// The payload of `health`.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    uptime_s: u64,
    requests: Requests,
    queue: usize,
    inbox: Depth,
    outbox: Depth,
    dropped: u64,
    delivery: Delivery,
    broker: Broker,
    latency_ms: Latency,
    card_syncs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    cache_bytes: u64,
    engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature_c: Option<f64>,
}

/// Messages that were not delivered in this run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Delivery {
    pub quarantined: u64,
    pub refused: u64,
    /// Requests at most once that came faster than they could be looked at.
    pub requests_dropped: u64,
}

/// What is known of the broker, in this run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Broker {
    pub protocol: String,
    pub connections: u64,
    pub sessions_lost: u64,
    /// Whether requests reach us.
    pub way_in: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Requests {
    served: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Depth {
    count: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Latency {
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95: Option<f64>,
}

/// What the rest of the service knows at this moment.
#[derive(Debug, Clone)]
pub(super) struct Moment<'a> {
    pub queue: usize,
    pub depths: Depths,
    pub dropped: u64,
    pub delivery: Delivery,
    pub broker: Broker,
    pub syncs: u64,
    pub cache_bytes: usize,
    pub free_bytes: Option<u64>,
    /// The engine in use, and why it is not the best.
    pub engine: &'static str,
    pub engine_reason: Option<String>,
    pub problems: &'a [&'a str],
}

impl Health {
    /// Takes the pulse.
    pub fn take(tally: &Tally, moment: &Moment<'_>, now: Instant) -> Self {
        Self {
            uptime_s: now.saturating_duration_since(tally.started).as_secs(),
            requests: Requests { served: tally.served, failed: tally.failed },
            queue: moment.queue,
            inbox: Depth { count: moment.depths.inbox, bytes: moment.depths.inbox_bytes },
            outbox: Depth { count: moment.depths.outbox, bytes: moment.depths.outbox_bytes },
            dropped: moment.dropped,
            delivery: moment.delivery,
            broker: moment.broker.clone(),
            latency_ms: Latency { p50: tally.percentile(0.5), p95: tally.percentile(0.95) },
            card_syncs: moment.syncs,
            memory_bytes: resident_bytes(),
            cache_bytes: moment.cache_bytes as u64,
            engine: moment.engine,
            engine_reason: moment.engine_reason.clone(),
            state_free_bytes: moment.free_bytes,
            problems: moment.problems.iter().map(|problem| (*problem).to_owned()).collect(),
            temperature_c: hottest_zone(Path::new("/sys/class/thermal")),
        }
    }
}

/// Bytes free for us on the file system of a path.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// Resident memory of this process (`proc(5)`: `VmRSS` in kB).
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// The hottest thermal zone in degrees Celsius. Zones that are switched off answer with an error and are
/// passed over (Linux `thermal/sysfs-api`: `temp` in thousandths of a degree).
fn hottest_zone(thermal: &Path) -> Option<f64> {
    let zones = std::fs::read_dir(thermal).ok()?.filter_map(Result::ok);
    let temperatures = zones
        .filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"))
        .filter_map(|zone| std::fs::read_to_string(zone.path().join("temp")).ok())
        .filter_map(|text| text.trim().parse::<f64>().ok())
        .map(|thousandths| thousandths / 1000.0)
        // A sensor that is not connected reads absolute zero or a huge number.
        .filter(|celsius| (-60.0..200.0).contains(celsius));
    temperatures.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_the_latest_requests() {
        let mut tally = Tally::new(Instant::now());
        assert_eq!(tally.percentile(0.5), None);
        for ms in 1..=100 {
            tally.answered(true, Duration::from_millis(ms));
        }
        assert_eq!((tally.percentile(0.5), tally.percentile(0.95)), (Some(50.0), Some(95.0)));
        for _ in 0..LATENCIES {
            tally.answered(false, Duration::from_millis(7));
        }
        assert_eq!((tally.percentile(0.95), tally.failed), (Some(7.0), 512));
    }

    #[test]
    fn the_hottest_zone_counts_and_broken_ones_are_passed_over() {
        let thermal = tempfile::tempdir().unwrap();
        assert_eq!(hottest_zone(thermal.path()), None);
        for (zone, text) in
            [("thermal_zone0", "41500\n"), ("thermal_zone1", "-273000\n"), ("cooling_device0", "99")]
        {
            let zone = thermal.path().join(zone);
            std::fs::create_dir(&zone).unwrap();
            std::fs::write(zone.join("temp"), text).unwrap();
        }
        assert_eq!(hottest_zone(thermal.path()), Some(41.5));
    }

    #[test]
    fn this_process_knows_its_own_memory() {
        assert!(resident_bytes().is_none_or(|bytes| bytes > 1 << 20));
    }
}
