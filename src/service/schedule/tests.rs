use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn ticket(client: &str, work: u32) -> Ticket<u32> {
    Ticket {
        client: client.to_owned(),
        serial: None,
        alone: false,
        reads_back: false,
        preview: false,
        durable: true,
        volatile: 0,
        deadline: None,
        background: false,
        batch: false,
        begun: false,
        not_before: None,
        work,
    }
}

fn schedule() -> Schedule<u32> {
    Schedule::new(Bounds { queue: 4, per_client: 3, previews: 2, volatile: 100 })
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
    s.finished("a", Some("s1"), false);
    assert_eq!(run(&mut s), Some(2));
}

#[test]
fn of_requests_that_change_saved_objects_one_runs_at_a_time_and_sessions_keep_their_order() {
    let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 0, volatile: 100 });
    let session = |client, work| Ticket { serial: Some("s1".to_owned()), ..ticket(client, work) };
    let changing = |client, work| Ticket { alone: true, ..session(client, work) };
    for ticket in [changing("a", 1), changing("b", 2), session("b", 3), ticket("b", 4), ticket("a", 5)] {
        s.offer(ticket).unwrap();
    }
    assert_eq!((run(&mut s), run(&mut s), run(&mut s), run(&mut s)), (Some(1), Some(4), Some(5), None));
    s.finished("a", Some("s1"), true);
    assert_eq!((run(&mut s), run(&mut s)), (Some(2), None));
    s.finished("b", Some("s1"), true);
    assert_eq!(run(&mut s), Some(3));
}

#[test]
fn what_reads_back_waits_for_its_own_clients_sessions_and_for_nobody_elses() {
    let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 0, volatile: 100 });
    let save = |client, work| Ticket { serial: Some("s1".to_owned()), ..ticket(client, work) };
    let list = |client, work| Ticket { reads_back: true, ..ticket(client, work) };
    for ticket in [save("a", 1), save("a", 2), list("a", 3), list("b", 4), save("b", 5)] {
        s.offer(ticket).unwrap();
    }
    assert_eq!((run(&mut s), run(&mut s), run(&mut s), run(&mut s)), (Some(1), Some(4), Some(5), None));
    s.finished("b", Some("s1"), false);
    assert_eq!(run(&mut s), None);
    s.finished("a", Some("s1"), false);
    assert_eq!((run(&mut s), run(&mut s)), (Some(2), None));
    s.finished("a", Some("s1"), false);
    assert_eq!(run(&mut s), Some(3));
}

