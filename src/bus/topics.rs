//! The topic grammar of the interface: building every topic, and reading the topic of an incoming
//! message. Pure text; what a message means is not decided here.
//!
//! `<root>/<device>/...` belongs to one board, `<root>/fleet/<group>/...` to a group of boards.

use std::fmt;

use super::filter::{check_response_topic, check_topic};
use crate::ErrorCode;
use crate::api::{NameError, check_folder_name, check_name};

/// The level that no device may be named after.
const FLEET: &str = "fleet";
/// A faulty request's answer goes to the topic that mirrors its own, if that is not absurdly long.
const MAX_MIRRORED_BYTES: usize = 1024;

/// What a request asks for: the last level of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// One prompt set, or a batch; stateless.
    Segment,
    /// A prompt more in a session.
    Add,
    /// Take back a session's last prompt.
    Undo,
    /// Empty a session.
    Clear,
    /// Append a session's mask to a layer.
    Save,
    /// Take back the last saved object.
    Unsave,
    /// Change the properties of saved objects, or the layer that they are in.
    Update,
    /// Take saved objects out of their layer.
    Delete,
    /// What there is: folders, sessions, layers, models.
    List,
    /// A page of a layer.
    Fetch,
    /// All objects of a folder, or a part of it, into a layer.
    Everything,
    /// Drop what a client has waiting.
    Cancel,
}

impl Verb {
    /// Every verb, in the order of the contract.
    pub const ALL: [Self; 12] = [
        Self::Segment,
        Self::Add,
        Self::Undo,
        Self::Clear,
        Self::Save,
        Self::Unsave,
        Self::Update,
        Self::Delete,
        Self::List,
        Self::Fetch,
        Self::Everything,
        Self::Cancel,
    ];

    /// The topic level.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Add => "add",
            Self::Undo => "undo",
            Self::Clear => "clear",
            Self::Save => "save",
            Self::Unsave => "unsave",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Fetch => "fetch",
            Self::Everything => "everything",
            Self::Cancel => "cancel",
        }
    }

    /// The verb of a topic level, if there is one; levels are case-sensitive, as all of MQTT.
    pub fn parse(level: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == level)
    }

    /// Whether the request changes a session or a layer, so that its id may not be used twice.
    pub const fn changes_state(self) -> bool {
        self.has_session() || matches!(self, Self::Update | Self::Delete | Self::Everything)
    }

    /// Whether the request asks for a mask, of one object or many.
    pub const fn decodes(self) -> bool {
        matches!(self, Self::Segment | Self::Add | Self::Undo | Self::Save)
    }

    /// Whether the request may be a step of a session.
    pub const fn has_session(self) -> bool {
        matches!(self, Self::Add | Self::Undo | Self::Clear | Self::Save | Self::Unsave)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom a request is addressed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This board.
    Device,
    /// Any board of a group.
    Fleet(String),
}

/// A well-formed request topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestAddress {
    /// Whom it is addressed to; the answer's topic follows from it.
    pub scope: Scope,
    /// Name of the client, a valid name.
    pub client: String,
    /// What it asks for.
    pub verb: Verb,
}

/// Why a request topic is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// The last level is no verb.
    #[error(
        "there is no verb {verb:?}; known are segment, add, undo, clear, save, unsave, update, delete, list, fetch, \
         everything, cancel"
    )]
    UnknownVerb {
        /// The level, cut for display.
        verb: String,
    },
    /// It needs a session or a layer, which a group of boards does not have. Of `everything` the request tells.
    #[error("{verb} cannot be sent to a group of boards; segment can, and everything for one \"chip\"")]
    NotForFleet {
        /// The verb.
        verb: Verb,
    },
    /// The client level is no name.
    #[error("the client's name in the topic {0}")]
    BadClient(NameError),
    /// Levels are missing or too many.
    #[error("a request topic ends in request/<client>/<verb>; this one has {found} levels after request")]
    Levels {
        /// Levels after `request`.
        found: usize,
    },
}

impl AddressFault {
    /// The code of the answer.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownVerb { .. } | Self::NotForFleet { .. } => ErrorCode::UnknownVerb,
            Self::BadClient(_) | Self::Levels { .. } => ErrorCode::BadRequest,
        }
    }
}

