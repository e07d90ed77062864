//! The latest calls, counted: over a time, or a number of them.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// One call, as the window counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallSample {
    Success,
    SlowSuccess,
    Failure,
    SlowFailure,
}

impl CallSample {
    pub(super) fn is_failure(self) -> bool {
        matches!(self, CallSample::Failure | CallSample::SlowFailure)
    }

    pub(super) fn is_slow(self) -> bool {
        matches!(self, CallSample::SlowSuccess | CallSample::SlowFailure)
    }

    fn to_failure(self) -> Self {
        if self.is_slow() {
            CallSample::SlowFailure
        } else {
            CallSample::Failure
        }
    }
}

/// How many calls there were, and how many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCounts {
    /// All calls that count.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that took at least the slow limit to their head, failed or not.
    pub slow: u64,
}

impl CallCounts {
    fn record(&mut self, sample: CallSample, times: u64) {
        self.calls += times;
        self.failures += if sample.is_failure() { times } else { 0 };
        self.slow += if sample.is_slow() { times } else { 0 };
    }
}

/// Cuts time into the buckets of a ring. Shared with the path that takes no lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct BucketClock {
    start: Instant,
    bucket_width: u64,
}

impl BucketClock {
    pub(super) fn new(start: Instant, window: Duration, buckets: usize) -> Self {
        let width = window.as_nanos() / buckets.max(1) as u128;
        let width = u64::try_from(width).unwrap_or(u64::MAX).max(1);
        BucketClock {
            start,
            bucket_width: width,
        }
    }

    /// The number of the bucket, from 1.
    #[inline]
    pub(super) fn bucket_at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_nanos() as u64 / self.bucket_width + 1
    }
}

#[derive(Debug)]
pub(super) enum Window {
    Time(TimeRing),
    Count(CountRing),
}

impl Window {
    /// `tick` is only looked at by a time ring.
    pub(super) fn record(&mut self, tick: u64, sample: CallSample, times: u64) {
        match self {
            Window::Time(ring) => ring.record(tick, sample, times),
            Window::Count(ring) => ring.record(sample, times),
        }
    }

    /// Counts a failure in the place of a success that was recorded in the bucket with these last bits: if that
    /// is still in the window, there are as many calls as before. `tick` is the present bucket.
    pub(super) fn success_to_failure(&mut self, recorded: u32, failure: CallSample, tick: u64) {
        match self {
            Window::Time(ring) => {
                ring.remove_success(recorded, failure.is_slow());
                ring.record(tick, failure, 1);
            }
            Window::Count(ring) => ring.success_to_failure(failure),
        }
    }

