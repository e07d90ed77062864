use super::*;

#[test]
fn open_until_a_future_time_opens_a_closed_or_half_open_circuit() {
    for state in [CircuitState::Closed, CircuitState::HalfOpen] {
        let mut harness = Harness::in_state(state);
        let now = harness.now;
        for past in [now, now - MILLI] {
            assert!(harness.machine.open_until(past, now).is_none());
            assert_eq!(harness.machine.state(), state);
        }
        let transition = harness.machine.open_until(now + MILLI, now).expect("later");
        assert_eq!(
            (transition.from, transition.to, transition.reason),
            (state, CircuitState::Open, TransitionReason::Manual)
        );
        assert_eq!(transition.open_for, Some(MILLI));
        assert_eq!(harness.rejected_for(), MILLI);
    }
}

#[test]
fn open_until_extends_the_open_time_and_never_shortens_it() {
    let mut harness = Harness::in_state(CircuitState::Open);
    for (until, expected) in [
        (OPEN / 2, OPEN),
        (OPEN, OPEN),
        (OPEN * 2, OPEN * 2),
        (MILLI, OPEN * 2),
    ] {
        assert!(
            harness
                .machine
                .open_until(harness.now + until, harness.now)
                .is_none()
        );
        assert_eq!(harness.rejected_for(), expected);
    }
    assert_eq!(harness.machine.generation(), 1);
}

#[test]
fn open_until_does_not_change_a_forced_or_disabled_circuit() {
    for state in [CircuitState::ForcedOpen, CircuitState::Disabled] {
        let mut harness = Harness::in_state(state);
        assert!(
            harness
                .machine
                .open_until(harness.now + OPEN, harness.now)
                .is_none()
        );
        assert_eq!(harness.machine.state(), state);
        assert!(
            harness
                .machine
                .reset(harness.now)
                .expect("closed")
                .open_for
                .is_none()
        );
        assert!(is_admitted(harness.admit().0), "nothing is left of it");
    }
}

