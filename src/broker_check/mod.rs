//! What a broker does of all that the service relies on, found out by trying: `doctor --broker`.
//!
//! Everything goes over topics below the board's own (`<root>/<device>/doctor/...`), under client ids of its own beside the
//! board's: a service that runs meanwhile keeps its connection. What a connection cannot show (whether the broker keeps
//! its state over a restart of its own) is said to be unknown. Nothing is printed here.

mod visitor;

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::bus::{BusError, BusOptions, OutgoingMessage, Protocol, Topics};
use visitor::Visitor;

/// How long an answer of the broker may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pings whose median is told.
const PINGS: usize = 20;
/// Payloads that are tried, in bytes: from a mask in pixels to a batch.
const SIZES: [usize; 4] = [16 << 10, 128 << 10, 512 << 10, 2 << 20];
/// Requests that wait while the board is away: a few more than mosquitto keeps by itself.
const ABSENT: usize = 1200;
/// Silence after which nothing more is expected of those.
const SILENCE: Duration = Duration::from_secs(2);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As the service wants it.
    Good,
    /// It cannot be found out from here.
    Unknown,
    /// The service lives with it, and something is missing.
    Lacking,
    /// A board cannot be served like this.
    Bad,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about, in a word.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In words, with what to do about it.
    pub message: String,
}

impl Finding {
    fn new(what: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { what, verdict, message: message.into() }
    }
}

/// Tries a broker as the service would use it, with the service's own options; takes some seconds.
///
/// # Errors
/// If the options are none. That the broker cannot be reached is a finding.
pub fn examine(options: &BusOptions, topics: &Topics) -> Result<Vec<Finding>, BusError> {
    crate::bus::check(options)?;
    let mut examination = Examination::new(options, topics);
    let started = Instant::now();
    let mut board = match Visitor::connect(examination.as_board()) {
        Ok(board) => board,
        Err(error) => return Ok(vec![Finding::new("connection", Verdict::Bad, error.to_string())]),
    };
    examination.connection(&board, started.elapsed());
    if examination.round_trip(&mut board) {
        examination.retained(&mut board);
        examination.shared(&mut board);
        examination.sizes(&mut board);
        examination.absence(board);
    }
    examination.restart();
    Ok(examination.findings)
}

struct Examination<'a> {
    options: &'a BusOptions,
    groups: bool,
    /// Topics of this examination begin with it.
    base: String,
    findings: Vec<Finding>,
}

