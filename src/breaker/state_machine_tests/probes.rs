use super::*;

pub(super) fn half_open(settings: CircuitBreakerBuilder) -> Harness {
    let mut harness = Harness::new(settings);
    harness
        .machine
        .open_until(harness.now + MILLI, harness.now)
        .expect("open");
    harness.wait(MILLI);
    harness
}

#[test]
fn half_open_closes_at_the_success_ratio_and_reopens_once_that_is_out_of_reach() {
    for (probes, ratio, needed) in [
        (1, 0.01, 1),
        (3, 0.33, 1),
        (3, 0.34, 2),
        (3, 0.5, 2),
        (3, 0.67, 3),
        (4, 0.5, 2),
        (5, 1.0, 5),
        (10, 0.7, 7),
        (1_000, 0.001, 1),
    ] {
        let settings = || {
            trips_at_first_failure()
                .probes(probes)
                .probe_success_ratio(ratio)
        };
        let mut harness = half_open(settings());
        harness.calls(needed - 1, Success);
        let transition = harness.call(Success).expect("enough");
        assert_eq!(
            (transition.to, transition.reason),
            (CircuitState::Closed, TransitionReason::ProbesSucceeded)
        );
        assert_eq!(
            harness.machine.counts(harness.now),
            CallCounts::default(),
            "as new"
        );

        let mut harness = half_open(settings());
        harness.calls(probes as usize - needed, Failure);
        let transition = harness.call(Failure).expect("out of reach");
        assert_eq!(
            (transition.to, transition.reason),
            (CircuitState::Open, TransitionReason::ProbesFailed)
        );
    }
}

#[test]
fn half_open_admits_at_most_n_probes_and_rejects_the_rest_until_the_first_deadline() {
    let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
    harness.admitted();
    harness.wait(MILLI);
    harness.admitted();
    harness.admitted();
    harness.wait(OPEN - MILLI * 2);
    assert_eq!(harness.rejected_for(), MILLI);
    assert_eq!(
        harness.machine.rejects(harness.now),
        Rejects::AllUntil(harness.now + MILLI)
    );
    assert_eq!(harness.machine.probes_in_flight(), 3);
}

