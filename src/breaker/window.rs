//! The latest calls, counted: those of a time, or a number of them.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::call_sample::CallSample;

/// The number of calls in a window, in all and of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCounts {
    /// All calls that count.
    pub calls: u64,
    /// Calls that have failed.
    pub failures: u64,
    /// Calls that took at least the slow limit to their head, failed or not.
    pub slow: u64,
}

impl CallCounts {
    fn record(&mut self, sample: CallSample, times: u64) {
        self.calls += times;
        self.failures += if sample.is_failure() { times } else { 0 };
        self.slow += if sample.is_slow() { times } else { 0 };
    }
}

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
            Window::Time { buckets, latest } => {
                let (index, counts) = &mut buckets[(bucket % buckets.len() as u64) as usize];
                // The thread is late: the slot has moved on, and must not be turned back.
                if *index > bucket {
                    return;
                }
                if *index < bucket {
                    (*index, *counts) = (bucket, CallCounts::default());
                }
                counts.record(sample, times);
                *latest = bucket.max(*latest);
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

    /// Records a failure in the place of a success, whose bucket has these last bits. If the success is still in the
    /// window, the number of calls stays. `bucket` is the present one.
    pub(super) fn success_to_failure(&mut self, recorded: u32, failure: CallSample, bucket: u64) {
        match self {
            Window::Time { buckets, .. } => {
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
                let newest_expired = bucket.max(*latest).saturating_sub(buckets.len() as u64);
                let mut sum = CallCounts::default();
                for (_, counts) in buckets.iter().filter(|slot| slot.0 > newest_expired) {
                    sum.calls += counts.calls;
                    sum.failures += counts.failures;
                    sum.slow += counts.slow;
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

#[cfg(test)]
mod tests {
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
            window.success_to_failure(5, CallSample::Failure, now);
            let counts = window.counts(now);
            assert_eq!(
                (counts.calls, counts.failures),
                (calls, 1),
                "in bucket {now}"
            );
        }
        let mut window = Window::of_time(3);
        window.record(5, CallSample::SlowSuccess, 1);
        window.success_to_failure(5, CallSample::SlowFailure, 6);
        let counts = window.counts(6);
        assert_eq!((counts.calls, counts.failures, counts.slow), (1, 1, 1));
        assert_eq!(window.counts(8).calls, 1, "it failed in bucket 6");
    }

    #[test]
    fn success_to_failure_takes_nothing_out_of_a_bucket_of_failures() {
        let mut window = Window::of_time(3);
        window.record(5, CallSample::Failure, 1);
        window.success_to_failure(5, CallSample::Failure, 5);
        let counts = window.counts(5);
        assert_eq!((counts.calls, counts.failures), (2, 2));
    }

    #[test]
    fn success_to_failure_replaces_the_latest_success_of_a_count_window_or_adds_a_call() {
        let mut window = Window::of_calls(3);
        window.record(1, CallSample::SlowSuccess, 1);
        window.record(1, CallSample::Success, 1);
        for (calls, failures, slow) in [(2, 1, 1), (2, 2, 1), (3, 3, 1), (3, 3, 0)] {
            window.success_to_failure(1, CallSample::Failure, 1);
            let counts = window.counts(1);
            let seen = (counts.calls, counts.failures, counts.slow);
            assert_eq!(seen, (calls, failures, slow));
        }
    }
}
