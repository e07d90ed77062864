//! A switch that is turned while others turn it or breakers are built, and those who wait for it to open.

use std::{sync::atomic::AtomicBool, task::Wake};

use super::*;
use crate::{
    breaker::{Position, Switch},
    guard::WaitingFor,
};

fn obeying(switch: &Switch) -> World {
    World::new(settings().switch(switch))
}

fn state_at(position: Position) -> State {
    match position {
        Position::Normal => State::Closed,
        Position::ForcedOpen => State::ForcedOpen,
        Position::Disabled => State::Disabled,
    }
}

#[test]
fn a_switch_that_is_turned_by_many_ends_as_it_stands() {
    model(|| {
        let switch = Switch::new();
        let world = obeying(&switch);
        let threads = [Position::ForcedOpen, Position::Disabled].map(|position| {
            let switch = switch.clone();
            world.spawn(move |_| switch.turn(position))
        });
        switch.release();
        join(threads);
        let state = world.shared.lock().core.state();
        assert_eq!(state, state_at(switch.position()));
        world.check();
    });
}

#[test]
fn a_breaker_that_is_built_while_the_switch_is_turned_obeys_it() {
    model(|| {
        let switch = Switch::new();
        let turned = switch.clone();
        let turns = thread::spawn(move || {
            turned.force_open();
            turned.disable();
        });
        let world = obeying(&switch);
        join([turns]);
        assert_eq!(world.shared.lock().core.state(), State::Disabled);
        assert_eq!(world.shared.gate.see().state(), State::Disabled);
    });
}

/// Says that it has been woken.
#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whoever waits registers and asks once more; `refuse` makes the circuit refuse in the meantime.
fn wakes(world: fn() -> World, refuse: fn(World)) {
    model(move || {
        let world = world();
        let breaker = CircuitBreaker {
            shared: world.shared.clone(),
        };
        let refuses = world.spawn(refuse);
        let alarm = Arc::new(Alarm::default());
        let waiting = WaitingFor::new(&world.shared.signal);
        waiting.register(&alarm.clone().into());
        let seen = breaker.would_refuse();
        join([refuses]);
        assert!(breaker.would_refuse());
        assert!(seen || alarm.0.load(Ordering::Relaxed), "asleep for ever");
    });
}

#[test]
fn whoever_waits_while_it_opens_sees_that_or_is_woken() {
    wakes(
        || World::new(settings().consecutive_failures(1)),
        |world| {
            world.call(Outcome::Failure, 0);
        },
    );
}

#[test]
fn whoever_waits_while_an_open_shadow_begins_to_refuse_sees_that_or_is_woken() {
    wakes(
        || {
            let world = World::new(settings().shadow(true));
            world.change(Core::force_open);
            world
        },
        |world| world.shared.set_shadow(false),
    );
}

/// All probes are out, and one says nothing.
#[test]
fn waiter_for_a_probe_place_sees_that_one_is_free_or_is_woken() {
    model(|| {
        let world = World::new(settings().consecutive_failures(1).probes(1));
        world.call(Outcome::Failure, 0);
        let probe = world.admit(OPEN_TIME).expect("a probe");
        let gives_back = world.spawn(|world| world.settle(probe, Outcome::Cancelled, OPEN_TIME));
        let alarm = Arc::new(Alarm::default());
        let waiting = WaitingFor::new(&world.shared.signal);
        waiting.register(&alarm.clone().into());
        let refuses = |world: &World| world.shared.refuses(&Moment::at(world.at(OPEN_TIME))).all();
        let free = !refuses(&world);
        join([gives_back]);
        assert!(!refuses(&world));
        assert!(free || alarm.0.load(Ordering::Relaxed), "asleep for ever");
    });
}

#[test]
fn whoever_subscribes_and_then_looks_misses_no_transition() {
    model(|| {
        let world = World::new(settings().consecutive_failures(1));
        let breaker = CircuitBreaker {
            shared: world.shared.clone(),
        };
        let opens = world.spawn(|world| {
            world.call(Outcome::Failure, 0);
        });
        let mut events = breaker.subscribe();
        let seen = breaker.would_refuse();
        join([opens]);
        assert!(seen || events.try_recv().is_ok(), "missed");
    });
}

/// A circuit is asked without its lock before a call, and whoever then waits must be woken by what refuses.
fn signal_wakes_who_asked_without_the_lock(world: fn() -> World, refuse: fn(World)) {
    model(move || {
        let world = world();
        let refuses = world.spawn(refuse);
        let alarm = Arc::new(Alarm::default());
        let waiting = WaitingFor::new(&world.shared.signal);
        waiting.register(&alarm.clone().into());
        let seen = world.shared.refuses_any();
        join([refuses]);
        assert!(world.shared.refuses_any());
        assert!(seen || alarm.0.load(Ordering::Relaxed), "asleep for ever");
    });
}

#[test]
fn signal_wakes_who_asked_without_the_lock_when_the_circuit_opens() {
    signal_wakes_who_asked_without_the_lock(
        || World::new(settings().consecutive_failures(1)),
        |world| {
            world.call(Outcome::Failure, 0);
        },
    );
}

#[test]
fn signal_wakes_who_asked_without_the_lock_when_shadow_mode_ends() {
    signal_wakes_who_asked_without_the_lock(
        || {
            let world = World::new(settings().shadow(true).consecutive_failures(1));
            world.call(Outcome::Failure, 0);
            world
        },
        |world| world.shared.set_shadow(false),
    );
}

#[test]
fn signal_wakes_who_asked_without_the_lock_when_the_circuit_is_forced_open() {
    signal_wakes_who_asked_without_the_lock(
        || World::new(settings().shadow(true).consecutive_failures(1)),
        |world| world.change(Core::force_open),
    );
}
