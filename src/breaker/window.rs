//! The latest calls, counted: those of a time, or a number of them.

use std::{cmp::Reverse, collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{bucket_clock::BucketClock, call_counts::CallCounts, call_sample::CallSample};

/// Returns a time a century away where the clock cannot represent the sum.
pub(super) fn saturating_add(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    now.checked_add(wait).unwrap_or_else(|| now + CENTURY)
}

/// The latest calls.
#[derive(Debug)]
pub(super) enum Window {
    /// Exact counts of the latest buckets of time.
    Time {
        /// A ring: each bucket with its index.
        buckets: Box<[(u64, CallCounts)]>,
        /// The highest index that has been recorded.
        latest: u64,
    },
    /// A number of calls, the oldest first.
    Count {
        samples: VecDeque<CallSample>,
        capacity: usize,
        counts: CallCounts,
    },
}

impl Window {
    pub(super) fn of_time(buckets: usize) -> Self {
        Window::Time {
            buckets: vec![(0, CallCounts::default()); buckets].into(),
            latest: 0,
        }
    }

    pub(super) fn of_calls(capacity: usize) -> Self {
        Window::Count {
            samples: VecDeque::with_capacity(capacity),
            capacity,
            counts: CallCounts::default(),
        }
    }

    /// Records calls. A count window ignores the bucket.
    pub(super) fn record(&mut self, bucket: u64, sample: CallSample, times: u64) {
        match self {
            Window::Time { .. } => {
                let mut counts = CallCounts::default();
                counts.record(sample, times);
                self.add(bucket, counts);
            }
            Window::Count {
                samples,
                capacity,
                counts,
            } => {
                for _ in 0..times.min(*capacity as u64) {
                    if samples.len() == *capacity {
                        let oldest = samples.pop_front().expect("the capacity is at least 1");
                        counts.calls -= 1;
                        counts.failures -= u64::from(oldest.is_failure());
                        counts.slow -= u64::from(oldest.is_slow());
                    }
                    samples.push_back(sample);
                    counts.record(sample, 1);
                }
            }
        }
    }

    /// Adds calls to a bucket of time. A count window has none.
    fn add(&mut self, bucket: u64, calls: CallCounts) {
        if let Window::Time { buckets, latest } = self {
            let (index, counts) = &mut buckets[(bucket % buckets.len() as u64) as usize];
            // The thread is late: the slot has moved on, and must not be turned back.
            if *index > bucket {
                return;
            }
            if *index < bucket {
                (*index, *counts) = (bucket, CallCounts::default());
            }
            counts.add(calls);
            *latest = bucket.max(*latest);
        }
    }

    /// Records the calls of a window of another shape in this one, which is empty. Its circuit keeps what it has counted.
    ///
    /// | from | to | calls are recorded |
    /// |---|---|---|
    /// | time | time | at the end of their bucket, or now |
    /// | calls | time | now, since their age is unknown |
    /// | time | calls | in the order of their buckets; within a bucket, failures and slow calls are spread evenly |
    /// | calls | calls | in their order |
    ///
    /// The new window then forgets what it has no capacity or time for, as it always does.
    pub(super) fn carry_over(
        &mut self,
        old: &Window,
        (from, to): (BucketClock, BucketClock),
        now: Instant,
    ) {
        let present = to.bucket_at(now).index;
        match (old, self.capacity()) {
            (Window::Time { .. }, None) => {
                for (index, counts) in old.newest_first(from.bucket_at(now).index) {
                    let moment = from.shape.last_moment(index).min(from.since_start(now));
                    self.add(to.shape.bucket_at(|| moment).index, counts);
                }
            }
            (Window::Count { counts, .. }, None) => self.add(present, *counts),
            (Window::Time { .. }, Some(capacity)) => {
                let mut slots = old.newest_first(from.bucket_at(now).index);
                let calls: u64 = slots.iter().map(|(_, counts)| counts.calls).sum();
                // There may be millions of them, under the lock.
                let mut skip = calls.saturating_sub(capacity as u64);
                slots.reverse();
                for (_, counts) in slots {
                    let skipped = skip.min(counts.calls);
                    skip -= skipped;
                    for index in skipped..counts.calls {
                        self.record(present, counts.sample(index), 1);
                    }
                }
            }
            (Window::Count { samples, .. }, Some(_)) => {
                for sample in samples {
                    self.record(present, *sample, 1);
                }
            }
        }
    }

    /// Returns how many calls a count window holds.
    fn capacity(&self) -> Option<usize> {
        match self {
            Window::Time { .. } => None,
            Window::Count { capacity, .. } => Some(*capacity),
        }
    }

    /// Returns the buckets that are in the window in this present one, with their calls. A count window has none.
    fn newest_first(&self, bucket: u64) -> Vec<(u64, CallCounts)> {
        let Window::Time { buckets, latest } = self else {
            return Vec::new();
        };
        let newest_expired = newest_expired(bucket.max(*latest), buckets.len());
        let mut slots: Vec<_> = buckets.to_vec();
        slots.retain(|(index, _)| *index > newest_expired);
        slots.sort_by_key(|(index, _)| Reverse(*index));
        slots
    }

    /// Records a failure in the place of a success, whose bucket has these last bits, or is unknown. If the success is still in
    /// the window, the number of calls stays. `bucket` is the present one.
    pub(super) fn success_to_failure(
        &mut self,
        recorded: Option<u32>,
        failure: CallSample,
        bucket: u64,
    ) {
        match self {
            Window::Time { buckets, latest } => {
                let Some(recorded) = recorded else {
                    // The latest success becomes the failure, as in a count window.
                    let newest_expired = newest_expired(bucket.max(*latest), buckets.len());
                    let has_success = |slot: &&mut (u64, CallCounts)| {
                        slot.0 > newest_expired && slot.1.calls > slot.1.failures
                    };
                    let slots = buckets.iter_mut().filter(has_success);
                    return match slots.max_by_key(|slot| slot.0) {
                        Some((_, counts)) => counts.failures += 1,
                        None => self.record(bucket, failure, 1),
                    };
                };
                let mut slots = buckets.iter_mut();
                // One that has left the window does not count, with or without the success.
                let found = slots.find(|(index, _)| *index as u32 == recorded);
                // Late successes are dropped when their bucket has moved on, so it may have none to take back.
                if let Some((_, counts)) = found
                    && counts.calls > counts.failures
                {
                    counts.calls -= 1;
                    counts.slow = counts.slow.saturating_sub(u64::from(failure.is_slow()));
                }
                self.record(bucket, failure, 1);
            }
            Window::Count {
                samples, counts, ..
            } => {
                // The latest success becomes the failure, and stays as slow as it was.
                let mut latest = samples.iter_mut().rev();
                let Some(success) = latest.find(|sample| !sample.is_failure()) else {
                    return self.record(bucket, failure, 1);
                };
                *success = success.to_failure();
                counts.failures += 1;
            }
        }
    }

    pub(super) fn counts(&self, bucket: u64) -> CallCounts {
        match self {
            Window::Time { buckets, latest } => {
                // A clock that was read earlier does not bring back what has left the window.
                let newest_expired = newest_expired(bucket.max(*latest), buckets.len());
                let mut sum = CallCounts::default();
                for (_, counts) in buckets.iter().filter(|slot| slot.0 > newest_expired) {
                    sum.add(*counts);
                }
                sum
            }
            Window::Count { counts, .. } => *counts,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            // `latest` stays: the time does not begin again.
            Window::Time { buckets, .. } => buckets.fill((0, CallCounts::default())),
            Window::Count {
                samples, counts, ..
            } => {
                samples.clear();
                *counts = CallCounts::default();
            }
        }
    }
}

/// Returns the index of the newest bucket that is not in a window of so many buckets any more.
fn newest_expired(present: u64, buckets: usize) -> u64 {
    present.saturating_sub(buckets as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::window_shape::WindowShape;
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

    /// A clock whose buckets are this wide, or that of a count window.
    fn clock(start: Instant, width: Option<Duration>) -> BucketClock {
        let shape = match width {
            Some(width) => WindowShape::of_time(0, width, 1),
            None => WindowShape::of_calls(0, 5),
        };
        BucketClock { start, shape }
    }

    fn totals(window: &Window, bucket: u64) -> (u64, u64, u64) {
        let counts = window.counts(bucket);
        (counts.calls, counts.failures, counts.slow)
    }

    /// A window of 3 buckets of 4 s in its sixth bucket, which begins after 20 s.
    fn carried_from_time(mut to: Window, width: Option<Duration>, at: u64) -> Window {
        let start = Instant::now();
        let mut old = Window::of_time(3);
        old.record(2, CallSample::Failure, 100);
        old.record(4, CallSample::Failure, 1);
        old.record(5, CallSample::Success, 4);
        old.record(5, CallSample::SlowFailure, 2);
        old.record(6, CallSample::Success, 1);
        let clocks = (clock(start, Some(4 * SECOND)), clock(start, width));
        to.carry_over(&old, clocks, start + SECOND * at as u32);
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
        let start = Instant::now();
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
            let clocks = (clock(start, None), clock(start, width));
            to.carry_over(&old, clocks, start + 10 * SECOND);
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
}
