//! What is wrong with the card: told in the log and by an event when it is found, and in each `health` while it lasts.

use std::collections::BTreeMap;

use super::Clerk;
use crate::bus::BusClient;
use crate::cot::CotLive;
use crate::layers::LayerError;
use crate::store::{Problem, StoreError};

/// What is wrong at the moment.
#[derive(Debug, Default)]
pub(in crate::service) struct Trouble {
    /// The state was damaged in this run of the service, or before it.
    damaged: Option<String>,
    /// The state cannot be written.
    unwritable: Option<String>,
    /// Layer files that cannot be written, by what the error says.
    layers: BTreeMap<String, String>,
}

impl Trouble {
    /// What `health` tells.
    pub fn told(&self) -> Vec<&str> {
        let layers = self.layers.values();
        self.damaged.iter().chain(&self.unwritable).chain(layers).map(String::as_str).collect()
    }
}

impl<C: BusClient> Clerk<C> {
    /// Tells what the store and the layers have found wrong since the last time.
    pub(super) fn tell_problems(&mut self) {
        for problem in self.context.store.take_problems() {
            let message = problem.to_string();
            tracing::error!("the state was damaged: {message}");
            self.event(self.announcer.problem("state_reset", &message));
            if !matches!(problem, Problem::BadRows { .. }) || self.trouble.damaged.is_none() {
                self.trouble.damaged = Some(message);
            }
        }
        for message in self.context.cot.as_ref().map_or_else(Vec::new, CotLive::take_news) {
            self.event(self.announcer.problem("cot_problem", &message));
        }
        for problem in self.context.layers.take_problems() {
            let message = problem.to_string();
            tracing::warn!("a layer's file was damaged: {message}");
            self.event(self.announcer.problem("layer_problem", &message));
        }
    }

    /// The state cannot be written: told once, until it can be again. The event cannot be durable.
    pub(super) fn state_unwritable(&mut self, error: &StoreError) {
        let message = error.to_string();
        let is_new = self.trouble.unwritable.replace(message.clone()).is_none();
        if is_new {
            tracing::error!(error = message, "the state cannot be written; it is tried again until it can");
        }
        if is_new && self.publisher.is_connected() {
            let kind =
                if matches!(error, StoreError::CardFull { .. }) { "state_full" } else { "state_problem" };
            let event = self.announcer.problem(kind, &message);
            self.publish_now(&event, false);
        }
    }

    /// The state was written.
    pub(super) fn state_written(&mut self) {
        if self.trouble.unwritable.take().is_some() {
            tracing::info!("the state can be written again");
        }
    }

    /// These layers could not be written, and all others that were to be could: told once for each error.
    pub(super) fn layers_unwritable(&mut self, errors: &[LayerError]) {
        let before = std::mem::take(&mut self.trouble.layers);
        for error in errors {
            let error = error.to_string();
            let message = format!("a saved object is not in its layer yet, and is tried again: {error}");
            if !before.contains_key(&error) {
                self.event(self.announcer.problem("layer_problem", &message));
            }
            self.trouble.layers.insert(error, message);
        }
    }
}
