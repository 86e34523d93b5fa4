//! The self-test of the way in: pings that the board publishes on its own request topic, and that must come back
//! through its own subscription. A broker can keep a connection alive, and acknowledge all we send, without letting a
//! single request through; nothing else would notice. Pure: what is to be done is told, not done.

use std::time::{Duration, Instant};

use super::publisher::Echoes;

/// How long a ping may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pings lost one after the other before the way in counts as closed.
const LOST: u32 = 2;
/// The longest time between two attempts to mend it by a new connection.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// What is known of the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WayIn {
    /// Nothing has come yet, or the broker does not let the board publish there.
    Untested,
    /// Requests or pings come in.
    Open,
    /// Pings do not come back, and nothing else comes.
    Closed,
}

impl WayIn {
    /// The word in `health`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untested => "untested",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Nothing,
    /// Publish this as a ping.
    Ping(String),
    /// Give up the connection and make another. `news` where the way in was not known to be closed.
    Reconnect {
        news: bool,
    },
}

/// The state of the self-test.
#[derive(Debug)]
pub(super) struct Echo {
    interval: Duration,
    /// Tells pings of this run from others.
    run: String,
    number: u64,
    /// When requests can reach us at the earliest: the subscription is granted.
    subscribed: bool,
    way_in: WayIn,
    /// Whether a ping has ever come back.
    works: bool,
    forbidden: bool,
    under_way: Option<(String, Instant)>,
    last_heard: Option<Instant>,
    lost: u32,
    /// Before this no new connection is made for it.
    mend_after: Option<Instant>,
    wait: Duration,
}

impl Echo {
    pub fn new(interval: Duration, run: String) -> Self {
        Self {
            interval,
            run,
            number: 0,
            subscribed: false,
            way_in: WayIn::Untested,
            works: false,
            forbidden: false,
            under_way: None,
            last_heard: None,
            lost: 0,
            mend_after: None,
            wait: interval,
        }
    }

    pub const fn way_in(&self) -> WayIn {
        self.way_in
    }

    /// Whether pings come back at all on this broker.
    pub const fn echoes(&self) -> Echoes {
        match (self.forbidden, self.works) {
            (true, _) => Echoes::Forbidden,
            (false, true) => Echoes::ComeBack,
            (false, false) => Echoes::Unknown,
        }
    }

    /// The subscription to requests has been granted: the next look is a ping.
    pub fn subscribed(&mut self) {
        self.subscribed = true;
        (self.under_way, self.last_heard, self.lost) = (None, None, 0);
    }

    pub fn disconnected(&mut self) {
        self.subscribed = false;
        self.under_way = None;
    }

    /// The broker does not let the board publish on its own request topic.
    pub fn forbidden(&mut self) {
        self.forbidden = true;
        self.under_way = None;
        if self.way_in == WayIn::Closed {
            self.way_in = WayIn::Untested;
        }
    }

    /// Something came in for requests: a request, or a ping.
    pub fn heard(&mut self, now: Instant) {
        self.last_heard = Some(now);
        self.lost = 0;
        self.way_in = WayIn::Open;
        self.wait = self.interval;
        self.mend_after = None;
    }

    /// A message on the topic of pings. Says whether it is one of this run.
    pub fn came_back(&mut self, payload: &str, now: Instant) -> bool {
        if !payload.starts_with(&self.run) {
            return false;
        }
        self.works = true;
        if self.under_way.as_ref().is_some_and(|(sent, _)| sent == payload) {
            self.under_way = None;
        }
        self.heard(now);
        true
    }

    /// What there is to do now.
    pub fn look(&mut self, now: Instant) -> Deed {
        if !self.subscribed || self.forbidden {
            return Deed::Nothing;
        }
        match &self.under_way {
            Some((_, sent)) if now.saturating_duration_since(*sent) < PATIENCE.min(self.interval) => {
                Deed::Nothing
            }
            Some(_) => {
                self.under_way = None;
                // Requests that came meanwhile show that the way is open.
                self.lost += 1;
                if self.lost < LOST {
                    return self.ping(now);
                }
                self.closed(now)
            }
            None if self.last_heard.is_some_and(|at| now.saturating_duration_since(at) < self.interval) => {
                Deed::Nothing
            }
            None => self.ping(now),
        }
    }

    fn ping(&mut self, now: Instant) -> Deed {
        self.number += 1;
        let payload = format!("{}{}", self.run, self.number);
        self.under_way = Some((payload.clone(), now));
        Deed::Ping(payload)
    }

    fn closed(&mut self, now: Instant) -> Deed {
        let news = self.way_in != WayIn::Closed;
        self.way_in = WayIn::Closed;
        self.lost = 0;
        self.last_heard = Some(now);
        if self.mend_after.is_some_and(|at| at > now) {
            return Deed::Nothing;
        }
        self.mend_after = Some(now + self.wait);
        self.wait = self.wait.saturating_mul(2).min(LONGEST);
        Deed::Reconnect { news }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn echo() -> (Echo, Instant) {
        let mut echo = Echo::new(2 * MINUTE, "run-".to_owned());
        echo.subscribed();
        (echo, Instant::now())
    }

    fn pinged(echo: &mut Echo, now: Instant) -> String {
        match echo.look(now) {
            Deed::Ping(payload) => payload,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ping_goes_out_at_once_and_again_when_nothing_has_come_for_a_while() {
        let (mut echo, start) = echo();
        let first = pinged(&mut echo, start);
        assert!(echo.came_back(&first, start));
        assert_eq!((echo.way_in(), echo.look(start + MINUTE)), (WayIn::Open, Deed::Nothing));
        let second = pinged(&mut echo, start + 2 * MINUTE);
        assert_ne!(first, second);
        assert!(!echo.came_back("another", start));
    }

    #[test]
    fn a_way_in_that_closes_is_found_within_minutes_and_mended_by_a_new_connection() {
        let (mut echo, start) = echo();
        let first = pinged(&mut echo, start);
        echo.came_back(&first, start);
        let mut now = start + 2 * MINUTE;
        pinged(&mut echo, now);
        now += PATIENCE;
        pinged(&mut echo, now);
        now += PATIENCE;
        assert_eq!(echo.look(now), Deed::Reconnect { news: true });
        assert_eq!(echo.way_in(), WayIn::Closed);
        assert!(now < start + 5 * MINUTE);
        echo.disconnected();
        assert_eq!(echo.look(now), Deed::Nothing);
        echo.subscribed();
        let again = pinged(&mut echo, now);
        echo.came_back(&again, now);
        assert_eq!(echo.way_in(), WayIn::Open);
    }

    #[test]
    fn a_way_in_that_stays_closed_costs_fewer_and_fewer_connections() {
        let (mut echo, start) = echo();
        let mut now = start;
        let mut mends = Vec::new();
        while now < start + Duration::from_secs(24 * 3600) {
            if let Deed::Reconnect { .. } = echo.look(now) {
                mends.push(now - start);
                echo.disconnected();
                echo.subscribed();
            }
            now += Duration::from_secs(1);
        }
        assert!((5..15).contains(&mends.len()), "{mends:?}");
    }

    #[test]
    fn requests_show_that_the_way_is_open_and_a_broker_that_forbids_pings_is_left_alone() {
        let (mut echo, start) = echo();
        pinged(&mut echo, start);
        echo.heard(start + Duration::from_secs(1));
        assert_eq!(echo.way_in(), WayIn::Open);
        echo.forbidden();
        assert_eq!(echo.look(start + 60 * MINUTE), Deed::Nothing);
    }
}
