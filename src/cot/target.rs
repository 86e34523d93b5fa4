//! One target: what is sent to it, in which order and how fast. A link that is closed is opened again, and everything sent
//! anew.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::link::{AWAY, Event, Kind, Link};
use super::shared::{Live, Shared};
use super::text;
use super::thread::Outlet;
use crate::layers::export::cot::{Shapes, is_clock_set, last_event};
use crate::layers::export::{ExportError, Walk, layer_names};

/// How long a shape that is deleted is still shown. Less would be past when a receiver's clock is a little ahead; a time in
/// the past changes nothing at servers that keep events.
const LAST: Duration = Duration::from_secs(2);

/// Time between two looks at a clock that is not set.
const CLOCK: Duration = Duration::from_secs(10);

/// Serves a target until the thread ends.
pub(super) async fn serve(index: usize, shared: &Shared, state: &Path, outlet: &Arc<dyn Outlet>) {
    let (first, longest) = shared.options.retry;
    let mut retry = first;
    loop {
        wait_for_clock(shared).await;
        let opened = Link::open(index, shared, outlet).await;
        let since = Instant::now();
        let reason = match opened {
            Ok(link) => {
                let mut talk = Talk { index, shared, state, link, reached: false, since };
                let Err(reason) = talk.converse().await;
                shared.connection_ended(index);
                reason
            }
            Err(reason) => reason,
        };
        if reason != AWAY {
            shared.trouble(index, &reason);
        }
        if since.elapsed() > longest {
            retry = first;
        }
        sleep(retry).await;
        retry = (retry * 2).min(longest);
    }
}

/// Events tell times: without a clock there are none.
async fn wait_for_clock(shared: &Shared) {
    let mut waited = false;
    loop {
        let now = (shared.options.clock)();
        if is_clock_set(now) {
            break;
        }
        waited = true;
        let now = humantime::format_rfc3339_seconds(now.max(SystemTime::UNIX_EPOCH));
        shared.clock_trouble(Some(format!(
            "the clock says {now}, before 2024; nothing is sent until it is set"
        )));
        sleep(CLOCK.min(shared.options.interval)).await;
    }
    if waited {
        shared.clock_trouble(None);
    }
}

struct Talk<'a> {
    index: usize,
    shared: &'a Shared,
    state: &'a Path,
    link: Link,
    reached: bool,
    since: Instant,
}

impl Talk<'_> {
    /// Tells who we are, then all that there is, then what changes.
    async fn converse(&mut self) -> Result<Infallible, String> {
        let shared = self.shared;
        let options = &shared.options;
        let mut woken = shared.wake.subscribe();
        let mut live = shared.end();
        let mut round = Some(Round::begin(options.layers.clone(), self.state));
        let (mut next_presence, mut next_round) = (Instant::now(), Instant::now() + options.interval);
        loop {
            woken.mark_unchanged();
            let now = Instant::now();
            if !self.reached && self.since.elapsed() >= options.stable {
                self.reached = true;
                shared.well(self.index);
            }
            if now >= next_presence {
                next_presence = now + options.presence;
                shared.received(self.index);
                let xml = text::presence(options, self.now()?);
                self.send(&text::own_uid(options), Kind::Shown, xml).await?;
                continue;
            }
            if let Some((uid, owed)) = shared.next_owed(self.index) {
                if self.link.has_last_events() {
                    let xml = last_event(&uid, &owed.layer, owed.bounds, self.now()?, LAST);
                    self.send(&uid, Kind::Last, xml).await?;
                }
                let xml = text::deletion(&uid, self.now()?);
                self.send(&uid, Kind::Deleted, xml).await?;
                shared.told(self.index, &uid);
                continue;
            }
            match shared.live(live) {
                Live::Nothing => {}
                Live::Missed(end) => {
                    live = end;
                    round = Some(Round::begin(options.layers.clone(), self.state));
                    continue;
                }
                Live::Next(shapes) => {
                    live += 1;
                    self.send_shapes(&shapes).await?;
                    continue;
                }
            }
            if round.is_none() && now >= next_round {
                next_round = now + options.interval;
                round = Some(Round::begin(options.layers.clone(), self.state));
            }
            if let Some(under_way) = &mut round {
                match under_way.next_object() {
                    Some(shapes) => {
                        if shared.read(&shapes) {
                            self.send_shapes(&shapes).await?;
                        } else {
                            tokio::task::yield_now().await;
                        }
                    }
                    None => round = None,
                }
                continue;
            }
            let mut until = next_presence.min(next_round);
            if !self.reached {
                until = until.min(self.since + options.stable);
            }
            tokio::select! {
                reason = self.link.closed(shared) => return Err(reason),
                _ = woken.changed() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// The time, if it can be told.
    fn now(&self) -> Result<SystemTime, String> {
        let now = (self.shared.options.clock)();
        if is_clock_set(now) {
            Ok(now)
        } else {
            Err("the clock was set back to a time before 2024".to_owned())
        }
    }

    async fn send_shapes(&mut self, shapes: &Shapes) -> Result<(), String> {
        for part in &shapes.parts {
            // It may have been deleted since.
            if !self.shared.is_shown(&shapes.id) {
                break;
            }
            let (xml, simplified) = part.event(&shapes.layer, self.now()?, self.shared.options.stale);
            if simplified {
                self.shared.simplified(&part.uid);
            }
            self.send(&part.uid, Kind::Shown, xml).await?;
        }
        Ok(())
    }

    /// Sends an event, and pauses: servers that read several at once lose those that a read cuts in two.
    async fn send(&mut self, uid: &str, kind: Kind, xml: String) -> Result<(), String> {
        self.link.send(&Event { uid, kind, xml }).await?;
        match timeout(self.shared.options.pause, self.link.closed(self.shared)).await {
            Ok(reason) => Err(reason),
            Err(_) => Ok(()),
        }
    }
}

/// A way through all objects there are.
struct Round {
    state: PathBuf,
    layers: std::vec::IntoIter<String>,
    walk: Option<Walk>,
}

impl Round {
    fn begin(mut layers: Vec<String>, state: &Path) -> Self {
        if layers.is_empty() {
            layers = layer_names(state).unwrap_or_else(|error| {
                tracing::warn!(%error, "saved objects cannot be sent to TAK");
                Vec::new()
            });
        }
        Self { state: state.to_owned(), layers: layers.into_iter(), walk: None }
    }

    /// The next object that can be drawn.
    fn next_object(&mut self) -> Option<Shapes> {
        loop {
            let walk = match &mut self.walk {
                Some(walk) => walk,
                none => match Walk::open(&self.state, &self.layers.next()?) {
                    Ok(walk) => none.insert(walk),
                    // A layer that nobody has saved to yet.
                    Err(ExportError::NoLayer { .. }) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "saved objects cannot be sent to TAK");
                        continue;
                    }
                },
            };
            match walk.next_object() {
                Ok(Some(line)) => {
                    let shapes = Shapes::of_line(walk.layer(), &line);
                    if shapes.is_some() {
                        return shapes;
                    }
                }
                Ok(None) => self.walk = None,
                Err(error) => {
                    tracing::warn!(%error, "saved objects cannot be sent to TAK");
                    self.walk = None;
                }
            }
        }
    }
}
