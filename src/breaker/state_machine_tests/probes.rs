use super::*;
use crate::protocol::upload::Upload;

fn half_open(settings: CircuitBreakerBuilder) -> Harness {
    let mut harness = Harness::new(settings);
    harness
        .machine
        .open_until(harness.now + MILLI, harness.now)
        .expect("open");
    harness.wait(MILLI);
    harness
}

#[test]
fn as_many_as_the_ratio_wants_close_it_and_it_opens_as_soon_as_that_is_out_of_reach() {
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
        let change = harness.call(Success).expect("enough");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Closed, TransitionReason::ProbesSucceeded)
        );
        assert_eq!(
            harness.machine.counts(harness.now),
            CallCounts::default(),
            "as new"
        );

        let mut harness = half_open(settings());
        harness.calls(probes as usize - needed, Failure);
        let change = harness.call(Failure).expect("out of reach");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Open, TransitionReason::ProbesFailed)
        );
    }
}

#[test]
fn half_open_admits_at_most_n_probes_and_the_rest_learn_when_the_first_fails() {
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
fn half_open_sends_nobody_away_for_longer_than_the_open_time() {
    let mut harness = half_open(trips_at_first_failure().probes(1));
    harness.admitted();
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn probe_that_has_settled_makes_no_room_for_another() {
    let mut harness = half_open(trips_at_first_failure());
    harness.calls(1, Success);
    harness.admitted();
    harness.admitted();
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn a_service_that_cannot_become_ready_takes_no_place_that_is_taken() {
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
        let change = harness.end(last, Failure);
        assert_eq!(change.is_some(), first == Some(Failure), "{first:?}");
    }
}

#[test]
fn probe_that_says_nothing_is_given_back_at_its_head_or_its_end() {
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

/// Healthy streams and slow answers never closed a circuit: probes were judged by the ends of their bodies, and all
/// at once when five seconds were over.
#[test]
fn head_settles_a_probe_at_once() {
    for (sample, to) in [
        (Success, CircuitState::Closed),
        (Failure, CircuitState::Open),
        (SlowFailure, CircuitState::Open),
    ] {
        let mut harness = half_open(trips_at_first_failure());
        let mut probes = [harness.admitted(), harness.admitted()];
        let changes = probes.each_mut().map(|probe| harness.head(probe, sample));
        let [None, Some(change)] = changes else {
            panic!("{changes:?}");
        };
        assert_eq!(change.to, to);
        for probe in probes {
            assert!(harness.end(probe, sample).is_none(), "settled once");
        }
    }
}

#[test]
fn body_that_breaks_while_others_still_probe_makes_a_good_probe_a_bad_one() {
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
fn good_probe_whose_body_breaks_is_not_counted_as_good_any_more() {
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
fn overdue_probe_whose_answer_is_good_is_not_counted_as_bad_any_more() {
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
fn probe_limit_is_each_probes_own_from_its_own_start() {
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
fn probes_that_are_overdue_have_failed_and_open_it_as_soon_as_they_are_too_many() {
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
        let change = harness.machine.expire(harness.now);
        let expected = opens.then_some(TransitionReason::ProbeTimeout);
        assert_eq!(reason(change), expected, "{good} {bad} {overdue} {out}");
        if !opens {
            assert_eq!(harness.machine.probes_in_flight(), out);
        }
    }
}

#[test]
fn success_in_hand_counts_however_late_it_is() {
    // Noticed before or after it was overdue.
    for noticed in [false, true] {
        let mut harness = half_open(trips_at_first_failure().probe_timeout(OPEN));
        harness.calls(1, Success);
        let late = harness.admitted();
        harness.wait(OPEN * 7);
        if noticed {
            assert!(harness.machine.expire(harness.now).is_none());
        }
        let change = harness.end(late, Success);
        assert_eq!(
            reason(change),
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
        let change = harness.call(Failure);
        assert_eq!(
            reason(change),
            Some(TransitionReason::ProbesFailed),
            "{sample:?}"
        );
    }
}

#[test]
fn late_success_of_an_earlier_phase_counts_nothing() {
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
fn probe_limit_is_30_s_whatever_the_open_time_unless_it_is_set() {
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
fn half_open_waits_for_a_rare_caller_for_ever() {
    let mut harness = half_open(trips_at_first_failure().probes(1));
    let probe = harness.admitted();
    harness.end(probe, None);
    harness.wait(OPEN * 1_000);
    let (answer, change) = harness.admit();
    assert!(is_admitted(answer) && change.is_none());
    let Ok(probe) = answer else { unreachable!() };
    assert_eq!(
        reason(harness.end(probe, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probes_that_never_come_back_hold_it_up_until_their_limit_only() {
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
fn a_slow_success_is_a_bad_probe_where_slowness_opens_it_and_a_good_one_elsewhere() {
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
fn results_of_an_earlier_generation_change_nothing_in_any_state() {
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

/// Strangers who stall their uploads kept a circuit from closing: each was a probe that failed at its limit.
#[test]
fn probe_whose_caller_stalls_gives_its_place_back_and_still_counts_in_the_end() {
    for (stalled, said, to) in [
        (true, Success, CircuitState::Closed),
        (true, Failure, CircuitState::Open),
        (false, Success, CircuitState::Closed),
    ] {
        let limit = OPEN * 10;
        let mut harness = half_open(trips_at_first_failure().probes(1).probe_timeout(limit));
        let probe = harness.admitted();
        harness
            .machine
            .watch_upload(&probe, Upload::stalled(stalled));
        harness.wait(OPEN - MILLI);
        assert_eq!(
            harness.machine.expire(harness.now).map(|change| change.to),
            None
        );
        assert!(harness.machine.is_probing_at_limit());
        harness.wait(MILLI);
        assert!(harness.machine.expire(harness.now).is_none());
        assert_eq!(harness.machine.is_probing_at_limit(), !stalled);
        let change = harness.end(probe, Some(said)).expect("it decides");
        assert_eq!(change.to, to, "{said:?}");
    }
}

#[test]
fn probe_whose_place_another_has_does_not_speak_for_that_one() {
    let limit = OPEN * 10;
    let mut harness = half_open(
        trips_at_first_failure()
            .probes(2)
            .probe_success_ratio(1.0)
            .probe_timeout(limit),
    );
    let stalls = harness.admitted();
    harness.machine.watch_upload(&stalls, Upload::stalled(true));
    harness.wait(OPEN);
    let (_other, _third) = (harness.admitted(), harness.admitted());
    assert!(harness.end(stalls, None).is_none());
    assert_eq!(harness.machine.probes_in_flight(), 2);
    assert_eq!(harness.machine.state(), CircuitState::HalfOpen);
}

#[test]
fn probe_that_does_not_stall_fails_at_its_limit_whether_it_has_a_body_or_not() {
    for body in [false, true] {
        let mut harness = half_open(trips_at_first_failure().probes(1).probe_timeout(OPEN));
        let probe = harness.admitted();
        if body {
            harness.machine.watch_upload(&probe, Upload::stalled(false));
        }
        harness.wait(OPEN);
        let change = harness.machine.expire(harness.now).expect("overdue");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Open, TransitionReason::ProbeTimeout)
        );
    }
}

/// Callers who wait would have been woken at its limit only.
#[test]
fn probe_with_a_body_is_looked_at_again_before_its_limit() {
    let limit = OPEN * 10;
    let mut harness = half_open(trips_at_first_failure().probes(1).probe_timeout(limit));
    let (began, probe) = (harness.now, harness.admitted());
    let until = |harness: &Harness| match harness.machine.rejects(harness.now) {
        Rejects::AllUntil(until) => until - began,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&harness), limit);
    harness.machine.watch_upload(&probe, Upload::stalled(false));
    assert_eq!(until(&harness), OPEN);
    harness.wait(OPEN - MILLI);
    assert_eq!(until(&harness), OPEN * 3 / 2 - MILLI, "not at once again");
    harness.wait(limit - OPEN);
    assert_eq!(until(&harness), limit);
}

/// A probe whose caller stalls, which has just had to give its place back.
fn stalled(harness: &mut Harness) -> BreakerPermit {
    let probe = harness.admitted();
    harness.machine.watch_upload(&probe, Upload::stalled(true));
    harness.wait(OPEN);
    assert!(harness.machine.expire(harness.now).is_none());
    probe
}

#[test]
fn probe_without_a_place_is_counted_for_good_at_its_head() {
    let settings = trips_at_first_failure().probes(3).probe_success_ratio(1.0);
    let mut harness = half_open(settings.probe_timeout(OPEN * 10));
    let mut probe = stalled(&mut harness);
    assert!(harness.head(&mut probe, Success).is_none());
    assert!(harness.end(probe, Failure).is_none());
    assert_eq!(harness.machine.state(), CircuitState::HalfOpen);
}

#[test]
fn bodies_get_half_of_the_places_once_a_caller_has_stalled() {
    let mut harness = half_open(
        trips_at_first_failure()
            .probes(100)
            .probe_timeout(OPEN * 10),
    );
    let admitted = |harness: &mut Harness| {
        let admits = (0..20).map(|_| harness.machine.admit(harness.now, true).0);
        admits.filter(|answer| is_admitted(*answer)).count()
    };
    assert_eq!(admitted(&mut harness), 20);
    stalled(&mut harness);
    let after = admitted(&mut harness);
    assert!((5..=15).contains(&after), "{after} of 20");
    for _ in 0..20 {
        harness.admitted();
    }
}
