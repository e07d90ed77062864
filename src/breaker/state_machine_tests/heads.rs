//! Good answers are counted at their heads, and turn into failures if their bodies break.

use super::*;

fn settings_of(window: bool) -> CircuitBreakerBuilder {
    if window {
        settings().time_window(Duration::from_secs(10), 10)
    } else {
        settings().count_window(100)
    }
}

/// Ten-minute streams: failures were counted at once, successes ten minutes later, and the rate of what was counted
/// opened it.
#[test]
fn successful_head_counts_at_once() {
    for window in [true, false] {
        let mut harness = Harness::new(settings_of(window).min_calls(10));
        let streams: Vec<_> = (0..99).map(|_| harness.successful_head()).collect();
        harness.calls(1, Failure);
        let counts = harness.machine.counts(harness.now);
        assert_eq!((counts.calls, counts.failures), (100, 1));
        for stream in streams {
            assert!(harness.end(stream, Success).is_none());
        }
        assert_eq!(harness.machine.counts(harness.now), counts, "counted once");
    }
}

#[test]
fn body_that_breaks_turns_its_success_into_a_failure() {
    for window in [true, false] {
        let mut harness = Harness::new(settings_of(window).min_calls(100));
        let mut streams: Vec<_> = (0..4).map(|_| harness.successful_head()).collect();
        let broken = streams.pop().expect("four");
        assert!(harness.end(broken, Failure).is_none());
        let counts = harness.machine.counts(harness.now);
        assert_eq!((counts.calls, counts.failures), (4, 1));
        for said in [None, Some(Success)] {
            let stream = streams.pop().expect("three");
            assert!(harness.end(stream, said).is_none());
        }
        assert_eq!(harness.machine.counts(harness.now), counts);
    }
}

#[test]
fn body_that_breaks_after_its_head_left_the_window_adds_a_call() {
    let mut harness = Harness::new(settings_of(true));
    let stream = harness.successful_head();
    harness.wait(Duration::from_secs(10));
    harness.calls(1, Success);
    harness.end(stream, Failure);
    let counts = harness.machine.counts(harness.now);
    assert_eq!((counts.calls, counts.failures), (2, 1));
}

#[test]
fn slow_head_stays_slow_if_its_body_breaks() {
    for window in [true, false] {
        let mut harness = Harness::new(settings_of(window).slow_call(MILLI).slow_rate(1.0));
        let mut stream = harness.admitted();
        assert!(harness.head(&mut stream, SlowSuccess).is_none());
        // The end is later still, but that is the reader's.
        harness.end(stream, SlowFailure);
        let counts = harness.machine.counts(harness.now);
        assert_eq!((counts.calls, counts.failures, counts.slow), (1, 1, 1));
    }
}

#[test]
fn failure_rate_is_evaluated_when_a_body_breaks() {
    let mut harness = Harness::new(settings().min_calls(4));
    let mut streams: Vec<_> = (0..4).map(|_| harness.successful_head()).collect();
    let mut broken = streams.split_off(2).into_iter();
    assert!(harness.end(broken.next().expect("two"), Failure).is_none());
    let transition = harness.end(broken.next().expect("two"), Failure);
    assert_eq!(reason(transition), Some(TransitionReason::FailureRate));
}

#[test]
fn failed_head_counts_at_its_end() {
    let mut harness = Harness::new(trips_at_first_failure());
    let mut call = harness.admitted();
    assert!(harness.head(&mut call, Failure).is_none());
    assert_eq!(harness.machine.counts(harness.now).calls, 0);
    assert!(harness.end(call, Failure).is_some());
}

#[test]
fn consecutive_failures_include_bodies_that_break() {
    for window in [true, false] {
        let mut harness = Harness::new(settings_of(window).consecutive_failures(3));
        for n in 1..3 {
            let stream = harness.successful_head();
            assert_eq!(
                harness.machine.consecutive_failures(),
                0,
                "a good head, so far"
            );
            assert!(harness.end(stream, Failure).is_none());
            assert_eq!(harness.machine.consecutive_failures(), n);
        }
        let stream = harness.successful_head();
        let transition = harness.end(stream, Failure);
        assert_eq!(
            reason(transition),
            Some(TransitionReason::ConsecutiveFailures)
        );
    }
}

#[test]
fn consecutive_failures_end_at_a_successful_head() {
    let mut harness = Harness::new(settings().consecutive_failures(2).min_calls(1_000));
    let mut flowing = Vec::new();
    for _ in 0..20 {
        harness.calls(1, Failure);
        flowing.push(harness.successful_head());
        let broken = harness.successful_head();
        assert!(harness.end(broken, Failure).is_none());
        flowing.push(harness.successful_head());
    }
    assert_eq!(harness.machine.consecutive_failures(), 0);
}

#[test]
fn consecutive_failures_include_streams_that_break_together() {
    let mut harness = Harness::new(settings().consecutive_failures(3).min_calls(1_000));
    let mut streams: Vec<_> = (0..10).map(|_| harness.successful_head()).collect();
    let mut next = || streams.pop().expect("another");
    let broken = [next(), next(), next()];
    let changes = broken.map(|stream| reason(harness.end(stream, Failure)));
    // The seven that still flow stand before the first of them.
    assert_eq!(
        changes,
        [None, None, Some(TransitionReason::ConsecutiveFailures)]
    );
}

#[test]
fn body_that_breaks_after_a_transition_does_not_count() {
    for state in [
        CircuitState::Open,
        CircuitState::HalfOpen,
        CircuitState::Closed,
    ] {
        let mut harness = Harness::new(trips_at_first_failure().probes(1));
        let stream = harness.successful_head();
        harness.call(Failure).expect("it opens");
        if state != CircuitState::Open {
            harness.wait(OPEN);
            let probe = harness.admitted();
            if state == CircuitState::Closed {
                harness.end(probe, Success).expect("it closes");
            }
        }
        assert!(harness.end(stream, Failure).is_none());
        assert_eq!(harness.machine.state(), state);
        assert_eq!(
            harness.machine.consecutive_failures(),
            u32::from(state != CircuitState::Closed)
        );
    }
}
