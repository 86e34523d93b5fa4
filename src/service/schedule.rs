//! Which waiting request runs next: a state machine without threads, clocks or I/O of its own.
//!
//! Rules, in order:
//! 1. Real requests run before previews; previews run only when nothing else can, or by turns with the prompts of batches.
//! 2. Clients take turns, however many requests they have waiting: each has a line, and who has had least of the decoder's
//!    time lately goes first ([`turns`]).
//! 3. In a client's line: first come, first served, except that requests of one session never run at the same time, and
//!    that what reads back waits for all that its client asked of sessions before; and that of all requests that change
//!    saved objects one runs at a time.
//! 4. Of one client's waiting previews only the newest is kept; the older ones are displaced.
//! 5. The queue is bounded as a whole, by client, and in bytes of memory; what does not fit is refused at once. A client has
//!    no more waiting than there are free places left, so that some are left for others (dynamic thresholds, Choudhury and
//!    Hahne 1998).
//! 6. A request whose deadline has passed is taken out and answered without being run.
//! 7. What is worked on in the background runs when nothing else can, one at a time, and comes back after each step: prompts go first.
//! 8. A batch gives way to other clients between its prompts, and an object that is followed over chips between these: it comes
//!    back in front of its client's line, at the end of the lines.
//!    A few of them are under way at a time, since each holds what it has found.
//! 9. While nothing can be made durable, what would have to be is held, and the rest goes on.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

mod turns;

#[cfg(test)]
mod tests;

use turns::Turns;

/// What the schedule must know of a request; the request itself is the caller's `T`.
#[derive(Debug, Clone)]
pub struct Ticket<T> {
    /// Who asks; turns, shares and previews are counted by it.
    pub client: String,
    /// Requests with the same key run one after the other; `None` may run beside anything.
    pub serial: Option<String>,
    /// Whether it changes saved objects, and so may not run beside another that does, of whichever client.
    pub alone: bool,
    /// Whether it shows what the client's earlier requests with a `serial` have changed.
    pub reads_back: bool,
    /// Whether a newer one of the same client makes it worthless.
    pub preview: bool,
    /// Whether what comes of it is to be made durable.
    pub durable: bool,
    /// Bytes that only the memory holds; nothing of what is on the card.
    pub volatile: usize,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
    /// Whether it is worked on step by step in the background.
    pub background: bool,
    /// Whether it has many prompts, or is followed over many chips, and is one of the few of that kind that are under way.
    pub batch: bool,
    /// Of one that gives way: whether it has had a turn.
    pub begun: bool,
    /// When its next step may be tried.
    pub not_before: Option<Instant>,
    /// The request.
    pub work: T,
}

/// Bounds of the queue.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Requests waiting, previews aside.
    pub queue: usize,
    /// Of these, one client's.
    pub per_client: usize,
    /// Previews waiting, one a client.
    pub previews: usize,
    /// Bytes of all that only the memory holds.
    pub volatile: usize,
}

/// Batches that are under way at a time, the answers of which the memory holds as far as they have come.
pub const MOST_BATCHES: usize = 4;

/// What [`Schedule::next`] found.
#[derive(Debug)]
pub enum Next<T> {
    /// Run this; tell [`Schedule::finished`] afterwards.
    Run(Ticket<T>),
    /// Answer this as expired.
    Expired(Ticket<T>),
}

/// Whose request is running, and its key.
type Running = HashSet<(String, String)>;

/// One client's waiting requests, in the order in which they came; never empty.
type Line<T> = VecDeque<Ticket<T>>;

/// Waiting and running requests.
#[derive(Debug)]
#[allow(clippy::len_without_is_empty, reason = "a length for health, not a collection")]
pub struct Schedule<T> {
    bounds: Bounds,
    /// In the order in which they began to wait, or were served.
    lines: VecDeque<Line<T>>,
    previews: VecDeque<Ticket<T>>,
    /// In the order in which they came, the one whose last step is longest ago first.
    background: VecDeque<Ticket<T>>,
    running: Running,
    turns: Turns,
    in_background: bool,
    /// Whether what was last begun is a preview.
    after_preview: bool,
    /// Batches that have begun and are not over.
    batches: usize,
    /// Whether one that is to be alone is running.
    alone: bool,
    held: bool,
}

