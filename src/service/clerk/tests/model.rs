//! The whole service but its threads, between a broker that loses, holds, puts off, refuses and hangs up, and a card that
//! fails at any change and loses its power: random requests of three clients, redeliveries, restarts. After each life all
//! is mended and brought to an end; then every acknowledged request is answered, each saved object is in its layer once,
//! and sessions are as they were told.
//!
//! Clerk, publisher, queue, store and layers are the real ones, in the order of the clerk's loop; one thread plays bus,
//! clerk and workers by turns, so that a seed tells what happens. Decodes are remembered (`Context::memo`).
//!
//! The long run is `long_run_of_the_service`, see `docs/durability.md`.

mod books;
mod world;

use std::io::ErrorKind;

use crate::durable::simulated::Fault;
use world::{Tally, World};

/// One life: steps on a card that fails now and then, ended by a power cut, a kill, or nothing.
fn life(world: &mut World, steps: u64) -> String {
    let faults = [
        Fault::Once(ErrorKind::Other),
        Fault::FromHere(ErrorKind::ReadOnlyFilesystem),
        Fault::Full,
        Fault::DropsUnsynced,
        Fault::PowerGoes,
    ];
    let fault = world.pick(&faults);
    let after = world.random.below(steps * 8);
    world.card.fail_after(after, fault);
    world.begin_life();
    for _ in 0..steps {
        if !world.is_up() && world.start().is_err() {
            break;
        }
        world.step();
    }
    let came = world.card.mend();
    // What the system has dropped can still be read by another process, which does not know: only a power cut tells.
    let dropped = came && fault == Fault::DropsUnsynced;
    let cut = fault == Fault::PowerGoes || world.random.once_in(3) || (dropped && !world.is_up());
    let killed = cut || (!dropped && world.random.once_in(2));
    if killed {
        world.kill(cut);
    }
    format!("{fault:?} after {after} changes, killed: {killed}, cut: {cut}")
}

fn run(seed: u64, steps: u64) -> (Tally, u64) {
    let mut world = World::new(seed);
    world.start().unwrap();
    while world.tally.steps < steps && world.books.asked.len() < 600 {
        let length = 10 + world.random.below(60);
        let what = life(&mut world, length);
        let what = format!("seed {seed}, step {}, {what}", world.tally.steps);
        world.check(&what);
        if world.random.once_in(4) {
            // What was told is on the card, whatever happens now.
            world.kill(true);
            world.check(&format!("{what}, and a power cut after all was told"));
        }
    }
    (world.tally, world.card.cuts())
}

#[test]
fn whatever_broker_card_and_power_do_each_request_is_answered_and_each_object_saved_once() {
    let mut cuts = 0;
    for seed in 1..5 {
        cuts += run(seed, 500).1;
    }
    assert!(cuts > 10, "{cuts}");
}

#[test]
fn a_failure_or_a_power_cut_at_each_single_change_costs_the_service_nothing() {
    for fault in [Fault::Once(ErrorKind::Other), Fault::Full, Fault::DropsUnsynced, Fault::PowerGoes] {
        for failing in 0.. {
            let mut world = World::new(7);
            world.card.fail_after(failing, fault);
            world.play();
            let came = world.card.mend();
            if fault == Fault::PowerGoes {
                world.kill(true);
            }
            world.check(&format!("{fault:?} at {failing}"));
            world.kill(true);
            world.check(&format!("{fault:?} at {failing}, and a power cut"));
            if !came {
                assert!(failing > 20, "the scenario changes something: {failing}");
                break;
            }
        }
    }
}

/// `MODEL_STEPS`, `MODEL_CUTS` and `MODEL_SEED` say how long; both numbers are reached before it ends.
#[test]
#[ignore = "runs for long; see docs/durability.md"]
fn long_run_of_the_service() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (steps, cuts) = (number("MODEL_STEPS", 1_000_000), number("MODEL_CUTS", 15_000));
    let (mut total, mut cut, mut seed) = (Tally::default(), 0, number("MODEL_SEED", 1));
    let first = seed;
    while total.steps < steps || cut < cuts {
        let (tally, more) = run(seed, 10_000);
        total += tally;
        cut += more;
        seed += 1;
        if seed % 20 == 0 {
            println!("seeds {first} to {seed}: {total:?}, {cut} power cuts");
        }
    }
    println!("seeds {first} to {seed}: {total:?}, {cut} power cuts");
}
