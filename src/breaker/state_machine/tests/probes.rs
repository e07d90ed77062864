use super::*;
use crate::protocol::upload::Upload;

fn half_open(settings: CircuitBreakerBuilder) -> Rig {
    let mut rig = Rig::new(settings);
    rig.core.open_until(rig.now + MILLI, rig.now).expect("open");
    rig.wait(MILLI);
    rig
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
        let settings = || touchy().probes(probes).probe_success_ratio(ratio);
        let mut rig = half_open(settings());
        rig.calls(needed - 1, Success);
        let change = rig.call(Success).expect("enough");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Closed, TransitionReason::ProbesSucceeded)
        );
        assert_eq!(rig.core.counts(rig.now), CallCounts::default(), "as new");

        let mut rig = half_open(settings());
        rig.calls(probes as usize - needed, Failure);
        let change = rig.call(Failure).expect("out of reach");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Open, TransitionReason::ProbesFailed)
        );
    }
}

#[test]
fn half_open_admits_at_most_n_probes_and_the_rest_learn_when_the_first_fails() {
    let mut rig = half_open(touchy().probe_timeout(OPEN));
    rig.probe();
    rig.wait(MILLI);
    rig.probe();
    rig.probe();
    rig.wait(OPEN - MILLI * 2);
    assert_eq!(rig.refused_for(), MILLI);
    assert_eq!(
        rig.core.rejects(rig.now),
        Rejects::AllUntil(rig.now + MILLI)
    );
    assert_eq!(rig.core.probes_in_flight(), 3);
}

/// Probes usually answer at once; their limit is much longer.
#[test]
fn half_open_sends_nobody_away_for_longer_than_the_open_time() {
    let mut rig = half_open(touchy().probes(1));
    rig.probe();
    assert_eq!(rig.refused_for(), OPEN);
}

#[test]
fn probe_that_has_settled_makes_no_room_for_another() {
    let mut rig = half_open(touchy());
    rig.calls(1, Success);
    rig.probe();
    rig.probe();
    assert_eq!(rig.refused_for(), OPEN);
}

#[test]
fn a_service_that_cannot_become_ready_takes_no_place_that_is_taken() {
    for first in [None, Some(Success), Some(Failure)] {
        let mut rig = half_open(touchy());
        let probe = rig.probe();
        if first.is_some() {
            rig.settle(probe, first);
        }
        let last = rig.probe();
        rig.probe();
        if first.is_none() {
            rig.settle(last, None);
            rig.probe();
        }
        (0..5).for_each(|_| assert!(rig.core.on_not_ready(rig.now).is_none()));
        // Two bad ones of three are too many; what had no place is none of them.
        let change = rig.settle(last, Failure);
        assert_eq!(change.is_some(), first == Some(Failure), "{first:?}");
    }
}

#[test]
fn probe_that_says_nothing_is_given_back_at_its_head_or_its_end() {
    let mut rig = half_open(touchy().probes(1));
    for n in 0..100 {
        let mut probe = rig.probe();
        rig.refused_for();
        if n % 2 == 0 {
            assert!(rig.settle(probe, None).is_none());
        } else {
            assert!(rig.head(&mut probe, None).is_none());
            let other = rig.probe();
            assert!(
                rig.settle(probe, Failure).is_none(),
                "its place is another's"
            );
            assert!(rig.settle(other, None).is_none());
        }
        assert_eq!(rig.core.probes_in_flight(), 0);
    }
    assert_eq!(rig.core.state(), CircuitState::HalfOpen);
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
        let mut rig = half_open(touchy());
        let mut probes = [rig.probe(), rig.probe()];
        let changes = probes.each_mut().map(|probe| rig.head(probe, sample));
        let [None, Some(change)] = changes else {
            panic!("{changes:?}");
        };
        assert_eq!(change.to, to);
        for probe in probes {
            assert!(rig.settle(probe, sample).is_none(), "settled once");
        }
    }
}

#[test]
fn body_that_breaks_while_others_still_probe_makes_a_good_probe_a_bad_one() {
    let mut rig = half_open(touchy().probe_success_ratio(1.0));
    let probe = rig.good_head();
    assert_eq!(rig.core.probes_in_flight(), 0);
    assert_eq!(
        reason(rig.settle(probe, Failure)),
        Some(TransitionReason::ProbesFailed)
    );
}

/// Of five probes, three must be good.
fn three_of_five() -> Rig {
    half_open(
        touchy()
            .probes(5)
            .probe_success_ratio(0.6)
            .probe_timeout(OPEN),
    )
}

