//! Successes counted through the lanes: none lost, none twice, each in its bucket and generation.

use super::*;

#[test]
fn success_is_counted_once_and_in_its_bucket() {
    model(|| {
        let breaker = TestBreaker::new(settings());
        let a = breaker.spawn(|breaker| {
            breaker.call(Outcome::Success, 0);
            breaker.call(Outcome::Success, BUCKET);
        });
        let b = breaker.spawn(|breaker| {
            breaker.call(Outcome::Failure, BUCKET);
            breaker.call(Outcome::Success, BUCKET);
        });
        assert!(breaker.calls_since(0) <= 4);
        join([a, b]);
        assert_eq!((breaker.calls_since(0), breaker.calls_since(1)), (4, 3));
        breaker.check();
    });
}

#[test]
fn late_success_is_counted_in_the_bucket_of_its_time() {
    model(|| {
        let breaker = TestBreaker::new(settings());
        let threads = [0, 1, 2].map(|bucket| {
            breaker.spawn(move |breaker| {
                breaker.call(Outcome::Success, bucket * BUCKET);
            })
        });
        join(threads);
        let since = [0, 1, 2, 3].map(|bucket| breaker.calls_since(bucket));
        assert_eq!(since, [3, 2, 1, 0]);
    });
}

#[test]
fn reset_forgets_only_calls_admitted_before_it() {
    model(|| {
        let breaker = TestBreaker::new(settings());
        let kept = Arc::new(AtomicU32::new(0));
        let work = |calls: u32, kept: Arc<AtomicU32>| {
            move |breaker: TestBreaker| {
                for _ in 0..calls {
                    let generation = breaker.call(Outcome::Success, 0);
                    kept.fetch_add(u32::from(generation == 1), Ordering::Relaxed);
                }
            }
        };
        let threads = [
            breaker.spawn(work(2, kept.clone())),
            breaker.spawn(work(1, kept.clone())),
        ];
        breaker.update(StateMachine::reset);
        join(threads);
        assert_eq!(
            breaker.calls_since(0),
            u64::from(kept.load(Ordering::Relaxed))
        );
        breaker.check();
    });
}

#[test]
fn count_window_drops_the_oldest_call_first() {
    model(|| {
        let breaker = TestBreaker::new(settings().count_window(2).min_calls(2));
        let a = breaker.spawn(|breaker| {
            for _ in 0..3 {
                breaker.call(Outcome::Success, 0);
            }
        });
        breaker.call(Outcome::Failure, 0);
        breaker.call(Outcome::Success, 0);
        join([a]);
        let counts = breaker.machine().counts(breaker.at(0));
        assert_eq!(counts.calls, 2);
        assert!(counts.failures <= 1);
        // One more success drives out the last of what came before the failure, a second the failure itself.
        breaker.call(Outcome::Success, 0);
        breaker.call(Outcome::Success, 0);
        assert_eq!(breaker.machine().counts(breaker.at(0)).failures, 0);
    });
}

#[test]
fn success_between_two_failures_ends_their_row() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(2));
        let a = breaker.spawn(|breaker| {
            if let Some(permit) = breaker.admit(0) {
                breaker.complete(permit, Outcome::Success, 0);
            }
        });
        breaker.call(Outcome::Failure, 0);
        breaker.call(Outcome::Success, 0);
        breaker.call(Outcome::Failure, 0);
        join([a]);
        assert_eq!(breaker.machine().state(), CircuitState::Closed);
        breaker.call(Outcome::Failure, 0);
        assert_eq!(breaker.calls_since(0), 5);
    });
}

/// The lanes are emptied one after the other, while successes are added to each.
#[test]
fn successes_of_several_lanes_end_a_row_of_failures() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(3));
        breaker.call(Outcome::Failure, 0);
        let threads = [(); 2].map(|()| {
            breaker.spawn(|breaker| {
                breaker.call(Outcome::Success, 0);
            })
        });
        breaker.call(Outcome::Failure, 0);
        join(threads);
        breaker.call(Outcome::Failure, 0);
        assert_eq!(breaker.shared.core.state(), CircuitState::Closed);
        assert_eq!(breaker.calls_since(0), 5);
        breaker.check();
    });
}

#[test]
fn failures_at_once_open_the_circuit_once() {
    model(|| {
        let breaker = TestBreaker::new(settings().consecutive_failures(2));
        let failing = |breaker: TestBreaker| {
            if let Some(permit) = breaker.admit(0) {
                breaker.complete(permit, Outcome::Failure, 0);
            }
        };
        let threads = [breaker.spawn(failing), breaker.spawn(failing)];
        failing(breaker.clone());
        join(threads);
        assert_eq!(breaker.machine().generation(), 1);
        assert!(breaker.admit(0).is_none());
        breaker.check();
    });
}

#[test]
fn transitions_are_reported_in_the_order_in_which_they_took_effect() {
    model(|| {
        let breaker = TestBreaker::new(settings());
        let a = breaker.spawn(|breaker| breaker.update(StateMachine::force_open));
        let b = breaker.spawn(|breaker| breaker.update(StateMachine::disable));
        breaker.update(StateMachine::reset);
        join([a, b]);
        assert_eq!(breaker.machine().generation(), 3);
        breaker.check();
    });
}