/// What the topic of an incoming message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A request.
    Request(RequestAddress),
    /// A request that cannot be served. It is still answered where its topic implies a response topic,
    /// and counted otherwise.
    Faulty {
        /// What is wrong.
        fault: AddressFault,
        /// Where the answer goes; `None` where the topic implies none.
        reply_to: Option<String>,
    },
    /// One of our own retained folder messages, perhaps from before a restart.
    Folder(String),
    /// Nothing of ours.
    Foreign,
}

/// Why a root, device or group is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// A level is not a name.
    #[error("{what} {name:?} {problem}")]
    BadName {
        /// Which level.
        what: &'static str,
        /// What was given.
        name: String,
        /// The rule that is broken.
        problem: NameError,
    },
    /// The device has the name of the level that groups stand under.
    #[error("the device cannot be called \"fleet\": topics of groups of boards start with that level")]
    Reserved,
}

/// The topics of one board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    root: String,
    device: String,
    groups: Vec<String>,
}

impl Topics {
    /// The topics of `device` below `root`, which may have several levels, as a member of `groups`.
    ///
    /// # Errors
    /// Where a level is not a name, or the device is called `fleet`.
    pub fn new(root: &str, device: &str, groups: &[String]) -> Result<Self, TopicError> {
        for level in root.split('/') {
            named("the root topic", level)?;
        }
        named("the device", device)?;
        if device == FLEET {
            return Err(TopicError::Reserved);
        }
        for group in groups {
            named("the group", group)?;
        }
        Ok(Self { root: root.to_owned(), device: device.to_owned(), groups: groups.to_vec() })
    }

