//! Half open: never more probes than there may be, each settled or given back once, late results without effect.

use super::*;

/// Open since 0, by two failures in a row.
fn opened(probes: u32) -> TestBreaker {
    let breaker = TestBreaker::new(
        settings()
            .consecutive_failures(1)
            .probes(probes)
            .probe_success_ratio(1.0),
    );
    breaker.call(Outcome::Failure, 0);
    breaker
}

/// Counts who is inside; the count is seen by nobody but the assertions.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicU32>);

impl Inside {
    fn visit(&self, most: u32) {
        assert!(
            self.0.fetch_add(1, Ordering::Relaxed) < most,
            "too many probes"
        );
        thread::yield_now();
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn half_open_admits_at_most_n_probes_at_once() {
    model(|| {
        let breaker = opened(1);
        let inside = Inside::default();
        let probe = |inside: Inside| {
            move |breaker: TestBreaker| {
                if let Some(permit) = breaker.admit(OPEN_TIME) {
                    inside.visit(1);
                    breaker.complete(permit, Outcome::Cancelled, OPEN_TIME);
                }
            }
        };
        let threads = [
            breaker.spawn(probe(inside.clone())),
            breaker.spawn(probe(inside.clone())),
        ];
        probe(inside)(breaker.clone());
        join(threads);
        assert_eq!(breaker.machine().probes_in_flight(), 0);
        assert_eq!(breaker.machine().generation(), 2, "half open all the while");
        assert!(
            breaker.admit(OPEN_TIME).is_some(),
            "the place is free again"
        );
        breaker.check();
    });
}

#[test]
fn half_open_closes_once_after_enough_successful_probes() {
    model(|| {
        let breaker = opened(2);
        let passed = Arc::new(AtomicU32::new(0));
        let probe = |passed: Arc<AtomicU32>| {
            move |breaker: TestBreaker| {
                if let Some(permit) = breaker.admit(OPEN_TIME) {
                    if permit.generation == 2 {
                        assert!(
                            passed.fetch_add(1, Ordering::Relaxed) < 2,
                            "too many probes"
                        );
                    }
                    breaker.complete(permit, Outcome::Success, OPEN_TIME);
                }
            }
        };
        let threads = [
            breaker.spawn(probe(passed.clone())),
            breaker.spawn(probe(passed.clone())),
        ];
        probe(passed.clone())(breaker.clone());
        join(threads);
        assert_eq!(passed.load(Ordering::Relaxed), 2);
        assert_eq!(breaker.machine().state(), CircuitState::Closed);
        assert_eq!(breaker.machine().generation(), 3);
        breaker.check();
    });
}

#[test]
fn half_open_reopens_once_after_a_failed_probe() {
    model(|| {
        let breaker = opened(2);
        let probe = |outcome| {
            move |breaker: TestBreaker| {
                if let Some(permit) = breaker.admit(OPEN_TIME) {
                    breaker.complete(permit, outcome, OPEN_TIME);
                }
            }
        };
        let threads = [
            breaker.spawn(probe(Outcome::Failure)),
            breaker.spawn(probe(Outcome::Failure)),
        ];
        probe(Outcome::Success)(breaker.clone());
        join(threads);
        assert_eq!(breaker.machine().state(), CircuitState::Open);
        assert_eq!(breaker.machine().generation(), 3);
        breaker.check();
    });
}

#[test]
fn half_open_ignores_late_results_of_the_closed_circuit() {
    for late in [Outcome::Success, Outcome::Failure, Outcome::Cancelled] {
        model(move || {
            let breaker = TestBreaker::new(
                settings()
                    .consecutive_failures(1)
                    .probes(2)
                    .probe_success_ratio(1.0),
            );
            let early = breaker.admit(0).expect("closed");
            let a = breaker.spawn(move |breaker| breaker.complete(early, late, OPEN_TIME));
            // The late result may come first: then it is not late, and a failure opens it.
            if let Some(permit) = breaker.admit(0) {
                breaker.complete(permit, Outcome::Failure, 0);
            }
            if let Some(probe) = breaker.admit(OPEN_TIME) {
                breaker.complete(probe, Outcome::Success, OPEN_TIME);
            }
            join([a]);
            let state = breaker.machine().state();
            if state == CircuitState::HalfOpen {
                assert_eq!(breaker.machine().generation(), 2);
                breaker.admit(OPEN_TIME).expect("one more probe may go");
                let third = breaker.admit(OPEN_TIME);
                assert!(third.is_none(), "one has succeeded, one is out");
            } else {
                // It was the failure that opened it, at a time that puts the probes off.
                assert_eq!((state, late), (CircuitState::Open, Outcome::Failure));
                assert_eq!(breaker.machine().generation(), 1);
            }
            breaker.check();
        });
    }
}

#[test]
fn half_open_ignores_late_probes_of_an_earlier_phase() {
    model(|| {
        let breaker = opened(1);
        let hung = breaker.admit(OPEN_TIME).expect("a probe");
        // Its phase is over; the next one begins when its open time is.
        let again = 2 * OPEN_TIME;
        assert!(breaker.admit(again).is_none());
        let later = again + 2 * OPEN_TIME;
        let a = breaker.spawn(move |breaker| breaker.complete(hung, Outcome::Success, later));
        let probe = breaker.admit(later).expect("a probe");
        join([a]);
        assert_eq!(breaker.machine().probes_in_flight(), 1);
        breaker.complete(probe, Outcome::Cancelled, later);
        assert_eq!(breaker.machine().state(), CircuitState::HalfOpen);
        breaker.check();
    });
}