impl<T> Schedule<T> {
    /// An empty schedule.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lines: VecDeque::new(),
            previews: VecDeque::new(),
            background: VecDeque::new(),
            running: HashSet::new(),
            turns: Turns::default(),
            in_background: false,
            after_preview: false,
            batches: 0,
            alone: false,
            held: false,
        }
    }

    /// Requests waiting, previews included.
    pub fn len(&self) -> usize {
        self.lines.iter().map(VecDeque::len).sum::<usize>() + self.background.len() + self.previews.len()
    }

    /// Holds what would have to be made durable, or lets it go on.
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether a request of this client would be taken now, when `promised` others, `of_client` of them
    /// its own, are about to come.
    pub fn has_room(&self, client: &str, preview: bool, promised: usize, of_client: usize) -> bool {
        if preview {
            // It takes the place of the client's waiting one.
            return self.previews.len() < self.bounds.previews
                || self.previews.iter().any(|t| t.client == client);
        }
        // A batch between two of its prompts is no more waiting than one whose prompt is being decoded.
        let waiting = || self.lines.iter().flatten().chain(&self.background).filter(|ticket| !ticket.begun);
        let share = of_client + waiting().filter(|ticket| ticket.client == client).count();
        let free = self.bounds.queue.saturating_sub(waiting().count() + promised);
        share < free && share < self.bounds.per_client
    }

    /// Takes a request in, and gives back the preview that it makes worthless.
    ///
    /// # Errors
    /// Gives the request back when the queue, or its client's share of it, is full.
    pub fn offer(&mut self, ticket: Ticket<T>) -> Result<Option<Ticket<T>>, Ticket<T>> {
        let tickets = self.lines.iter().flatten().chain(&self.previews).chain(&self.background);
        let volatile = tickets.map(|t| t.volatile).sum::<usize>() + ticket.volatile;
        if volatile > self.bounds.volatile || !self.has_room(&ticket.client, ticket.preview, 0, 0) {
            return Err(ticket);
        }
        Ok(self.restore(ticket))
    }

    /// Takes a request in regardless of bounds: for what was accepted before a restart.
    pub fn restore(&mut self, ticket: Ticket<T>) -> Option<Ticket<T>> {
        if ticket.background {
            self.background.push_back(ticket);
            return None;
        }
        if !ticket.preview {
            match self.lines.iter_mut().find(|line| is_of(line, &ticket.client)) {
                Some(line) => line.push_back(ticket),
                None => self.lines.push_back(VecDeque::from([ticket])),
            }
            return None;
        }
        let older = self.previews.iter().position(|t| t.client == ticket.client);
        let displaced = older.and_then(|position| self.previews.remove(position));
        self.batches -= usize::from(displaced.as_ref().is_some_and(|ticket| ticket.begun && ticket.batch));
        self.previews.push_back(ticket);
        displaced
    }

    /// The next request to run or to expire at this moment.
    pub fn next(&mut self, now: Instant) -> Option<Next<T>> {
        if let Some(ticket) = self.take_expired(now) {
            return Some(Next::Expired(ticket));
        }
        let found = match self.only_batches_go_on() && !self.after_preview {
            true => self.take_preview().or_else(|| self.take_real()),
            false => self.take_real().or_else(|| self.take_preview()),
        };
        let ticket = found.or_else(|| self.take_background(now))?;
        self.after_preview = ticket.preview;
        self.running.extend(ticket.serial.clone().map(|key| (ticket.client.clone(), key)));
        self.alone |= ticket.alone;
        self.batches += usize::from(ticket.batch && !ticket.begun);
        Some(Next::Run(ticket))
    }

    fn take_expired(&mut self, now: Instant) -> Option<Ticket<T>> {
        // Its answer would have to be made durable, too.
        let held = self.held;
        let expired =
            |t: &Ticket<T>| !(held && t.durable) && t.deadline.is_some_and(|deadline| deadline <= now);
        let mut lines = self.lines.iter().enumerate();
        let found = lines.find_map(|(at, line)| Some((at, line.iter().position(expired)?)));
        if let Some((at, position)) = found {
            return self.take(at, position, false);
        }
        if let Some(position) = self.background.iter().position(expired) {
            return self.background.remove(position);
        }
        let position = self.previews.iter().position(expired)?;
        self.previews.remove(position)
    }

    fn take_background(&mut self, now: Instant) -> Option<Ticket<T>> {
        if self.held || self.in_background {
            return None;
        }
        let may_run = |ticket: &Ticket<T>| ticket.not_before.is_none_or(|not_before| not_before <= now);
        let position = self.background.iter().position(may_run)?;
        let ticket = self.background.remove(position)?;
        self.in_background = true;
        Some(ticket)
    }

    /// The step in the background is over; what it is a step of comes back by [`Schedule::restore`], or is finished.
    pub const fn background_over(&mut self) {
        self.in_background = false;
    }

    /// Whether something waits that goes before what is in the background.
    pub fn is_wanted(&self) -> bool {
        self.lines.iter().chain([&self.previews]).any(|line| self.free(line).is_some())
    }

    /// Takes back a batch that gives way before it is over; what its client has asked for since stays behind it. Gives it back
    /// where it is a preview whose place a newer one has taken.
    pub fn pause(&mut self, ticket: Ticket<T>) -> Option<Ticket<T>> {
        self.finished(&ticket.client, ticket.serial.as_deref(), ticket.alone);
        if ticket.preview && self.previews.iter().any(|newer| newer.client == ticket.client) {
            self.batches -= usize::from(ticket.batch);
            return Some(ticket);
        }
        if ticket.preview {
            self.previews.push_back(ticket);
        } else {
            let own = self.lines.iter().position(|line| is_of(line, &ticket.client));
            let mut line = own.and_then(|at| self.lines.remove(at)).unwrap_or_default();
            line.push_front(ticket);
            self.lines.push_back(line);
        }
        None
    }

    /// A batch that has begun is over.
    pub const fn batch_over(&mut self) {
        self.batches -= 1;
    }

    /// Whether a batch of this client, or one that is a preview, should give way.
    pub fn is_wanted_beside(&self, client: &str, preview: bool) -> bool {
        let other = |line: &&Line<T>| preview || !is_of(line, client);
        let previews = (preview || !self.after_preview).then_some(&self.previews);
        self.lines.iter().filter(other).chain(previews).any(|line| self.free(line).is_some())
    }

    /// Whether of all that could run only batches are left that have had turns already.
    fn only_batches_go_on(&self) -> bool {
        let mut could_run = self.lines.iter().filter_map(|line| line.get(self.free(line)?));
        could_run.all(|ticket| ticket.begun)
    }

    fn take_real(&mut self) -> Option<Ticket<T>> {
        let lines = self.lines.iter().enumerate();
        let free: Vec<(usize, usize, &str)> = lines
            .filter_map(|(at, line)| Some((at, self.free(line)?, line.front()?.client.as_str())))
            .collect();
        let clients: Vec<&str> = free.iter().map(|(_, _, client)| *client).collect();
        let (at, position, client) = *free.get(self.turns.choose(&clients)?)?;
        let client = client.to_owned();
        self.turns.taken(&client);
        self.take(at, position, true)
    }

    fn take_preview(&mut self) -> Option<Ticket<T>> {
        let position = self.free(&self.previews)?;
        self.previews.remove(position)
    }

    /// Takes a request out of a line, which goes to the end if that was its client's turn.
    fn take(&mut self, at: usize, position: usize, turn: bool) -> Option<Ticket<T>> {
        let line = self.lines.get_mut(at)?;
        let ticket = line.remove(position)?;
        let is_empty = line.is_empty();
        if (turn || is_empty)
            && let Some(line) = self.lines.remove(at)
            && !is_empty
        {
            self.lines.push_back(line);
        }
        Some(ticket)
    }

    /// So long was worked for a client, in one turn.
    pub fn worked(&mut self, client: &str, time: Duration) {
        self.turns.worked(client, time);
    }

    /// A request has run: others that waited for it may follow.
    pub fn finished(&mut self, client: &str, serial: Option<&str>, alone: bool) {
        self.alone &= !alone;
        if let Some(key) = serial {
            self.running.retain(|(of, running)| of != client || running != key);
        }
    }

    /// Takes out what a client has waiting, as far as the filter says.
    pub fn cancel(&mut self, client: &str, wanted: impl Fn(&T) -> bool) -> Vec<Ticket<T>> {
        let mut cancelled = Vec::new();
        for queue in self.lines.iter_mut().chain([&mut self.previews, &mut self.background]) {
            let (out, keep): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(queue).into_iter().partition(|t| t.client == client && wanted(&t.work));
            *queue = keep;
            cancelled.extend(out);
        }
        self.lines.retain(|line| !line.is_empty());
        self.batches -= cancelled.iter().filter(|ticket| ticket.begun && ticket.batch).count();
        cancelled
    }
}

