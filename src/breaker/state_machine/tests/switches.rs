use super::*;

#[test]
fn open_until_opens_what_is_closed_or_probing_if_the_time_is_yet_to_come() {
    for state in [CircuitState::Closed, CircuitState::HalfOpen] {
        let mut rig = Rig::in_state(state);
        let now = rig.now;
        for past in [now, now - MILLI] {
            assert!(rig.core.open_until(past, now).is_none());
            assert_eq!(rig.core.state(), state);
        }
        let change = rig.core.open_until(now + MILLI, now).expect("later");
        assert_eq!(
            (change.from, change.to, change.reason),
            (state, CircuitState::Open, TransitionReason::Manual)
        );
        assert_eq!(change.open_for, Some(MILLI));
        assert_eq!(rig.refused_for(), MILLI);
    }
}

#[test]
fn open_until_prolongs_what_is_open_and_never_shortens_it() {
    let mut rig = Rig::in_state(CircuitState::Open);
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
    for state in [CircuitState::ForcedOpen, CircuitState::Disabled] {
        let mut rig = Rig::in_state(state);
        assert!(rig.core.open_until(rig.now + OPEN, rig.now).is_none());
        assert_eq!(rig.core.state(), state);
        assert!(rig.core.reset(rig.now).expect("closed").open_for.is_none());
        assert!(passes(rig.admit().0), "nothing is left of it");
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
    for from in CircuitState::ALL {
        for to in [CircuitState::ForcedOpen, CircuitState::Disabled] {
            let mut rig = Rig::in_state(from);
            let before = rig.core.generation();
            let throw = |rig: &mut Rig| match to {
                CircuitState::ForcedOpen => rig.core.force_open(rig.now),
                _ => rig.core.disable(rig.now),
            };
            let change = throw(&mut rig);
            assert_eq!(change.is_some(), from != to);
            assert_eq!(rig.core.generation(), before + u64::from(from != to));
            assert!(throw(&mut rig).is_none(), "the second time nothing happens");
            rig.wait(OPEN * 1_000);
            let answer = rig.admit().0;
            assert_eq!(passes(answer), to == CircuitState::Disabled);
            assert_eq!(rig.core.state(), to, "time changes nothing");
        }
        let mut rig = Rig::in_state(from);
        let change = rig.core.reset(rig.now);
        let told = change.map(|change| (change.from, change.to, change.reason));
        let expected = (from, CircuitState::Closed, TransitionReason::Reset);
        assert_eq!(told, (from != CircuitState::Closed).then_some(expected));
        assert_eq!(rig.core.counts(rig.now), CallCounts::default());
        assert_eq!(
            (rig.core.consecutive_failures(), rig.core.probes_in_flight()),
            (0, 0)
        );
    }
}

/// It was told as a transition from closed to closed, and counted as one.
#[test]
fn reset_of_a_closed_circuit_forgets_and_is_no_transition() {
    let mut rig = Rig::new(touchy().consecutive_failures(3));
    rig.calls(2, Failure);
    rig.calls(1, Success);
    rig.calls(1, Failure);
    let early = rig.good_head();
    assert!(rig.core.reset(rig.now).is_none());
    assert_eq!(rig.core.transitions(), 0);
    assert_eq!(rig.core.counts(rig.now), CallCounts::default());
    assert_eq!(rig.core.consecutive_failures(), 0);
    assert!(rig.settle(early, Failure).is_none());
    assert_eq!(rig.core.counts(rig.now), CallCounts::default(), "too late");
    let change = (0..3).find_map(|_| rig.call(Failure)).expect("it opens");
    assert_eq!((change.number, rig.core.transitions()), (1, 1));
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
    let mut rig = Rig::in_state(CircuitState::Disabled);
    rig.calls(10, Failure);
    rig.core.record_successes(1, 10);
    assert!(rig.core.on_not_ready(rig.now).is_none());
    assert_eq!(rig.core.counts(rig.now), CallCounts::default());
    let mut rig = Rig::in_state(CircuitState::ForcedOpen);
    assert_eq!(rig.admit().0, AdmissionDecision::Reject(None));
}

#[test]
fn a_service_that_cannot_become_ready_is_a_failure_where_calls_count() {
    let mut rig = Rig::in_state(CircuitState::Closed);
    let change = rig.core.on_not_ready(rig.now);
    assert_eq!(reason(change), Some(TransitionReason::ConsecutiveFailures));
    for state in [CircuitState::Open, CircuitState::ForcedOpen] {
        let mut rig = Rig::in_state(state);
        assert!(rig.core.on_not_ready(rig.now).is_none());
        assert_eq!(rig.core.state(), state);
    }
    // One of three probes is out: two that cannot even begin are too many.
    let mut rig = Rig::in_state(CircuitState::HalfOpen);
    assert!(rig.core.on_not_ready(rig.now).is_none());
    assert_eq!(rig.core.probes_in_flight(), 1);
    assert_eq!(
        reason(rig.core.on_not_ready(rig.now)),
        Some(TransitionReason::ProbesFailed)
    );
    // All probes are out: there is no place that it could have taken.
    let mut rig = Rig::in_state(CircuitState::HalfOpen);
    for _ in 0..2 {
        rig.probe();
    }
    (0..5).for_each(|_| assert!(rig.core.on_not_ready(rig.now).is_none()));
}

#[test]
fn a_clock_that_was_read_earlier_does_no_harm_in_any_state() {
    for state in CircuitState::ALL {
        let mut rig = Rig::in_state(state);
        rig.wait(OPEN * 100);
        rig.admit();
        let earlier = rig.now - OPEN * 99;
        let _ = rig.core.rejects(earlier);
        if let (AdmissionDecision::Admit(mut pass), _) = rig.core.admit(earlier, false) {
            rig.core.on_head(&mut pass, Some(Success), earlier);
            rig.core.on_end(pass, Some(Failure), earlier);
        }
        rig.core.on_not_ready(earlier);
        rig.core.open_until(rig.now, earlier);
        rig.core.reset(earlier);
        assert!(passes(rig.admit().0));
    }
}

const POSITIONS: [SwitchMode; 3] = [
    SwitchMode::Normal,
    SwitchMode::ForcedOpen,
    SwitchMode::Disabled,
];

fn by_hand(core: &mut StateMachine, position: SwitchMode, now: Instant) -> Option<StateChange> {
    match position {
        SwitchMode::Normal => core.reset(now),
        SwitchMode::ForcedOpen => core.force_open(now),
        SwitchMode::Disabled => core.disable(now),
    }
}

fn state_at(position: SwitchMode) -> CircuitState {
    match position {
        SwitchMode::Normal => CircuitState::Closed,
        SwitchMode::ForcedOpen => CircuitState::ForcedOpen,
        SwitchMode::Disabled => CircuitState::Disabled,
    }
}

#[test]
fn a_thrown_switch_comes_before_what_was_said_by_hand_and_that_holds_once_it_is_back() {
    for thrown in [SwitchMode::ForcedOpen, SwitchMode::Disabled] {
        for before in POSITIONS {
            for meanwhile in POSITIONS {
                let mut rig = Rig::in_state(CircuitState::Closed);
                by_hand(&mut rig.core, before, rig.now);
                let change = rig.core.set_switch_mode(thrown, rig.now);
                assert_eq!(change.is_some(), before != thrown);
                assert!(by_hand(&mut rig.core, meanwhile, rig.now).is_none());
                assert!(rig.core.set_switch_mode(thrown, rig.now).is_none());
                assert_eq!(rig.core.state(), state_at(thrown));
                let change = rig.core.set_switch_mode(SwitchMode::Normal, rig.now);
                assert_eq!(change.is_some(), meanwhile != thrown);
                assert_eq!(rig.core.state(), state_at(meanwhile));
            }
        }
    }
}

#[test]
fn a_switch_works_from_each_state_and_turned_back_leaves_a_circuit_as_on_the_first_day() {
    for from in [
        CircuitState::Closed,
        CircuitState::Open,
        CircuitState::HalfOpen,
    ] {
        let mut rig = Rig::in_state(from);
        assert!(
            rig.core
                .set_switch_mode(SwitchMode::Normal, rig.now)
                .is_none()
        );
        assert_eq!(rig.core.state(), from, "nothing was thrown");
        let change = rig.core.set_switch_mode(SwitchMode::Disabled, rig.now);
        assert_eq!(reason(change), Some(TransitionReason::Switch));
        let change = rig
            .core
            .set_switch_mode(SwitchMode::Normal, rig.now)
            .expect("back");
        assert_eq!(
            (change.to, change.reason),
            (CircuitState::Closed, TransitionReason::Switch)
        );
        assert_eq!(rig.core.counts(rig.now), CallCounts::default());
        rig.call(Failure).expect("it opens");
        assert_eq!(rig.refused_for(), OPEN);
    }
}

#[test]
fn a_core_that_is_made_while_a_switch_is_thrown_obeys_it_without_a_transition() {
    for position in POSITIONS {
        let mut rig = Rig::new(touchy());
        rig.core = StateMachine::new(rig.core.settings, rig.core.bucket_clock, position, rig.now);
        assert_eq!(
            (rig.core.state(), rig.core.generation()),
            (state_at(position), 0)
        );
        rig.core.set_switch_mode(SwitchMode::Normal, rig.now);
        assert_eq!(rig.core.state(), CircuitState::Closed);
    }
}

#[test]
fn a_peer_is_heeded_by_a_call_of_the_present_and_while_it_is_open_by_any() {
    for state in CircuitState::ALL {
        for age in [0, 1] {
            let mut rig = Rig::in_state(state);
            let generation = rig.core.generation();
            if age > generation {
                continue;
            }
            let change = rig
                .core
                .open_on_retry_after(generation - age, OPEN * 2, rig.now);
            let opens = age == 0 && matches!(state, CircuitState::Closed | CircuitState::HalfOpen);
            assert_eq!(
                reason(change),
                opens.then_some(TransitionReason::RetryAfter),
                "{state:?}"
            );
            if opens || state == CircuitState::Open {
                assert_eq!(rig.refused_for(), OPEN * 2);
            } else {
                assert_eq!(rig.core.state(), state);
            }
        }
    }
}
