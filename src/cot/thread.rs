//! The thread, and what the service holds of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::keeper::keep;
use super::known::Known;
use super::ledger::Ledger;
use super::markers::ask;
use super::options::CotOptions;
use super::shared::{BrokerState, Shared};
use super::target::serve;
use crate::bus::OutgoingMessage;
use crate::durable::Disk;
use crate::layers::LayerOp;

/// How long a stop waits for the thread.
const PARTING: Duration = Duration::from_secs(2);

/// The way to the board's own broker, for targets `mqtt:` and for requests.
pub trait Outlet: Send + Sync {
    /// Publishes a message if there is a connection, and says whether there is. It must not wait.
    fn publish(&self, message: OutgoingMessage, taken: oneshot::Sender<bool>);
}

/// What the service tells of its layers and of the broker, and hears of targets. No call waits for the network.
pub struct CotLive {
    shared: Arc<Shared>,
    state: PathBuf,
    ledger: Mutex<Option<Ledger>>,
}

/// The running thread. It ends when this is dropped.
pub(crate) struct CotThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CotLive {
    /// Takes up what was sent before the last end; nothing is sent before the service starts it.
    pub fn open(options: CotOptions, disk: &Disk, state: &Path) -> Self {
        let mut known = Known::new(options.targets.len());
        let ledger = Ledger::open(disk, state, &mut known);
        // What was known of no change since: nothing to write.
        known.take_entries();
        Self {
            shared: Arc::new(Shared::new(options, known)),
            state: state.to_owned(),
            ledger: Mutex::new(Some(ledger)),
        }
    }

    /// Starts the thread, once.
    ///
    /// # Errors
    /// The system's, where it gives no thread or sockets.
    pub(crate) fn start(&self, outlet: Arc<dyn Outlet>) -> std::io::Result<CotThread> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let (stop, stopped) = oneshot::channel();
        // Taken as a whole.
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ledger) = ledger else { return Err(std::io::Error::other("it was started before")) };
        let (shared, state) = (Arc::clone(&self.shared), self.state.clone());
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = work(shared, state, ledger, outlet) => {}
                    _ = stopped => {}
                }
            });
            // A name that nobody resolves is left behind.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("cot".to_owned()).spawn(run)?;
        Ok(CotThread { stop: Some(stop), thread: Some(thread) })
    }

    /// Changes that are in their layers' files by now.
    pub fn changed<'a>(&self, changes: impl Iterator<Item = &'a LayerOp>) {
        self.shared.changed(changes);
    }

    /// There is a connection to the broker.
    pub fn broker_connected(&self) {
        self.shared.broker.send_modify(|state| {
            *state = BrokerState { connection: state.connection + 1, up: true, refused: false };
        });
    }

    /// The connection to the broker has ended.
    pub fn broker_away(&self) {
        self.shared.broker.send_modify(|state| state.up = false);
    }

    /// The service has answered on this topic.
    pub fn answered(&self, topic: &str, answer: &[u8]) {
        if let Some(markers) = &self.shared.markers {
            markers.answered(topic, answer);
        }
    }

    /// The broker has refused a message on this topic; says whether it was one of ours.
    pub fn broker_refuses(&self, topic: &str) -> bool {
        if self.shared.marker_refused(topic) {
            return true;
        }
        let options = &self.shared.options;
        let is_ours = options.targets.iter().any(|target| match target {
            super::CotTarget::Mqtt { level } => topic.starts_with(&format!("{}/{level}/", options.topic)),
            _ => false,
        });
        if is_ours {
            self.shared.broker.send_modify(|state| state.refused = true);
        }
        is_ours
    }

    /// What is wrong at the moment.
    pub fn problems(&self) -> Vec<String> {
        self.shared.problems()
    }

    /// What has gone wrong since the last call.
    pub fn take_news(&self) -> Vec<String> {
        self.shared.take_news()
    }
}

impl CotThread {
    /// Asks it to end, and waits a moment for that.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        let begin = Instant::now();
        while !thread.is_finished() && begin.elapsed() < PARTING {
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            // It has told of its faults itself.
            let _ = thread.join();
        } else {
            tracing::warn!("the thread that sends to TAK still works, and is left behind");
        }
    }
}

impl Drop for CotThread {
    fn drop(&mut self) {
        self.end();
    }
}

async fn work(shared: Arc<Shared>, state: PathBuf, ledger: Ledger, outlet: Arc<dyn Outlet>) {
    let mut tasks = JoinSet::new();
    for index in 0..shared.options.targets.len() {
        let (shared, state, outlet) = (Arc::clone(&shared), state.clone(), Arc::clone(&outlet));
        tasks.spawn(async move { serve(index, &shared, &state, &outlet).await });
    }
    let asking = Arc::clone(&shared);
    tasks.spawn(async move { keep(&shared, state, ledger).await });
    if asking.markers.is_some() {
        tasks.spawn(async move {
            if let Some(markers) = &asking.markers {
                ask(&asking, markers, &outlet).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        // None ends by itself.
        if let Err(error) = ended {
            tracing::error!(%error, "a task that sends to TAK has failed, by a fault of this program; please report it");
        }
    }
}