impl<T> Schedule<T> {
    /// Position of the first that waits for nobody.
    fn free(&self, queue: &VecDeque<Ticket<T>>) -> Option<usize> {
        // Clients with a session's request running, or waiting before the one that is looked at.
        let mut changing: HashSet<&str> = self.running.iter().map(|(client, _)| client.as_str()).collect();
        // Those that wait for one that is alone, or for a batch to end, keep the order of their session.
        let mut waiting: HashSet<(&str, &str)> = HashSet::new();
        queue.iter().position(|ticket| {
            let is_held = self.held && ticket.durable;
            let is_one_too_many = ticket.batch && !ticket.begun && self.batches >= MOST_BATCHES;
            let Some(key) = &ticket.serial else {
                return !(is_held
                    || is_one_too_many
                    || ticket.reads_back && changing.contains(ticket.client.as_str()));
            };
            changing.insert(&ticket.client);
            let is_running =
                |(client, running): &(String, String)| *client == ticket.client && running == key;
            let waits = is_one_too_many || ticket.alone && self.alone;
            if waits || waiting.contains(&(ticket.client.as_str(), key.as_str())) {
                waiting.insert((&ticket.client, key));
                return false;
            }
            !is_held && !self.running.iter().any(is_running)
        })
    }
}

fn is_of<T>(line: &Line<T>, client: &str) -> bool {
    line.front().is_some_and(|ticket| ticket.client == client)
}