impl<'a> Examination<'a> {
    fn new(options: &'a BusOptions, topics: &Topics) -> Self {
        // Tells it from an earlier one, whose messages may wait still.
        let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis());
        let base = topics.doctor(&format!("{run:x}"));
        Self { options, groups: !topics.groups().is_empty(), base, findings: Vec::new() }
    }

    fn found(&mut self, what: &'static str, verdict: Verdict, message: impl Into<String>) {
        self.findings.push(Finding::new(what, verdict, message));
    }

    fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// In the board's place: a session that stays, and a last will.
    fn as_board(&self) -> BusOptions {
        BusOptions {
            client_id: format!("{}-doctor", self.options.client_id),
            will: Some(OutgoingMessage::new(self.topic("will"), "offline")),
            session_expiry: Duration::from_secs(60),
            ..self.options.clone()
        }
    }

    /// In the place of a client that asks.
    fn as_client(&self) -> BusOptions {
        BusOptions {
            client_id: format!("{}-doctor-client", self.options.client_id),
            will: None,
            session_expiry: Duration::ZERO,
            ..self.options.clone()
        }
    }

    fn connection(&mut self, board: &Visitor, took: Duration) {
        let session = &board.session;
        let ms = took.as_secs_f64() * 1e3;
        let message = format!("{} with MQTT {}, in {ms:.0} ms", session.broker, session.protocol);
        if session.protocol == Protocol::V311 {
            let more = "; answers go by topic alone, and sizes that it does not take are found out by trying";
            self.found("connection", Verdict::Lacking, message + more);
        } else {
            self.found("connection", Verdict::Good, message);
        }
    }

    /// Messages that the board publishes come back to it, as requests do; says whether.
    fn round_trip(&mut self, board: &mut Visitor) -> bool {
        let topic = self.topic("ping");
        if let Err(reason) = board.subscribe(&topic, PATIENCE) {
            let advice = "let the board subscribe to all below its own topic";
            self.found(
                "round trip",
                Verdict::Bad,
                format!("{topic} cannot be subscribed to: {reason}; {advice}"),
            );
            return false;
        }
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let sent = Instant::now();
            let published = board.publish(OutgoingMessage::new(&topic, "ping"), PATIENCE);
            let came = published.is_ok() && board.message(&topic, PATIENCE).is_some();
            if !came {
                let reason = published.err().unwrap_or_else(|| "nothing comes back".to_owned());
                let advice = "let the board's user publish and subscribe below its own topic; \
                              where the access list goes by users, `device` is the user's name, or the certificate's";
                self.found("round trip", Verdict::Bad, format!("{topic}: {reason}; {advice}"));
                return false;
            }
            times.push(sent.elapsed());
        }
        times.sort_unstable();
        let median = times.get(PINGS / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        self.found("round trip", Verdict::Good, format!("{median:.1} ms, median of {PINGS} at QoS 1"));
        true
    }

    fn retained(&mut self, board: &mut Visitor) {
        let topic = self.topic("retained");
        let kept = if board.session.retain {
            let kept = board
                .publish(OutgoingMessage::new(&topic, "kept").retained(), PATIENCE)
                .and_then(|()| board.subscribe(&topic, PATIENCE))
                .and_then(|()| board.message(&topic, PATIENCE).ok_or_else(|| "they are not kept".to_owned()));
            // Deletes it.
            let _ = board.publish(OutgoingMessage::new(&topic, "").retained(), PATIENCE);
            board.is_back(PATIENCE * 4);
            kept
        } else {
            Err("the broker says that it keeps none".to_owned())
        };
        match kept {
            Ok(_) => self.found("retained", Verdict::Good, "messages are kept for who comes later"),
            Err(reason) => {
                let told = "clients that come later do not see whether the board is there, nor its folders";
                self.found("retained", Verdict::Lacking, format!("{reason}: {told}"));
            }
        }
    }

    fn shared(&mut self, board: &mut Visitor) {
        let topic = self.topic("shared");
        let filter = format!("$share/doctor/{topic}");
        let shared = if board.session.shared_subscriptions {
            board
                .subscribe(&filter, PATIENCE)
                .and_then(|()| board.publish(OutgoingMessage::new(&topic, "shared"), PATIENCE))
                .and_then(|()| {
                    board.message(&topic, PATIENCE).map(drop).ok_or_else(|| "nothing comes".to_owned())
                })
        } else {
            Err("the broker says that it has none".to_owned())
        };
        match shared {
            Ok(()) => self.found("shared subscriptions", Verdict::Good, "fleets can share their requests"),
            Err(reason) => {
                let (verdict, told) = if self.groups {
                    (Verdict::Bad, "the groups of [fleet] get no requests")
                } else {
                    (Verdict::Lacking, "fleets cannot be used; this board is in no group")
                };
                self.found("shared subscriptions", verdict, format!("{reason}: {told}"));
            }
        }
    }

    /// Up to which size messages come back.
    fn sizes(&mut self, board: &mut Visitor) {
        let topic = self.topic("size");
        let mut largest = 0;
        let mut fault = board.subscribe(&topic, PATIENCE).err();
        for bytes in SIZES {
            if fault.is_some() || bytes + 1024 > self.options.queue.max_packet_bytes {
                break;
            }
            let published = board.publish(OutgoingMessage::new(&topic, vec![b'x'; bytes]), PATIENCE * 4);
            let came = published.and_then(|()| {
                let back = board
                    .message(&topic, PATIENCE)
                    .ok_or_else(|| "it is acknowledged and never delivered".to_owned())?;
                let whole = back.cut_from.unwrap_or(back.payload.len()) == bytes;
                whole.then_some(()).ok_or_else(|| "it does not come whole".to_owned())
            });
            match came {
                Ok(()) => largest = bytes,
                Err(reason) => fault = Some(format!("of one of {} {reason}", size(bytes))),
            }
        }
        let announced = board.session.max_packet_bytes;
        let most = self.options.queue.max_packet_bytes;
        let told =
            announced.map(|bytes| format!(", and announces a limit of {}", size(bytes))).unwrap_or_default();
        match fault {
            None => {
                let message =
                    format!("payloads of up to {} come through{told}{}", size(largest), ends(largest, most));
                self.found("sizes", Verdict::Good, message);
            }
            Some(reason) => {
                let advice = "answers over that become errors: raise message_size_limit and max_packet_size \
                              (mosquitto), or what your broker calls them, or lower limits.max_answer_bytes";
                let message =
                    format!("payloads of up to {} come through{told}; {reason}; {advice}", size(largest));
                self.found("sizes", Verdict::Lacking, message);
            }
        }
        board.is_back(PATIENCE * 4);
    }

    /// What becomes of the session, and of requests, while the board is away without leave.
    fn absence(&mut self, mut board: Visitor) {
        let (queue, will) = (self.topic("queue"), self.topic("will"));
        let mut client = match board
            .subscribe(&queue, PATIENCE)
            .and_then(|()| Visitor::connect(self.as_client()).map_err(|error| error.to_string()))
        {
            Ok(client) => client,
            Err(reason) => {
                let told = format!("not tried: a second connection of this user fails ({reason})");
                self.found("session", Verdict::Unknown, told);
                board.leave(&[&queue]);
                return;
            }
        };
        let watched = client.subscribe(&will, PATIENCE);
        // Gone at once, as when the power goes.
        drop(board);
        let told = watched.is_ok() && client.message(&will, PATIENCE).is_some();
        if told {
            self.found("last will", Verdict::Good, "clients are told when the board is gone");
        } else {
            let told =
                "clients are not told when the board is gone: let its user publish below its own topic";
            self.found("last will", Verdict::Lacking, told);
        }
        let taken = client.publish_numbers(&queue, ABSENT, PATIENCE);
        match Visitor::connect(self.as_board()) {
            Err(error) => {
                self.found("session", Verdict::Bad, format!("the board cannot come back: {error}"));
            }
            Ok(mut back) if !back.session.session_present => {
                let told = "it is gone when the board is back: requests that came meanwhile are lost, and nobody is told. \
                            Let the broker keep sessions (mosquitto: persistent_client_expiration; a broker of the \
                            cloud: persistent sessions)";
                self.found("session", Verdict::Bad, told);
                back.subscribe(&queue, PATIENCE).ok();
                back.leave(&[&queue]);
            }
            Ok(mut back) => {
                let mut came = 0;
                while back.message(&queue, SILENCE).is_some() {
                    came += 1;
                }
                let (verdict, message) = absent(taken, came);
                self.found("session", verdict, message);
                let rest = ["ping", "retained", "size"].map(|name| self.topic(name));
                let shared = format!("$share/doctor/{}", self.topic("shared"));
                back.leave(&[&queue, &rest[0], &rest[1], &rest[2], &shared]);
            }
        }
        client.leave(&[&will]);
    }

    fn restart(&mut self) {
        let told = "whether the broker keeps sessions and messages over a restart of its own cannot be seen from here; \
                    mosquitto: persistence true, persistence_location in a directory that its user may write to";
        self.found("persistence", Verdict::Unknown, told);
    }
}

/// What came of the messages that the broker had taken while the board was away.
fn absent(taken: usize, came: usize) -> (Verdict, String) {
    if came >= taken {
        return (Verdict::Good, format!("it stays, with all of {taken} requests that came meanwhile"));
    }
    let advice = "raise its queue (mosquitto: max_queued_messages, max_queued_bytes)";
    let message = format!(
        "it stays, but of {taken} requests that came meanwhile and were acknowledged {came} were kept, the others are \
         lost: {advice}"
    );
    (Verdict::Lacking, message)
}

/// Why nothing larger was tried.
fn ends(largest: usize, most: usize) -> String {
    if Some(&largest) == SIZES.last() {
        "; larger ones are not tried here: that the broker takes them is found out when an answer is as large"
            .to_owned()
    } else {
        format!(
            "; larger ones do not go with packets of {} at the most (broker.max_packet_bytes)",
            size(most)
        )
    }
}

/// Bytes as people say them.
fn size(bytes: usize) -> String {
    if bytes >= 1 << 20 {
        format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
    } else {
        format!("{} KiB", bytes >> 10)
    }
}
