//! Where requests wait for a worker: the schedule behind a lock, and the bell that wakes the workers.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::job::Job;
use super::schedule::{Bounds, Next, Schedule, Ticket};

/// Bytes of answers on their way, to the card or to a broker that is there, with which no more requests are begun: two of the largest.
pub(super) const UNDELIVERED: u64 = 8 << 20;

/// Waiting requests, shared by the clerk and the workers.
#[derive(Debug)]
pub(super) struct RequestQueue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug)]
struct State {
    schedule: Schedule<Box<Job>>,
    stopping: bool,
    /// The clerk lets nothing begin that would have to be made durable.
    held: bool,
    /// Bytes of answers that are made and not durable yet, by the numbers of their jobs; and of all of them.
    made: HashMap<u64, u64>,
    made_bytes: u64,
    /// With more of them nothing begins, either: a card may be slower than the decoder.
    most_made: u64,
}

/// What a worker is given.
#[derive(Debug)]
pub(super) enum Turn {
    Run(Box<Job>),
    Expired(Box<Job>),
    /// Nothing came in a while.
    Idle,
    /// The service ends.
    Stop,
}

impl RequestQueue {
    /// A queue with these bounds, for answers of so many bytes that are made and not durable.
    pub fn new(bounds: Bounds, most_made: u64) -> Self {
        let schedule = Schedule::new(bounds);
        let state =
            State { schedule, stopping: false, held: false, made: HashMap::new(), made_bytes: 0, most_made };
        Self { state: Mutex::new(state), bell: Condvar::new() }
    }

    /// Every method of the schedule leaves it whole, so a poisoned lock is usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn len(&self) -> usize {
        self.state().schedule.len()
    }

    /// Whether `promised` requests, `of_client` of them this client's, leave room for one more.
    pub fn has_room(&self, client: &str, preview: bool, promised: usize, of_client: usize) -> bool {
        self.state().schedule.has_room(client, preview, promised, of_client)
    }

    /// Takes a request in, and gives back the preview that it makes worthless.
    ///
    /// # Errors
    /// Gives the request back where there is no room.
    pub fn offer(&self, job: Box<Job>) -> Result<Option<Box<Job>>, Box<Job>> {
        let offered = self.state().schedule.offer(ticket(job));
        self.bell.notify_one();
        offered.map(|displaced| displaced.map(|t| t.work)).map_err(|t| t.work)
    }

    /// Takes in a request that is durable already.
    pub fn restore(&self, job: Box<Job>) {
        self.state().schedule.restore(ticket(job));
        self.bell.notify_one();
    }

    /// So long was worked for a request in one turn. To be told before the next turn is given.
    pub fn worked(&self, job: &Job, time: Duration) {
        // What is in the background, and previews, take nobody's turn.
        if !job.is_background() && !job.is_preview() {
            self.state().schedule.worked(&job.address.client, time);
        }
    }

    /// A request's answer is made, of so many bytes. To be told before the next turn is given.
    pub fn made(&self, job: &Job, bytes: usize) {
        let mut state = self.state();
        state.made.insert(job.number, bytes as u64);
        state.made_bytes += bytes as u64;
    }

    /// A request is answered and its changes are durable. One that was taken out before it began
    /// (cancelled, expired) kept nobody waiting.
    pub fn finished(&self, job: &Job) {
        if job.begun {
            let mut state = self.state();
            state.made_bytes -= state.made.remove(&job.number).unwrap_or(0);
            state.schedule.finished(&job.address.client, job.serial(), job.is_alone());
            if job.is_background() {
                state.schedule.background_over();
            }
            if job.is_long() {
                state.schedule.batch_over();
            }
            drop(state);
            self.bell.notify_all();
        }
    }

    /// Takes back what was worked on in the background, for its next step; not before that moment.
    pub fn put_back(&self, job: Box<Job>, not_before: Option<Instant>) {
        let mut state = self.state();
        state.schedule.background_over();
        state.schedule.restore(Ticket { not_before, ..ticket(Box::new(Job { begun: false, ..*job })) });
        drop(state);
        self.bell.notify_one();
    }

    /// Takes back what gives way before it is over. Gives back a preview whose place a newer one has taken.
    pub fn pause(&self, job: Box<Job>) -> Option<Box<Job>> {
        if job.is_background() {
            self.put_back(job, None);
            return None;
        }
        let ticket = ticket(Box::new(Job { begun: false, under_way: true, ..*job }));
        let displaced = self.state().schedule.pause(ticket);
        // Others of its session may go on where it is taken back, and it goes on itself.
        self.bell.notify_all();
        displaced.map(|ticket| ticket.work)
    }

    /// Whether what is worked on piece by piece should leave the decoder to others.
    pub fn is_wanted(&self, job: &Job) -> bool {
        let state = self.state();
        if job.is_background() {
            return state.stopping || state.schedule.is_wanted();
        }
        // One that only the memory holds would be lost.
        let is_ending = state.stopping && job.seq.is_some();
        is_ending || state.schedule.is_wanted_beside(&job.address.client, job.is_preview())
    }

    /// Takes out what a client has waiting, as far as the filter says.
    #[allow(clippy::vec_box, reason = "they come boxed and go on boxed")]
    pub fn cancel(&self, client: &str, wanted: impl Fn(&Job) -> bool) -> Vec<Box<Job>> {
        self.state().schedule.cancel(client, |job| wanted(job)).into_iter().map(|t| t.work).collect()
    }

    /// Waits for something to do, but not longer than `patience`.
    pub fn next(&self, patience: Duration) -> Turn {
        let mut state = self.state();
        if let Some(turn) = state.take() {
            return turn;
        }
        let waited = self.bell.wait_timeout(state, patience);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.take().unwrap_or(Turn::Idle)
    }

    /// While nothing can be made durable, what would have to be waits here, where its bounds are.
    pub fn hold(&self, held: bool) {
        let was_held = std::mem::replace(&mut self.state().held, held);
        if was_held && !held {
            self.bell.notify_all();
        }
    }

    /// Sends the workers home after what they are doing. What waits is durable, or worth nothing after a restart:
    /// the end does not wait for it.
    pub fn stop(&self) {
        self.state().stopping = true;
        self.bell.notify_all();
    }
}

impl State {
    fn take(&mut self) -> Option<Turn> {
        if self.stopping {
            return Some(Turn::Stop);
        }
        self.schedule.hold(self.held || self.made_bytes > self.most_made);
        self.schedule.next(Instant::now()).map(|next| match next {
            Next::Run(mut ticket) => {
                ticket.work.begun = true;
                Turn::Run(ticket.work)
            }
            Next::Expired(ticket) => Turn::Expired(ticket.work),
        })
    }
}

fn ticket(job: Box<Job>) -> Ticket<Box<Job>> {
    Ticket {
        client: job.address.client.clone(),
        serial: job.serial().map(str::to_owned),
        alone: job.is_alone(),
        reads_back: job.reads_back(),
        preview: job.is_preview(),
        durable: job.is_durable(),
        volatile: if job.seq.is_none() { job.bytes } else { 0 },
        deadline: job.deadline(),
        background: job.is_background(),
        batch: job.is_long(),
        begun: job.is_in_pieces() && !job.is_background() && job.under_way,
        not_before: None,
        work: job,
    }
}
