//! What the clients have asked and heard, and whether it fits together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::bus::memory::DeliveryId;
use crate::bus::{OutgoingMessage, QoS};

/// A request as its client knows it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub client: &'static str,
    pub verb: &'static str,
    pub session: &'static str,
    /// Whether it has prompts of its own, and nothing to do with the session.
    pub batch: bool,
    pub message: OutgoingMessage,
    /// Previews live in memory only.
    pub preview: bool,
}

impl Asked {
    /// Whether an answer is owed once it is acknowledged.
    fn is_promised(&self) -> bool {
        self.message.qos != QoS::AtMostOnce && !self.preview
    }

    pub fn changes_state(&self) -> bool {
        ["add", "undo", "clear", "save", "unsave"].contains(&self.verb)
    }
}

/// What is known outside the board. Ids are given once, whoever asks.
#[derive(Default)]
pub(super) struct Books {
    pub asked: BTreeMap<String, Asked>,
    pub deliveries: Vec<(DeliveryId, String)>,
    /// Answers by id: the code, or `ok`; and the text.
    heard: BTreeMap<String, Vec<(String, Value)>>,
    /// Objects told on `saved/`, and those told as deleted.
    saved: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// The order in which requests were run, of each the last time.
    pub ran: Vec<String>,
    /// How often the program has ended while a request was running, since the power was last cut.
    pub ends: BTreeMap<String, u32>,
    /// Requests that were running when the program ended twice.
    blamed: BTreeSet<String>,
}

impl Books {
    /// What the broker has got from the board.
    pub fn hear(&mut self, messages: Vec<OutgoingMessage>) {
        for message in messages {
            let levels: Vec<&str> = message.topic.split('/').collect();
            let is_answer = message.topic.starts_with("reply/") || levels.get(2) == Some(&"response");
            if is_answer {
                let answer: Value = serde_json::from_slice(&message.payload).unwrap();
                let code = answer["error"]["code"].as_str().unwrap_or("ok").to_owned();
                let id = answer["id"].as_str().unwrap_or_default().to_owned();
                self.heard.entry(id).or_default().push((code, answer));
            } else if levels.get(2) == Some(&"saved") {
                let feature: Value = serde_json::from_slice(&message.payload).unwrap();
                let id = feature["id"].as_str().unwrap().to_owned();
                if feature["deleted"] == true { &mut self.deleted } else { &mut self.saved }.insert(id);
            } else {
                assert!(!message.topic.ends_with("event/state_reset"), "nothing may be lost: {message:?}");
            }
        }
    }

    pub fn ran(&mut self, id: &str) {
        self.ran.retain(|before| before != id);
        self.ran.push(id.to_owned());
        self.ends.remove(id);
    }

    /// The program has ended while a request was running.
    pub fn ended(&mut self, id: String) {
        let ends = self.ends.entry(id.clone()).or_default();
        *ends += 1;
        if *ends >= 2 {
            self.blamed.insert(id);
        }
    }

    /// The answer that says that a request was carried out.
    fn done(&self, id: &str) -> Option<&Value> {
        let heard = self.heard.get(id)?;
        heard.iter().find(|(code, _)| code == "ok").map(|(_, answer)| answer)
    }

    /// Compares what was asked, answered, told, saved, and what the sessions are.
    pub fn check(
        &self,
        acknowledged: &[DeliveryId],
        layers: &Path,
        sessions: &BTreeMap<String, usize>,
        what: &str,
    ) {
        let acknowledged: BTreeSet<DeliveryId> = acknowledged.iter().copied().collect();
        for (delivery, id) in &self.deliveries {
            let asked = &self.asked[id];
            let owed = acknowledged.contains(delivery) && asked.is_promised();
            assert!(!owed || self.heard.contains_key(id), "{id} is never answered, {asked:?}: {what}");
        }
        for (id, answers) in &self.heard {
            let Some(asked) = self.asked.get(id) else { panic!("an answer to nobody, {answers:?}: {what}") };
            let done: Vec<&Value> =
                answers.iter().filter(|(code, _)| code == "ok").map(|(_, answer)| answer).collect();
            if asked.changes_state() {
                assert!(done.windows(2).all(|two| two[0] == two[1]), "two answers to {id}, {done:?}: {what}");
            }
            let internal = answers.iter().any(|(code, _)| code == "INTERNAL");
            assert!(!internal || self.blamed.contains(id), "{id} has failed inside, {answers:?}: {what}");
        }
        self.check_layers(layers, what);
        self.check_sessions(sessions, what);
    }

