//! One switch for many breakers.

use std::time::Duration;

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{CircuitState, KeyedBreaker, Switch, SwitchMode, TransitionReason},
};

use crate::support::listing::listing;

fn obeying(switch: &Switch) -> CircuitBreaker {
    let builder = CircuitBreaker::builder("peer").consecutive_failures(1);
    builder.switch(switch).build().expect("sound")
}

#[test]
fn switch_forces_all_breakers_until_released() {
    let switch = Switch::new();
    let [a, b] = [(); 2].map(|()| obeying(&switch));
    let mut events = a.subscribe();
    switch.force_open();
    assert_eq!(switch.clone().mode(), SwitchMode::ForcedOpen);
    assert_eq!(
        (a.state(), b.state()),
        (CircuitState::ForcedOpen, CircuitState::ForcedOpen)
    );
    assert_eq!(
        a.try_acquire().expect_err("forced").reason(),
        Some("switch")
    );
    switch.force_open();
    switch.disable();
    let permit = a.try_acquire().expect("passes");
    permit.complete(Outcome::Failure);
    assert_eq!(a.state(), CircuitState::Disabled);
    switch.release();
    assert_eq!(
        (a.state(), b.state()),
        (CircuitState::Closed, CircuitState::Closed)
    );
    assert_eq!(a.counts().calls, 0);
    for (number, to) in [
        (1, CircuitState::ForcedOpen),
        (2, CircuitState::Disabled),
        (3, CircuitState::Closed),
    ] {
        let event = events.try_recv().expect("an event");
        assert_eq!((event.number, event.to), (number, to));
        assert_eq!(event.reason, TransitionReason::Switch);
    }
    assert!(events.try_recv().is_err());
}

#[test]
fn switch_position_applies_to_later_breakers() {
    let switch = Switch::new();
    switch.force_open();
    let late = obeying(&switch);
    let mut events = late.subscribe();
    let why = late.try_acquire().expect_err("forced");
    assert_eq!(
        (late.state(), why.reason()),
        (CircuitState::ForcedOpen, Some("switch"))
    );
    switch.release();
    let event = events.try_recv().expect("an event");
    assert_eq!(
        (event.number, event.from, event.to),
        (1, CircuitState::ForcedOpen, CircuitState::Closed)
    );
    late.try_acquire()
        .expect("passes")
        .complete(Outcome::Failure);
    assert_eq!(late.state(), CircuitState::Open, "and it works");
}

#[test]
fn switch_release_restores_manual_state() {
    let switch = Switch::new();
    let breaker = obeying(&switch);
    breaker.force_open();
    switch.disable();
    assert_eq!(breaker.state(), CircuitState::Disabled);
    switch.release();
    assert_eq!(breaker.state(), CircuitState::ForcedOpen);

    switch.force_open();
    breaker.disable();
    assert_eq!(
        breaker.state(),
        CircuitState::ForcedOpen,
        "the switch is thrown"
    );
    switch.release();
    assert_eq!(breaker.state(), CircuitState::Disabled);

    switch.force_open();
    breaker.reset();
    breaker.open_for(Duration::from_secs(1));
    assert_eq!(
        breaker.state(),
        CircuitState::ForcedOpen,
        "a reset does not overrule it"
    );
    switch.release();
    assert_eq!(breaker.state(), CircuitState::Closed);
}

/// The breaker was forced open for ever: a reset does not overrule a switch, and nobody had that any more.
#[test]
fn switch_last_handle_drop_releases() {
    let switch = Switch::new();
    let [free, by_hand, gone] = [(); 3].map(|()| obeying(&switch));
    by_hand.force_open();
    drop(gone);
    let mut events = free.subscribe();
    let other = switch.clone();
    switch.force_open();
    drop(switch);
    assert_eq!(free.state(), CircuitState::ForcedOpen, "a clone is left");
    assert_eq!(
        events.try_recv().expect("an event").to,
        CircuitState::ForcedOpen
    );
    drop(other);
    assert_eq!(free.state(), CircuitState::Closed);
    assert_eq!(
        by_hand.state(),
        CircuitState::ForcedOpen,
        "not the switch's doing"
    );
    let event = events.try_recv().expect("an event");
    assert_eq!(
        (event.from, event.to),
        (CircuitState::ForcedOpen, CircuitState::Closed)
    );
    assert_eq!((event.number, event.reason), (2, TransitionReason::Switch));
    assert!(events.try_recv().is_err());
    free.try_acquire()
        .expect("passes")
        .complete(Outcome::Failure);
    assert_eq!(free.state(), CircuitState::Open, "and it works");
}

