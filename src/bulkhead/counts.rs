//! The numbers of calls of a bulkhead, by what became of them.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{reject_reason::RejectReason, run_result::RunResult};
use crate::util::{
    duration::saturating_nanos, padded::Padded, shards::shard_count, thread_slot::thread_slot,
};

/// The counts, each of which is only added to.
#[derive(Debug)]
pub(super) struct BulkheadCounts {
    /// A shard for some of the threads each, since every call adds to it when it ends.
    shards: Box<[Padded<Shard>]>,
    rejected: [AtomicU64; RejectReason::ALL.len()],
    /// The calls that have waited, and their waits in nanoseconds: all of them, and the longest.
    waited: AtomicU64,
    wait_time: AtomicU64,
    max_wait: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    ended: [AtomicU64; RunResult::ALL.len()],
    /// The time of those that are done or have failed, in nanoseconds.
    run_time: AtomicU64,
}

impl BulkheadCounts {
    pub(super) fn new() -> Self {
        BulkheadCounts {
            shards: (0..shard_count()).map(|_| Padded::default()).collect(),
            rejected: Default::default(),
            waited: AtomicU64::new(0),
            wait_time: AtomicU64::new(0),
            max_wait: AtomicU64::new(0),
        }
    }

    /// Counts a call that gives its slot back, and how long it had the slot.
    #[inline]
    pub(super) fn count_run(&self, result: RunResult, time: Duration) {
        // The number of shards is a power of two.
        let shard = &self.shards[thread_slot() & (self.shards.len() - 1)];
        shard.ended[result as usize].fetch_add(1, Relaxed);
        if result != RunResult::Inconclusive {
            shard.run_time.fetch_add(saturating_nanos(time), Relaxed);
        }
    }

    #[cold]
    pub(super) fn count_rejection(&self, reason: RejectReason) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a call that has waited, whatever became of its wait.
    pub(super) fn count_wait(&self, time: Duration) {
        let nanos = saturating_nanos(time);
        self.waited.fetch_add(1, Relaxed);
        self.wait_time.fetch_add(nanos, Relaxed);
        self.max_wait.fetch_max(nanos, Relaxed);
    }

    /// Returns the number of calls that have waited.
    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Relaxed)
    }

    /// Returns the mean of the waits.
    pub(super) fn mean_wait(&self) -> Option<Duration> {
        let mean = self.wait_time.load(Relaxed).checked_div(self.waited())?;
        Some(Duration::from_nanos(mean))
    }

    /// Returns the longest wait.
    pub(super) fn max_wait(&self) -> Option<Duration> {
        let nanos = self.max_wait.load(Relaxed);
        (self.waited() > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Returns how many calls have ended in each way.
    pub(super) fn ended(&self) -> [u64; RunResult::ALL.len()] {
        array::from_fn(|result| {
            let shards = self.shards.iter();
            shards.map(|shard| shard.ended[result].load(Relaxed)).sum()
        })
    }

    /// Returns the mean time of the calls that are done or have failed.
    pub(super) fn mean_run(&self) -> Option<Duration> {
        let [done, failed, _] = self.ended();
        let nanos = self
            .shards
            .iter()
            .map(|shard| u128::from(shard.run_time.load(Relaxed)));
        let mean = nanos.sum::<u128>().checked_div(u128::from(done + failed))?;
        Some(Duration::from_nanos(mean as u64))
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.iter().map(|count| count.load(Relaxed)).sum()
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn counts_of_all_threads_are_added() {
        let counts = BulkheadCounts::new();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    counts.count_run(RunResult::Done, MILLI);
                    counts.count_run(RunResult::Failed, 3 * MILLI);
                    counts.count_run(RunResult::Inconclusive, 100 * MILLI);
                });
            }
        });
        assert_eq!(counts.ended(), [20, 20, 20]);
        assert_eq!(counts.mean_run(), Some(2 * MILLI));
    }

    #[test]
    fn waits_have_a_mean_and_a_longest() {
        let counts = BulkheadCounts::new();
        assert_eq!((counts.mean_wait(), counts.max_wait()), (None, None));
        for millis in [1, 5, 3] {
            counts.count_wait(millis * MILLI);
        }
        assert_eq!(counts.waited(), 3);
        assert_eq!(counts.mean_wait(), Some(3 * MILLI));
        assert_eq!(counts.max_wait(), Some(5 * MILLI));
    }

    #[test]
    fn rejections_are_counted_by_reason() {
        let counts = BulkheadCounts::new();
        for reason in RejectReason::ALL {
            counts.count_rejection(reason);
        }
        assert_eq!(counts.rejected(), RejectReason::ALL.len() as u64);
    }
}