    /// The root topic.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The groups this board is a member of.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    fn own(&self, rest: fmt::Arguments<'_>) -> String {
        format!("{}/{}/{rest}", self.root, self.device)
    }

    /// Retained: `online` or `offline`.
    pub fn state(&self) -> String {
        self.own(format_args!("state"))
    }

    /// Retained: versions, engine, models, limits.
    pub fn info(&self) -> String {
        self.own(format_args!("info"))
    }

    /// Counters and gauges.
    pub fn health(&self) -> String {
        self.own(format_args!("health"))
    }

    /// Retained: one feature folder.
    pub fn folder(&self, name: &str) -> String {
        self.own(format_args!("folder/{name}"))
    }

    /// Each finished mask of a folder, for maps that only listen.
    pub fn mask(&self, folder: &str) -> String {
        self.own(format_args!("mask/{folder}"))
    }

    /// Each saved object of a layer.
    pub fn saved(&self, layer: &str) -> String {
        self.own(format_args!("saved/{layer}"))
    }

    /// Something happened, by its type, for example `card_error`.
    pub fn event(&self, kind: &str) -> String {
        self.own(format_args!("event/{kind}"))
    }

    /// The answers to a client's requests of one verb.
    pub fn response(&self, address: &RequestAddress) -> String {
        self.of_client("response", address)
    }

    /// A client's requests of one verb.
    pub fn request(&self, address: &RequestAddress) -> String {
        self.of_client("request", address)
    }

    fn of_client(&self, way: &str, RequestAddress { scope, client, verb }: &RequestAddress) -> String {
        match scope {
            Scope::Device => self.own(format_args!("{way}/{client}/{verb}")),
            Scope::Fleet(group) => format!("{}/{FLEET}/{group}/{way}/{client}/{verb}", self.root),
        }
    }

    /// Filter of every request to this board. It takes in topics with too few or too many levels, so
    /// that these are noticed.
    pub fn request_filter(&self) -> String {
        self.own(format_args!("request/#"))
    }

    /// Where the board pings itself: a topic that its own request filter takes in.
    pub fn ping(&self) -> String {
        self.own(format_args!("request/{}/ping", self.device))
    }

    /// Where a broker is tried out, each time below another name.
    pub fn doctor(&self, name: &str) -> String {
        self.own(format_args!("doctor/{name}"))
    }

    /// Filter of our own retained folder messages, to find those of folders that are gone.
    pub fn folder_filter(&self) -> String {
        self.own(format_args!("folder/+"))
    }

    /// The shared subscriptions (MQTT 5, 4.8.2) of the groups: each request reaches one board.
    pub fn fleet_filters(&self) -> Vec<String> {
        let filter = |group| format!("$share/{group}/{}/{FLEET}/{group}/request/#", self.root);
        self.groups.iter().map(filter).collect()
    }

    /// Reads the topic of an incoming message.
    pub fn parse(&self, topic: &str) -> Inbound {
        let below_root = topic.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let Some((first, rest)) = below_root.and_then(|rest| rest.split_once('/')) else {
            return Inbound::Foreign;
        };
        if first == self.device {
            if let Some(name) = rest.strip_prefix("folder/") {
                let ours = check_folder_name(name).is_ok();
                return if ours { Inbound::Folder(name.to_owned()) } else { Inbound::Foreign };
            }
            return self.addressed(Scope::Device, rest);
        }
        match rest.split_once('/') {
            Some((group, rest)) if first == FLEET && self.groups.iter().any(|g| g == group) => {
                self.addressed(Scope::Fleet(group.to_owned()), rest)
            }
            _ => Inbound::Foreign,
        }
    }

    /// `rest` is what follows the device or the group.
    fn addressed(&self, scope: Scope, rest: &str) -> Inbound {
        let levels = match rest.strip_prefix("request") {
            Some("") => Vec::new(),
            Some(levels) if levels.starts_with('/') => levels[1..].split('/').collect(),
            _ => return Inbound::Foreign,
        };
        let [client, level] = levels[..] else {
            return Inbound::Faulty { fault: AddressFault::Levels { found: levels.len() }, reply_to: None };
        };
        let verb = Verb::parse(level);
        let fault = match (check_name(client), verb, &scope) {
            (Err(problem), _, _) => AddressFault::BadClient(problem),
            (Ok(()), None, _) => AddressFault::UnknownVerb { verb: level.chars().take(64).collect() },
            (Ok(()), Some(verb), Scope::Fleet(_)) if !matches!(verb, Verb::Segment | Verb::Everything) => {
                AddressFault::NotForFleet { verb }
            }
            (Ok(()), Some(verb), _) => {
                return Inbound::Request(RequestAddress { scope, client: client.to_owned(), verb });
            }
        };
        let mirrored = match &scope {
            Scope::Device => self.own(format_args!("response/{client}/{level}")),
            Scope::Fleet(group) => format!("{}/{FLEET}/{group}/response/{client}/{level}", self.root),
        };
        // Brokers may end a connection on control characters (MQTT 5, 1.5.4).
        let usable = mirrored.len() <= MAX_MIRRORED_BYTES
            && check_topic(&mirrored).is_ok()
            && !mirrored.contains(char::is_control);
        Inbound::Faulty { fault, reply_to: usable.then_some(mirrored) }
    }

    /// Whether a response topic may be published to at all: at most 256 bytes and 32 levels, none of them empty, no
    /// control characters. One that may not is the request's fault; whether it is allowed is another question.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check_response_topic(topic: &str) -> Result<(), &'static str> {
        check_response_topic(topic)
    }

    /// Whether an answer may be sent to the response topic of a request, which comes from a stranger:
    /// our right to publish must not be lent for other topics.
    ///
    /// `patterns` are prefixes that end at a level, with a slash behind it where only what is below may be used; `{root}`,
    /// `{device}`, `{client}` and `{group}` stand for the request's own. Whatever they say, below our root only `response`
    /// levels are allowed.
    pub fn allows_response_topic(&self, topic: &str, address: &RequestAddress, patterns: &[String]) -> bool {
        if check_response_topic(topic).is_err() {
            return false;
        }
        let below_root = topic.strip_prefix(self.root.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if let Some(rest) = below_root {
            let levels: Vec<&str> = rest.split('/').collect();
            let level = if levels[0] == FLEET { 2 } else { 1 };
            if levels.get(level) != Some(&"response") {
                return false;
            }
        } else if topic == self.root {
            return false;
        }
        let group = match &address.scope {
            Scope::Device => None,
            Scope::Fleet(group) => Some(group.as_str()),
        };
        patterns.iter().any(|pattern| {
            if group.is_none() && pattern.contains("{group}") {
                return false;
            }
            let prefix = pattern
                .replace("{root}", &self.root)
                .replace("{device}", &self.device)
                .replace("{client}", &address.client)
                .replace("{group}", group.unwrap_or_default());
            let (prefix, only_below) = (prefix.trim_end_matches('/'), prefix.ends_with('/'));
            let rest = topic.strip_prefix(prefix);
            !prefix.is_empty()
                && rest.is_some_and(|rest| rest.starts_with('/') || rest.is_empty() && !only_below)
        })
    }
}

fn named(what: &'static str, name: &str) -> Result<(), TopicError> {
    check_name(name).map_err(|problem| TopicError::BadName { what, name: cut(name), problem })
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
