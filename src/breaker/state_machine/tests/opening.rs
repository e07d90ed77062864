use super::*;

#[test]
fn three_failures_of_thirty_are_a_tenth() {
    let mut rig = Rig::new(settings().failure_rate(0.1).min_calls(30));
    rig.calls(27, Success);
    rig.calls(2, Failure);
    let change = rig.call(Failure).expect("3 of 30");
    assert_eq!(
        (change.from, change.to),
        (CircuitState::Closed, CircuitState::Open)
    );
    assert_eq!(change.reason, TransitionReason::FailureRate);
    assert_eq!((change.counts.calls, change.counts.failures), (30, 3));
    assert_eq!(change.open_for, Some(OPEN));

    let mut rig = Rig::new(settings().failure_rate(0.1).min_calls(30));
    rig.calls(28, Success);
    rig.calls(3, Failure);
    assert_eq!(rig.core.state(), CircuitState::Closed, "3 of 31 are less");
}

#[test]
fn every_rate_in_hundredths_opens_at_its_number_of_a_hundred_and_not_one_earlier() {
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
            let mut rig = Rig::new(settings.min_calls(100));
            rig.calls(100 - percent, Success);
            rig.calls(percent - 1, sample);
            assert_eq!(reason(rig.call(sample)), Some(why), "{percent} of 100");
        }
    }
}

#[test]
fn rates_wait_for_the_minimum_of_calls_and_failures_in_a_row_do_not() {
    let slow = || settings().slow_call(MILLI).slow_rate(0.5);
    for (settings, sample) in [
        (settings(), Failure),
        (settings().count_window(20), Failure),
        (slow().failure_rate(None), SlowSuccess),
        (slow().count_window(20), SlowFailure),
    ] {
        let mut rig = Rig::new(settings.min_calls(20));
        rig.calls(19, sample);
        assert!(rig.call(sample).is_some(), "the twentieth {sample:?}");
    }
    let mut rig = Rig::new(settings().min_calls(20).consecutive_failures(3));
    rig.calls(2, Failure);
    assert_eq!(
        reason(rig.call(Failure)),
        Some(TransitionReason::ConsecutiveFailures)
    );
}

#[test]
fn calls_that_have_left_the_window_are_missing_from_the_minimum() {
    let window = Duration::from_secs(10);
    let mut rig = Rig::new(settings().time_window(window, 10).min_calls(4));
    rig.calls(3, Failure);
    rig.wait(window - MILLI);
    assert_eq!(rig.core.counts(rig.now).calls, 3, "not yet");
    rig.wait(MILLI);
    assert_eq!(rig.core.counts(rig.now), CallCounts::default());
    rig.calls(3, Failure);
    assert!(rig.call(Failure).is_some());

    let mut rig = Rig::new(settings().count_window(4).failure_rate(0.75));
    rig.calls(2, Failure);
    rig.calls(3, Success);
    rig.calls(1, Failure);
    rig.calls(1, Success);
    assert_eq!(rig.core.counts(rig.now).failures, 1);
}

#[test]
fn a_rate_is_looked_at_when_something_failed_or_was_slow() {
    let mut rig = Rig::new(settings().slow_call(MILLI).slow_rate(1.0));
    rig.calls(10, Failure);
    rig.calls(11, Success);
    assert_eq!(
        rig.core.state(),
        CircuitState::Closed,
        "10 of 20 in between"
    );
    assert_eq!(
        reason(rig.call(Failure)),
        Some(TransitionReason::FailureRate)
    );

    let mut rig = Rig::new(settings().slow_call(MILLI).slow_rate(1.0).failure_rate(0.2));
    rig.calls(10, Failure);
    rig.calls(10, Success);
    assert_eq!(
        reason(rig.call(SlowSuccess)),
        Some(TransitionReason::FailureRate)
    );
}

#[test]
fn the_first_limit_to_be_reached_opens_it_and_is_the_reason() {
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
        let mut rig = Rig::new(mixed());
        let (last, first) = samples.split_last().expect("some");
        for sample in first {
            rig.calls(1, *sample);
        }
        assert_eq!(reason(rig.call(*last)), Some(why), "{samples:?}");
    }
}

#[test]
fn any_success_breaks_a_row_and_what_counts_nothing_does_not() {
    let mut rig = Rig::new(touchy().consecutive_failures(3));
    for good in [Success, SlowSuccess] {
        rig.calls(2, Failure);
        rig.calls(1, good);
        assert_eq!(rig.core.consecutive_failures(), 0);
    }
    rig.core.record_successes(1, 5);
    rig.calls(2, SlowFailure);
    let pass = rig.probe();
    assert!(rig.settle(pass, None).is_none());
    assert_eq!(rig.core.consecutive_failures(), 2);
    assert!(rig.call(Failure).is_some());
}

#[test]
fn successes_that_were_counted_elsewhere_count_and_break_a_row_and_none_of_them_do_not() {
    let mut rig = Rig::new(touchy().consecutive_failures(3));
    rig.calls(2, Failure);
    rig.core.record_successes(1, 0);
    assert_eq!(
        (
            rig.core.consecutive_failures(),
            rig.core.counts(rig.now).calls
        ),
        (2, 2)
    );
    rig.core.record_successes(1, 5);
    assert_eq!(
        (
            rig.core.consecutive_failures(),
            rig.core.counts(rig.now).calls
        ),
        (0, 7)
    );
}

#[test]
fn a_limit_that_is_off_never_opens_it() {
    let mut rig = Rig::new(settings().failure_rate(None).slow_call(MILLI));
    rig.calls(200, SlowFailure);
    assert_eq!(rig.core.state(), CircuitState::Closed);
}

#[test]
fn failure_ends_a_run_of_successes() {
    let mut rig = Rig::new(settings().consecutive_failures(9));
    for run in 0..4 {
        assert_eq!(rig.core.run_id(), run);
        rig.calls(2, Success);
        assert_eq!(rig.core.run_id(), run, "a success goes on with it");
        rig.calls(1, Failure);
    }
}