#[test]
fn open_until_does_not_raise_the_backoff() {
    let mut harness = Harness::new(trips_at_first_failure().probes(1));
    for _ in 0..10 {
        harness.machine.open_until(harness.now + MILLI, harness.now);
        harness.wait(MILLI);
        harness.call(Success).expect("a good probe");
    }
    harness.call(Failure).expect("it opens");
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn override_works_from_each_state_and_is_one_transition() {
    for from in CircuitState::ALL {
        for to in [CircuitState::ForcedOpen, CircuitState::Disabled] {
            let mut harness = Harness::in_state(from);
            let before = harness.machine.generation();
            let throw = |harness: &mut Harness| match to {
                CircuitState::ForcedOpen => harness.machine.force_open(harness.now),
                _ => harness.machine.disable(harness.now),
            };
            let transition = throw(&mut harness);
            assert_eq!(transition.is_some(), from != to);
            assert_eq!(harness.machine.generation(), before + u64::from(from != to));
            assert!(
                throw(&mut harness).is_none(),
                "the second time nothing happens"
            );
            harness.wait(OPEN * 1_000);
            let answer = harness.admit().0;
            assert_eq!(is_admitted(answer), to == CircuitState::Disabled);
            assert_eq!(harness.machine.state(), to, "time changes nothing");
        }
        let mut harness = Harness::in_state(from);
        let transition = harness.machine.reset(harness.now);
        let told = transition.map(|transition| (transition.from, transition.to, transition.reason));
        let expected = (from, CircuitState::Closed, TransitionReason::Reset);
        assert_eq!(told, (from != CircuitState::Closed).then_some(expected));
        assert_eq!(harness.machine.counts(harness.now), CallCounts::default());
        assert_eq!(
            (
                harness.machine.consecutive_failures(),
                harness.machine.probes_in_flight()
            ),
            (0, 0)
        );
    }
}

/// It was told as a transition from closed to closed, and counted as one.
#[test]
fn reset_of_a_closed_circuit_is_no_transition() {
    let mut harness = Harness::new(trips_at_first_failure().consecutive_failures(3));
    harness.calls(2, Failure);
    harness.calls(1, Success);
    harness.calls(1, Failure);
    let early = harness.successful_head();
    assert!(harness.machine.reset(harness.now).is_none());
    assert_eq!(harness.machine.transitions(), 0);
    assert_eq!(harness.machine.counts(harness.now), CallCounts::default());
    assert_eq!(harness.machine.consecutive_failures(), 0);
    assert!(harness.end(early, Failure).is_none());
    assert_eq!(
        harness.machine.counts(harness.now),
        CallCounts::default(),
        "too late"
    );
    let transition = (0..3)
        .find_map(|_| harness.call(Failure))
        .expect("it opens");
    assert_eq!((transition.number, harness.machine.transitions()), (1, 1));
}

#[test]
fn reset_forgets_the_backoff() {
    let mut harness = Harness::new(trips_at_first_failure());
    for _ in 0..4 {
        harness.call(Failure).expect("it opens");
        harness.machine.reset(harness.now);
    }
    harness.call(Failure);
    assert_eq!(harness.rejected_for(), OPEN);
}

#[test]
fn disabled_circuit_counts_no_calls_and_a_forced_one_has_no_retry_after() {
    let mut harness = Harness::in_state(CircuitState::Disabled);
    harness.calls(10, Failure);
    harness.machine.record_successes(1, 10);
    assert!(harness.machine.on_not_ready(harness.now).is_none());
    assert_eq!(harness.machine.counts(harness.now), CallCounts::default());
    let mut harness = Harness::in_state(CircuitState::ForcedOpen);
    assert_eq!(harness.admit().0, Err(None));
}

#[test]
fn unready_service_is_a_failure_where_calls_count() {
    let mut harness = Harness::in_state(CircuitState::Closed);
    let transition = harness.machine.on_not_ready(harness.now);
    assert_eq!(
        reason(transition),
        Some(TransitionReason::ConsecutiveFailures)
    );
    for state in [CircuitState::Open, CircuitState::ForcedOpen] {
        let mut harness = Harness::in_state(state);
        assert!(harness.machine.on_not_ready(harness.now).is_none());
        assert_eq!(harness.machine.state(), state);
    }
    // One of three probes is out: two that cannot even begin are too many.
    let mut harness = Harness::in_state(CircuitState::HalfOpen);
    assert!(harness.machine.on_not_ready(harness.now).is_none());
    assert_eq!(harness.machine.probes_in_flight(), 1);
    assert_eq!(
        reason(harness.machine.on_not_ready(harness.now)),
        Some(TransitionReason::ProbesFailed)
    );
    // All probes are out: there is no place that it could have taken.
    let mut harness = Harness::in_state(CircuitState::HalfOpen);
    for _ in 0..2 {
        harness.admitted();
    }
    (0..5).for_each(|_| assert!(harness.machine.on_not_ready(harness.now).is_none()));
}

#[test]
fn clock_that_was_read_earlier_is_harmless_in_any_state() {
    for state in CircuitState::ALL {
        let mut harness = Harness::in_state(state);
        harness.wait(OPEN * 100);
        let _decided = harness.admit();
        let earlier = harness.now - OPEN * 99;
        let _ = harness.machine.rejects(earlier);
        if let (Ok(mut permit), _) = harness.machine.admit(earlier, false) {
            harness.machine.on_head(&mut permit, Some(Success), earlier);
            harness.machine.on_end(&permit, Some(Failure), earlier);
        }
        harness.machine.on_not_ready(earlier);
        harness.machine.open_until(harness.now, earlier);
        harness.machine.reset(earlier);
        assert!(is_admitted(harness.admit().0));
    }
}

const MODES: [SwitchMode; 3] = [
    SwitchMode::Normal,
    SwitchMode::ForcedOpen,
    SwitchMode::Disabled,
];

fn set_manual_mode(core: &mut StateMachine, mode: SwitchMode, now: Instant) -> Option<Transition> {
    match mode {
        SwitchMode::Normal => core.reset(now),
        SwitchMode::ForcedOpen => core.force_open(now),
        SwitchMode::Disabled => core.disable(now),
    }
}

fn state_at(mode: SwitchMode) -> CircuitState {
    match mode {
        SwitchMode::Normal => CircuitState::Closed,
        SwitchMode::ForcedOpen => CircuitState::ForcedOpen,
        SwitchMode::Disabled => CircuitState::Disabled,
    }
}

#[test]
fn switch_overrides_manual_mode_until_it_is_released() {
    for thrown in [SwitchMode::ForcedOpen, SwitchMode::Disabled] {
        for before in MODES {
            for meanwhile in MODES {
                let mut harness = Harness::in_state(CircuitState::Closed);
                set_manual_mode(&mut harness.machine, before, harness.now);
                let transition = harness.machine.set_switch_mode(thrown, harness.now);
                assert_eq!(transition.is_some(), before != thrown);
                assert!(set_manual_mode(&mut harness.machine, meanwhile, harness.now).is_none());
                assert!(
                    harness
                        .machine
                        .set_switch_mode(thrown, harness.now)
                        .is_none()
                );
                assert_eq!(harness.machine.state(), state_at(thrown));
                let transition = harness
                    .machine
                    .set_switch_mode(SwitchMode::Normal, harness.now);
                assert_eq!(transition.is_some(), meanwhile != thrown);
                assert_eq!(harness.machine.state(), state_at(meanwhile));
            }
        }
    }
}

#[test]
fn switch_works_from_each_state_and_its_release_resets_the_circuit() {
    for from in [
        CircuitState::Closed,
        CircuitState::Open,
        CircuitState::HalfOpen,
    ] {
        let mut harness = Harness::in_state(from);
        assert!(
            harness
                .machine
                .set_switch_mode(SwitchMode::Normal, harness.now)
                .is_none()
        );
        assert_eq!(harness.machine.state(), from, "nothing was thrown");
        let transition = harness
            .machine
            .set_switch_mode(SwitchMode::Disabled, harness.now);
        assert_eq!(reason(transition), Some(TransitionReason::Switch));
        let transition = harness
            .machine
            .set_switch_mode(SwitchMode::Normal, harness.now)
            .expect("back");
        assert_eq!(
            (transition.to, transition.reason),
            (CircuitState::Closed, TransitionReason::Switch)
        );
        assert_eq!(harness.machine.counts(harness.now), CallCounts::default());
        harness.call(Failure).expect("it opens");
        assert_eq!(harness.rejected_for(), OPEN);
    }
}

#[test]
fn switch_that_is_set_before_creation_applies_without_a_transition() {
    for mode in MODES {
        let mut harness = Harness::with_switch_mode(trips_at_first_failure(), mode);
        assert_eq!(
            (harness.machine.state(), harness.machine.generation()),
            (state_at(mode), 0)
        );
        harness
            .machine
            .set_switch_mode(SwitchMode::Normal, harness.now);
        assert_eq!(harness.machine.state(), CircuitState::Closed);
    }
}

#[test]
fn retry_after_applies_to_present_calls_and_to_any_while_open() {
    for state in CircuitState::ALL {
        for age in [0, 1] {
            let mut harness = Harness::in_state(state);
            let generation = harness.machine.generation();
            if age > generation {
                continue;
            }
            let transition =
                harness
                    .machine
                    .open_on_retry_after(generation - age, OPEN * 2, harness.now);
            let opens = age == 0 && matches!(state, CircuitState::Closed | CircuitState::HalfOpen);
            assert_eq!(
                reason(transition),
                opens.then_some(TransitionReason::RetryAfter),
                "{state:?}"
            );
            if opens || state == CircuitState::Open {
                assert_eq!(harness.rejected_for(), OPEN * 2);
            } else {
                assert_eq!(harness.machine.state(), state);
            }
        }
    }
}