#[test]
fn one_client_cannot_fill_the_queue_and_a_full_queue_refuses_at_once() {
    let mut s = schedule();
    for work in 1..=2 {
        s.offer(ticket("greedy", work)).unwrap();
    }
    assert_eq!(
        s.offer(ticket("greedy", 3)).unwrap_err().work,
        3,
        "half of the queue is the most of one client"
    );
    s.offer(ticket("modest", 4)).unwrap();
    assert_eq!(s.offer(ticket("modest", 5)).unwrap_err().work, 5, "the last place is left for others");
    s.offer(ticket("late", 6)).unwrap();
    assert_eq!(s.offer(ticket("later", 7)).unwrap_err().work, 7);
    let mut s = Schedule::new(Bounds { queue: 2048, per_client: 1024, previews: 2, volatile: 100 });
    let taken = |s: &mut Schedule<u32>, client: &str| {
        (0..2000).filter(|n| s.offer(ticket(client, *n)).is_ok()).count()
    };
    assert_eq!((taken(&mut s, "one"), taken(&mut s, "two")), (1024, 512));
    assert!(s.offer(ticket("late", 1)).is_ok());
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

#[test]
fn a_client_waits_for_one_request_of_each_other_client_however_many_they_have() {
    let mut s = Schedule::new(Bounds { queue: 99, per_client: 99, previews: 0, volatile: 100 });
    for work in 0..50 {
        s.offer(ticket("greedy", work)).unwrap();
    }
    s.offer(ticket("a", 100)).unwrap();
    s.offer(ticket("b", 101)).unwrap();
    let order: Vec<u32> = std::iter::from_fn(|| run(&mut s)).take(5).collect();
    assert_eq!(order, [0, 100, 101, 1, 2]);
    // Who comes again after each answer takes turns, too, and does not always go first.
    s.offer(ticket("a", 102)).unwrap();
    assert_eq!((run(&mut s), run(&mut s)), (Some(3), Some(102)));
}

#[test]
fn what_would_have_to_be_made_durable_is_held_while_the_rest_goes_on() {
    let mut s = schedule();
    s.offer(ticket("a", 1)).unwrap();
    s.offer(Ticket { durable: false, ..ticket("a", 2) }).unwrap();
    s.offer(Ticket { deadline: Some(Instant::now()), ..ticket("b", 3) }).unwrap();
    s.hold(true);
    assert_eq!((run(&mut s), run(&mut s)), (Some(2), None));
    s.hold(false);
    assert!(matches!(s.next(Instant::now()), Some(Next::Expired(t)) if t.work == 3));
    assert_eq!(run(&mut s), Some(1));
}

#[test]
fn what_only_the_memory_holds_is_bounded_in_bytes() {
    let mut s = schedule();
    s.offer(Ticket { volatile: 60, ..ticket("a", 1) }).unwrap();
    assert_eq!(s.offer(Ticket { volatile: 60, ..ticket("b", 2) }).unwrap_err().work, 2);
    s.offer(Ticket { volatile: 40, preview: true, ..ticket("b", 3) }).unwrap();
    s.offer(ticket("b", 4)).unwrap();
}

#[derive(Debug, Clone)]
enum Happening {
    Offered { client: u8, session: Option<u8>, reads_back: bool },
    Next,
    Finished(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let offered = (0u8..5, proptest::option::of(0u8..2), any::<bool>())
        .prop_map(|(client, session, reads_back)| Happening::Offered { client, session, reads_back });
    prop_oneof![4 => offered, 4 => Just(Happening::Next), 2 => (0usize..4).prop_map(Happening::Finished)]
}

proptest! {
    /// Nothing is lost or run twice, one client's requests of a session run in their order and one at a time, and
    /// between two requests of one client no other is passed over that could have run.
    #[test]
    fn turns_are_fair_and_sessions_keep_their_order(happenings in vec(happening(), 1..200)) {
        let mut s = Schedule::new(Bounds { queue: 60, per_client: 30, previews: 0, volatile: 100 });
        let (mut offered, mut taken) = (Vec::new(), Vec::new());
        let mut running: Vec<Ticket<u32>> = Vec::new();
        // How often others ran since this client, which could have run each time, last did.
        let mut passed_over: HashMap<String, HashMap<String, u32>> = HashMap::new();
        for happening in happenings {
            match happening {
                Happening::Offered { client, session, reads_back } => {
                    let work = offered.len() as u32;
                    let serial = session.map(|n| format!("s{n}"));
                    let reads_back = reads_back && serial.is_none();
                    let alone = session == Some(0) && work.is_multiple_of(3);
                    let t = Ticket { serial, alone, reads_back, ..ticket(&format!("c{client}"), work) };
                    if s.offer(t.clone()).is_ok() {
                        offered.push(t);
                    }
                }
                Happening::Next => {
                    let could: HashSet<String> = s
                        .lines
                        .iter()
                        .filter(|line| s.free(line).is_some())
                        .map(|line| line[0].client.clone())
                        .collect();
                    let Some(Next::Run(t)) = s.next(Instant::now()) else {
                        prop_assert!(could.is_empty());
                        continue;
                    };
                    prop_assert!(!(t.alone && running.iter().any(|r| r.alone)));
                    if let Some(key) = &t.serial {
                        prop_assert!(!running.iter().any(|r| r.client == t.client && r.serial.as_ref() == Some(key)));
                        let before = offered.iter().filter(|o| o.client == t.client && o.serial == t.serial);
                        prop_assert!(before.take_while(|o| o.work < t.work).all(|o| taken.contains(&o.work)));
                    }
                    passed_over.remove(&t.client);
                    passed_over.retain(|client, _| could.contains(client));
                    for client in could.into_iter().filter(|client| *client != t.client) {
                        let times = passed_over.entry(client).or_default().entry(t.client.clone()).or_default();
                        *times += 1;
                        prop_assert!(*times <= 1, "a client was passed over twice for the same other one");
                    }
                    taken.push(t.work);
                    running.push(t);
                }
                Happening::Finished(which) => {
                    if which < running.len() {
                        let t = running.remove(which);
                        s.finished(&t.client, t.serial.as_deref(), t.alone);
                    }
                }
            }
        }
        loop {
            while let Some(Next::Run(t)) = s.next(Instant::now()) {
                taken.push(t.work);
                running.push(t);
            }
            let Some(t) = running.pop() else { break };
            s.finished(&t.client, t.serial.as_deref(), t.alone);
        }
        taken.sort_unstable();
        let all: Vec<u32> = offered.iter().map(|t| t.work).collect();
        prop_assert_eq!(taken, all);
        prop_assert_eq!(s.len(), 0);
    }
}

#[test]
fn what_is_in_the_background_runs_when_nothing_else_can_one_at_a_time_and_by_turns() {
    let mut s = schedule();
    let background = |client: &str, work| Ticket { background: true, ..ticket(client, work) };
    s.offer(background("a", 1)).unwrap();
    s.offer(background("b", 2)).unwrap();
    s.offer(Ticket { preview: true, ..ticket("c", 3) }).unwrap();
    assert!(s.is_wanted());
    assert_eq!((run(&mut s), run(&mut s)), (Some(3), Some(1)));
    assert!(!s.is_wanted(), "only what is in the background waits");
    assert_eq!(run(&mut s), None, "one at a time");
    // It comes back after its step, behind the other.
    s.background_over();
    s.restore(background("a", 1));
    assert_eq!(run(&mut s), Some(2));
    s.offer(ticket("b", 4)).unwrap();
    assert!(s.is_wanted());
    assert_eq!(run(&mut s), Some(4), "prompts are not held up by it");
    s.background_over();
    s.restore(Ticket { not_before: Some(Instant::now() + Duration::from_secs(60)), ..background("b", 2) });
    assert_eq!(run(&mut s), Some(1));
    s.background_over();
    assert_eq!(run(&mut s), None, "its time has not come");
    assert_eq!(s.cancel("b", |_| true).len(), 1);
    s.hold(true);
    s.restore(background("a", 5));
    assert_eq!(run(&mut s), None, "nothing can be made durable");
}

fn batch(client: &str, work: u32) -> Ticket<u32> {
    Ticket { batch: true, serial: Some("s".to_owned()), ..ticket(client, work) }
}

fn next(schedule: &mut Schedule<u32>) -> Ticket<u32> {
    match schedule.next(Instant::now()) {
        Some(Next::Run(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// Gives way, if somebody else waits, as a worker does between two prompts.
fn give_way(schedule: &mut Schedule<u32>, ticket: Ticket<u32>) {
    assert!(schedule.is_wanted_beside(&ticket.client, ticket.preview));
    assert!(schedule.pause(Ticket { begun: true, ..ticket }).is_none());
}

#[test]
fn a_batch_that_gives_way_takes_no_place_of_those_that_wait() {
    let mut s = Schedule::new(Bounds { queue: 3, per_client: 1, previews: 1, volatile: 100 });
    s.offer(batch("a", 1)).unwrap();
    let running = next(&mut s);
    s.offer(ticket("b", 2)).unwrap();
    assert!(s.has_room("a", false, 0, 0));
    give_way(&mut s, running);
    assert!(s.has_room("a", false, 0, 0), "as while its prompt was decoded");
    s.offer(ticket("a", 3)).unwrap();
    assert!(!s.has_room("a", false, 0, 0));
}

#[test]
fn a_batch_gives_way_to_other_clients_by_turns_and_what_its_client_asks_for_meanwhile_waits_behind_it() {
    let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 1, volatile: 100 });
    let later = |work| Ticket { serial: Some("s".to_owned()), ..ticket("a", work) };
    s.offer(batch("a", 1)).unwrap();
    let running = next(&mut s);
    s.offer(later(2)).unwrap();
    s.offer(Ticket { reads_back: true, ..ticket("a", 3) }).unwrap();
    assert!(!s.is_wanted_beside("a", false), "its own client waits");
    s.offer(ticket("b", 5)).unwrap();
    s.offer(ticket("b", 6)).unwrap();
    give_way(&mut s, running);
    assert_eq!(run(&mut s), Some(5));
    let running = next(&mut s);
    assert_eq!(running.work, 1, "who was served waits for a prompt of the batch");
    give_way(&mut s, running);
    assert_eq!((run(&mut s), next(&mut s).work), (Some(6), 1));
    assert!(!s.is_wanted_beside("a", false));
    s.batch_over();
    s.finished("a", Some("s"), false);
    assert_eq!(run(&mut s), Some(2));
    s.finished("a", Some("s"), false);
    assert_eq!((run(&mut s), run(&mut s)), (Some(3), None));
}

#[test]
fn previews_and_the_prompts_of_a_batch_take_turns() {
    let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 2, volatile: 100 });
    let preview = |work| Ticket { preview: true, ..ticket("b", work) };
    s.offer(batch("a", 1)).unwrap();
    let mut running = next(&mut s);
    for work in [2, 3] {
        s.offer(preview(work)).unwrap();
        give_way(&mut s, running);
        assert_eq!(run(&mut s), Some(work));
        // The pointer moves on, but the batch does, too.
        s.offer(preview(9)).unwrap();
        running = next(&mut s);
        assert_eq!(running.work, 1);
    }
    s.offer(ticket("c", 4)).unwrap();
    give_way(&mut s, running);
    assert_eq!((run(&mut s), run(&mut s), run(&mut s)), (Some(4), Some(9), Some(1)));
}

#[test]
fn a_few_batches_are_under_way_at_a_time_and_behind_one_that_waits_a_session_keeps_its_order() {
    let mut s = Schedule::new(Bounds { queue: 99, per_client: 99, previews: 0, volatile: 100 });
    for work in 0..=MOST_BATCHES as u32 {
        s.offer(batch(&work.to_string(), work)).unwrap();
    }
    let last = MOST_BATCHES.to_string();
    s.offer(Ticket { serial: Some("s".to_owned()), ..ticket(&last, 100) }).unwrap();
    let running: Vec<_> = (0..MOST_BATCHES).map(|_| next(&mut s)).collect();
    assert_eq!(run(&mut s), None, "neither one batch more, nor what its session asked for behind it");
    s.offer(ticket(&last, 101)).unwrap();
    assert_eq!(run(&mut s), Some(101), "prompts go on");
    for ticket in running {
        assert!(s.pause(Ticket { begun: true, ..ticket }).is_none());
    }
    assert_eq!(s.cancel("1", |_| true).len(), 1);
    let order: Vec<u32> = std::iter::from_fn(|| run(&mut s)).collect();
    assert_eq!(order, [4, 0, 2, 3], "the one that was taken back leaves its place");
}

#[test]
fn a_batch_of_previews_gives_way_to_all_and_loses_its_place_to_a_newer_one() {
    let mut s = Schedule::new(Bounds { queue: 9, per_client: 9, previews: 2, volatile: 100 });
    let preview = |client: &str, work| Ticket { batch: true, preview: true, ..ticket(client, work) };
    s.offer(preview("a", 1)).unwrap();
    let running = next(&mut s);
    s.offer(ticket("a", 2)).unwrap();
    give_way(&mut s, running);
    assert_eq!(run(&mut s), Some(2));
    let running = next(&mut s);
    s.offer(preview("a", 3)).unwrap();
    assert!(s.is_wanted_beside("a", true));
    assert_eq!(s.pause(Ticket { begun: true, ..running }).map(|ticket| ticket.work), Some(1));
    let running = next(&mut s);
    assert!(s.pause(Ticket { begun: true, ..running }).is_none());
    assert_eq!(s.offer(preview("a", 4)).unwrap().map(|ticket| ticket.work), Some(3));
    s.cancel("a", |_| true);
    assert_eq!(s.batches, 0);
}
