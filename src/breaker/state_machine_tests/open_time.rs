use super::*;

/// Opens, and fails its recovery until it has opened so many times; how long it was open the last time.
fn open_times(harness: &mut Harness, times: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let change = harness.call(Failure).expect("it opens");
        let wait = harness.rejected_for();
        assert_eq!(change.open_for, Some(wait));
        harness.wait(wait);
        waits.push(wait);
    }
    waits
}

fn recover(harness: &mut Harness) {
    assert_eq!(
        reason(harness.call(Success)),
        Some(TransitionReason::ProbesSucceeded)
    );
}

#[test]
fn it_doubles_with_each_failed_recovery_up_to_its_limit() {
    let mut harness = Harness::new(trips_at_first_failure().probes(1));
    let waits = open_times(&mut harness, 7);
    assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60].map(Duration::from_secs));
}

#[test]
fn it_refuses_until_its_time_is_over_and_not_a_nanosecond_longer() {
    let mut harness = Harness::in_state(CircuitState::Open);
    harness.wait(OPEN - Duration::from_nanos(1));
    assert_eq!(harness.rejected_for(), Duration::from_nanos(1));
    harness.wait(Duration::from_nanos(1));
    let (answer, change) = harness.admit();
    assert!(is_admitted(answer));
    assert_eq!(reason(change), Some(TransitionReason::OpenTimeElapsed));
}

#[test]
fn jitter_prolongs_by_up_to_its_fraction_and_never_shortens() {
    let (mut least, mut most) = (f64::MAX, 0.0_f64);
    for seed in 0..500 {
        let mut harness = Harness::new(
            trips_at_first_failure()
                .probes(1)
                .open_jitter(0.5)
                .seed(seed),
        );
        let waits = open_times(&mut harness, 5);
        for (wait, base) in waits.iter().zip([5.0, 10.0, 20.0, 40.0, 60.0]) {
            let factor = wait.as_secs_f64() / base;
            assert!((1.0..1.5).contains(&factor), "{factor} of {base}");
            (least, most) = (least.min(factor), most.max(factor));
        }
    }
    assert!(
        least < 1.01 && most > 1.49,
        "all of the range: {least} to {most}"
    );
}

#[test]
fn it_shrinks_a_step_for_each_open_time_that_all_was_well() {
    // After two openings the next would last 20 s, so 20 s of health take it to 10, and 10 more to 5.
    for (healthy, expected) in [
        (19_999, 20),
        (20_000, 10),
        (29_999, 10),
        (30_000, 5),
        (900_000, 5),
    ] {
        let mut harness = Harness::new(trips_at_first_failure().probes(1));
        open_times(&mut harness, 2);
        recover(&mut harness);
        harness.wait(Duration::from_millis(healthy));
        let waits = open_times(&mut harness, 1);
        assert_eq!(waits, [Duration::from_secs(expected)], "after {healthy} ms");
    }
}

#[test]
fn growth_without_bounds_meets_the_limit_and_growth_of_one_is_none() {
    let mut harness = Harness::new(trips_at_first_failure().probes(1).open_backoff(f64::MAX));
    let waits = open_times(&mut harness, 100);
    assert_eq!(
        (waits[0], waits[1], waits[99]),
        (OPEN, OPEN * 12, OPEN * 12)
    );
    let mut harness = Harness::new(trips_at_first_failure().probes(1).open_backoff(1.0));
    assert_eq!(open_times(&mut harness, 100), [OPEN; 100]);
}

#[test]
fn times_that_no_clock_can_name_are_very_long() {
    let mut harness = Harness::new(
        trips_at_first_failure()
            .open_time(Duration::MAX)
            .open_jitter(1.0),
    );
    harness.call(Failure).expect("it opens");
    assert!(harness.rejected_for() > Duration::from_secs(50 * 365 * 86_400));
}

/// It had opened three times in a row, was well for hours, was told to open by somebody or by its peer, and did not
/// recover at once: the hours of health were forgotten with the state that they belonged to, and it opened for 40 s.
#[test]
fn being_told_to_open_does_not_make_it_forget_that_all_was_well() {
    for by_peer in [false, true] {
        let mut harness = Harness::new(trips_at_first_failure().probes(1));
        open_times(&mut harness, 3);
        recover(&mut harness);
        harness.wait(Duration::from_secs(3_600));
        let told = if by_peer {
            let generation = harness.machine.generation();
            harness
                .machine
                .open_on_retry_after(generation, MILLI, harness.now)
        } else {
            harness.machine.open_until(harness.now + MILLI, harness.now)
        };
        told.expect("open");
        harness.wait(MILLI);
        assert_eq!(
            open_times(&mut harness, 1),
            [OPEN],
            "by its peer: {by_peer}"
        );
    }
}
