use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{BreakerRegistry, BreakerSettings, CircuitState, Switch, TransitionReason},
};

use super::{complete, fail, invalid, one_in_a_row, settings, with};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn invalid_settings_change_nothing_and_name_breaker_field_and_range() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(4).build();
    let breaker = breaker.expect("valid settings");
    fail(&breaker);
    let breakers = BreakerRegistry::new();
    breakers.insert(breaker.clone());
    let seen = || (breaker.settings(), format!("{:?}", breakers.snapshots()));
    let before = seen();
    for (change, text) in invalid() {
        // Those that are valid, and come first, must not be applied either.
        let settings = with(|settings| {
            settings.consecutive_failures = Some(1);
            settings.shadow = true;
            change(settings);
        });
        let error = breaker.apply(&settings).expect_err(text).to_string();
        if !text.starts_with("consecutive_failures") {
            assert_eq!(error, format!("breaker \"b\": {text}"));
        }
        assert_eq!(seen(), before);
    }
    fail(&breaker);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn settings_apply_to_all_clones_and_keep_subscribers_and_hooks() {
    let hooked = Arc::new(AtomicU32::new(0));
    let counter = hooked.clone();
    let breaker = CircuitBreaker::builder("b")
        .on_transition(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .expect("valid settings");
    let clone = breaker.clone();
    let mut transitions = breaker.subscribe();
    clone.apply(&one_in_a_row()).expect("valid settings");
    assert_eq!(breaker.settings(), one_in_a_row());
    fail(&breaker);
    let opened = transitions.try_recv().expect("a transition");
    assert_eq!(opened.reason, TransitionReason::ConsecutiveFailures);
    assert_eq!(hooked.load(Ordering::Relaxed), 1);
}

#[test]
fn circuit_does_not_open_when_settings_are_applied() {
    let breaker = CircuitBreaker::new("b");
    for _ in 0..10 {
        fail(&breaker);
    }
    let settings = with(|s| (s.consecutive_failures, s.min_calls) = (Some(1), Some(1)));
    breaker.apply(&settings).expect("valid settings");
    assert_eq!(breaker.state(), CircuitState::Closed);
    complete(&breaker, Outcome::Success);
    assert_eq!(breaker.state(), CircuitState::Closed);
    fail(&breaker);
    assert_eq!(breaker.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn settings_keep_calls_in_flight_and_what_the_window_holds() {
    let breaker = CircuitBreaker::new("b");
    complete(&breaker, Outcome::Success);
    tokio::time::advance(6 * SECOND).await;
    fail(&breaker);
    let in_flight = breaker.try_acquire().expect("closed");
    let count = with(|s| s.count_window = Some(50));
    let short = with(|s| (s.time_window, s.time_window_buckets) = (5 * SECOND, 5));
    breaker.apply(&count).expect("valid settings");
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (2, 1));
    in_flight.complete(Outcome::Failure);
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (3, 2));
    breaker
        .apply(&BreakerSettings::default())
        .expect("valid settings");
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (3, 2));
    tokio::time::advance(9 * SECOND).await;
    complete(&breaker, Outcome::Success);
    breaker.apply(&short).expect("valid settings");
    assert_eq!((breaker.counts().calls, breaker.counts().failures), (1, 0));
    assert_eq!(breaker.consecutive_failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn slow_call_applies_to_calls_that_come_after() {
    let breaker = CircuitBreaker::new("b");
    let before = breaker.try_acquire().expect("closed");
    let slow = with(|s| s.slow_call = Some(SECOND));
    breaker.apply(&slow).expect("valid settings");
    let after = breaker.try_acquire().expect("closed");
    tokio::time::advance(SECOND).await;
    before.complete(Outcome::Success);
    after.complete(Outcome::Success);
    assert_eq!((breaker.counts().calls, breaker.counts().slow), (2, 1));
    let last = breaker.try_acquire().expect("closed");
    breaker
        .apply(&BreakerSettings::default())
        .expect("valid settings");
    tokio::time::advance(SECOND).await;
    last.complete(Outcome::Success);
    assert_eq!((breaker.counts().calls, breaker.counts().slow), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn open_circuit_keeps_its_end_whatever_is_applied() {
    let breaker = CircuitBreaker::builder("b")
        .settings(&one_in_a_row())
        .open_jitter(0.0)
        .build()
        .expect("valid settings");
    fail(&breaker);
    let day = with(|s| s.open_time = 86_400 * SECOND);
    breaker.apply(&day).expect("valid settings");
    tokio::time::advance(5 * SECOND).await;
    complete(&breaker, Outcome::Success);
    complete(&breaker, Outcome::Success);
    assert_eq!(breaker.state(), CircuitState::Closed);
}

#[test]
fn settings_keep_what_a_switch_or_an_operator_overrides() {
    let switch = Switch::new();
    let breaker = CircuitBreaker::builder("b").switch(&switch).build();
    let breaker = breaker.expect("valid settings");
    switch.disable();
    breaker.apply(&one_in_a_row()).expect("valid settings");
    assert_eq!(breaker.state(), CircuitState::Disabled);
    breaker.force_open();
    switch.release();
    breaker
        .apply(&with(|s| s.probes = 7))
        .expect("valid settings");
    assert_eq!(breaker.state(), CircuitState::ForcedOpen);
}

#[test]
fn shadow_mode_is_what_was_set_or_applied_last() {
    let breaker = CircuitBreaker::new("b");
    let shadow = with(|s| s.shadow = true);
    breaker.apply(&shadow).expect("valid settings");
    assert!(breaker.is_shadow());
    breaker.set_shadow(false);
    assert_eq!(breaker.settings(), BreakerSettings::default());
    breaker.apply(&shadow).expect("valid settings");
    assert!(breaker.is_shadow() && breaker.settings().shadow);
    breaker.apply(&one_in_a_row()).expect("valid settings");
    assert!(!breaker.is_shadow());
    fail(&breaker);
    assert!(breaker.is_rejecting());
    breaker.apply(&shadow).expect("valid settings");
    assert!(!breaker.is_rejecting());
    complete(&breaker, Outcome::Success);
}

#[test]
fn calls_under_load_are_all_counted_while_settings_change() {
    let breaker = CircuitBreaker::builder("b").failure_rate(None).build();
    let breaker = breaker.expect("valid settings");
    let hour = 3_600 * SECOND;
    let windows = [1, 7, 100].map(|buckets| {
        with(|s| {
            (s.time_window, s.time_window_buckets) = (hour, buckets);
            s.failure_rate = None;
        })
    });
    breaker.apply(&windows[0]).expect("valid settings");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for call in 0..10_000 {
                    let failed = call % 100 == 99;
                    complete(
                        &breaker,
                        if failed {
                            Outcome::Failure
                        } else {
                            Outcome::Success
                        },
                    );
                }
            });
        }
        for turn in 0..300 {
            let settings = &windows[turn % 3];
            breaker.apply(settings).expect("valid settings");
            breaker.apply(&with(|s| s.probes = 0)).expect_err("invalid");
        }
    });
    let counts = breaker.counts();
    assert_eq!((counts.calls, counts.failures), (20_000, 200));
}

proptest! {
    #[test]
    fn settings_applied_twice_are_applied_once(
        first in settings(),
        second in settings(),
        calls in prop::collection::vec(any::<bool>(), 0..40),
    ) {
        let breaker = CircuitBreaker::builder("b").settings(&first).build().expect("valid settings");
        prop_assert_eq!(breaker.settings(), first);
        for failed in calls {
            if let Ok(permit) = breaker.try_acquire() {
                permit.complete(if failed { Outcome::Failure } else { Outcome::Success });
            }
        }
        breaker.apply(&second).expect("valid settings");
        let once = (breaker.settings(), breaker.counts(), breaker.consecutive_failures(), breaker.state());
        prop_assert_eq!(&once.0, &second);
        breaker.apply(&second).expect("valid settings");
        let twice = (breaker.settings(), breaker.counts(), breaker.consecutive_failures(), breaker.state());
        prop_assert_eq!(once, twice);
    }
}