    fn check_layers(&self, layers: &Path, what: &str) {
        let (mut objects, mut requests) = (BTreeSet::new(), BTreeSet::new());
        for entry in std::fs::read_dir(layers).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "geojsonl") {
                continue;
            }
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let feature: Value = serde_json::from_str(line).unwrap();
                let (id, request) =
                    (feature["id"].as_str().unwrap(), feature["properties"]["request"].as_str().unwrap());
                assert!(objects.insert(id.to_owned()), "object {id} is there twice: {what}");
                assert!(requests.insert(request.to_owned()), "{request} has saved twice: {what}");
                // Of a batch, the request and the place of the prompt.
                let (request, prompt) = request.split_once('/').unwrap_or((request, ""));
                let answer = self.done(request);
                let told = answer.map(|answer| match prompt.parse::<usize>() {
                    Ok(prompt) => &answer["results"][prompt]["saved"]["id"],
                    Err(_) => &answer["saved"]["id"],
                });
                assert_eq!(told, Some(&Value::from(id)), "what {request} was told: {what}");
            }
        }
        let told: BTreeSet<String> = self.saved.difference(&self.deleted).cloned().collect();
        assert_eq!(objects, told, "what was told on saved/: {what}");
        let of = |verb: &'static str, member: &'static str| {
            let done = self.asked.iter().filter(move |(_, asked)| asked.verb == verb);
            let answers = done.filter_map(|(id, _)| self.done(id));
            let each = answers.flat_map(|answer| match answer["results"].as_array() {
                Some(results) => results.iter().filter(|result| result["status"] == "ok").collect(),
                None => vec![answer],
            });
            let ids = each.map(move |answer| &answer[member]["id"]);
            ids.map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<String>>()
        };
        let (saved, taken_back) = (of("save", "saved"), of("unsave", "unsaved"));
        assert_eq!(saved.iter().cloned().collect::<BTreeSet<_>>(), self.saved, "answers to save: {what}");
        let once: BTreeSet<String> = taken_back.iter().cloned().collect();
        assert_eq!((once.len(), &once), (taken_back.len(), &self.deleted), "answers to unsave: {what}");
    }

    /// What was run of the verbs that change sessions, in order, each with what its client heard.
    fn history(&self) -> Vec<String> {
        let told = |id: &String| {
            let Asked { client, verb, session, message, .. } = &self.asked[id];
            let codes = self.heard.get(id).into_iter().flatten().map(|(code, _)| code.as_str());
            let codes = codes.collect::<Vec<_>>().join(", ");
            format!("{id} {client}/{session} {verb} {:?}: {codes}", message.qos)
        };
        self.ran.iter().filter(|id| self.asked[*id].changes_state()).map(told).collect()
    }

    /// Plays what was carried out, in its order, on sessions that only count.
    fn check_sessions(&self, found: &BTreeMap<String, usize>, what: &str) {
        let mut sessions: BTreeMap<String, usize> = BTreeMap::new();
        for id in &self.ran {
            let asked = &self.asked[id];
            if !asked.changes_state() || self.done(id).is_none() || asked.verb == "unsave" || asked.batch {
                continue;
            }
            let prompts = sessions.entry(format!("{}/{}", asked.client, asked.session)).or_default();
            match asked.verb {
                "add" => *prompts += 1,
                "undo" => *prompts -= 1,
                _ => *prompts = 0,
            }
        }
        assert_eq!(*found, sessions, "prompts of sessions, {:#?}: {what}", self.history());
    }
}