    pub(super) fn counts(&self, tick: u64) -> CallCounts {
        match self {
            Window::Time(ring) => ring.counts(tick),
            Window::Count(ring) => ring.counts,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Window::Time(ring) => ring.buckets.fill(Bucket::default()),
            Window::Count(ring) => {
                ring.samples.clear();
                ring.counts = CallCounts::default();
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    index: u64,
    counts: CallCounts,
}

/// Exact counts of the last few buckets of time.
#[derive(Debug)]
pub(super) struct TimeRing {
    buckets: Box<[Bucket]>,
    latest: u64,
}

impl TimeRing {
    pub(super) fn new(buckets: usize) -> Self {
        TimeRing {
            buckets: vec![Bucket::default(); buckets].into(),
            latest: 0,
        }
    }

    fn record(&mut self, tick: u64, sample: CallSample, times: u64) {
        let at = (tick % self.buckets.len() as u64) as usize;
        let bucket = &mut self.buckets[at];
        // Somebody late: the bucket has moved on, and must not be turned back.
        if bucket.index > tick {
            return;
        }
        if bucket.index < tick {
            *bucket = Bucket {
                index: tick,
                counts: CallCounts::default(),
            };
        }
        bucket.counts.record(sample, times);
        self.latest = self.latest.max(tick);
    }

    /// Takes a success out of its bucket. One that has left the window counts for nothing, with or without it.
    fn remove_success(&mut self, recorded: u32, slow: bool) {
        let mut buckets = self.buckets.iter_mut();
        let found = buckets.find(|bucket| bucket.index as u32 == recorded);
        if let Some(Bucket { counts, .. }) = found
            && counts.calls > counts.failures
        {
            counts.calls -= 1;
            counts.slow = counts.slow.saturating_sub(u64::from(slow));
        }
    }

    /// The last bucket that has left the window. Time does not run backwards: what was seen last is the least that is
    /// now.
    fn newest_expired(&self, tick: u64) -> u64 {
        tick.max(self.latest)
            .saturating_sub(self.buckets.len() as u64)
    }

    fn counts(&self, tick: u64) -> CallCounts {
        let after = self.newest_expired(tick);
        let mut sum = CallCounts::default();
        for bucket in self.buckets.iter().filter(|bucket| bucket.index > after) {
            sum.calls += bucket.counts.calls;
            sum.failures += bucket.counts.failures;
            sum.slow += bucket.counts.slow;
        }
        sum
    }
}

/// The last few calls, one by one.
#[derive(Debug)]
pub(super) struct CountRing {
    samples: VecDeque<CallSample>,
    capacity: usize,
    counts: CallCounts,
}

impl CountRing {
    pub(super) fn new(limit: usize) -> Self {
        CountRing {
            samples: VecDeque::with_capacity(limit),
            capacity: limit,
            counts: CallCounts::default(),
        }
    }

    fn record(&mut self, sample: CallSample, times: u64) {
        for _ in 0..times.min(self.capacity as u64) {
            if self.samples.len() == self.capacity {
                let oldest = self.samples.pop_front().expect("a limit is at least 1");
                self.counts.calls -= 1;
                self.counts.failures -= u64::from(oldest.is_failure());
                self.counts.slow -= u64::from(oldest.is_slow());
            }
            self.samples.push_back(sample);
            self.counts.record(sample, 1);
        }
    }

    /// Turns the most recent success into a failure, which was as slow as it was; if none is left, the failure is one
    /// call more.
    fn success_to_failure(&mut self, failure: CallSample) {
        let mut latest = self.samples.iter_mut().rev();
        let Some(success) = latest.find(|sample| !sample.is_failure()) else {
            return self.record(failure, 1);
        };
        *success = success.to_failure();
        self.counts.failures += 1;
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
        /// Threads read the clock, and then wait for their turn: ticks come in any order.
        #[test]
        fn a_late_recorder_turns_no_bucket_back(
            buckets in 1..8_usize,
            seen in prop::collection::vec((1..40_u64, any_sample(), 1..5_u64), 1..100),
            asked in 1..45_u64,
        ) {
            let mut ring = TimeRing::new(buckets);
            for (n, &(tick, sample, times)) in seen.iter().enumerate() {
                ring.record(tick, sample, times);
                let so_far = &seen[..=n];
                let latest = so_far.iter().map(|seen| seen.0).max().expect("one");
                let within = |now: u64| so_far.iter().filter(move |seen| seen.0 + buckets as u64 > now);
                prop_assert_eq!(ring.counts(asked), added(within(latest.max(asked))));
            }
        }

        #[test]
        fn a_count_ring_holds_the_last_calls_and_no_others(
            limit in 1..20_usize,
            seen in prop::collection::vec((Just(0_u64), any_sample(), 1..30_u64), 1..100),
        ) {
            let mut ring = CountRing::new(limit);
            let mut list = Vec::new();
            for &(_, sample, times) in &seen {
                ring.record(sample, times);
                list.extend((0..times).map(|_| (0, sample, 1)));
                let last = list.len().saturating_sub(limit);
                prop_assert_eq!(ring.counts, added(list[last..].iter()));
            }
        }
    }

    #[test]
    fn converted_success_leaves_its_bucket_while_that_is_in_the_window() {
        for (now, calls) in [(5, 2), (7, 2), (8, 1)] {
            let mut window = Window::Time(TimeRing::new(3));
            window.record(5, CallSample::Success, 2);
            window.success_to_failure(5, CallSample::Failure, now);
            let counts = window.counts(now);
            assert_eq!(
                (counts.calls, counts.failures),
                (calls, 1),
                "in bucket {now}"
            );
        }
        let mut window = Window::Time(TimeRing::new(3));
        window.record(5, CallSample::SlowSuccess, 1);
        window.success_to_failure(5, CallSample::SlowFailure, 6);
        let counts = window.counts(6);
        assert_eq!((counts.calls, counts.failures, counts.slow), (1, 1, 1));
        assert_eq!(window.counts(8).calls, 1, "it failed in bucket 6");
    }

    #[test]
    fn bucket_of_failures_only_gives_up_no_success() {
        let mut window = Window::Time(TimeRing::new(3));
        window.record(5, CallSample::Failure, 1);
        window.success_to_failure(5, CallSample::Failure, 5);
        let counts = window.counts(5);
        assert_eq!((counts.calls, counts.failures), (2, 2));
    }

    #[test]
    fn converted_success_of_a_count_ring_is_the_latest_and_if_none_is_left_a_call_more() {
        let mut window = Window::Count(CountRing::new(3));
        window.record(1, CallSample::SlowSuccess, 1);
        window.record(1, CallSample::Success, 1);
        for (calls, failures, slow) in [(2, 1, 1), (2, 2, 1), (3, 3, 1), (3, 3, 0)] {
            window.success_to_failure(1, CallSample::Failure, 1);
            let counts = window.counts(1);
            let seen = (counts.calls, counts.failures, counts.slow);
            assert_eq!(seen, (calls, failures, slow));
        }
    }

    #[test]
    fn a_bucket_begins_with_its_first_nanosecond() {
        let start = Instant::now();
        let ticks = BucketClock::new(start, Duration::from_secs(30), 10);
        let nano = Duration::from_nanos(1);
        for (time, tick) in [(0, 1), (3, 2), (30, 11)] {
            let at = start + Duration::from_secs(time);
            assert_eq!(ticks.bucket_at(at), tick);
            assert_eq!(ticks.bucket_at(at + Duration::from_secs(3) - nano), tick);
        }
        assert_eq!(
            ticks.bucket_at(start - nano),
            1,
            "before the first there is none"
        );
    }
}
