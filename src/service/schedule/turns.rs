//! Whose turn it is: start-time fair queueing by the time that was worked for each client, with a way past crowds.
//!
//! Each client has a time of its own, which its work moves on; a clock stands at the time of who had the last turn. Who has
//! had least goes first. Nobody is before the clock: a new name, or one that has asked for nothing for a while, begins
//! there, and gains nothing over those that wait already (Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996).
//!
//! Names cost nothing where the broker lets a client choose them, and one publisher may be a crowd. Where more than
//! [`CROWD`] wait, turns belong by turns to clients that have been served lately and to those that have not; and of either
//! kind to who came last and to who has waited longest. So who comes to a crowd, and asks no more often than each
//! of it, waits for a few turns and not for the crowd; invented names take at the most half of the turns; nobody waits for ever.

use std::collections::HashMap;
use std::time::Duration;

/// As many clients take their turns in order.
const CROWD: usize = 8;
/// Clients whose work is remembered; those that were served longest ago are forgotten.
const REMEMBERED: usize = 1024;
/// What a turn counts at the least, so that requests that cost nothing have their turns, too.
const LEAST: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Account {
    /// The client's own time.
    time: Duration,
    /// Its last turn.
    turn: u64,
}

/// What has been worked for whom.
#[derive(Debug, Default)]
pub(super) struct Turns {
    accounts: HashMap<String, Account>,
    clock: Duration,
    /// Turns so far.
    turns: u64,
}

impl Turns {
    /// Which of these clients has the next turn; they stand in the order in which they began to wait, or were served.
    pub fn choose(&self, waiting: &[&str]) -> Option<usize> {
        let all = || 0..waiting.len();
        if waiting.len() <= CROWD {
            return self.first(waiting, all());
        }
        let is_known = |at: &usize| self.accounts.contains_key(waiting[*at]);
        let (known, new): (Vec<usize>, Vec<usize>) = all().partition(is_known);
        let pool = match (self.turns.is_multiple_of(2), known.is_empty(), new.is_empty()) {
            (true, false, _) | (false, _, true) => known,
            _ => new,
        };
        let is_ahead = |at: &&usize| self.time(waiting[**at]) > self.clock;
        let last = || pool.iter().rev().find(|at| !is_ahead(at)).copied();
        let for_the_last = self.turns % 4 < 2;
        for_the_last.then(last).flatten().or_else(|| self.first(waiting, pool.iter().copied()))
    }

    /// Who has had least; of several the one that has waited longest.
    fn first(&self, waiting: &[&str], pool: impl Iterator<Item = usize>) -> Option<usize> {
        pool.min_by_key(|at| (self.time(waiting[*at]), *at))
    }

    /// A client's own time; nobody's is before the clock.
    fn time(&self, client: &str) -> Duration {
        self.accounts.get(client).map_or(self.clock, |account| account.time.max(self.clock))
    }

    /// A client has its turn.
    pub fn taken(&mut self, client: &str) {
        let time = self.time(client);
        self.clock = time;
        self.turns += 1;
        let turn = self.turns;
        self.accounts.insert(client.to_owned(), Account { time, turn });
        if self.accounts.len() > REMEMBERED
            && let Some(oldest) = self.accounts.iter().min_by_key(|(_, account)| account.turn)
        {
            let oldest = oldest.0.clone();
            self.accounts.remove(&oldest);
        }
    }