/// Probes usually answer at once; their limit is much longer.
#[test]
fn half_open_retry_after_is_at_most_the_open_time() {
    let mut harness = half_open(trips_at_first_failure().probes(1));
    harness.admitted();
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn half_open_completed_probe_keeps_its_slot() {
    let mut harness = half_open(trips_at_first_failure());
    harness.calls(1, Success);
    harness.admitted();
    harness.admitted();
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn half_open_unready_service_takes_a_free_slot_only() {
    for first in [None, Some(Success), Some(Failure)] {
        let mut harness = half_open(trips_at_first_failure());
        let probe = harness.admitted();
        if first.is_some() {
            harness.end(probe, first);
        }
        let last = harness.admitted();
        harness.admitted();
        if first.is_none() {
            harness.end(last, None);
            harness.admitted();
        }
        (0..5).for_each(|_| assert!(harness.machine.on_not_ready(harness.now).is_none()));
        // Two bad ones of three are too many; what had no place is none of them.
        let transition = harness.end(last, Failure);
        assert_eq!(transition.is_some(), first == Some(Failure), "{first:?}");
    }
}

#[test]
fn half_open_probe_without_evidence_gives_its_slot_back() {
    let mut harness = half_open(trips_at_first_failure().probes(1));
    for n in 0..100 {
        let mut probe = harness.admitted();
        harness.rejected_for();
        if n % 2 == 0 {
            assert!(harness.end(probe, None).is_none());
        } else {
            assert!(harness.head(&mut probe, None).is_none());
            let other = harness.admitted();
            assert!(
                harness.end(probe, Failure).is_none(),
                "its place is another's"
            );
            assert!(harness.end(other, None).is_none());
        }
        assert_eq!(harness.machine.probes_in_flight(), 0);
    }
    assert_eq!(harness.machine.state(), CircuitState::HalfOpen);
}

/// Healthy streams and slow answers never closed a circuit: probes were classified by the ends of their bodies, and all
/// at once when five seconds were over.
#[test]
fn half_open_probe_is_decided_by_its_head() {
    for (sample, to) in [
        (Success, CircuitState::Closed),
        (Failure, CircuitState::Open),
        (SlowFailure, CircuitState::Open),
    ] {
        let mut harness = half_open(trips_at_first_failure());
        let mut probes = [harness.admitted(), harness.admitted()];
        let changes = probes.each_mut().map(|probe| harness.head(probe, sample));
        let [None, Some(transition)] = changes else {
            panic!("{changes:?}");
        };
        assert_eq!(transition.to, to);
        for probe in probes {
            assert!(harness.end(probe, sample).is_none(), "settled once");
        }
    }
}

#[test]
fn half_open_probe_fails_if_its_body_breaks_later() {
    let mut harness = half_open(trips_at_first_failure().probe_success_ratio(1.0));
    let probe = harness.successful_head();
    assert_eq!(harness.machine.probes_in_flight(), 0);
    assert_eq!(
        reason(harness.end(probe, Failure)),
        Some(TransitionReason::ProbesFailed)
    );
}

/// Of five probes, three must be good.
fn three_of_five() -> Harness {
    half_open(
        trips_at_first_failure()
            .probes(5)
            .probe_success_ratio(0.6)
            .probe_timeout(OPEN),
    )
}

#[test]
fn half_open_probe_whose_body_breaks_is_no_success_any_more() {
    let mut harness = three_of_five();
    let probe = harness.successful_head();
    assert!(harness.end(probe, Failure).is_none());
    harness.calls(2, Success);
    assert_eq!(
        reason(harness.call(Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn half_open_overdue_probe_that_succeeds_is_no_failure_any_more() {
    let mut harness = three_of_five();
    let late = harness.admitted();
    harness.wait(OPEN);
    assert!(harness.machine.expire(harness.now).is_none());
    assert!(harness.end(late, Success).is_none());
    harness.calls(2, Failure);
    assert_eq!(
        reason(harness.call(Failure)),
        Some(TransitionReason::ProbesFailed)
    );
}

#[test]
fn probe_timeout_starts_with_each_probe() {
    let mut harness = half_open(
        trips_at_first_failure()
            .probe_success_ratio(1.0)
            .probe_timeout(OPEN),
    );
    let nano = Duration::from_nanos(1);
    harness.wait(OPEN * 1_000);
    assert!(
        harness.machine.expire(harness.now).is_none(),
        "the phase has no limit"
    );
    harness.calls(2, Success);
    harness.wait(OPEN - nano);
    let late = harness.admitted();
    harness.wait(OPEN - nano);
    assert!(harness.machine.expire(harness.now).is_none(), "not yet");
    assert_eq!(
        reason(harness.end(late, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probe_timeout_fails_probes_and_reopens_the_circuit() {
    for (good, bad, overdue, out, opens) in [
        (0, 0, 1, 0, false),
        (0, 0, 1, 2, false),
        (0, 0, 2, 0, true),
        (0, 0, 2, 1, true),
        (1, 0, 1, 0, false),
        (1, 0, 2, 0, true),
        (0, 1, 1, 1, true),
    ] {
        let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
        harness.calls(good, Success);
        harness.calls(bad, Failure);
        for _ in 0..overdue {
            harness.admitted();
        }
        harness.wait(MILLI);
        for _ in 0..out {
            harness.admitted();
        }
        harness.wait(OPEN - MILLI);
        let transition = harness.machine.expire(harness.now);
        let expected = opens.then_some(TransitionReason::ProbeTimeout);
        assert_eq!(reason(transition), expected, "{good} {bad} {overdue} {out}");
        if !opens {
            assert_eq!(harness.machine.probes_in_flight(), out);
        }
    }
}

#[test]
fn probe_timeout_does_not_discard_a_late_success() {
    // Noticed before or after it was overdue.
    for noticed in [false, true] {
        let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
        harness.calls(1, Success);
        let late = harness.admitted();
        harness.wait(OPEN * 7);
        if noticed {
            assert!(harness.machine.expire(harness.now).is_none());
        }
        let transition = harness.end(late, Success);
        assert_eq!(
            reason(transition),
            Some(TransitionReason::ProbesSucceeded),
            "{noticed}"
        );
    }
    // Nothing else does.
    for sample in [None, Some(Failure)] {
        let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
        let late = harness.admitted();
        harness.wait(OPEN);
        assert!(harness.end(late, sample).is_none());
        assert_eq!(harness.machine.probes_in_flight(), 0);
        let transition = harness.call(Failure);
        assert_eq!(
            reason(transition),
            Some(TransitionReason::ProbesFailed),
            "{sample:?}"
        );
    }
}

#[test]
fn half_open_ignores_a_late_success_of_an_earlier_phase() {
    let mut harness = half_open(trips_at_first_failure().probes(1).probe_timeout(OPEN));
    let late = harness.admitted();
    harness.wait(OPEN);
    assert_eq!(harness.rejected_for(), OPEN);
    harness.wait(OPEN);
    let probe = harness.admitted();
    assert!(harness.end(late, Success).is_none());
    assert_eq!(harness.machine.probes_in_flight(), 1);
    assert_eq!(
        reason(harness.end(probe, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probe_timeout_defaults_to_30_s() {
    for (settings, limit) in [
        (trips_at_first_failure().open_time(OPEN * 2), 30_000),
        (trips_at_first_failure(), 30_000),
        (trips_at_first_failure().probe_timeout(MILLI), 1),
    ] {
        let mut harness = half_open(settings.probes(1));
        harness.admitted();
        let until = harness.now + Duration::from_millis(limit);
        assert_eq!(
            harness.machine.rejects(harness.now),
            Rejects::AllUntil(until)
        );
    }
}

#[test]
fn half_open_waits_for_a_rare_caller_forever() {
    let mut harness = half_open(trips_at_first_failure().probes(1));
    let probe = harness.admitted();
    harness.end(probe, None);
    harness.wait(OPEN * 1_000);
    let (answer, transition) = harness.admit();
    assert!(is_admitted(answer) && transition.is_none());
    let Ok(probe) = answer else { unreachable!() };
    assert_eq!(
        reason(harness.end(probe, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probe_timeout_bounds_probes_that_never_complete() {
    let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
    for _ in 0..3 {
        harness.admitted();
    }
    for wait in [5, 10, 20, 40, 60, 60] {
        harness.wait(OPEN);
        assert_eq!(harness.rejected_for(), Duration::from_secs(wait));
        harness.wait(Duration::from_secs(wait));
        for _ in 0..3 {
            harness.admitted();
        }
    }
}

#[test]
fn slow_probe_fails_only_with_a_slow_rate() {
    let slow = || trips_at_first_failure().probes(1).slow_call(MILLI);
    let mut harness = half_open(slow().slow_rate(0.5));
    assert_eq!(
        reason(harness.call(SlowSuccess)),
        Some(TransitionReason::ProbesFailed)
    );
    let mut harness = half_open(slow());
    assert_eq!(
        reason(harness.call(SlowSuccess)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn generation_that_is_past_changes_nothing_in_any_state() {
    for sample in [Some(Success), Some(Failure), Some(SlowFailure), None] {
        for state in CircuitState::ALL {
            let mut harness = Harness::in_state(CircuitState::HalfOpen);
            let old = harness.admitted();
            harness.machine.reset(harness.now);
            match state {
                CircuitState::Closed => {}
                CircuitState::ForcedOpen => drop(harness.machine.force_open(harness.now)),
                CircuitState::Disabled => drop(harness.machine.disable(harness.now)),
                CircuitState::Open | CircuitState::HalfOpen => {
                    harness.call(Failure);
                    harness.wait(OPEN);
                }
            }
            if state == CircuitState::HalfOpen {
                harness.admitted();
            }
            let seen = |harness: &Harness| {
                let core = &harness.machine;
                let counts = core.counts(harness.now);
                (
                    core.state(),
                    core.generation(),
                    counts,
                    core.consecutive_failures(),
                    core.probes_in_flight(),
                )
            };
            let before = seen(&harness);
            assert!(harness.end(old, sample).is_none());
            assert_eq!(seen(&harness), before);
        }
    }
}
