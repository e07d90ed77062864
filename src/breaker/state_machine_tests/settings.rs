//! Settings that are applied to a live circuit.

use super::*;
use crate::breaker::permit::PermitState;

impl Harness {
    /// Applies the settings of this builder.
    fn apply(&mut self, builder: CircuitBreakerBuilder) {
        let config = builder.validated().expect("valid settings");
        let shape = self.machine.other_shape(&config);
        let before = (self.machine.state(), self.machine.generation());
        self.machine.apply(config, shape, self.now);
        let after = (self.machine.state(), self.machine.generation());
        assert_eq!(after, before, "settings are no transition");
    }

    fn counts(&self) -> (u64, u64, u64) {
        let CallCounts {
            calls,
            failures,
            slow,
        } = self.machine.counts(self.now);
        (calls, failures, slow)
    }
}

#[test]
fn settings_keep_the_window_and_the_failures_in_a_row() {
    let mut harness = Harness::new(settings().slow_call(MILLI));
    harness.calls(3, SlowSuccess);
    harness.calls(2, Failure);
    let windows = [
        settings().failure_rate(0.3).probes(7),
        settings().time_window(60 * OPEN, 100),
        settings().count_window(50),
        settings().count_window(20),
        settings(),
        settings().time_window(MILLI, 1),
    ];
    for builder in windows {
        harness.apply(builder);
        assert_eq!(harness.counts(), (5, 2, 3));
        assert_eq!(harness.machine.consecutive_failures(), 2);
    }
}

#[test]
fn thresholds_apply_from_the_next_failure_on() {
    let mut harness = Harness::new(settings().min_calls(5));
    harness.calls(4, Failure);
    harness.apply(settings().min_calls(1).consecutive_failures(2));
    assert!(harness.call(Success).is_none(), "a success opens nothing");
    let opened = harness.call(Failure);
    assert_eq!(reason(opened), Some(TransitionReason::FailureRate));

    let mut harness = Harness::new(settings());
    harness.calls(4, Failure);
    harness.apply(settings().consecutive_failures(2));
    let opened = harness.call(Failure);
    assert_eq!(reason(opened), Some(TransitionReason::ConsecutiveFailures));

    let mut harness = Harness::new(settings().slow_call(MILLI));
    harness.calls(9, SlowSuccess);
    harness.apply(settings().slow_call(MILLI).slow_rate(0.9).min_calls(1));
    let opened = harness.call(SlowSuccess);
    assert_eq!(reason(opened), Some(TransitionReason::SlowRate));
}

#[test]
fn open_circuit_keeps_its_end_and_opens_by_the_new_settings_next_time() {
    let mut harness = Harness::in_state(CircuitState::Open);
    harness.wait(MILLI);
    harness.apply(trips_at_first_failure().open_time(MILLI).open_backoff(3.0));
    assert_eq!(harness.rejected_for(), OPEN - MILLI);
    harness.wait(OPEN - MILLI);
    for _ in 0..2 {
        harness.call(Failure);
    }
    // The second time in a row.
    assert_eq!(harness.rejected_for(), 3 * MILLI);
}

#[test]
fn half_open_phase_ends_by_the_probes_with_which_it_began() {
    for probes in [1, 10] {
        let mut harness = Harness::new(trips_at_first_failure().probe_success_ratio(1.0));
        harness.call(Failure);
        harness.wait(OPEN);
        let first = harness.admitted();
        harness.apply(trips_at_first_failure().probes(probes));
        assert_eq!(harness.machine.probes_in_flight(), 1);
        assert!(harness.end(first, Success).is_none());
        let others = [harness.admitted(), harness.admitted()];
        assert!(harness.admit().0.is_err(), "three probes in all");
        assert!(harness.end(others[0], Success).is_none());
        let closed = harness.end(others[1], Success);
        assert_eq!(reason(closed), Some(TransitionReason::ProbesSucceeded));

        harness.call(Failure);
        harness.wait(2 * OPEN);
        for _ in 0..probes {
            harness.admitted();
        }
        assert!(harness.admit().0.is_err(), "{probes} in the next phase");
    }
}

#[test]
fn probe_keeps_its_deadline_and_the_next_has_the_new_one() {
    let mut harness = Harness::new(trips_at_first_failure().probe_timeout(8 * MILLI));
    harness.call(Failure);
    harness.wait(OPEN);
    harness.admitted();
    harness.apply(trips_at_first_failure().probe_timeout(2 * MILLI));
    harness.admitted();
    for (wait, in_flight) in [(MILLI, 2), (MILLI, 1), (5 * MILLI, 1)] {
        harness.wait(wait);
        harness.machine.expire(harness.now);
        assert_eq!(harness.machine.probes_in_flight(), in_flight);
    }
    harness.wait(MILLI);
    let opened = harness.machine.expire(harness.now);
    assert_eq!(reason(opened), Some(TransitionReason::ProbeTimeout));
}

#[test]
fn settings_keep_overrides_and_the_open_backoff() {
    for state in [CircuitState::ForcedOpen, CircuitState::Disabled] {
        let mut harness = Harness::in_state(state);
        harness.apply(settings().count_window(5));
        assert_eq!(harness.machine.state(), state);
    }
    let mut harness = Harness::in_state(CircuitState::HalfOpen);
    harness.apply(trips_at_first_failure().time_window(OPEN, 5));
    for _ in 0..2 {
        harness.call(Failure);
    }
    assert_eq!(harness.rejected_for(), 2 * OPEN);
}

#[test]
fn success_of_another_shape_becomes_a_failure_in_any_window() {
    let windows = [
        settings().time_window(60 * OPEN, 100),
        settings().count_window(50),
        settings(),
    ];
    for before in &windows {
        for after in &windows {
            let mut harness = Harness::new(before.clone());
            let permit = harness.successful_head();
            harness.wait(MILLI);
            harness.apply(after.clone());
            harness.calls(1, Success);
            assert!(harness.end(permit, Failure).is_none());
            assert_eq!(harness.counts(), (2, 1, 0));
            assert_eq!(harness.machine.consecutive_failures(), 1);
        }
    }
}

#[test]
fn shape_has_the_next_number_only_if_the_window_changes() {
    let mut harness = Harness::new(settings());
    let shape = |harness: &mut Harness| match harness.successful_head().state {
        PermitState::Success { shape, .. } => shape,
        other => panic!("{other:?}"),
    };
    let count = settings().count_window(9);
    for (builder, number) in [
        (settings().failure_rate(0.1), 0),
        (settings().time_window(60 * OPEN, 10), 1),
        (settings().time_window(60 * OPEN, 11), 2),
        (count.clone(), 3),
        // Not used, and so no other window.
        (settings().time_window(OPEN, 2).count_window(9), 3),
        (settings().count_window(10), 4),
        (settings(), 5),
    ] {
        harness.apply(builder);
        assert_eq!(shape(&mut harness), number);
    }
    for _ in 0..125 {
        harness.apply(count.clone());
        harness.apply(settings());
    }
    harness.apply(count);
    assert_eq!(shape(&mut harness), 0, "256 is 0 again");
}
