use super::{probes::half_open, *};
use crate::protocol::upload::Upload;

/// Callers that stalled their uploads kept a circuit from closing: each was a probe that failed at its timeout.
#[test]
fn stalled_probe_loses_its_slot_and_still_counts() {
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
            harness
                .machine
                .expire(harness.now)
                .map(|transition| transition.to),
            None
        );
        assert!(harness.machine.is_probing_at_limit());
        harness.wait(MILLI);
        assert!(harness.machine.expire(harness.now).is_none());
        assert_eq!(harness.machine.is_probing_at_limit(), !stalled);
        let transition = harness.end(probe, Some(said)).expect("it decides");
        assert_eq!(transition.to, to, "{said:?}");
    }
}

#[test]
fn stalled_probe_does_not_change_other_probes() {
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
fn probe_timeout_applies_with_and_without_an_upload() {
    for body in [false, true] {
        let mut harness = half_open(trips_at_first_failure().probes(1).probe_timeout(OPEN));
        let probe = harness.admitted();
        if body {
            harness.machine.watch_upload(&probe, Upload::stalled(false));
        }
        harness.wait(OPEN);
        let transition = harness.machine.expire(harness.now).expect("overdue");
        assert_eq!(
            (transition.to, transition.reason),
            (CircuitState::Open, TransitionReason::ProbeTimeout)
        );
    }
}

/// Callers that wait would have been woken at the timeout only.
#[test]
fn rejects_until_the_next_check_of_an_upload() {
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

/// A probe whose caller stalls, and which has just lost its slot.
fn stalled(harness: &mut Harness) -> BreakerPermit {
    let probe = harness.admitted();
    harness.machine.watch_upload(&probe, Upload::stalled(true));
    harness.wait(OPEN);
    assert!(harness.machine.expire(harness.now).is_none());
    probe
}

#[test]
fn stalled_probe_is_counted_for_good_at_its_head() {
    let settings = trips_at_first_failure().probes(3).probe_success_ratio(1.0);
    let mut harness = half_open(settings.probe_timeout(OPEN * 10));
    let mut probe = stalled(&mut harness);
    assert!(harness.head(&mut probe, Success).is_none());
    assert!(harness.end(probe, Failure).is_none());
    assert_eq!(harness.machine.state(), CircuitState::HalfOpen);
}

#[test]
fn half_open_rejects_half_of_the_uploads_once_a_caller_has_stalled() {
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
