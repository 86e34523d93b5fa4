//! What an incoming message means: a request to keep, one to run from memory, one to refuse, or nothing of
//! ours. Pure: no store, no schedule, no bus.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::job::{Job, ReplyTo, next_number};
use crate::ErrorCode;
use crate::api::{
    CrsChoice, Limits, Multimask, PromptItem, Request, RequestError, RequestId, Response, check_keys,
    parse_request_with,
};
use crate::bus::{AddressFault, Inbound, IncomingMessage, QoS, RequestAddress, Scope, Topics, Verb};
use crate::store::{InboxEntry, RequestKey};

/// The longest correlation data of a request, in bytes: an answer that carries them back must fit into any packet.
pub(super) const MAX_CORRELATION: usize = 256;

/// What a ping begins with.
pub(super) const PING: &[u8] = b"ping ";

/// What to do with a message.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, for a moment, on the stack")]
pub(super) enum Admission {
    /// Nothing of ours; acknowledge and forget.
    Ignore,
    /// On a topic of another shape than ours; acknowledge, and say so.
    Strange,
    /// A ping of the board to itself, with its text, and its bytes where that was too large to be kept.
    Ping(String, usize),
    /// A retained folder message of ours.
    Folder(String),
    /// Answer at once.
    Refuse(ReplyTo, Response),
    /// Take back what the client has waiting.
    Cancel(Box<Cancellation>),
    /// Run from memory: a preview, or a request without delivery guarantee.
    Volatile(Box<Job>),
    /// Make durable, acknowledge, then run.
    Durable(Box<Job>, Box<InboxEntry>),
}

impl Admission {
    /// The response topic that the message asked for, where none of our answers may go there.
    pub fn foreign_topic(&self) -> Option<(&str, &str)> {
        let reply = match self {
            Self::Refuse(reply, _) => reply,
            Self::Cancel(cancellation) => &cancellation.reply,
            Self::Volatile(job) | Self::Durable(job, _) => &job.reply,
            Self::Ignore | Self::Strange | Self::Ping(..) | Self::Folder(_) => return None,
        };
        Some((reply.foreign_topic.as_deref()?, &reply.topic))
    }
}

/// A request to take back what its client has waiting.
#[derive(Debug)]
pub(super) struct Cancellation {
    pub client: String,
    pub reply: ReplyTo,
    /// The id to answer with.
    pub id: Option<RequestId>,
    /// The request to take back; all where none is named.
    pub request_id: Option<RequestId>,
}

impl Cancellation {
    /// Whether this is what is to be taken back.
    pub fn wants(&self, job: &Job) -> bool {
        self.wants_id(job.request.id())
    }

    /// The same of a request by its id.
    pub fn wants_id(&self, id: Option<&RequestId>) -> bool {
        // `"42"` and `42` are the same id.
        let is = |wanted: &RequestId| id.is_some_and(|id| id.to_string() == wanted.to_string());
        self.request_id.as_ref().is_none_or(is)
    }
}

/// How messages are judged.
#[derive(Debug)]
pub(super) struct IntakeRules {
    pub topics: Topics,
    pub limits: Limits,
    /// What a request asks for that does not say.
    pub unsaid: PromptItem,
    /// Patterns of response topics that may be answered on.
    pub response_prefixes: Vec<String>,
    /// Whether previews are served.
    pub previews: bool,
    pub receptions: Receptions,
}

/// Ids that no client can choose, each given once, also over restarts.
#[derive(Debug)]
pub(super) struct Receptions {
    start: u128,
    given: AtomicU64,
}

impl Receptions {
    pub fn new() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Self { start, given: AtomicU64::new(0) }
    }

    fn next(&self) -> RequestId {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        // No name has a space in it.
        RequestId::Text(format!(" {:x} {given:x}", self.start))
    }
}

