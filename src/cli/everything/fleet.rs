//! `everything --fleet`: a group of boards asks the chips, over a broker; here their masks are put together, as if they had been
//! asked here. What no board answers is asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use clap::Args as ClapArgs;
use serde::Deserialize;
use serde_json::{Value, json};

use super::handout::{Handout, Outcome};
use crate::api::check_name;
use crate::bus::{
    BusClient as _, BusConnection as _, BusError, BusEvent, BusEvents, BusHandle, BusOptions,
    OutgoingMessage, PublishOutcome, PublishToken, RequestAddress, Scope, SubscribeToken, Subscription, Verb,
    connect,
};
use crate::cli::CliError;
use crate::cli::output::note;
use crate::cli::serve::ServeError;
use crate::config::{Config, Overrides};
use crate::engine::{Candidate, Engine, Step, Survey};
use crate::mask::{Mask, MaskRuns};

/// The largest answer that is taken.
const MOST_BYTES: usize = 64 << 20;
/// How long the broker keeps answers while the connection is gone.
const ABSENCE: Duration = Duration::from_secs(300);
/// How long the first connection may take beyond one attempt.
const GRACE: Duration = Duration::from_secs(5);

/// The boards that ask the chips.
#[derive(Debug, Clone, ClapArgs)]
pub struct FleetArgs {
    /// Let the boards of this group ask the chips: those that have it in `[fleet] groups` of their configuration, and serve the
    /// same folder with the same model. The objects are put together here, and are those that this machine would have found by
    /// itself. A chip that no board answers is asked here.
    #[arg(long, value_name = "GROUP")]
    pub fleet: Option<String>,

    /// The broker: mqtt://HOST:PORT, or mqtts:// for TLS [default: that of --config, else mqtt://localhost].
    #[arg(long, value_name = "URL", requires = "fleet")]
    pub broker: Option<String>,

    /// Configuration of a service (TOML), for its section [broker] (user, password, certificates) and its root topic.
    #[arg(long, value_name = "FILE", requires = "fleet")]
    pub config: Option<PathBuf>,

    /// The client's name in topics: it must be allowed to publish on <root>/fleet/<group>/request/<client>/everything and to read
    /// <root>/fleet/<group>/response/<client>/everything.
    #[arg(long, value_name = "NAME", default_value = "everything", requires = "fleet")]
    pub client: String,

    /// The folder's name on the boards [default: its name here].
    #[arg(long, value_name = "NAME", requires = "fleet")]
    pub folder_name: Option<String>,

    /// Chips on their way at a time: two a board keep all of them busy.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "fleet", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub on_their_way: u16,

    /// Seconds after which a chip that no board has answered is given to another one as well; less once answers show how long they
    /// take.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "fleet", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub patience: u32,
}

/// Why a group of boards cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The broker.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The broker does not let the client read its answers.
    #[error("{filter} cannot be subscribed to: {reason}; let the client read it, or choose another --client")]
    Subscription {
        /// Where answers come.
        filter: String,
        /// The broker's.
        reason: String,
    },
    /// The broker does not let the client ask.
    #[error(
        "the broker refuses requests on {topic}: {reason}; let the client publish there, or choose another --client"
    )]
    Publish {
        /// Where requests go.
        topic: String,
        /// The broker's.
        reason: String,
    },
    /// A board refuses what it would refuse of each chip.
    #[error("a board of group {group} refuses: {code}: {message}")]
    Refused {
        /// The group.
        group: String,
        /// The answer's code.
        code: String,
        /// The answer's message.
        message: String,
    },
    /// A board has something else under the folder's name.
    #[error(
        "a board of group {group} has another {what} for folder {folder} than this machine; copy the same card, and import the same \
         checkpoint, on all of them"
    )]
    Other {
        /// The group.
        group: String,
        /// Chip or model.
        what: &'static str,
        /// The folder's name on the boards.
        folder: String,
    },
}

/// What of the request is the same for all chips.
#[derive(Debug)]
pub(super) struct Question {
    pub crs: String,
    /// West, south, east, north.
    pub bbox: Option<[f64; 4]>,
    /// The member "everything".
    pub options: Value,
}

/// A connection to a group.
pub(super) struct Fleet {
    handle: BusHandle,
    events: BusEvents,
    group: String,
    folder: String,
    question: Question,
    /// Of our model; empty where it is not known.
    model_sha256: String,
    request_topic: String,
    response_topic: String,
    /// Ids of this run begin with it.
    run: String,
    handout: Handout,
    connected: bool,
    subscription: Option<SubscribeToken>,
    /// Requests that the broker has not acknowledged.
    unacknowledged: BTreeMap<PublishToken, usize>,
}