#[test]
fn good_probe_whose_body_breaks_is_not_counted_as_good_any_more() {
    let mut rig = three_of_five();
    let probe = rig.good_head();
    assert!(rig.settle(probe, Failure).is_none());
    rig.calls(2, Success);
    assert_eq!(
        reason(rig.call(Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn overdue_probe_whose_answer_is_good_is_not_counted_as_bad_any_more() {
    let mut rig = three_of_five();
    let late = rig.probe();
    rig.wait(OPEN);
    assert!(rig.core.expire(rig.now).is_none());
    assert!(rig.settle(late, Success).is_none());
    rig.calls(2, Failure);
    assert_eq!(
        reason(rig.call(Failure)),
        Some(TransitionReason::ProbesFailed)
    );
}

#[test]
fn probe_limit_is_each_probes_own_from_its_own_start() {
    let mut rig = half_open(touchy().probe_success_ratio(1.0).probe_timeout(OPEN));
    let nano = Duration::from_nanos(1);
    rig.wait(OPEN * 1_000);
    assert!(rig.core.expire(rig.now).is_none(), "the phase has no limit");
    rig.calls(2, Success);
    rig.wait(OPEN - nano);
    let late = rig.probe();
    rig.wait(OPEN - nano);
    assert!(rig.core.expire(rig.now).is_none(), "not yet");
    assert_eq!(
        reason(rig.settle(late, Success)),
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
        let mut rig = half_open(touchy().probe_timeout(OPEN));
        rig.calls(good, Success);
        rig.calls(bad, Failure);
        for _ in 0..overdue {
            rig.probe();
        }
        rig.wait(MILLI);
        for _ in 0..out {
            rig.probe();
        }
        rig.wait(OPEN - MILLI);
        let change = rig.core.expire(rig.now);
        let expected = opens.then_some(TransitionReason::ProbeTimeout);
        assert_eq!(reason(change), expected, "{good} {bad} {overdue} {out}");
        if !opens {
            assert_eq!(rig.core.probes_in_flight(), out);
        }
    }
}

#[test]
fn success_in_hand_counts_however_late_it_is() {
    // Noticed before or after it was overdue.
    for noticed in [false, true] {
        let mut rig = half_open(touchy().probe_timeout(OPEN));
        rig.calls(1, Success);
        let late = rig.probe();
        rig.wait(OPEN * 7);
        if noticed {
            assert!(rig.core.expire(rig.now).is_none());
        }
        let change = rig.settle(late, Success);
        assert_eq!(
            reason(change),
            Some(TransitionReason::ProbesSucceeded),
            "{noticed}"
        );
    }
    // Nothing else does.
    for sample in [None, Some(Failure)] {
        let mut rig = half_open(touchy().probe_timeout(OPEN));
        let late = rig.probe();
        rig.wait(OPEN);
        assert!(rig.settle(late, sample).is_none());
        assert_eq!(rig.core.probes_in_flight(), 0);
        let change = rig.call(Failure);
        assert_eq!(
            reason(change),
            Some(TransitionReason::ProbesFailed),
            "{sample:?}"
        );
    }
}

#[test]
fn late_success_of_an_earlier_phase_counts_nothing() {
    let mut rig = half_open(touchy().probes(1).probe_timeout(OPEN));
    let late = rig.probe();
    rig.wait(OPEN);
    assert_eq!(rig.refused_for(), OPEN);
    rig.wait(OPEN);
    let probe = rig.probe();
    assert!(rig.settle(late, Success).is_none());
    assert_eq!(rig.core.probes_in_flight(), 1);
    assert_eq!(
        reason(rig.settle(probe, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probe_limit_is_30_s_whatever_the_open_time_unless_it_is_set() {
    for (settings, limit) in [
        (touchy().open_time(OPEN * 2), 30_000),
        (touchy(), 30_000),
        (touchy().probe_timeout(MILLI), 1),
    ] {
        let mut rig = half_open(settings.probes(1));
        rig.probe();
        let until = rig.now + Duration::from_millis(limit);
        assert_eq!(rig.core.rejects(rig.now), Rejects::AllUntil(until));
    }
}

#[test]
fn half_open_waits_for_a_rare_caller_for_ever() {
    let mut rig = half_open(touchy().probes(1));
    let probe = rig.probe();
    rig.settle(probe, None);
    rig.wait(OPEN * 1_000);
    let (answer, change) = rig.admit();
    assert!(passes(answer) && change.is_none());
    let AdmissionDecision::Admit(probe) = answer else {
        unreachable!()
    };
    assert_eq!(
        reason(rig.settle(probe, Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn probes_that_never_come_back_hold_it_up_until_their_limit_only() {
    let mut rig = half_open(touchy().probe_timeout(OPEN));
    for _ in 0..3 {
        rig.probe();
    }
    for wait in [5, 10, 20, 40, 60, 60] {
        rig.wait(OPEN);
        assert_eq!(rig.refused_for(), Duration::from_secs(wait));
        rig.wait(Duration::from_secs(wait));
        for _ in 0..3 {
            rig.probe();
        }
    }
}

#[test]
fn a_slow_success_is_a_bad_probe_where_slowness_opens_it_and_a_good_one_elsewhere() {
    let slow = || touchy().probes(1).slow_call(MILLI);
    let mut rig = half_open(slow().slow_rate(0.5));
    assert_eq!(
        reason(rig.call(SlowSuccess)),
        Some(TransitionReason::ProbesFailed)
    );
    let mut rig = half_open(slow());
    assert_eq!(
        reason(rig.call(SlowSuccess)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn results_of_an_earlier_generation_change_nothing_in_any_state() {
    for sample in [Some(Success), Some(Failure), Some(SlowFailure), None] {
        for state in CircuitState::ALL {
            let mut rig = Rig::in_state(CircuitState::HalfOpen);
            let old = rig.probe();
            rig.core.reset(rig.now);
            match state {
                CircuitState::Closed => {}
                CircuitState::ForcedOpen => drop(rig.core.force_open(rig.now)),
                CircuitState::Disabled => drop(rig.core.disable(rig.now)),
                CircuitState::Open | CircuitState::HalfOpen => {
                    rig.call(Failure);
                    rig.wait(OPEN);
                }
            }
            if state == CircuitState::HalfOpen {
                rig.probe();
            }
            let seen = |rig: &Rig| {
                let core = &rig.core;
                let counts = core.counts(rig.now);
                (
                    core.state(),
                    core.generation(),
                    counts,
                    core.consecutive_failures(),
                    core.probes_in_flight(),
                )
            };
            let before = seen(&rig);
            assert!(rig.settle(old, sample).is_none());
            assert_eq!(seen(&rig), before);
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
        let mut rig = half_open(touchy().probes(1).probe_timeout(limit));
        let probe = rig.probe();
        rig.core.watch_upload(probe, Upload::stalled(stalled));
        rig.wait(OPEN - MILLI);
        assert_eq!(rig.core.expire(rig.now).map(|change| change.to), None);
        assert!(rig.core.is_probing_at_limit());
        rig.wait(MILLI);
        assert!(rig.core.expire(rig.now).is_none());
        assert_eq!(rig.core.is_probing_at_limit(), !stalled);
        let change = rig.settle(probe, Some(said)).expect("it decides");
        assert_eq!(change.to, to, "{said:?}");
    }
}

#[test]
fn probe_whose_place_another_has_does_not_speak_for_that_one() {
    let limit = OPEN * 10;
    let mut rig = half_open(
        touchy()
            .probes(2)
            .probe_success_ratio(1.0)
            .probe_timeout(limit),
    );
    let stalls = rig.probe();
    rig.core.watch_upload(stalls, Upload::stalled(true));
    rig.wait(OPEN);
    let (_other, _third) = (rig.probe(), rig.probe());
    assert!(rig.settle(stalls, None).is_none());
    assert_eq!(rig.core.probes_in_flight(), 2);
    assert_eq!(rig.core.state(), CircuitState::HalfOpen);
}

#[test]
fn probe_that_does_not_stall_fails_at_its_limit_whether_it_has_a_body_or_not() {
    for body in [false, true] {
        let mut rig = half_open(touchy().probes(1).probe_timeout(OPEN));
        let probe = rig.probe();
        if body {
            rig.core.watch_upload(probe, Upload::stalled(false));
        }
        rig.wait(OPEN);
        let change = rig.core.expire(rig.now).expect("overdue");
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
    let mut rig = half_open(touchy().probes(1).probe_timeout(limit));
    let (began, probe) = (rig.now, rig.probe());
    let until = |rig: &Rig| match rig.core.rejects(rig.now) {
        Rejects::AllUntil(until) => until - began,
        other => panic!("{other:?}"),
    };
    assert_eq!(until(&rig), limit);
    rig.core.watch_upload(probe, Upload::stalled(false));
    assert_eq!(until(&rig), OPEN);
    rig.wait(OPEN - MILLI);
    assert_eq!(until(&rig), OPEN * 3 / 2 - MILLI, "not at once again");
    rig.wait(limit - OPEN);
    assert_eq!(until(&rig), limit);
}

/// A probe whose caller stalls, which has just had to give its place back.
fn stalled(rig: &mut Rig) -> RawPermit {
    let probe = rig.probe();
    rig.core.watch_upload(probe, Upload::stalled(true));
    rig.wait(OPEN);
    assert!(rig.core.expire(rig.now).is_none());
    probe
}

#[test]
fn probe_without_a_place_is_counted_for_good_at_its_head() {
    let settings = touchy().probes(3).probe_success_ratio(1.0);
    let mut rig = half_open(settings.probe_timeout(OPEN * 10));
    let mut probe = stalled(&mut rig);
    assert!(rig.head(&mut probe, Success).is_none());
    assert!(rig.settle(probe, Failure).is_none());
    assert_eq!(rig.core.state(), CircuitState::HalfOpen);
}

#[test]
fn bodies_get_half_of_the_places_once_a_caller_has_stalled() {
    let mut rig = half_open(touchy().probes(100).probe_timeout(OPEN * 10));
    let admitted = |rig: &mut Rig| {
        let admits = (0..20).map(|_| rig.core.admit(rig.now, true).0);
        admits.filter(|answer| passes(*answer)).count()
    };
    assert_eq!(admitted(&mut rig), 20);
    stalled(&mut rig);
    let after = admitted(&mut rig);
    assert!((5..=15).contains(&after), "{after} of 20");
    for _ in 0..20 {
        rig.probe();
    }
}
