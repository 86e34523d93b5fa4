//! Which waiting request runs next: a state machine without threads, clocks or I/O of its own.
//!
//! Rules, in order:
//! 1. Real requests run before previews; previews run only when nothing else can.
//! 2. First come, first served, except that requests of one session never run at the same time, and that what
//!    reads back waits for all that its client asked of sessions before.
//! 3. Of one client's waiting previews only the newest is kept; the older ones are displaced.
//! 4. The queue is bounded as a whole and by client; what does not fit is refused at once.
//! 5. A request whose deadline has passed is taken out and answered without being run.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

/// What the schedule must know of a request; the request itself is the caller's `T`.
#[derive(Debug, Clone)]
pub struct Ticket<T> {
    /// Who asks; shares and previews are counted by it.
    pub client: String,
    /// Requests with the same key run one after the other; `None` may run beside anything.
    pub serial: Option<String>,
    /// Whether it shows what the client's earlier requests with a `serial` have changed.
    pub reads_back: bool,
    /// Whether a newer one of the same client makes it worthless.
    pub preview: bool,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
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
}

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

/// Waiting and running requests.
#[derive(Debug)]
#[allow(clippy::len_without_is_empty, reason = "a length for health, not a collection")]
pub struct Schedule<T> {
    bounds: Bounds,
    waiting: VecDeque<Ticket<T>>,
    previews: VecDeque<Ticket<T>>,
    running: Running,
}

impl<T> Schedule<T> {
    /// An empty schedule.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, waiting: VecDeque::new(), previews: VecDeque::new(), running: HashSet::new() }
    }

    /// Requests waiting, previews included.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.previews.len()
    }

    /// Whether a request of this client would be taken now, when `promised` others, `of_client` of them
    /// its own, are about to come.
    pub fn has_room(&self, client: &str, preview: bool, promised: usize, of_client: usize) -> bool {
        if preview {
            // It takes the place of the client's waiting one.
            return self.previews.len() < self.bounds.previews
                || self.previews.iter().any(|t| t.client == client);
        }
        let share = of_client + self.waiting.iter().filter(|t| t.client == client).count();
        self.waiting.len() + promised < self.bounds.queue && share < self.bounds.per_client
    }

    /// Takes a request in, and gives back the preview that it makes worthless.
    ///
    /// # Errors
    /// Gives the request back when the queue, or its client's share of it, is full.
    pub fn offer(&mut self, ticket: Ticket<T>) -> Result<Option<Ticket<T>>, Ticket<T>> {
        if !self.has_room(&ticket.client, ticket.preview, 0, 0) {
            return Err(ticket);
        }
        Ok(self.restore(ticket))
    }

    /// Takes a request in regardless of bounds: for what was accepted before a restart.
    pub fn restore(&mut self, ticket: Ticket<T>) -> Option<Ticket<T>> {
        if !ticket.preview {
            self.waiting.push_back(ticket);
            return None;
        }
        let older = self.previews.iter().position(|t| t.client == ticket.client);
        let displaced = older.and_then(|position| self.previews.remove(position));
        self.previews.push_back(ticket);
        displaced
    }

    /// The next request to run or to expire at this moment.
    pub fn next(&mut self, now: Instant) -> Option<Next<T>> {
        let expired = |t: &Ticket<T>| t.deadline.is_some_and(|deadline| deadline <= now);
        for queue in [&mut self.waiting, &mut self.previews] {
            if let Some(position) = queue.iter().position(expired) {
                return queue.remove(position).map(Next::Expired);
            }
        }
        for queue in [&mut self.waiting, &mut self.previews] {
            if let Some(ticket) = free(queue, &self.running).and_then(|position| queue.remove(position)) {
                self.running.extend(ticket.serial.clone().map(|key| (ticket.client.clone(), key)));
                return Some(Next::Run(ticket));
            }
        }
        None
    }

    /// A request has run: others that waited for it may follow.
    pub fn finished(&mut self, client: &str, serial: Option<&str>) {
        if let Some(key) = serial {
            self.running.retain(|(of, running)| of != client || running != key);
        }
    }

    /// Takes out what a client has waiting, as far as the filter says.
    pub fn cancel(&mut self, client: &str, wanted: impl Fn(&T) -> bool) -> Vec<Ticket<T>> {
        let mut cancelled = Vec::new();
        for queue in [&mut self.waiting, &mut self.previews] {
            let (out, keep): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(queue).into_iter().partition(|t| t.client == client && wanted(&t.work));
            *queue = keep;
            cancelled.extend(out);
        }
        cancelled
    }
}

