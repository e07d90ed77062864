use super::*;
use proptest::prelude::*;

fn any_sample() -> impl Strategy<Value = CallSample> {
    use CallSample::{Failure, SlowFailure, SlowSuccess, Success};
    prop::sample::select(&[Success, SlowSuccess, Failure, SlowFailure][..])
}

fn added<'a>(seen: impl Iterator<Item = &'a (u64, CallSample, u64)>) -> CallCounts {
    let mut counts = CallCounts::default();
    seen.for_each(|(_, sample, times)| counts.record(*sample, *times));
    counts
}

proptest! {
    /// Threads read the clock and then wait for the lock, so buckets come in any order.
    #[test]
    fn window_of_time_ignores_late_records_of_replaced_buckets(
        buckets in 1..8_usize,
        seen in prop::collection::vec((1..40_u64, any_sample(), 1..5_u64), 1..100),
        asked in 1..45_u64,
    ) {
        let mut ring = Window::of_time(buckets);
        for (n, &(tick, sample, times)) in seen.iter().enumerate() {
            ring.record(tick, sample, times);
            let so_far = &seen[..=n];
            let latest = so_far.iter().map(|seen| seen.0).max().expect("one");
            let within = |now: u64| so_far.iter().filter(move |seen| seen.0 + buckets as u64 > now);
            prop_assert_eq!(ring.counts(asked), added(within(latest.max(asked))));
        }
    }

    #[test]
    fn window_of_calls_holds_the_latest_calls_only(
        limit in 1..20_usize,
        seen in prop::collection::vec((Just(0_u64), any_sample(), 1..30_u64), 1..100),
    ) {
        let mut ring = Window::of_calls(limit);
        let mut list = Vec::new();
        for &(_, sample, times) in &seen {
            ring.record(0, sample, times);
            list.extend((0..times).map(|_| (0, sample, 1)));
            let last = list.len().saturating_sub(limit);
            prop_assert_eq!(ring.counts(0), added(list[last..].iter()));
        }
    }
}

#[test]
fn success_to_failure_takes_the_success_out_of_a_bucket_in_the_window() {
    for (now, calls) in [(5, 2), (7, 2), (8, 1)] {
        let mut window = Window::of_time(3);
        window.record(5, CallSample::Success, 2);
        window.success_to_failure(Some(5), CallSample::Failure, now);
        let counts = window.counts(now);
        assert_eq!(
            (counts.calls, counts.failures),
            (calls, 1),
            "in bucket {now}"
        );
    }
    let mut window = Window::of_time(3);
    window.record(5, CallSample::SlowSuccess, 1);
    window.success_to_failure(Some(5), CallSample::SlowFailure, 6);
    let counts = window.counts(6);
    assert_eq!((counts.calls, counts.failures, counts.slow), (1, 1, 1));
    assert_eq!(window.counts(8).calls, 1, "it failed in bucket 6");
}

#[test]
fn success_to_failure_takes_nothing_out_of_a_bucket_of_failures() {
    let mut window = Window::of_time(3);
    window.record(5, CallSample::Failure, 1);
    window.success_to_failure(Some(5), CallSample::Failure, 5);
    let counts = window.counts(5);
    assert_eq!((counts.calls, counts.failures), (2, 2));
}

#[test]
fn success_to_failure_of_an_unknown_bucket_replaces_the_latest_success_in_the_window() {
    let mut window = Window::of_time(3);
    window.record(5, CallSample::SlowSuccess, 1);
    window.record(6, CallSample::Success, 1);
    window.record(7, CallSample::Failure, 1);
    let mut replace = |now: u64, counted: [(u64, u64, u64, u64); 2]| {
        window.success_to_failure(None, CallSample::Failure, now);
        for (at, calls, failures, slow) in counted {
            let counts = window.counts(at);
            let seen = (counts.calls, counts.failures, counts.slow);
            assert_eq!(seen, (calls, failures, slow), "in bucket {at}");
        }
    };
    replace(7, [(7, 3, 2, 1), (9, 1, 1, 0)]);
    replace(7, [(7, 3, 3, 1), (9, 1, 1, 0)]);
    replace(7, [(7, 4, 4, 1), (9, 2, 2, 0)]);
    let mut window = Window::of_time(3);
    window.record(5, CallSample::Success, 1);
    window.success_to_failure(None, CallSample::Failure, 8);
    let counts = window.counts(8);
    assert_eq!(
        (counts.calls, counts.failures),
        (1, 1),
        "the success has left"
    );
}

