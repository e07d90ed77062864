use super::*;

#[test]
fn open_until_opens_what_is_closed_or_probing_if_the_time_is_yet_to_come() {
    for state in [State::Closed, State::HalfOpen] {
        let mut rig = Rig::in_state(state);
        let now = rig.now;
        for past in [now, now - MILLI] {
            assert!(rig.core.open_until(past, now).is_none());
            assert_eq!(rig.core.state(), state);
        }
        let change = rig.core.open_until(now + MILLI, now).expect("later");
        assert_eq!(
            (change.from, change.to, change.reason),
            (state, State::Open, Reason::Told)
        );
        assert_eq!(change.open_for, Some(MILLI));
        assert_eq!(rig.refused_for(), MILLI);
    }
}

#[test]
fn open_until_prolongs_what_is_open_and_never_shortens_it() {
    let mut rig = Rig::in_state(State::Open);
    for (until, expected) in [
        (OPEN / 2, OPEN),
        (OPEN, OPEN),
        (OPEN * 2, OPEN * 2),
        (MILLI, OPEN * 2),
    ] {
        assert!(rig.core.open_until(rig.now + until, rig.now).is_none());
        assert_eq!(rig.refused_for(), expected);
    }
    assert_eq!(rig.core.generation(), 1);
}

#[test]
fn open_until_does_not_touch_what_is_forced_or_disabled() {
    for state in [State::ForcedOpen, State::Disabled] {
        let mut rig = Rig::in_state(state);
        assert!(rig.core.open_until(rig.now + OPEN, rig.now).is_none());
        assert_eq!(rig.core.state(), state);
        assert!(rig.core.reset(rig.now).expect("closed").open_for.is_none());
        assert_eq!(rig.admit().0, Answer::Passes, "nothing is left of it");
    }
}

#[test]
fn being_told_to_open_makes_no_later_opening_longer() {
    let mut rig = Rig::new(touchy().probes(1));
    for _ in 0..10 {
        rig.core.open_until(rig.now + MILLI, rig.now);
        rig.wait(MILLI);
        rig.call(Success).expect("a good probe");
    }
    rig.call(Failure).expect("it opens");
    assert_eq!(rig.refused_for(), OPEN);
}

#[test]
fn each_switch_works_from_each_state_and_is_told_once() {
    for from in State::ALL {
        for to in [State::ForcedOpen, State::Disabled] {
            let mut rig = Rig::in_state(from);
            let before = rig.core.generation();
            let throw = |rig: &mut Rig| match to {
                State::ForcedOpen => rig.core.force_open(rig.now),
                _ => rig.core.disable(rig.now),
            };
            let change = throw(&mut rig);
            assert_eq!(change.is_some(), from != to);
            assert_eq!(rig.core.generation(), before + u64::from(from != to));
            assert!(throw(&mut rig).is_none(), "the second time nothing happens");
            rig.wait(OPEN * 1_000);
            let answer = rig.admit().0;
            assert_eq!(answer == Answer::Passes, to == State::Disabled);
            assert_eq!(rig.core.state(), to, "time changes nothing");
        }
        let mut rig = Rig::in_state(from);
        let change = rig.core.reset(rig.now).expect("closed");
        assert_eq!(
            (change.from, change.to, change.reason),
            (from, State::Closed, Reason::Reset)
        );
        assert_eq!(rig.core.counts(rig.now), Counts::default());
        assert_eq!((rig.core.streak(), rig.core.probes_in_flight()), (0, 0));
    }
}

#[test]
fn a_reset_forgets_how_often_it_had_opened() {
    let mut rig = Rig::new(touchy());
    for _ in 0..4 {
        rig.call(Failure).expect("it opens");
        rig.core.reset(rig.now);
    }
    rig.call(Failure);
    assert_eq!(rig.refused_for(), OPEN);
}

#[test]
fn a_disabled_circuit_counts_nothing_and_a_forced_one_says_no_time() {
    let mut rig = Rig::in_state(State::Disabled);
    rig.calls(10, Failure);
    rig.core.successes(1, 10);
    assert!(rig.core.unready(rig.now).is_none());
    assert_eq!(rig.core.counts(rig.now), Counts::default());
    let mut rig = Rig::in_state(State::ForcedOpen);
    assert_eq!(rig.admit().0, Answer::Refused(None));
}

#[test]
fn a_service_that_cannot_become_ready_is_a_failure_where_calls_count() {
    let mut rig = Rig::in_state(State::Closed);
    let change = rig.core.unready(rig.now);
    assert_eq!(reason(change), Some(Reason::ConsecutiveFailures));
    for state in [State::Open, State::ForcedOpen] {
        let mut rig = Rig::in_state(state);
        assert!(rig.core.unready(rig.now).is_none());
        assert_eq!(rig.core.state(), state);
    }
    // One of three probes is out: two that cannot even begin are too many.
    let mut rig = Rig::in_state(State::HalfOpen);
    assert!(rig.core.unready(rig.now).is_none());
    assert_eq!(rig.core.probes_in_flight(), 1);
    assert_eq!(
        reason(rig.core.unready(rig.now)),
        Some(Reason::ProbesFailed)
    );
    // All probes are out: there is no place that it could have taken.
    let mut rig = Rig::in_state(State::HalfOpen);
    for _ in 0..2 {
        rig.probe();
    }
    (0..5).for_each(|_| assert!(rig.core.unready(rig.now).is_none()));
}

#[test]
fn a_clock_that_was_read_earlier_does_no_harm_in_any_state() {
    for state in State::ALL {
        let mut rig = Rig::in_state(state);
        rig.wait(OPEN * 100);
        rig.admit();
        let earlier = rig.now - OPEN * 99;
        let generation = rig.core.generation();
        let _ = rig.core.would_refuse(earlier);
        rig.core.admit(earlier);
        rig.core.settle(generation, Some(Failure), earlier);
        rig.core.unready(earlier);
        rig.core.open_until(rig.now, earlier);
        rig.core.reset(earlier);
        assert_eq!(rig.admit().0, Answer::Passes);
    }
}