impl FleetArgs {
    /// Connects to the group, if one is named.
    pub(super) fn open(
        &self,
        survey: &Survey,
        model_sha256: String,
        question: Question,
    ) -> Result<Option<Fleet>, CliError> {
        let Some(group) = &self.fleet else { return Ok(None) };
        for (name, flag) in [(group, "--fleet"), (&self.client, "--client")] {
            check_name(name).map_err(|problem| CliError::Usage(format!("{flag}: \"{name}\" {problem}")))?;
        }
        let overrides = Overrides { broker: self.broker.clone(), ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), &overrides).map_err(ServeError::from)?;
        let bus = config.bus_options().map_err(ServeError::from)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let run = format!("{now:x}-{:x}", std::process::id());
        let patience = bus.connect_timeout + GRACE;
        let options = BusOptions {
            client_id: format!("geosam-edge-{}-{run}", self.client),
            will: None,
            session_expiry: ABSENCE,
            max_incoming_bytes: MOST_BYTES,
            ..bus
        };
        let broker = options.broker.to_string();
        let (handle, events) = connect(options).map_err(FleetError::from)?;
        let topics = config.topics().map_err(|error| CliError::Usage(error.to_string()))?;
        let address = RequestAddress {
            scope: Scope::Fleet(group.clone()),
            client: self.client.clone(),
            verb: Verb::Everything,
        };
        let mut fleet = Fleet {
            handle,
            events,
            group: group.clone(),
            folder: self.folder_name.clone().unwrap_or_else(|| survey.folder().name.clone()),
            question,
            model_sha256,
            request_topic: topics.request(&address),
            response_topic: topics.response(&address),
            run,
            handout: Handout::new(
                survey.progress().1,
                self.on_their_way.into(),
                Duration::from_secs(self.patience.into()),
            ),
            connected: false,
            subscription: None,
            unacknowledged: BTreeMap::new(),
        };
        let begun = Instant::now();
        while !fleet.connected {
            let left = patience.saturating_sub(begun.elapsed());
            match fleet.events.next_event(Some(left)).map_err(FleetError::from)? {
                Some(BusEvent::ConnectFailed { error, .. }) => return Err(FleetError::from(error).into()),
                Some(event) => fleet.take(event, survey)?,
                None => {
                    let reason = "it does not answer".to_owned();
                    return Err(FleetError::from(BusError::Unreachable { broker, reason }).into());
                }
            }
        }
        Ok(Some(fleet))
    }
}

impl Fleet {
    /// Goes on to the end of the next chip, which a board has asked, or nobody but this machine.
    pub fn advance(&mut self, engine: &Engine, survey: &mut Survey) -> Result<Step, CliError> {
        if let Some(step) = survey.give_out(&|| false)? {
            return Ok(step);
        }
        if survey.progress().0 == survey.progress().1 {
            self.handle.stop(None);
            return Ok(Step::Done);
        }
        loop {
            match self.handout.take_next() {
                Some(Outcome::Masks(candidates)) => return Ok(engine.advance_with(survey, candidates)?),
                Some(Outcome::Unasked(problem)) => {
                    let chip = survey.chip(survey.progress().0).map_or("", |(id, _)| id);
                    note(&format_args!("chip {chip} is asked here: {problem}"));
                    return Ok(engine.advance(survey, &|| false)?);
                }
                None => {}
            }
            let now = Instant::now();
            while self.subscription.is_none() && self.connected {
                let Some((place, tries)) = self.handout.due(now) else { break };
                self.ask(survey, place, tries)?;
            }
            let next =
                self.handout.next_time().map_or(GRACE, |at| at.saturating_duration_since(now)).min(GRACE);
            if let Some(event) = self.events.next_event(Some(next)).map_err(FleetError::from)? {
                self.take(event, survey)?;
            }
        }
    }

