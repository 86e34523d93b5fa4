//! The configuration as the service wants it.

use std::time::Duration;

use super::Config;
use crate::durable::Disk;
use crate::service::ServiceOptions;
use crate::session::SessionLimits;
use crate::store::StoreLimits;

/// Room for the topic and the properties of an answer.
const PACKET_HEAD: usize = 4096;

impl Config {
    /// Threads of one decode.
    pub fn decoder_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self.decoder.threads {
            0 => (cores / self.decoder.workers.max(1)).max(1),
            threads => threads,
        }
    }

    /// Bytes of the largest answer: as configured, but what a packet holds beside its head, and a quarter of the outbox,
    /// so that one answer never pushes out all others.
    fn most_answer_bytes(&self) -> usize {
        let of_outbox = usize::try_from(self.limits.outbox_bytes / 4).unwrap_or(usize::MAX);
        let of_packet = self.broker.max_packet_bytes.saturating_sub(PACKET_HEAD).max(1024);
        self.limits.max_answer_bytes.min(of_outbox).min(of_packet)
    }

    /// The service's options. The broker's are [`Config::bus_options`].
    pub fn service_options(&self) -> ServiceOptions {
        let workers = self.decoder.workers.max(1);
        let threads = self.decoder_threads();
        let limits = &self.limits;
        ServiceOptions {
            root: self.root.clone(),
            device: self.device.clone(),
            groups: self.fleet.groups.clone(),
            features: self.features.clone(),
            models: self.models.clone(),
            state: self.state.clone(),
            limits: limits.request,
            stitch: self.defaults.stitch.then_some(self.defaults.max_chips),
            response_prefixes: limits.response_prefixes.clone(),
            queue: limits.queue,
            queue_per_client: limits.client_queue,
            previews: if self.preview.enabled { self.preview.waiting } else { 0 },
            answer_bytes: limits.answer_bytes,
            max_answer_bytes: self.most_answer_bytes(),
            batch_chips: ServiceOptions::default().batch_chips,
            disk: Disk::default(),
            store: StoreLimits {
                inbox_bytes: limits.inbox_bytes,
                inbox_bytes_per_client: limits.inbox_bytes / 2,
                outbox_bytes: limits.outbox_bytes,
                answers: limits.answers,
                answer_seconds: limits.answer_age_s,
                answer_bytes: limits.kept_answer_bytes,
                unsave_objects: limits.unsave_objects,
                ..StoreLimits::default()
            },
            sessions: SessionLimits {
                sessions: limits.sessions,
                per_client: limits.client_sessions,
                idle_seconds: limits.session_age_s,
            },
            masks: ServiceOptions::default().masks,
            layers: limits.layers,
            layer_bytes: limits.layer_bytes,
            workers,
            threads,
            cache_bytes: usize::try_from(self.decoder.cache_bytes).unwrap_or(usize::MAX),
            engine: self.decoder.engine,
            self_check: self.self_check(threads),
            accelerator: self.accelerator(threads),
            health_interval: Duration::from_secs(self.health.interval_s.max(1)),
            self_test_interval: Duration::from_secs(120),
            look_interval: Duration::from_secs(2),
            cot: self.cot_options(),
        }
    }
}