    /// So long was worked for a client in a turn.
    pub fn worked(&mut self, client: &str, time: Duration) {
        if let Some(account) = self.accounts.get_mut(client) {
            account.time += time.max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(300);
    const A_FEW: usize = 6;

    /// Clients that wait, in order; each turn takes as long as is said.
    struct Waiting {
        turns: Turns,
        line: Vec<String>,
    }

    impl Waiting {
        fn new(clients: impl IntoIterator<Item = String>) -> Self {
            Self { turns: Turns::default(), line: clients.into_iter().collect() }
        }

        /// The next client, which waits again behind all others if it has more to ask.
        fn next(&mut self, work: Duration, has_more: bool) -> String {
            let waiting: Vec<&str> = self.line.iter().map(String::as_str).collect();
            let at = self.turns.choose(&waiting).unwrap();
            let client = self.line.remove(at);
            self.turns.taken(&client);
            self.turns.worked(&client, work);
            if has_more {
                self.line.push(client.clone());
            }
            client
        }

        /// Turns until this client, which comes now, has one.
        fn until(&mut self, client: &str, mut meanwhile: impl FnMut(&mut Self)) -> usize {
            self.line.push(client.to_owned());
            let mut turns = 1;
            while self.next(WORK, true) != client {
                turns += 1;
                meanwhile(self);
                assert!(turns < 5000, "{client} is never served");
            }
            self.line.retain(|other| other != client);
            turns
        }
    }

    fn names(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("name{n}"))
    }

    #[test]
    fn who_costs_twice_as_much_has_half_as_many_turns() {
        let clients = ["cheap", "costly"];
        let (mut turns, mut cheap) = (Turns::default(), 0);
        for _ in 0..300 {
            let at = turns.choose(&clients).unwrap();
            turns.taken(clients[at]);
            turns.worked(clients[at], WORK * (1 + at as u32));
            cheap += usize::from(at == 0);
        }
        assert!((199..=201).contains(&cheap), "{cheap}");
    }

    #[test]
    fn who_comes_late_begins_where_the_others_are_and_has_nothing_to_catch_up_with() {
        let mut waiting = Waiting::new(names(2));
        for _ in 0..100 {
            waiting.next(WORK, true);
        }
        waiting.line.push("late".to_owned());
        let order: Vec<String> = (0..6).map(|_| waiting.next(WORK, true)).collect();
        assert_eq!(order.iter().filter(|client| *client == "late").count(), 2, "{order:?}");
    }

    #[test]
    fn four_hundred_names_that_wait_keep_nobody_waiting_for_all_of_them_who_asks_no_more_often_than_they() {
        // All at once; and after each has been served some times.
        for rounds in [0, 3] {
            let mut waiting = Waiting::new(names(400));
            for _ in 0..rounds * 400 {
                waiting.next(WORK, true);
            }
            for ask in 0..10 {
                let turns = waiting.until("modest", |_| ());
                assert!(turns <= A_FEW, "after {rounds} rounds, in its request {ask}: {turns} turns");
                for _ in 0..500 {
                    waiting.next(WORK, true);
                }
            }
        }
    }

    #[test]
    fn names_that_are_invented_for_each_request_leave_half_of_the_turns_to_those_that_were_served_before() {
        let mut waiting = Waiting::new(names(400));
        waiting.turns.taken("known");
        let mut invented = 0;
        for ask in 0..50 {
            waiting.line.push("known".to_owned());
            let mut turns = 1;
            while waiting.next(WORK, false) != "known" {
                turns += 1;
                invented += 1;
                waiting.line.push(format!("invented{invented}"));
                waiting.line.push(format!("more{invented}"));
                assert!(turns <= 2, "request {ask}: {turns} turns");
            }
        }
    }

    #[test]
    fn of_a_crowd_each_is_served() {
        let mut waiting = Waiting::new(names(400));
        let mut invented = 0;
        let served: std::collections::HashSet<String> = (0..3000)
            .map(|_| {
                invented += 1;
                waiting.line.push(format!("invented{invented}"));
                waiting.next(WORK, false)
            })
            .collect();
        assert!(names(400).all(|name| served.contains(&name)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut turns = Turns::default();
        for n in 0..REMEMBERED + 10 {
            turns.taken(&n.to_string());
        }
        assert_eq!(turns.accounts.len(), REMEMBERED);
        assert!(!turns.accounts.contains_key("9") && turns.accounts.contains_key("10"));
    }
}
