//! Those who listen to a breaker may be slow, or use it themselves: calls and order do not suffer.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use tower_keep::{
    CircuitBreaker, Outcome,
    breaker::{CircuitState, Transition, TransitionReason},
};
use tracing::{Event, Subscriber, subscriber::with_default};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

use crate::support::callsites::ask_all_subscribers;

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn touchy() -> CircuitBreaker {
    CircuitBreaker::builder("peer")
        .consecutive_failures(1)
        .build()
        .expect("sound")
}

fn open(breaker: &CircuitBreaker) {
    let permit = breaker.try_acquire().expect("closed");
    permit.complete(Outcome::Failure);
}

/// Runs a closure at each event of a breaker.
struct Hears<F>(F);

impl<S: Subscriber, F: Fn() + 'static> Layer<S> for Hears<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "tower_keep::breaker" {
            (self.0)();
        }
    }
}

fn reasons(mut next: impl FnMut() -> Option<Transition>) -> Vec<(u64, TransitionReason)> {
    std::iter::from_fn(|| next().map(|event| (event.number, event.reason))).collect()
}

#[test]
fn subscriber_that_blocks_delays_no_call() {
    ask_all_subscribers();
    let breaker = touchy();
    let mut events = breaker.subscribe();
    let (inside, is_inside) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let may_leave = Mutex::new(may_leave);
    let hears = Hears(move || {
        let _ = inside.send(());
        let _ = may_leave.lock().expect("whole").recv_timeout(PATIENCE);
    });
    std::thread::scope(|scope| {
        let teller = breaker.clone();
        scope.spawn(move || with_default(registry().with(hears), || open(&teller)));
        is_inside.recv_timeout(PATIENCE).expect("it is told");
        // Everything works while somebody is still being told that it has opened.
        breaker.try_acquire().expect_err("open");
        breaker.reset();
        open(&breaker);
        assert_eq!(breaker.state(), CircuitState::Open);
        assert!(
            events.try_recv().is_err(),
            "in order: the first is not told yet"
        );
        drop(leave);
    });
    let expected = [
        (1, TransitionReason::ConsecutiveFailures),
        (2, TransitionReason::Reset),
        (3, TransitionReason::ConsecutiveFailures),
    ];
    assert_eq!(reasons(|| events.try_recv().ok()), expected);
}

#[test]
fn subscriber_may_reset_and_sees_event_in_order() {
    ask_all_subscribers();
    let breaker = touchy();
    let mut events = breaker.subscribe();
    let resets = breaker.clone();
    let hears = Hears(move || {
        if resets.state() == CircuitState::Open {
            resets.reset();
        }
    });
    with_default(registry().with(hears), || open(&breaker));
    let expected = [
        (1, TransitionReason::ConsecutiveFailures),
        (2, TransitionReason::Reset),
    ];
    assert_eq!(reasons(|| events.try_recv().ok()), expected);
    assert_eq!(breaker.state(), CircuitState::Closed);
}
