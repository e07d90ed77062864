//! A switch that is set while other threads set it or build breakers, and callers that wait for the circuit.

use std::{sync::atomic::AtomicBool, task::Wake};

use super::*;
use crate::{
    breaker::{Switch, SwitchMode, core::BreakerCore},
    guard::SignalWaiter,
};

fn obeying(switch: &Switch) -> TestBreaker {
    TestBreaker::new(settings().switch(switch))
}

fn state_at(mode: SwitchMode) -> CircuitState {
    match mode {
        SwitchMode::Normal => CircuitState::Closed,
        SwitchMode::ForcedOpen => CircuitState::ForcedOpen,
        SwitchMode::Disabled => CircuitState::Disabled,
    }
}

#[test]
fn switch_set_by_many_threads_ends_in_its_mode() {
    model(|| {
        let switch = Switch::new();
        let breaker = obeying(&switch);
        let threads = [SwitchMode::ForcedOpen, SwitchMode::Disabled].map(|mode| {
            let switch = switch.clone();
            breaker.spawn(move |_| switch.set_mode(mode))
        });
        switch.release();
        join(threads);
        let state = breaker.machine().state();
        assert_eq!(state, state_at(switch.mode()));
        breaker.check();
    });
}

#[test]
fn switch_set_while_a_breaker_is_built_is_applied() {
    model(|| {
        let switch = Switch::new();
        let turned = switch.clone();
        let turns = thread::spawn(move || {
            turned.force_open();
            turned.disable();
        });
        let breaker = obeying(&switch);
        join([turns]);
        assert_eq!(breaker.machine().state(), CircuitState::Disabled);
        assert_eq!(breaker.shared.core.state(), CircuitState::Disabled);
    });
}

/// Remembers that it was woken.
#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A waiter registers and checks once more; `reject` makes the circuit reject calls meanwhile.
fn wakes(
    breaker: fn() -> TestBreaker,
    reject: fn(TestBreaker),
    is_rejecting: fn(&BreakerCore) -> bool,
) {
    model(move || {
        let breaker = breaker();
        let rejecting = breaker.spawn(reject);
        let alarm = Arc::new(Alarm::default());
        let waiting = SignalWaiter::new(&breaker.shared.core.signal);
        waiting.register(&alarm.clone().into());
        let seen = is_rejecting(&breaker.shared.core);
        join([rejecting]);
        assert!(is_rejecting(&breaker.shared.core));
        assert!(seen || alarm.0.load(Ordering::Relaxed), "asleep forever");
    });
}

#[test]
fn waiter_sees_the_circuit_open_or_is_woken() {
    wakes(
        || TestBreaker::new(settings().consecutive_failures(1)),
        |breaker| {
            breaker.call(Outcome::Failure, 0);
        },
        BreakerCore::is_rejecting,
    );
}

#[test]
fn waiter_sees_shadow_mode_end_or_is_woken() {
    wakes(
        || {
            let breaker = TestBreaker::new(settings().shadow(true));
            breaker.update(StateMachine::force_open);
            breaker
        },
        |breaker| breaker.shared.core.set_shadow(false),
        BreakerCore::is_rejecting,
    );
}

/// The circuit opens meanwhile: a waiter that comes after that must not find a shadow that rejects, and sleep.
#[test]
fn waiter_sees_shadow_mode_begin_or_is_woken() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(1));
        let opens = breaker.spawn(|breaker| {
            breaker.call(Outcome::Failure, 0);
        });
        let begins = breaker.spawn(|breaker| breaker.shared.core.set_shadow(true));
        let alarm = Arc::new(Alarm::default());
        let waiting = SignalWaiter::new(&breaker.shared.core.signal);
        waiting.register(&alarm.clone().into());
        let admitted = !breaker.shared.core.is_rejecting();
        join([opens, begins]);
        assert!(!breaker.shared.core.is_rejecting());
        assert!(
            admitted || alarm.0.load(Ordering::Relaxed),
            "asleep forever"
        );
    });
}

/// All slots are taken, and one probe gives its slot back.
#[test]
fn waiter_sees_a_free_probe_slot_or_is_woken() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(1).probes(1));
        breaker.call(Outcome::Failure, 0);
        let probe = breaker.admit(OPEN_TIME).expect("a probe");
        let gives_back =
            breaker.spawn(move |breaker| breaker.complete(probe, Outcome::Cancelled, OPEN_TIME));
        let alarm = Arc::new(Alarm::default());
        let waiting = SignalWaiter::new(&breaker.shared.core.signal);
        waiting.register(&alarm.clone().into());
        let rejecting = |breaker: &TestBreaker| {
            breaker
                .shared
                .core
                .rejects(&CallClock::at(breaker.at(OPEN_TIME)))
                .is_all()
        };
        let free = !rejecting(&breaker);
        join([gives_back]);
        assert!(!rejecting(&breaker));
        assert!(free || alarm.0.load(Ordering::Relaxed), "asleep forever");
    });
}

#[test]
fn subscriber_misses_no_transition_after_the_state_it_reads() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(1));
        let handle = CircuitBreaker {
            shared: breaker.shared.clone(),
        };
        let opens = breaker.spawn(|breaker| {
            breaker.call(Outcome::Failure, 0);
        });
        let mut events = handle.subscribe();
        let seen = breaker.shared.core.is_rejecting();
        join([opens]);
        assert!(seen || events.try_recv().is_ok(), "missed");
    });
}

#[test]
fn rejects_any_without_the_lock_misses_no_wake_when_the_circuit_opens() {
    wakes(
        || TestBreaker::new(settings().consecutive_failures(1)),
        |breaker| {
            breaker.call(Outcome::Failure, 0);
        },
        BreakerCore::rejects_any,
    );
}

#[test]
fn rejects_any_without_the_lock_misses_no_wake_when_shadow_mode_ends() {
    wakes(
        || {
            let breaker = TestBreaker::new(settings().shadow(true).consecutive_failures(1));
            breaker.call(Outcome::Failure, 0);
            breaker
        },
        |breaker| breaker.shared.core.set_shadow(false),
        BreakerCore::rejects_any,
    );
}

#[test]
fn rejects_any_without_the_lock_misses_no_wake_when_the_circuit_is_forced_open() {
    wakes(
        || TestBreaker::new(settings().shadow(true).consecutive_failures(1)),
        |breaker| breaker.update(StateMachine::force_open),
        BreakerCore::rejects_any,
    );
}