impl IntakeRules {
    /// Judges one message.
    pub fn judge(&self, message: IncomingMessage, now: Instant) -> Admission {
        if message.topic == self.topics.ping()
            && (message.cut_from.is_some() || message.payload.starts_with(PING))
        {
            let bytes = message.cut_from.unwrap_or(message.payload.len());
            let text = String::from_utf8_lossy(&message.payload);
            // What follows the second blank makes it as large as it is to be.
            let text = text.split(' ').take(3).collect::<Vec<_>>().join(" ");
            return Admission::Ping(text, bytes);
        }
        let address = match self.topics.parse(&message.topic) {
            Inbound::Request(address) => address,
            Inbound::Folder(name) => {
                return if message.retain && !message.payload.is_empty() {
                    Admission::Folder(name)
                } else {
                    Admission::Ignore
                };
            }
            Inbound::Faulty { fault, reply_to: Some(topic) } => {
                // The id lets the asker find its answer, whatever else is wrong.
                let id = self.parse(&message).map_or_else(|(id, _)| id, |request| request.id().cloned());
                let reply = ReplyTo {
                    correlation: correlation(&message),
                    at_most_once: message.qos == QoS::AtMostOnce,
                    ..ReplyTo::topic(topic)
                };
                return Admission::Refuse(reply, Response::error(id, fault.code(), fault.to_string()));
            }
            Inbound::Faulty { reply_to: None, .. } | Inbound::Foreign => return Admission::Strange,
        };
        if message.retain && message.payload.is_empty() && message.cut_from.is_none() {
            // Somebody clears the topic of a retained request, as the refusal of one says.
            return Admission::Ignore;
        }
        let reply = self.reply_to(&address, &message);
        let refuse =
            |id, code, text: String| Admission::Refuse(reply.clone(), Response::error(id, code, text));
        if let Some(bytes) = message.cut_from {
            let limit = self.limits.max_payload_bytes;
            let text = format!("the payload has {bytes} bytes; at most {limit} are accepted");
            return refuse(None, ErrorCode::BadRequest, text);
        }
        let request = match self.parse(&message) {
            Ok(request) => request,
            Err((id, error)) => return refuse(id, error.code(), error.to_string()),
        };
        let id = request.id().cloned();
        if message.retain {
            let text = "a retained request would be run again at every reconnect; publish it without the \
                        retain flag, and clear the topic with an empty retained message";
            return refuse(id, ErrorCode::BadRequest, text.to_owned());
        }
        if let Err(text) = check_properties(&message) {
            let plain = ReplyTo { response_topic: None, ..reply };
            return Admission::Refuse(plain, Response::error(id, ErrorCode::BadRequest, text));
        }
        if address.verb == Verb::Everything && message.qos == QoS::AtMostOnce {
            let text = "everything takes long, and survives a restart: send it with QoS 1";
            return refuse(id, ErrorCode::BadRequest, text.to_owned());
        }
        if address.verb == Verb::Everything && address.scope != Scope::Device && request.chip.is_none() {
            let fault = AddressFault::NotForFleet { verb: address.verb };
            return refuse(id, fault.code(), fault.to_string());
        }
        if let Err(text) = check_for_verb(address.verb, &request) {
            return refuse(id, ErrorCode::BadRequest, text);
        }
        if request.preview && !self.previews {
            return refuse(id, ErrorCode::BadRequest, "previews are switched off on this board".to_owned());
        }
        if address.verb == Verb::Cancel {
            let (client, request_id) = (address.client, request.request_id);
            return Admission::Cancel(Box::new(Cancellation { client, reply, id, request_id }));
        }
        // What has an id and changes something is not done twice, however it came.
        let changes_state = changes_state(address.verb, &request);
        let is_known_again = id.is_some() && changes_state;
        let durable = (message.qos != QoS::AtMostOnce || is_known_again) && !request.preview;
        let (bytes, received) = (message.payload.len(), now);
        let mut job = Job {
            number: next_number(),
            seq: None,
            address,
            request,
            reply,
            key: None,
            bytes,
            received,
            begun: false,
            under_way: false,
        };
        if !durable {
            return Admission::Volatile(Box::new(job));
        }
        // One without an id is like no other, but is known again when its commit is tried again.
        let id = id.unwrap_or_else(|| self.receptions.next());
        let (client, verb) = (&job.address.client, job.address.verb.as_str());
        job.key = Some(RequestKey::new(client, verb, &id, job.group(), &message.payload));
        let entry = InboxEntry {
            client: job.address.client.clone(),
            verb: job.address.verb.as_str().to_owned(),
            group: job.group().map(str::to_owned),
            response_topic: job.reply.response_topic.clone(),
            correlation: job.reply.correlation.clone(),
            qos: 1,
            received_at: wall_clock_ms(),
            key: job.key,
            changes_state,
            payload: message.payload,
        };
        Admission::Durable(Box::new(job), Box::new(entry))
    }

    /// The request in a payload, or its id and the reason why it is none.
    fn parse(&self, message: &IncomingMessage) -> Result<Request, (Option<RequestId>, RequestError)> {
        let read = || parse_request_with(&message.payload, &self.limits, &self.unsaid);
        // Reading changes nothing. A message that nobody can read must not end the appliance: it would come again after each start.
        std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
            tracing::error!(topic = message.topic, "a request cannot be read, by a fault of the program");
            Err((None, RequestError::Fault))
        })
    }

    fn reply_to(&self, address: &RequestAddress, message: &IncomingMessage) -> ReplyTo {
        let topic = self.topics.response(address);
        let wanted = message.properties.response_topic.as_ref().filter(|t| **t != topic);
        let allowed = |t: &&String| self.topics.allows_response_topic(t, address, &self.response_prefixes);
        ReplyTo {
            topic,
            response_topic: wanted.filter(allowed).cloned(),
            foreign_topic: wanted.filter(|t| !allowed(t)).cloned(),
            correlation: correlation(message),
            at_most_once: message.qos == QoS::AtMostOnce,
        }
    }
}

/// The correlation data that an answer carries back; a refusal of too many carries none.
fn correlation(message: &IncomingMessage) -> Option<Vec<u8>> {
    message.properties.correlation_data.clone().filter(|data| data.len() <= MAX_CORRELATION)
}