#[test]
fn switch_drop_at_rest_sends_no_event() {
    let switch = Switch::new();
    let breaker = obeying(&switch);
    switch.disable();
    switch.release();
    breaker.force_open();
    let mut events = breaker.subscribe();
    drop(switch);
    assert_eq!(breaker.state(), CircuitState::ForcedOpen);
    assert!(events.try_recv().is_err());
}

#[test]
fn switch_is_kept_by_builders_not_by_breakers() {
    let _listing = listing();
    let switch = Switch::new();
    let template = CircuitBreaker::builder("kept").switch(&switch);
    let first = template.clone().build().expect("sound");
    switch.force_open();
    drop(switch);
    assert_eq!(
        first.state(),
        CircuitState::ForcedOpen,
        "the builder has it"
    );
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(template).build().expect("sound");
    let a = hosts.get("a");
    assert_eq!(
        (first.state(), a.state()),
        (CircuitState::ForcedOpen, CircuitState::ForcedOpen)
    );
    drop(hosts);
    assert_eq!(
        (first.state(), a.state()),
        (CircuitState::Closed, CircuitState::Closed)
    );

    let switch = Switch::new();
    switch.force_open();
    let last = CircuitBreaker::builder("last").switch(&switch);
    drop(switch);
    let breaker = last.build().expect("sound");
    assert_eq!(
        breaker.state(),
        CircuitState::Closed,
        "the builder was the last"
    );
}

#[tokio::test(start_paused = true)]
async fn switch_release_at_rest_changes_nothing() {
    let switch = Switch::new();
    let breaker = obeying(&switch);
    breaker
        .try_acquire()
        .expect("closed")
        .complete(Outcome::Failure);
    switch.release();
    assert_eq!(breaker.state(), CircuitState::Open);
    let other = CircuitBreaker::builder("other").build().expect("sound");
    switch.force_open();
    assert_eq!(other.state(), CircuitState::Closed);
}

#[test]
fn switch_forces_existing_and_new_keys() {
    let switch = Switch::new();
    let template = CircuitBreaker::builder("hosts").switch(&switch);
    let hosts: KeyedBreaker<String> = KeyedBreaker::builder(template).build().expect("sound");
    let mut events = hosts.subscribe();
    hosts.get("a");
    switch.force_open();
    assert!(events.try_recv().is_ok());
    for key in ["a", "b", "c"] {
        assert!(hosts.get(key).is_rejecting(), "{key}");
    }
    assert!(events.try_recv().is_err(), "new keys are no news");
    assert_eq!(hosts.keys_in(CircuitState::ForcedOpen), 3);
    switch.release();
    assert_eq!(hosts.keys_in(CircuitState::Closed), 3);
}

#[test]
fn switch_concurrent_turns_end_in_last_position() {
    for _ in 0..50 {
        let switch = Switch::new();
        let breakers: Vec<_> = (0..8).map(|_| obeying(&switch)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..20).for_each(|_| {
                    switch.force_open();
                    switch.release();
                })
            });
            scope.spawn(|| {
                (0..20).for_each(|_| {
                    switch.disable();
                    switch.release();
                })
            });
            scope.spawn(|| (0..20).for_each(|_| drop(obeying(&switch))));
        });
        // Both threads end with a release.
        let states: Vec<_> = breakers.iter().map(CircuitBreaker::state).collect();
        assert_eq!(states, [CircuitState::Closed; 8]);
    }
}
