//! What the service tells of itself: state, info, folders, health, events; and what it subscribes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::context::{AnswerBounds, Context};
use super::folders::FolderView;
use super::health::{Broker, Delivery, Health, Moment, Tally};
use super::masks::MaskLimits;
use super::verbs::{MOST_CHIPS, MOST_PROPERTIES};
use super::watcher::FolderNews;
use crate::accelerator::EngineNews;
use crate::api::{API_VERSION, Limits};
use crate::bus::{BusClient, BusError, OutgoingMessage, Properties, QoS, SubscribeToken, Topics};
use crate::session::SessionLimits;
use crate::store::{Class, OutboxMessage};

/// What `info` tells besides what is found at run time.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub limits: Limits,
    pub sessions: SessionLimits,
    pub queue: usize,
    pub per_client: usize,
    pub layers: usize,
    pub layer_bytes: u64,
    pub masks: MaskLimits,
    pub answers: AnswerBounds,
}

/// Builds the service's own messages.
#[derive(Debug)]
pub(super) struct Announcer {
    topics: Topics,
    facts: Facts,
    health_interval: Duration,
    self_test_interval: Duration,
    /// Bytes of the largest packet that the broker takes, as far as it is known.
    packet_bytes: Option<usize>,
}

impl Announcer {
    pub const fn new(
        topics: Topics,
        facts: Facts,
        health_interval: Duration,
        self_test_interval: Duration,
    ) -> Self {
        Self { topics, facts, health_interval, self_test_interval, packet_bytes: None }
    }

    /// What is known of the largest packet; says whether it is news.
    pub fn set_packet_bytes(&mut self, bytes: Option<usize>) -> bool {
        std::mem::replace(&mut self.packet_bytes, bytes) != bytes
    }

    pub const fn self_test_interval(&self) -> Duration {
        self.self_test_interval
    }

    pub const fn health_interval(&self) -> Duration {
        self.health_interval
    }

    /// Asks for requests, for the group's requests, and for our own folder messages, which may be older
    /// than this run.
    ///
    /// # Errors
    /// As [`BusClient::subscribe_with`].
    pub fn subscribe(
        &self,
        client: &mut impl BusClient,
        shared: bool,
    ) -> Result<Vec<SubscribeToken>, BusError> {
        let mut filters = vec![self.topics.request_filter(), self.topics.folder_filter()];
        if shared {
            filters.extend(self.topics.fleet_filters());
        }
        let ask = |filter: &String| client.subscribe(filter, QoS::AtLeastOnce).map(SubscribeToken::from);
        filters.iter().map(ask).collect()
    }

    /// Everything retained but `state`, which comes last, when the rest can be relied on.
    pub fn all(&self, view: &FolderView, context: &Context) -> Vec<OutgoingMessage> {
        let mut messages = vec![self.info(context)];
        messages.extend(view.names().map(|name| self.folder(view, name)));
        messages
    }

    /// Requests reach us.
    pub fn online(&self) -> OutgoingMessage {
        plain(self.topics.state(), "online").retained()
    }

    /// The farewell of a clean stop, the same as the last will.
    pub fn offline(&self) -> OutgoingMessage {
        plain(self.topics.state(), "offline").retained()
    }

    /// Versions, engine, models, limits.
    pub fn info(&self, context: &Context) -> OutgoingMessage {
        let Facts { limits, sessions, .. } = &self.facts;
        // Those in force: a card with little room has smaller ones than were configured.
        let store = context.store.limits();
        let mut info = json!({
            "api": API_VERSION,
            "software": format!("geosam-edge {}", env!("CARGO_PKG_VERSION")),
            "engine": context.engine.decoders().engine_in_use(),
            "models": context.models(),
            "limits": {
                "payload_bytes": limits.max_payload_bytes,
                "points": limits.max_points,
                "prompts": limits.max_prompts,
                "json_depth": limits.max_depth,
                "answer_bytes": self.facts.answers.unsaid,
                "max_answer_bytes": self.facts.answers.most,
                "object_bytes": self.facts.answers.object(),
                "everything_properties_bytes": MOST_PROPERTIES,
                "chips": MOST_CHIPS,
                "queue": self.facts.queue,
                "queue_per_client": self.facts.per_client,
                "layers": self.facts.layers,
                "layer_bytes": self.facts.layer_bytes,
                "answers_kept": store.answers,
                "answers_kept_s": store.answer_age().as_secs(),
                "answers_kept_bytes": store.answer_bytes,
                "sessions": sessions.sessions,
                "sessions_per_client": sessions.per_client,
                "session_age_s": sessions.idle_seconds,
                "masks_kept": self.facts.masks.per_client,
                "masks_kept_bytes": self.facts.masks.bytes,
                "unsave_objects": store.unsave_objects,
                "inbox_bytes": store.inbox_bytes,
                "outbox_bytes": store.outbox_bytes,
            },
        });
        if let Some(reason) = context.engine.decoders().engine_reason() {
            info["engine_reason"] = Value::String(reason);
        }
        if let Some(bytes) = self.packet_bytes {
            info["limits"]["packet_bytes"] = bytes.into();
        }
        as_json(self.topics.info(), &info).retained()
    }

