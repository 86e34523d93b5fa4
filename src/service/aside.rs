//! Requests whose object is followed over many chips, each on a thread of its own that goes on only while a worker waits for
//! it. Before any of its decodes, and now and then between, it may be left where it is, for others to have the decoder, and be gone on
//! with later, or given up.
//! What it does is not here; it is as any other request's.

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::context::Context;
use super::job::Job;
use super::performed::Performed;

/// What the thread has come to.
enum Came {
    /// A moment at which it may wait: it is about to decode, or in the middle of what takes long.
    Breath,
    Over(Box<Performed>),
}

/// The thread's side.
struct Gate {
    come: Sender<Came>,
    go: Receiver<()>,
}

thread_local! {
    static GATE: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

/// What a thread ends with that is given up. It is no fault, and nobody is told.
struct GivenUp;

/// Where a request may wait, on whichever thread: one that has a worker waiting for it asks whether it may go on.
pub(super) fn breathe() {
    GATE.with_borrow(|gate| {
        let Some(gate) = gate else { return };
        if gate.come.send(Came::Breath).is_err() || gate.go.recv().is_err() {
            resume_unwind(Box::new(GivenUp));
        }
    });
}

/// A request on its own thread, which waits where it may. Dropped, it is given up, and holds nothing any more.
pub(super) struct Aside {
    /// Absent once it is given up.
    go: Option<Sender<()>>,
    come: Receiver<Came>,
    thread: Option<JoinHandle<()>>,
    /// Whether it has had a turn: its first decode is not waited before.
    begun: bool,
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.go = None;
        // It waits for nothing else. What it ends with has been told, or is of no use to anybody.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Aside {
    /// A thread for a request, which waits to be told to begin.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn begin(context: &Arc<Context>, job: &Job) -> io::Result<Self> {
        let ((go, may_go), (come, comes)) = (channel(), channel());
        let (context, job) = (Arc::clone(context), job.clone());
        let run = move || {
            if may_go.recv().is_err() {
                return;
            }
            GATE.replace(Some(Gate { come: come.clone(), go: may_go }));
            // As in a worker: locks inside are recovered where they are taken.
            let performed = match catch_unwind(AssertUnwindSafe(|| context.whole(&job))) {
                Ok(performed) => performed,
                Err(cause) if cause.is::<GivenUp>() => return,
                Err(_) => Performed::failed_inside(&job),
            };
            // Who has given it up meanwhile wants no answer.
            let _ = come.send(Came::Over(Box::new(performed)));
        };
        let thread = std::thread::Builder::new().name("aside".to_owned()).spawn(run)?;
        Ok(Self { go: Some(go), come: comes, thread: Some(thread), begun: false })
    }

    /// Goes on to the end, or until `pause` says, where it may wait, that it is to.
    ///
    /// # Errors
    /// Gives itself back where it waits.
    pub fn go_on(mut self, job: &Job, pause: &dyn Fn() -> bool) -> Result<Box<Performed>, Self> {
        loop {
            // One that is gone has ended, and said what came of it or nothing.
            let _ = self.go.as_ref().map(|go| go.send(()));
            match self.come.recv() {
                Ok(Came::Over(performed)) => return Ok(performed),
                Ok(Came::Breath) if self.begun && pause() => return Err(self),
                Ok(Came::Breath) => self.begun = true,
                Err(_) => return Ok(Box::new(Performed::failed_inside(job))),
            }
        }
    }
}