/// What an answer must carry back or go to, which a stranger has chosen.
fn check_properties(message: &IncomingMessage) -> Result<(), String> {
    let properties = &message.properties;
    if let Some(data) = properties.correlation_data.as_ref().filter(|data| data.len() > MAX_CORRELATION) {
        return Err(format!(
            "the correlation data have {} bytes; at most {MAX_CORRELATION} are accepted",
            data.len()
        ));
    }
    if let Some(topic) = &properties.response_topic {
        Topics::check_response_topic(topic).map_err(|problem| {
            format!("the response topic {problem}; use at most 256 bytes and 32 levels, none of them empty")
        })?;
    }
    Ok(())
}

/// What a verb needs beyond a well-formed request, and what it does not take.
fn check_for_verb(verb: Verb, request: &Request) -> Result<(), String> {
    check_keys(verb.as_str(), &request.said).map_err(|error| error.to_string())?;
    if changes_state(verb, request) && request.id().is_none() {
        return Err(format!("{verb} needs an \"id\", so that a request that comes twice is done once"));
    }
    let has_prompts = request.batch.is_some() || !request.item.prompt.is_empty();
    if matches!(verb, Verb::Add | Verb::Undo | Verb::Clear | Verb::Unsave) && request.session.is_none() {
        return Err(format!("{verb} needs a \"session\""));
    }
    if verb == Verb::Save && request.session.is_none() && !has_prompts {
        return Err(
            "save needs a \"session\", or prompts of its own: \"points\", \"bbox\" or \"prompts\"".to_owned()
        );
    }
    let of_layers = matches!(
        verb,
        Verb::Save | Verb::Unsave | Verb::Update | Verb::Delete | Verb::Fetch | Verb::Everything
    );
    if request.chip.is_some() {
        return check_of_chip(request);
    }
    if of_layers && request.layer.is_none() {
        return Err(format!("{verb} needs a \"layer\""));
    }
    if request.batch.is_some() && !matches!(verb, Verb::Segment | Verb::Save) {
        // Of a FeatureCollection: `prompts` are refused by their name.
        return Err(format!("\"geosam.objects\" belongs to segment and save, not to {verb}"));
    }
    if matches!(verb, Verb::Update | Verb::Delete) && request.ids.is_empty() {
        return Err(format!("{verb} needs \"ids\", those of the objects as `save` has answered them"));
    }
    if verb == Verb::Update && request.properties.is_empty() && request.to_layer.is_none() {
        return Err("update needs \"properties\" to change, or a layer to move to (\"to_layer\")".to_owned());
    }
    if matches!(verb, Verb::Segment | Verb::Add) && !has_prompts {
        return Err("the request has neither \"points\" nor \"bbox\"; one of them is needed".to_owned());
    }
    if verb == Verb::Save {
        check_save(request, has_prompts)?;
    }
    Ok(())
}

/// What does not go with the masks of one chip, which are answered and not saved.
fn check_of_chip(request: &Request) -> Result<(), String> {
    match ["layer", "properties"].into_iter().find(|key| request.said.has(key)) {
        Some(key) => Err(format!(
            "\"{key}\" does not go with \"chip\": the masks of one chip are answered, and not saved"
        )),
        None if request.id().is_none() => {
            Err("everything of a chip needs an \"id\", by which its answer is known".to_owned())
        }
        None => Ok(()),
    }
}

/// Whether a request changes a session or a layer.
pub(super) const fn changes_state(verb: Verb, request: &Request) -> bool {
    verb.changes_state() && request.chip.is_none()
}

/// What does not go with a `save`, though the key as such does.
fn check_save(request: &Request, has_prompts: bool) -> Result<(), String> {
    let of_prompts = ["folder", "crs"].into_iter().find(|key| request.said.has(key));
    if let Some(key) = of_prompts.filter(|_| !has_prompts) {
        return Err(format!(
            "\"{key}\" goes with a save of \"points\", \"bbox\" or \"prompts\"; the prompts of a session have theirs"
        ));
    }
    // What holds for requests that do not say is no fault of this one.
    let (said, whole) = (&request.said.output, &request.item.output);
    let items = request.batch.as_deref().unwrap_or(std::slice::from_ref(&request.item));
    let all = |item: &PromptItem| item.output.multimask == Multimask::All;
    if items
        .iter()
        .any(|item| all(item) && (said.contains_key("multimask") || item.output.multimask != whole.multimask))
    {
        return Err("\"output.multimask\" does not go with save: a saved object is one mask".to_owned());
    }
    let other = |item: &PromptItem| item.output.crs != CrsChoice::WGS84;
    if items.iter().any(|item| other(item) && (said.contains_key("crs") || item.output.crs != whole.crs)) {
        return Err("\"output.crs\" does not go with save: saved objects are in EPSG:4326".to_owned());
    }
    Ok(())
}

/// Milliseconds since 1970, as far as the board knows.
pub(super) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