    fn folder(&self, view: &FolderView, name: &str) -> OutgoingMessage {
        let told = view.told(name).map(|told| as_json(self.topics.folder(name), &told).retained());
        told.unwrap_or_else(|| self.folder_gone(name))
    }

    /// Clears the retained message of a folder.
    pub fn folder_gone(&self, name: &str) -> OutgoingMessage {
        OutgoingMessage::new(self.topics.folder(name), Vec::new()).retained()
    }

    /// The retained message that follows from news.
    pub fn folder_message(&self, view: &FolderView, news: &FolderNews) -> Option<OutgoingMessage> {
        Some(match news {
            FolderNews::Added(name) | FolderNews::Changed(name) | FolderNews::Problem(name, _) => {
                self.folder(view, name)
            }
            FolderNews::Removed(name) => self.folder_gone(name),
        })
    }

    /// The event that follows from news.
    pub fn folder_event(&self, news: &FolderNews) -> OutboxMessage {
        match news {
            FolderNews::Added(name) => self.event("folder_added", &json!({"folder": name})),
            FolderNews::Changed(name) => self.event("folder_changed", &json!({"folder": name})),
            FolderNews::Removed(name) => self.event("folder_removed", &json!({"folder": name})),
            FolderNews::Problem(name, problem) => {
                let kind = match problem.code {
                    crate::ErrorCode::CardError => "card_error",
                    _ => "folder_problem",
                };
                self.event(kind, &json!({"folder": name, "problem": problem}))
            }
        }
    }

    /// The event that follows from news of an engine.
    pub fn engine_event(&self, news: &EngineNews) -> Option<OutboxMessage> {
        match news {
            EngineNews::Ready { model, summary } => {
                Some(self.event("engine_ready", &json!({"message": format!("{model}: {summary}")})))
            }
            // That all is as it should be is no event.
            EngineNews::Agreed { .. } => None,
            EngineNews::Fallback { message, .. } => Some(self.problem("engine_fallback", message)),
        }
    }

    /// Messages were dropped because the broker has been away for too long.
    pub fn outbox_full(&self, drops: &BTreeMap<Class, usize>) -> OutboxMessage {
        let dropped: BTreeMap<&str, usize> = drops.iter().map(|(class, n)| (class.as_str(), *n)).collect();
        self.event("outbox_full", &json!({"dropped": dropped}))
    }

    /// Requests at most once were dropped because they came too fast; of some it is known whose.
    pub fn requests_dropped(&self, by_client: &BTreeMap<String, u64>, message: &str) -> OutboxMessage {
        self.event("requests_dropped", &json!({"dropped": by_client, "message": message}))
    }

    /// Something that is wrong, and what came of it.
    pub fn problem(&self, kind: &str, message: &str) -> OutboxMessage {
        self.event(kind, &json!({"message": message}))
    }

    fn event(&self, kind: &str, payload: &Value) -> OutboxMessage {
        let payload: Arc<[u8]> = payload.to_string().into_bytes().into();
        OutboxMessage {
            content_type: Some("application/json".to_owned()),
            ..OutboxMessage::new(Class::Event, self.topics.event(kind), payload)
        }
    }

    pub fn health(
        &self,
        tally: &Tally,
        context: &Context,
        queue: usize,
        problems: &[&str],
        (delivery, broker): (Delivery, Broker),
        now: Instant,
    ) -> OutgoingMessage {
        let counters = context.store.counters().unwrap_or_default();
        let moment = Moment {
            queue,
            depths: context.store.depths(),
            dropped: Class::ALL.iter().filter_map(|c| counters.get(&crate::store::drop_counter(*c))).sum(),
            delivery,
            broker,
            syncs: context.store.syncs() + context.layers.syncs(),
            cache_bytes: context.engine.cache_bytes(),
            engine: context.engine.decoders().engine_in_use(),
            engine_reason: context.engine.decoders().engine_reason(),
            free_bytes: super::health::free_bytes(context.store.path()),
            problems,
        };
        as_json(self.topics.health(), &Health::take(tally, &moment, now)).at_most_once()
    }
}

fn plain(topic: String, text: &str) -> OutgoingMessage {
    OutgoingMessage::new(topic, text)
}

fn as_json(topic: String, value: &impl Serialize) -> OutgoingMessage {
    // Maps with string keys and finite numbers: none can fail to be written.
    let payload = serde_json::to_vec(value).unwrap_or_default();
    let properties =
        Properties { content_type: Some("application/json".to_owned()), ..Properties::default() };
    OutgoingMessage::new(topic, payload).with(properties)
}
