//! Hooks that are called with transitions.

use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
};

use tower_keep::{
    CircuitBreaker,
    breaker::{CircuitBreakerBuilder, CircuitState, KeyedBreaker, Transition, TransitionReason},
};

type Transitions = Arc<Mutex<Vec<Transition>>>;

/// A breaker that opens at its first failure, and what its hook was called with.
fn hooked(name: &'static str) -> (CircuitBreakerBuilder, Transitions) {
    let seen = Transitions::default();
    let hook = seen.clone();
    let builder = CircuitBreaker::builder(name)
        .consecutive_failures(1)
        .on_transition(move |transition| hook.lock().expect("whole").push(transition.clone()));
    (builder, seen)
}

fn fail(breaker: &CircuitBreaker, error: &'static str) {
    let failed = breaker.run(|| Err::<(), _>(io::Error::other(error)));
    failed.expect_err("fails");
}

fn reasons(seen: &Transitions) -> Vec<(u64, TransitionReason)> {
    let seen = seen.lock().expect("whole");
    seen.iter().map(|each| (each.number, each.reason)).collect()
}

#[test]
fn transition_hook_is_called_in_order_with_the_error() {
    let (builder, seen) = hooked("hooked");
    let breaker = builder.build().expect("valid");
    fail(&breaker, "the disk is on fire");
    breaker.reset();
    breaker.disable();
    let expected = [
        (1, TransitionReason::ConsecutiveFailures),
        (2, TransitionReason::Reset),
        (3, TransitionReason::Disabled),
    ];
    assert_eq!(reasons(&seen), expected);
    let first = seen.lock().expect("whole")[0].clone();
    assert_eq!(
        (first.from, first.to),
        (CircuitState::Closed, CircuitState::Open)
    );
    assert_eq!(
        first.last_error.expect("an error").as_str(),
        "the disk is on fire"
    );
}

#[test]
fn transition_hook_may_use_its_breaker() {
    let handle = Arc::new(OnceLock::<CircuitBreaker>::new());
    let (its, seen) = (handle.clone(), Transitions::default());
    let hook = seen.clone();
    let breaker = CircuitBreaker::builder("reentrant")
        .on_transition(move |transition| {
            hook.lock().expect("whole").push(transition.clone());
            let breaker = its.get().expect("set before its first transition");
            assert_eq!(breaker.state(), transition.to);
            if transition.to == CircuitState::ForcedOpen {
                breaker.reset();
            }
        })
        .build()
        .expect("valid");
    handle.set(breaker.clone()).expect("not set");
    breaker.force_open();
    assert_eq!(breaker.state(), CircuitState::Closed);
    let expected = [
        (1, TransitionReason::ForcedOpen),
        (2, TransitionReason::Reset),
    ];
    assert_eq!(reasons(&seen), expected);
}

#[test]
fn transition_hook_of_a_template_is_called_for_each_key() {
    let (builder, seen) = hooked("tenants hooked");
    let breakers: KeyedBreaker<u32> = KeyedBreaker::builder(builder).build().expect("valid");
    for key in [7, 8] {
        fail(&breakers.get(&key), "down");
    }
    let seen = seen.lock().expect("whole");
    let keys = seen
        .iter()
        .map(|each| each.key.as_ref().expect("a key").as_str());
    assert_eq!(keys.collect::<Vec<_>>(), ["7", "8"]);
}
