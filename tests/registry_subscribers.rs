//! Subscribers to the transitions of all breakers of the process, which is therefore one of their own.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use tower_keep::{
    CircuitBreaker,
    breaker::KeyedBreaker,
    registry::{self, GuardTransition},
};

#[test]
fn registry_subscriber_gets_transitions_of_all_breakers() {
    let _alone = alone();
    let mut transitions = registry::subscribe();
    let before = std::time::SystemTime::now();
    let breaker = CircuitBreaker::builder("quotes").consecutive_failures(1);
    fail(&breaker.clone().build().expect("valid"), "down");
    let shadow = breaker.clone().shadow(true).build().expect("valid");
    shadow.disable();
    let keyed: KeyedBreaker<u32> = KeyedBreaker::builder(breaker).build().expect("valid");
    fail(&keyed.get(&7), "down as well");

    let all = received(&mut transitions);
    let told = |it: &GuardTransition| {
        let text = |label: &Option<_>| label.as_ref().map(ToString::to_string);
        let states = [it.kind, it.from, it.to, it.reason];
        (states, text(&it.key), text(&it.last_error), it.shadow)
    };
    let (kind, keyed_kind) = ("circuit_breaker", "keyed_circuit_breaker");
    let down = |text: &str| Some(text.to_owned());
    let expected = [
        (
            [kind, "closed", "open", "consecutive_failures"],
            None,
            down("down"),
            false,
        ),
        ([kind, "closed", "disabled", "disabled"], None, None, true),
        (
            [keyed_kind, "closed", "open", "consecutive_failures"],
            down("7"),
            down("down as well"),
            false,
        ),
    ];
    assert_eq!(all.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(all.iter().all(|transition| transition.at >= before));
    // The kind is that of the listing.
    let listed = registry::snapshots();
    let listed = listed.iter().filter(|guard| guard.name() == "quotes");
    assert_eq!(
        listed.map(|guard| guard.kind()).collect::<Vec<_>>(),
        [kind, keyed_kind]
    );
}

#[test]
fn registry_subscriber_that_lags_gets_an_error_and_then_the_latest() {
    let _alone = alone();
    let mut transitions = registry::subscribe();
    let breaker = CircuitBreaker::new("busy");
    for _ in 0..50 {
        breaker.force_open();
        breaker.reset();
    }
    let lagged = transitions.try_recv().expect_err("100 transitions");
    assert_eq!(lagged, TryRecvError::Lagged(36));
    assert_eq!(received(&mut transitions).len(), 64);
}

#[test]
fn registry_subscriber_misses_what_came_before_it() {
    let _alone = alone();
    drop(registry::subscribe());
    let breaker = CircuitBreaker::new("early");
    breaker.force_open();
    let mut transitions = registry::subscribe();
    breaker.reset();
    let reasons = received(&mut transitions).into_iter().map(|it| it.reason);
    assert_eq!(reasons.collect::<Vec<_>>(), ["reset"]);
}

/// All breakers of the process are reported: one test at a time has some.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn received(transitions: &mut Receiver<GuardTransition>) -> Vec<GuardTransition> {
    std::iter::from_fn(|| transitions.try_recv().ok()).collect()
}

fn fail(breaker: &CircuitBreaker, error: &'static str) {
    let failed = breaker.run(|| Err::<(), _>(io::Error::other(error)));
    failed.expect_err("fails");
}