    fn ask(&mut self, survey: &Survey, place: usize, tries: u32) -> Result<(), FleetError> {
        let Some((chip, _)) = survey.chip(place) else { return Ok(()) };
        let Question { crs, bbox, options } = &self.question;
        let mut request = json!({
            "id": format!("{}-{place}-{tries}", self.run),
            "folder": self.folder,
            "chip": chip,
            "everything": options,
            // Nobody waits for it any more then.
            "ttl_ms": self.handout.patience().as_millis() as u64,
        });
        if let Some(bbox) = bbox {
            request["bbox"] = json!(bbox);
            request["crs"] = json!(crs);
        }
        let message = OutgoingMessage::new(&self.request_topic, request.to_string());
        match self.handle.publish_with(message) {
            Ok(token) => {
                self.unacknowledged.insert(token, place);
                Ok(())
            }
            Err(BusError::NotConnected { .. } | BusError::QueueFull { .. }) => {
                self.handout.lost(&BTreeSet::from([place]), Instant::now() + Duration::from_secs(1));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn take(&mut self, event: BusEvent, survey: &Survey) -> Result<(), FleetError> {
        match event {
            BusEvent::Connected(_) => {
                self.connected = true;
                let lost = std::mem::take(&mut self.unacknowledged).into_values().collect();
                self.handout.lost(&lost, Instant::now());
                let token = self.handle.subscribe_with(&[Subscription::new(&self.response_topic)])?;
                self.subscription = Some(token);
            }
            BusEvent::Subscribed { token, refused } if self.subscription == Some(token) => {
                self.subscription = None;
                if let Some((filter, reason)) = refused.into_iter().next() {
                    return Err(FleetError::Subscription { filter, reason });
                }
            }
            BusEvent::Disconnected { error, .. } => {
                self.connected = false;
                note(&format_args!("the connection to the broker is gone ({error}); it is made again"));
            }
            BusEvent::Published { token, outcome } => {
                let place = self.unacknowledged.remove(&token);
                match (place, outcome) {
                    (Some(place), PublishOutcome::Deferred { reason }) => {
                        self.handout.put_off(
                            place,
                            format!("the broker has no room: {reason}"),
                            Instant::now(),
                        );
                    }
                    (Some(_), PublishOutcome::Refused { reason }) => {
                        return Err(FleetError::Publish { topic: self.request_topic.clone(), reason });
                    }
                    _ => {}
                }
            }
            BusEvent::Message(message) => {
                if let Some(ack) = message.ack {
                    self.handle.acknowledge(ack);
                }
                if message.topic == self.response_topic && message.cut_from.is_none() {
                    self.answer(&message.payload, survey)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An answer; those of other runs are passed over.
    fn answer(&mut self, payload: &[u8], survey: &Survey) -> Result<(), FleetError> {
        let Ok(answer) = serde_json::from_slice::<Answer>(payload) else { return Ok(()) };
        let place = answer.id.as_ref().and_then(Value::as_str).and_then(|id| {
            let mut rest = id.strip_prefix(self.run.as_str())?.strip_prefix('-')?.split('-');
            rest.next()?.parse::<usize>().ok()
        });
        let Some((place, (chip, shape))) = place.and_then(|place| Some((place, survey.chip(place)?))) else {
            return Ok(());
        };
        let now = Instant::now();
        if let Some(Fault { code, message, retryable }) = answer.error {
            if matches!(code.as_str(), "BAD_REQUEST" | "UNKNOWN_FOLDER" | "UNKNOWN_VERB" | "MODEL_MISMATCH") {
                return Err(FleetError::Refused { group: self.group.clone(), code, message });
            }
            let problem = format!("{code}: {message}");
            if retryable || code == "EXPIRED" {
                self.handout.put_off(place, problem, now);
            } else {
                self.handout.answered(place, Outcome::Unasked(problem), now);
            }
            return Ok(());
        }
        let about = answer.chip.unwrap_or_default();
        let other = |what| FleetError::Other { group: self.group.clone(), what, folder: self.folder.clone() };
        if about.chip_id != chip || about.points != survey.points_of(place) {
            return Err(other("chip"));
        }
        let known = |sha256: &str| !sha256.is_empty();
        if known(&about.model_sha256) && known(&self.model_sha256) && about.model_sha256 != self.model_sha256
        {
            return Err(other("model"));
        }
        let masks: Option<Vec<Candidate>> = answer.masks.iter().map(|mask| mask.candidate(shape)).collect();
        let outcome = masks.ok_or_else(|| other("chip"))?;
        self.handout.answered(place, Outcome::Masks(outcome), now);
        Ok(())
    }
}

/// An answer, as far as it is read.
#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<Value>,
    error: Option<Fault>,
    chip: Option<About>,
    #[serde(default)]
    masks: Vec<FoundMask>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    code: String,
    message: String,
    retryable: bool,
}

#[derive(Debug, Default, Deserialize)]
struct About {
    chip_id: String,
    points: usize,
    model_sha256: String,
}

#[derive(Debug, Deserialize)]
struct FoundMask {
    score: f32,
    stability_score: f32,
    segmentation: Segmentation,
}

/// COCO's uncompressed run-length encoding.
#[derive(Debug, Deserialize)]
struct Segmentation {
    size: [usize; 2],
    counts: Vec<u32>,
}

impl FoundMask {
    /// `None` for one of another shape.
    fn candidate(&self, shape: (usize, usize)) -> Option<Candidate> {
        let [height, width] = self.segmentation.size;
        if (height, width) != shape {
            return None;
        }
        let mask = Mask::from_coco_counts(height, width, &self.segmentation.counts).ok()?;
        Some(Candidate { score: self.score, stability: self.stability_score, runs: MaskRuns::of(&mask) })
    }
}
