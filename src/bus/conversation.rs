//! One connection, from CONNACK to its end: what happens on it goes to the core and the service, and it is given up where
//! nothing more is to be expected of it. Nothing that a broker sends, or leaves unsent, is more than the end of it.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::driver::{Link, Loss};
use super::events::Pushed;
use super::handle::Shared;
use super::options::BusOptions;
use super::overdue::Overdue;
use super::relay::Relay;
use super::wire::Step;

/// How long nothing is read for a service that does not take what came, and how often it is looked at meanwhile.
const SLOWNESS: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(5);

/// How one connection ended.
pub(super) enum Ended {
    /// With our leave taken.
    Departed,
    /// Because the bus is to stop, without leave.
    Stopped,
    /// Otherwise; `lasted` is for how long it was up.
    Lost { loss: Loss, lasted: Option<Duration> },
}

/// Goes on until the connection ends.
pub(super) async fn converse(
    link: &mut impl Link,
    shared: &Shared,
    options: &BusOptions,
    relay: &Relay,
    since: Instant,
) -> Ended {
    // A broker that is silent for two keep alives is gone, also where a write to it never returns.
    let patience = link.keep_alive() * 2 + Duration::from_secs(1);
    let mut overdue = Overdue::new(options.answer_timeout, since);
    let mut deadline = None;
    loop {
        let polled = {
            let mut poll = pin!(link.poll());
            let mut silence = pin!(sleep(patience));
            let mut strain = relay.strain();
            loop {
                tokio::select! {
                    polled = &mut poll => break polled,
                    () = &mut silence => {
                        // A slow line may be busy with one large packet for longer.
                        let now = relay.strain();
                        if now == strain {
                            break Err(Loss::elsewhere("the broker is silent"));
                        }
                        strain = now;
                        silence.as_mut().reset(Instant::now() + patience);
                    }
                    () = sleep_until(overdue.next_look()) => {
                        if let Some(why) = overdue.look(Instant::now(), &shared.owed(), relay.strain()) {
                            break Err(Loss::elsewhere(why));
                        }
                    }
                    () = shared.reconnect.notified() => {
                        if shared.takes_leave() {
                            break Err(Loss::elsewhere("given up by the service, which hears nothing on it"));
                        }
                    }
                    () = stop_requested(shared), if deadline.is_none() => {
                        if !shared.is_connected() {
                            return Ended::Stopped;
                        }
                        deadline = Some(Instant::now() + options.stop_timeout);
                    }
                    () = sleep_until(deadline.unwrap_or(since)), if deadline.is_some() => {
                        return Ended::Stopped;
                    }
                }
            }
        };
        let pushed = match polled {
            Ok(None) => Pushed::Queued,
            Ok(Some(Step::Departed)) if shared.is_departing() => return Ended::Departed,
            // The library takes leave by itself of a broker that breaks the protocol.
            Ok(Some(Step::Departed)) => {
                let loss = Loss::elsewhere("the broker breaks the protocol");
                return Ended::Lost { loss, lasted: Some(since.elapsed()) };
            }
            Ok(Some(step)) => shared.apply(step),
            Err(loss) => {
                for step in link.drain() {
                    // Messages come again; what the broker acknowledged must not be sent again.
                    if !matches!(step, Step::Received { .. }) {
                        shared.apply(step);
                    }
                }
                return Ended::Lost { loss, lasted: Some(since.elapsed()) };
            }
        };
        if pushed == Pushed::Full && !has_room(shared, link.keep_alive()).await {
            let loss = Loss::elsewhere(
                "the service takes messages more slowly than they come; the broker keeps the rest",
            );
            return Ended::Lost { loss, lasted: Some(since.elapsed()) };
        }
    }
}

/// Waits until the service has taken some of what came; meanwhile nothing is read from the network, so that the broker keeps the rest.
/// Says whether it has, in a time in which no ping is missed.
async fn has_room(shared: &Shared, keep_alive: Duration) -> bool {
    let begin = Instant::now();
    while !shared.has_room() && !shared.is_stopping() {
        if begin.elapsed() > keep_alive.min(SLOWNESS) {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

/// Returns when the bus is to stop, at once if it is so already.
pub(super) async fn stop_requested(shared: &Shared) {
    while !shared.is_stopping() {
        shared.stop.notified().await;
    }
}