/// Position of the first that waits for nobody.
fn free<T>(queue: &VecDeque<Ticket<T>>, running: &Running) -> Option<usize> {
    // Clients with a session's request running, or waiting before the one that is looked at.
    let mut changing: HashSet<&str> = running.iter().map(|(client, _)| client.as_str()).collect();
    queue.iter().position(|ticket| {
        let Some(key) = &ticket.serial else {
            return !(ticket.reads_back && changing.contains(ticket.client.as_str()));
        };
        changing.insert(&ticket.client);
        !running.iter().any(|(client, running)| *client == ticket.client && running == key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ticket(client: &str, work: u32) -> Ticket<u32> {
        Ticket {
            client: client.to_owned(),
            serial: None,
            reads_back: false,
            preview: false,
            deadline: None,
            work,
        }
    }

    fn schedule() -> Schedule<u32> {
        Schedule::new(Bounds { queue: 4, per_client: 3, previews: 2 })
    }

    fn run(schedule: &mut Schedule<u32>) -> Option<u32> {
        match schedule.next(Instant::now())? {
            Next::Run(t) => Some(t.work),
            Next::Expired(t) => panic!("{} expired", t.work),
        }
    }

    #[test]
    fn previews_wait_until_nothing_real_can_run() {
        let mut s = schedule();
        s.offer(Ticket { preview: true, ..ticket("a", 1) }).unwrap();
        s.offer(ticket("b", 2)).unwrap();
        assert_eq!(run(&mut s), Some(2));
        assert_eq!(run(&mut s), Some(1));
        assert_eq!(run(&mut s), None);
    }

    #[test]
    fn a_newer_preview_displaces_the_waiting_one_of_the_same_client_only() {
        let mut s = schedule();
        s.offer(Ticket { preview: true, ..ticket("a", 1) }).unwrap();
        s.offer(Ticket { preview: true, ..ticket("b", 2) }).unwrap();
        let displaced = s.offer(Ticket { preview: true, ..ticket("a", 3) }).unwrap();
        assert_eq!(displaced.map(|t| t.work), Some(1));
        assert_eq!((run(&mut s), run(&mut s), run(&mut s)), (Some(2), Some(3), None));
    }

    #[test]
    fn a_session_runs_one_request_at_a_time_while_others_pass() {
        let mut s = schedule();
        let of_session = |work| Ticket { serial: Some("s1".to_owned()), ..ticket("a", work) };
        s.offer(of_session(1)).unwrap();
        s.offer(of_session(2)).unwrap();
        s.offer(ticket("b", 3)).unwrap();
        assert_eq!((run(&mut s), run(&mut s), run(&mut s)), (Some(1), Some(3), None));
        s.finished("a", Some("s1"));
        assert_eq!(run(&mut s), Some(2));
    }

    #[test]
    fn what_reads_back_waits_for_its_own_clients_sessions_and_for_nobody_elses() {
        let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 0 });
        let save = |client, work| Ticket { serial: Some("s1".to_owned()), ..ticket(client, work) };
        let list = |client, work| Ticket { reads_back: true, ..ticket(client, work) };
        for ticket in [save("a", 1), save("a", 2), list("a", 3), list("b", 4), save("b", 5)] {
            s.offer(ticket).unwrap();
        }
        assert_eq!((run(&mut s), run(&mut s), run(&mut s), run(&mut s)), (Some(1), Some(4), Some(5), None));
        s.finished("b", Some("s1"));
        assert_eq!(run(&mut s), None);
        s.finished("a", Some("s1"));
        assert_eq!((run(&mut s), run(&mut s)), (Some(2), None));
        s.finished("a", Some("s1"));
        assert_eq!(run(&mut s), Some(3));
    }

    #[test]
    fn one_client_cannot_fill_the_queue_and_a_full_queue_refuses_at_once() {
        let mut s = schedule();
        for work in 1..=3 {
            s.offer(ticket("greedy", work)).unwrap();
        }
        assert_eq!(s.offer(ticket("greedy", 4)).unwrap_err().work, 4);
        s.offer(ticket("modest", 5)).unwrap();
        assert_eq!(s.offer(ticket("late", 6)).unwrap_err().work, 6);
    }

    #[test]
    fn an_expired_request_is_given_back_instead_of_run() {
        let mut s = schedule();
        let now = Instant::now();
        s.offer(ticket("a", 1)).unwrap();
        s.offer(Ticket { deadline: Some(now), ..ticket("a", 2) }).unwrap();
        assert!(matches!(s.next(now + Duration::from_millis(1)), Some(Next::Expired(t)) if t.work == 2));
        assert_eq!(run(&mut s), Some(1));
    }

    #[test]
    fn cancelling_takes_only_what_the_client_has_waiting() {
        let mut s = schedule();
        s.offer(ticket("a", 1)).unwrap();
        s.offer(ticket("b", 2)).unwrap();
        s.offer(Ticket { preview: true, ..ticket("a", 3) }).unwrap();
        let cancelled: Vec<u32> = s.cancel("a", |_| true).into_iter().map(|t| t.work).collect();
        assert_eq!(cancelled, [1, 3]);
        assert_eq!((run(&mut s), run(&mut s)), (Some(2), None));
    }
}