#[test]
fn success_to_failure_replaces_the_latest_success_of_a_count_window_or_adds_a_call() {
    let mut window = Window::of_calls(3);
    window.record(1, CallSample::SlowSuccess, 1);
    window.record(1, CallSample::Success, 1);
    for (calls, failures, slow) in [(2, 1, 1), (2, 2, 1), (3, 3, 1), (3, 3, 0)] {
        window.success_to_failure(Some(1), CallSample::Failure, 1);
        let counts = window.counts(1);
        let seen = (counts.calls, counts.failures, counts.slow);
        assert_eq!(seen, (calls, failures, slow));
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A shape whose buckets are this wide, or that of a count window.
fn shape(width: Option<Duration>) -> WindowShape {
    match width {
        Some(width) => WindowShape::of_time(0, width, 1),
        None => WindowShape::of_calls(0, 5),
    }
}

fn totals(window: &Window, bucket: u64) -> (u64, u64, u64) {
    let counts = window.counts(bucket);
    (counts.calls, counts.failures, counts.slow)
}

/// A window of 3 buckets of 4 s in its sixth bucket, which begins after 20 s.
fn carried_from_time(mut to: Window, width: Option<Duration>, at: u64) -> Window {
    let mut old = Window::of_time(3);
    old.record(2, CallSample::Failure, 100);
    old.record(4, CallSample::Failure, 1);
    old.record(5, CallSample::Success, 4);
    old.record(5, CallSample::SlowFailure, 2);
    old.record(6, CallSample::Success, 1);
    let shapes = (shape(Some(4 * SECOND)), shape(width));
    to.carry_over(&old, shapes, SECOND * at as u32);
    to
}

#[test]
fn calls_keep_the_age_of_the_end_of_their_bucket_in_another_time_window() {
    let carried = carried_from_time(Window::of_time(12), Some(SECOND), 22);
    // Up to 22 s: what was in the window. The calls of bucket 4 end with second 15, those of bucket 5 with second 19.
    for (bucket, counted) in [
        (23, (8, 3, 2)),
        (27, (8, 3, 2)),
        (28, (7, 2, 2)),
        (31, (7, 2, 2)),
        (32, (1, 0, 0)),
        (34, (1, 0, 0)),
        (35, (0, 0, 0)),
    ] {
        assert_eq!(totals(&carried, bucket), counted, "in bucket {bucket}");
    }
}

#[test]
fn calls_that_are_too_old_for_another_time_window_are_forgotten() {
    let carried = carried_from_time(Window::of_time(2), Some(2 * SECOND), 22);
    assert_eq!(totals(&carried, 12), (1, 0, 0));
    let carried = carried_from_time(Window::of_time(2), Some(10 * SECOND), 27);
    // Its third bucket has the seconds from 20 on: those of bucket 5 have ended before, bucket 4 is out of both.
    assert_eq!(totals(&carried, 3), (7, 2, 2));
    assert_eq!(totals(&carried, 4), (1, 0, 0));
}

#[test]
fn calls_of_a_bucket_are_spread_evenly_in_a_count_window() {
    let of = |capacity| totals(&carried_from_time(Window::of_calls(capacity), None, 22), 1);
    assert_eq!(of(100), (8, 3, 2));
    assert_eq!(of(8), (8, 3, 2));
    assert_eq!(of(7), (7, 2, 2));
    // Each third call of bucket 5 is a slow failure.
    assert_eq!(of(5), (5, 2, 2));
    assert_eq!(of(4), (4, 1, 1));
    assert_eq!(of(2), (2, 1, 1));
    assert_eq!(of(1), (1, 0, 0));
}

#[test]
fn calls_of_a_count_window_keep_their_order_in_another_and_are_new_in_a_time_window() {
    let mut old = Window::of_calls(4);
    for sample in [
        CallSample::Failure,
        CallSample::SlowSuccess,
        CallSample::Success,
        CallSample::SlowFailure,
    ] {
        old.record(1, sample, 1);
    }
    let carried = |mut to: Window, width| {
        let shapes = (shape(None), shape(width));
        to.carry_over(&old, shapes, 10 * SECOND);
        to
    };
    let counted = [
        (9, (4, 2, 2)),
        (3, (3, 1, 2)),
        (2, (2, 1, 1)),
        (1, (1, 1, 1)),
    ];
    for (capacity, counted) in counted {
        assert_eq!(
            totals(&carried(Window::of_calls(capacity), None), 1),
            counted
        );
    }
    let window = carried(Window::of_time(3), Some(2 * SECOND));
    for (bucket, counted) in [(6, (4, 2, 2)), (8, (4, 2, 2)), (9, (0, 0, 0))] {
        assert_eq!(totals(&window, bucket), counted, "in bucket {bucket}");
    }
}
