use super::*;

#[test]
fn failure_rate_of_a_tenth_opens_at_three_of_thirty() {
    let mut harness = Harness::new(settings().failure_rate(0.1).min_calls(30));
    harness.calls(27, Success);
    harness.calls(2, Failure);
    let transition = harness.call(Failure).expect("3 of 30");
    assert_eq!(
        (transition.from, transition.to),
        (CircuitState::Closed, CircuitState::Open)
    );
    assert_eq!(transition.reason, TransitionReason::FailureRate);
    assert_eq!(
        (transition.counts.calls, transition.counts.failures),
        (30, 3)
    );
    assert_eq!(transition.open_for, Some(OPEN));

    let mut harness = Harness::new(settings().failure_rate(0.1).min_calls(30));
    harness.calls(28, Success);
    harness.calls(3, Failure);
    assert_eq!(
        harness.machine.state(),
        CircuitState::Closed,
        "3 of 31 are less"
    );
}

#[test]
fn failure_rate_in_hundredths_opens_at_its_exact_number_of_failures() {
    for percent in 1..=100_usize {
        let rate: f64 = format!("{percent}e-2").parse().expect("a number");
        let slow = || {
            settings()
                .slow_call(MILLI)
                .slow_rate(rate)
                .failure_rate(None)
        };
        for (settings, sample, why) in [
            (
                settings().failure_rate(rate),
                Failure,
                TransitionReason::FailureRate,
            ),
            (slow(), SlowSuccess, TransitionReason::SlowRate),
        ] {
            let mut harness = Harness::new(settings.min_calls(100));
            harness.calls(100 - percent, Success);
            harness.calls(percent - 1, sample);
            assert_eq!(reason(harness.call(sample)), Some(why), "{percent} of 100");
        }
    }
}

#[test]
fn min_calls_applies_to_rates_and_not_to_consecutive_failures() {
    let slow = || settings().slow_call(MILLI).slow_rate(0.5);
    for (settings, sample) in [
        (settings(), Failure),
        (settings().count_window(20), Failure),
        (slow().failure_rate(None), SlowSuccess),
        (slow().count_window(20), SlowFailure),
    ] {
        let mut harness = Harness::new(settings.min_calls(20));
        harness.calls(19, sample);
        assert!(harness.call(sample).is_some(), "the twentieth {sample:?}");
    }
    let mut harness = Harness::new(settings().min_calls(20).consecutive_failures(3));
    harness.calls(2, Failure);
    assert_eq!(
        reason(harness.call(Failure)),
        Some(TransitionReason::ConsecutiveFailures)
    );
}

#[test]
fn min_calls_does_not_count_calls_that_left_the_window() {
    let window = Duration::from_secs(10);
    let mut harness = Harness::new(settings().time_window(window, 10).min_calls(4));
    harness.calls(3, Failure);
    harness.wait(window - MILLI);
    assert_eq!(harness.machine.counts(harness.now).calls, 3, "not yet");
    harness.wait(MILLI);
    assert_eq!(harness.machine.counts(harness.now), CallCounts::default());
    harness.calls(3, Failure);
    assert!(harness.call(Failure).is_some());

    let mut harness = Harness::new(settings().count_window(4).failure_rate(0.75));
    harness.calls(2, Failure);
    harness.calls(3, Success);
    harness.calls(1, Failure);
    harness.calls(1, Success);
    assert_eq!(harness.machine.counts(harness.now).failures, 1);
}

#[test]
fn failure_rate_is_evaluated_after_failures_and_slow_calls_only() {
    let mut harness = Harness::new(settings().slow_call(MILLI).slow_rate(1.0));
    harness.calls(10, Failure);
    harness.calls(11, Success);
    assert_eq!(
        harness.machine.state(),
        CircuitState::Closed,
        "10 of 20 in between"
    );
    assert_eq!(
        reason(harness.call(Failure)),
        Some(TransitionReason::FailureRate)
    );

    let mut harness = Harness::new(settings().slow_call(MILLI).slow_rate(1.0).failure_rate(0.2));
    harness.calls(10, Failure);
    harness.calls(10, Success);
    assert_eq!(
        reason(harness.call(SlowSuccess)),
        Some(TransitionReason::FailureRate)
    );
}

#[test]
fn transition_reason_is_the_first_threshold_reached() {
    let mixed = || {
        settings()
            .min_calls(4)
            .consecutive_failures(3)
            .failure_rate(0.5)
            .slow_call(MILLI)
            .slow_rate(0.5)
    };
    for (samples, why) in [
        (
            &[Failure, Failure, Failure][..],
            TransitionReason::ConsecutiveFailures,
        ),
        (
            &[Failure, Success, Success, Failure],
            TransitionReason::FailureRate,
        ),
        (
            &[SlowSuccess, Success, Success, SlowSuccess],
            TransitionReason::SlowRate,
        ),
        // Both rates at once: the failures are the graver.
        (
            &[SlowFailure, Success, Success, SlowFailure],
            TransitionReason::FailureRate,
        ),
        // All three at once.
        (
            &[Success, SlowFailure, SlowFailure, SlowFailure],
            TransitionReason::ConsecutiveFailures,
        ),
        (
            &[Failure, Success, SlowSuccess, SlowSuccess],
            TransitionReason::SlowRate,
        ),
    ] {
        let mut harness = Harness::new(mixed());
        let (last, first) = samples.split_last().expect("some");
        for sample in first {
            harness.calls(1, *sample);
        }
        assert_eq!(reason(harness.call(*last)), Some(why), "{samples:?}");
    }
}

#[test]
fn consecutive_failures_end_at_a_success_and_not_without_evidence() {
    let mut harness = Harness::new(trips_at_first_failure().consecutive_failures(3));
    for good in [Success, SlowSuccess] {
        harness.calls(2, Failure);
        harness.calls(1, good);
        assert_eq!(harness.machine.consecutive_failures(), 0);
    }
    harness.machine.record_successes(1, 5);
    harness.calls(2, SlowFailure);
    let permit = harness.admitted();
    assert!(harness.end(permit, None).is_none());
    assert_eq!(harness.machine.consecutive_failures(), 2);
    assert!(harness.call(Failure).is_some());
}

#[test]
fn consecutive_failures_end_at_a_success_of_the_fast_path() {
    let mut harness = Harness::new(trips_at_first_failure().consecutive_failures(3));
    harness.calls(2, Failure);
    harness.machine.record_successes(1, 0);
    assert_eq!(
        (
            harness.machine.consecutive_failures(),
            harness.machine.counts(harness.now).calls
        ),
        (2, 2)
    );
    harness.machine.record_successes(1, 5);
    assert_eq!(
        (
            harness.machine.consecutive_failures(),
            harness.machine.counts(harness.now).calls
        ),
        (0, 7)
    );
}

#[test]
fn threshold_that_is_off_never_opens_the_circuit() {
    let mut harness = Harness::new(settings().failure_rate(None).slow_call(MILLI));
    harness.calls(200, SlowFailure);
    assert_eq!(harness.machine.state(), CircuitState::Closed);
}

#[test]
fn failure_ends_a_run_of_successes() {
    let mut harness = Harness::new(settings().consecutive_failures(9));
    for run in 0..4 {
        assert_eq!(harness.machine.run_id(), run);
        harness.calls(2, Success);
        assert_eq!(harness.machine.run_id(), run, "a success goes on with it");
        harness.calls(1, Failure);
    }
}
