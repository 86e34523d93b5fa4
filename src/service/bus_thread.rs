//! The bus thread: hands the events of the bus on to the clerk, but only so many ahead of it. The rest stays in the
//! queue of the bus, whose bounds say what to give up when the clerk hangs on its card.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::clerk::Input;
use super::pulse::{Organ, Pulse};
use crate::bus::{BusConnection, BusError, BusEvent};

/// Events that the clerk has not dealt with.
const AHEAD: usize = 64;
/// Time between two looks whether the clerk has gone on.
const PAUSE: Duration = Duration::from_millis(5);

/// Travels with an event. Another may follow when it is dropped: by the clerk, or with the clerk's end of the
/// channel, so that nobody waits for a clerk that is gone.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn new(under_way: &Arc<AtomicUsize>) -> Self {
        under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(under_way))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Works until the bus has ended.
pub(super) fn hand_on(mut events: impl BusConnection, clerk: &Sender<Input>, pulse: &Pulse) {
    let under_way = Arc::new(AtomicUsize::new(0));
    loop {
        pulse.beat(Organ::Bus);
        if under_way.load(Ordering::Relaxed) >= AHEAD {
            std::thread::sleep(PAUSE);
            continue;
        }
        match events.next_event(Some(Duration::from_secs(1))) {
            Ok(None) => {}
            Ok(Some(event)) => {
                let last = matches!(event, BusEvent::Stopped { .. });
                // After the clerk has gone the farewell is still on its way: go on until the bus has ended.
                let _ = clerk.send(Input::Bus(event, Permit::new(&under_way)));
                if last {
                    return;
                }
            }
            Err(BusError::Stopped) => return,
            Err(error) => {
                tracing::error!(%error, "an event of the connection to the broker cannot be read; going on with the next")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;
    use crate::bus::memory::{MemoryBroker, bus};
    use crate::bus::{BusClient as _, BusHandle, OutgoingMessage, Subscription};

    struct Scene {
        client: BusHandle,
        broker: MemoryBroker,
        inputs: Receiver<Input>,
        pulse: Arc<Pulse>,
        thread: std::thread::JoinHandle<()>,
    }

    /// A bus thread whose clerk does not look at what it is given, and more messages than it may be given.
    fn flooded() -> Scene {
        let (client, events, broker) = bus(None);
        let (clerk, inputs) = channel();
        let pulse = Arc::new(Pulse::new());
        let beating = Arc::clone(&pulse);
        let thread = std::thread::spawn(move || hand_on(events, &clerk, &beating));
        broker.connect(true);
        client.subscribe_with(&[Subscription::new("t")]).unwrap();
        // Fewer than the bus drops, so that all would come if nothing held them back.
        for _ in 0..2 * AHEAD {
            broker.publish(OutgoingMessage::new("t", "").at_most_once());
        }
        std::thread::sleep(Duration::from_millis(300));
        Scene { client, broker, inputs, pulse, thread }
    }

    impl Scene {
        fn end(self) {
            self.client.stop(None);
            drop(self.inputs);
            let start = Instant::now();
            while !self.thread.is_finished() {
                assert!(start.elapsed() < Duration::from_secs(10), "the bus thread hangs");
                std::thread::sleep(Duration::from_millis(5));
            }
            self.thread.join().unwrap();
        }
    }

    #[test]
    fn a_clerk_that_hangs_leaves_a_flood_to_the_bounds_of_the_bus() {
        let scene = flooded();
        let taken: Vec<Input> = scene.inputs.try_iter().collect();
        assert_eq!(taken.len(), AHEAD);
        // The thread itself is well.
        assert!(scene.pulse.still_for(Duration::from_millis(200)).is_none_or(|o| !matches!(o, Organ::Bus)));
        for _ in 0..1000 {
            scene.broker.publish(OutgoingMessage::new("t", "").at_most_once());
        }
        assert!(scene.client.stats().dropped > 0);
        drop(taken);
        // The clerk goes on, and so do the events.
        assert!(scene.inputs.recv_timeout(Duration::from_secs(5)).is_ok());
        scene.end();
    }

    #[test]
    fn the_end_of_the_clerk_lets_the_bus_thread_end_too() {
        flooded().end();
    }
}
