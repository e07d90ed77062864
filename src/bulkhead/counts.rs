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

/// The share of the latest call in the recent time of a run: one part of this many.
const RECENT_WEIGHT: u64 = 8;

/// The counts, each of which is only added to.
#[derive(Debug)]
pub(super) struct Counts {
    /// A shard for some of the threads each, since every call adds to it when it ends.
    shards: Box<[Padded<Shard>]>,
    /// Of the latest runs, in nanoseconds; 0 if there was none. An update that is lost does no harm.
    recent_run: Padded<AtomicU64>,
    rejected: [AtomicU64; RejectReason::ALL.len()],
}

#[derive(Debug, Default)]
struct Shard {
    ended: [AtomicU64; RunResult::ALL.len()],
    /// The time of those that are done or have failed, in nanoseconds.
    run_time: AtomicU64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Counts {
            shards: (0..shard_count()).map(|_| Padded::default()).collect(),
            recent_run: Padded::default(),
            rejected: Default::default(),
        }
    }

    /// Counts a call that gives its slot back, and how long it had the slot.
    #[inline]
    pub(super) fn count_run(&self, result: RunResult, time: Duration) {
        // The number of shards is a power of two.
        let shard = &self.shards[thread_slot() & (self.shards.len() - 1)];
        shard.ended[result as usize].fetch_add(1, Relaxed);
        if result != RunResult::Inconclusive {
            let nanos = saturating_nanos(time);
            shard.run_time.fetch_add(nanos, Relaxed);
            let recent = self.recent_run.load(Relaxed);
            self.recent_run.store(update_recent(recent, nanos), Relaxed);
        }
    }

    #[cold]
    pub(super) fn count_rejection(&self, reason: RejectReason) {
        self.rejected[reason as usize].fetch_add(1, Relaxed);
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

    /// Returns how long the latest calls have taken, the last one above all.
    pub(super) fn recent_run(&self) -> Option<Duration> {
        match self.recent_run.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.iter().map(|count| count.load(Relaxed)).sum()
    }
}

/// Returns the exponentially weighted mean after another run.
#[inline]
fn update_recent(recent: u64, nanos: u64) -> u64 {
    // At least 1, since 0 stands for no run.
    let mean = match recent {
        0 => nanos,
        _ => recent - recent / RECENT_WEIGHT + nanos / RECENT_WEIGHT,
    };
    mean.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn counts_of_all_threads_are_added() {
        let counts = Counts::new();
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
    fn recent_run_follows_the_latest_calls() {
        let counts = Counts::new();
        assert_eq!((counts.recent_run(), counts.mean_run()), (None, None));
        counts.count_run(RunResult::Inconclusive, MILLI);
        assert_eq!(counts.recent_run(), None, "tells nothing");
        counts.count_run(RunResult::Done, Duration::ZERO);
        let nano = Duration::from_nanos(1);
        assert_eq!(counts.recent_run(), Some(nano), "not none");
        for _ in 0..100 {
            counts.count_run(RunResult::Done, 8 * MILLI);
        }
        let recent = counts.recent_run().expect("some");
        assert!(recent > 7 * MILLI && recent <= 8 * MILLI, "{recent:?}");
        counts.count_run(RunResult::Failed, 16 * MILLI);
        let recent = counts.recent_run().expect("some");
        assert!(recent > 8 * MILLI && recent < 10 * MILLI, "{recent:?}");
        assert_eq!(update_recent(u64::MAX, u64::MAX), u64::MAX - 7);
    }

    #[test]
    fn rejections_are_counted_by_reason() {
        let counts = Counts::new();
        for reason in RejectReason::ALL {
            counts.count_rejection(reason);
        }
        assert_eq!(counts.rejected(), RejectReason::ALL.len() as u64);
    }
}
