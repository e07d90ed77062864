use super::*;

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
        let settings = || touchy().probes(probes).probe_ratio(ratio);
        let mut rig = half_open(settings());
        rig.calls(needed - 1, Success);
        let change = rig.call(Success).expect("enough");
        assert_eq!(
            (change.to, change.reason),
            (State::Closed, Reason::ProbesSucceeded)
        );
        assert_eq!(rig.core.counts(rig.now), Counts::default(), "as new");

        let mut rig = half_open(settings());
        rig.calls(probes as usize - needed, Failure);
        let change = rig.call(Failure).expect("out of reach");
        assert_eq!(
            (change.to, change.reason),
            (State::Open, Reason::ProbesFailed)
        );
    }
}

#[test]
fn no_more_pass_than_are_permitted_and_the_rest_learn_when_the_phase_ends() {
    let mut rig = half_open(touchy());
    for _ in 0..3 {
        rig.probe();
    }
    rig.wait(OPEN - MILLI);
    assert_eq!(rig.refused_for(), MILLI);
    assert_eq!(rig.core.probes_in_flight(), 3);
}

#[test]
fn one_that_has_settled_makes_no_room_for_another() {
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
        let generation = rig.probe();
        if first.is_some() {
            rig.settle(generation, first);
        }
        rig.probe();
        rig.probe();
        (0..5).for_each(|_| assert!(rig.core.unready(rig.now).is_none()));
        // Two bad ones of three are too many; what had no place is none of them.
        let change = rig.settle(generation, Failure);
        assert_eq!(change.is_some(), first == Some(Failure), "{first:?}");
    }
}

#[test]
fn one_that_is_given_back_does() {
    let mut rig = half_open(touchy().probes(1));
    for _ in 0..100 {
        let generation = rig.probe();
        rig.refused_for();
        assert!(rig.settle(generation, None).is_none());
        assert_eq!(rig.core.probes_in_flight(), 0);
    }
    assert_eq!(rig.core.state(), State::HalfOpen);
}

#[test]
fn those_still_out_have_failed_when_the_time_is_over() {
    for (good, bad, out, closes) in [
        (1, 0, 0, true),
        (1, 0, 1, true),
        (1, 0, 2, false),
        (1, 1, 0, true),
        (0, 1, 0, false),
        (0, 0, 1, false),
        (0, 0, 3, false),
    ] {
        let mut rig = half_open(touchy());
        rig.calls(good, Success);
        rig.calls(bad, Failure);
        for _ in 0..out {
            rig.probe();
        }
        rig.wait(OPEN - Duration::from_nanos(1));
        assert!(rig.core.expire(rig.now).is_none(), "not yet");
        rig.wait(Duration::from_nanos(1));
        let change = rig.core.expire(rig.now).expect("over");
        let expected = if closes {
            (State::Closed, Reason::ProbesSucceeded)
        } else {
            (State::Open, Reason::ProbeLimit)
        };
        assert_eq!((change.to, change.reason), expected, "{good} {bad} {out}");
    }
}

#[test]
fn until_its_limit_a_phase_says_how_long_it_lasts_and_at_its_limit_nobody_knows() {
    let mut rig = half_open(touchy().probes(1));
    rig.probe();
    let nano = Duration::from_nanos(1);
    rig.wait(OPEN - nano);
    assert_eq!(rig.core.would_refuse(rig.now), Answer::Refused(Some(nano)));
    rig.wait(nano);
    assert_eq!(rig.core.would_refuse(rig.now), Answer::Refused(None));
}

#[test]
fn the_probe_limit_is_the_open_time_unless_it_is_set() {
    for (settings, limit) in [
        (touchy().open_time(OPEN * 2), OPEN * 2),
        (touchy().probe_limit(MILLI), MILLI),
        (touchy().probes(1).open_growth(1.0), OPEN),
    ] {
        let mut rig = half_open(settings.probes(1));
        rig.probe();
        assert_eq!(rig.refused_for(), limit);
    }
}

#[test]
fn when_nobody_came_the_phase_begins_anew_and_a_rare_caller_gets_through() {
    let mut rig = half_open(touchy().probes(1));
    let generation = rig.probe();
    rig.settle(generation, None);
    rig.wait(OPEN * 1_000);
    let (answer, change) = rig.admit();
    assert_eq!((answer, change.is_none()), (Answer::Passes, true));
    assert_eq!(
        rig.core.generation(),
        generation,
        "the same phase, with a new limit"
    );
    assert_eq!(rig.refused_for(), OPEN);
    assert_eq!(
        reason(rig.settle(generation, Success)),
        Some(Reason::ProbesSucceeded)
    );
}

#[test]
fn probes_that_never_come_back_hold_it_up_for_one_phase_only() {
    let mut rig = half_open(touchy());
    for _ in 0..3 {
        rig.probe();
    }
    for wait in [5, 10, 20, 40, 60, 60] {
        let limit = rig.refused_for();
        rig.wait(limit);
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
    assert_eq!(reason(rig.call(SlowSuccess)), Some(Reason::ProbesFailed));
    let mut rig = half_open(slow());
    assert_eq!(reason(rig.call(SlowSuccess)), Some(Reason::ProbesSucceeded));
}

#[test]
fn results_of_an_earlier_generation_change_nothing_in_any_state() {
    for verdict in [Some(Success), Some(Failure), Some(SlowFailure), None] {
        for state in State::ALL {
            let mut rig = Rig::in_state(State::HalfOpen);
            let old = rig.core.generation();
            rig.core.reset(rig.now);
            match state {
                State::Closed => {}
                State::ForcedOpen => drop(rig.core.force_open(rig.now)),
                State::Disabled => drop(rig.core.disable(rig.now)),
                State::Open | State::HalfOpen => {
                    rig.call(Failure);
                    rig.wait(OPEN);
                }
            }
            if state == State::HalfOpen {
                rig.probe();
            }
            let seen = |rig: &Rig| {
                let core = &rig.core;
                let counts = core.counts(rig.now);
                (
                    core.state(),
                    core.generation(),
                    counts,
                    core.streak(),
                    core.probes_in_flight(),
                )
            };
            let before = seen(&rig);
            assert!(rig.settle(old, verdict).is_none());
            assert_eq!(seen(&rig), before);
        }
    }
}

#[test]
fn a_result_that_comes_after_the_limit_ends_the_phase_and_is_not_counted_itself() {
    let mut rig = half_open(touchy().probes(1));
    let generation = rig.probe();
    rig.wait(OPEN);
    assert_eq!(
        reason(rig.settle(generation, Success)),
        Some(Reason::ProbeLimit)
    );
}
