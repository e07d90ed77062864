use super::*;

/// Opens, and fails its recovery until it has opened so many times; how long it was open the last time.
fn open_times(harness: &mut Harness, times: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let transition = harness.call(Failure).expect("it opens");
        let wait = harness.rejected_for();
        assert_eq!(transition.open_for, Some(wait));
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
fn open_backoff_doubles_up_to_the_maximum() {
    let mut harness = Harness::new(trips_at_first_failure().probes(1));
    let waits = open_times(&mut harness, 7);
    assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60].map(Duration::from_secs));
}

#[test]
fn open_circuit_rejects_until_its_open_time_has_elapsed() {
    let mut harness = Harness::in_state(CircuitState::Open);
    harness.wait(OPEN - Duration::from_nanos(1));
    assert_eq!(harness.rejected_for(), Duration::from_nanos(1));
    harness.wait(Duration::from_nanos(1));
    let (answer, transition) = harness.admit();
    assert!(is_admitted(answer));
    assert_eq!(reason(transition), Some(TransitionReason::OpenTimeElapsed));
}

#[test]
fn open_jitter_extends_by_up_to_its_fraction() {
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
fn open_backoff_decays_per_healthy_open_time() {
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
fn open_backoff_of_one_is_constant_and_any_other_meets_the_maximum() {
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
fn open_time_beyond_the_clock_saturates() {
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
fn open_until_keeps_the_decay_of_the_backoff() {
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
