//! The latest calls, counted: those of a time, or a number of them.

use std::{cmp::Reverse, collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::{call_counts::CallCounts, call_sample::CallSample, window_shape::WindowShape};

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
    /// The new window then forgets what it has no capacity or time for, as it always does. `since_start` is the age of the
    /// breaker.
    pub(super) fn carry_over(
        &mut self,
        old: &Window,
        (from, to): (WindowShape, WindowShape),
        since_start: Duration,
    ) {
        let present = to.bucket_at(|| since_start).index;
        match (old, self.capacity()) {
            (Window::Time { .. }, None) => {
                for (index, counts) in old.newest_first(from.bucket_at(|| since_start).index) {
                    let moment = from.last_moment(index).min(since_start);
                    self.add(to.bucket_at(|| moment).index, counts);
                }
            }
            (Window::Count { counts, .. }, None) => self.add(present, *counts),
            (Window::Time { .. }, Some(capacity)) => {
                let slots = old.newest_first(from.bucket_at(|| since_start).index);
                self.record_latest(present, slots, capacity);
            }
            (Window::Count { samples, .. }, Some(_)) => {
                for sample in samples {
                    self.record(present, *sample, 1);
                }
            }
        }
    }

    /// Records as many calls of buckets, the newest of which comes first, as a count window holds.
    fn record_latest(&mut self, present: u64, slots: Vec<(u64, CallCounts)>, capacity: usize) {
        let calls: u64 = slots.iter().map(|(_, counts)| counts.calls).sum();
        // There may be millions of them, under the lock.
        let mut skip = calls.saturating_sub(capacity as u64);
        for (_, counts) in slots.into_iter().rev() {
            let skipped = skip.min(counts.calls);
            skip -= skipped;
            for index in skipped..counts.calls {
                self.record(present, counts.sample(index), 1);
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
                if let Some(recorded) = recorded {
                    take_success_back(buckets, recorded, failure);
                    return self.record(bucket, failure, 1);
                }
                // The latest success becomes the failure, as in a count window.
                let newest_expired = newest_expired(bucket.max(*latest), buckets.len());
                match latest_success(buckets, newest_expired) {
                    Some(counts) => counts.failures += 1,
                    None => self.record(bucket, failure, 1),
                }
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

/// Takes a success out of the bucket that has these last bits of its index.
fn take_success_back(buckets: &mut [(u64, CallCounts)], recorded: u32, failure: CallSample) {
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
}

/// Returns the counts of the latest bucket with a success that is in the window.
fn latest_success(
    buckets: &mut [(u64, CallCounts)],
    newest_expired: u64,
) -> Option<&mut CallCounts> {
    let has_success =
        |slot: &&mut (u64, CallCounts)| slot.0 > newest_expired && slot.1.calls > slot.1.failures;
    let slots = buckets.iter_mut().filter(has_success);
    let latest = slots.max_by_key(|slot| slot.0)?;
    Some(&mut latest.1)
}

/// Returns the index of the newest bucket that is not in a window of so many buckets any more.
fn newest_expired(present: u64, buckets: usize) -> u64 {
    present.saturating_sub(buckets as u64)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
