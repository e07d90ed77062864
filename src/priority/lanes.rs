use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::arrivals::LevelCounts;
use crate::{
    context::{ALL_LEVELS, LEVELS, PriorityClass},
    util::{padded::Padded, shards::shard_count, thread_slot::thread_slot},
};

/// The arrivals of a lane after which they are added to the distribution. Until there are so many, that happens whenever their
/// number has doubled, so that a process which has just started knows something.
const BATCH: u64 = 1_024;
const FIRST_BATCH: u64 = 64;

/// The calls that have come and are not in the distribution yet, in lanes, so that threads do not write to the same memory.
pub(super) struct Lanes(Box<[Padded<Lane>]>);

pub(super) struct Lane {
    ordinal: AtomicU64,
    /// The calls that got through while nobody counted results, and are not in the window yet.
    accepted: AtomicU64,
    levels: Box<[AtomicU32]>,
}

/// The number of a call in its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordinal(pub(super) u64);

impl Ordinal {
    /// Returns whether the lane is due to be added to the distribution.
    #[inline]
    pub(super) fn is_due(self) -> bool {
        let calls = self.0 + 1;
        calls.is_multiple_of(BATCH) || (FIRST_BATCH <= calls && calls.is_power_of_two())
    }
}

impl Lanes {
    pub(super) fn new() -> Self {
        let lane = |_| {
            Padded(Lane {
                ordinal: AtomicU64::new(0),
                accepted: AtomicU64::new(0),
                levels: (0..ALL_LEVELS).map(|_| AtomicU32::new(0)).collect(),
            })
        };
        Lanes((0..shard_count()).map(lane).collect())
    }

    /// Returns the lane of this thread.
    #[inline]
    pub(super) fn current(&self) -> &Lane {
        &self.0[thread_slot() % self.0.len()]
    }

    /// Adds what waits in all lanes to the distribution.
    pub(super) fn take_all(&self, arrivals: &mut LevelCounts) {
        self.0.iter().for_each(|lane| lane.take(arrivals));
    }

    /// Counts a call that got through.
    #[inline]
    pub(super) fn count_accepted(&self) {
        self.current().accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the calls that got through. Each is taken once.
    pub(super) fn take_accepted(&self) -> u64 {
        let take = |lane: &Padded<Lane>| match lane.accepted.load(Ordering::Relaxed) {
            0 => 0,
            _ => lane.accepted.swap(0, Ordering::Relaxed),
        };
        self.0.iter().map(take).sum()
    }

    /// Returns the calls that wait, by class.
    pub(super) fn by_class(&self) -> [u64; PriorityClass::ALL.len()] {
        let mut calls = [0; PriorityClass::ALL.len()];
        for lane in &self.0 {
            for (level, count) in lane.levels.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                calls[level / usize::from(LEVELS)] += u64::from(count);
            }
        }
        calls
    }
}

impl Lane {
    /// Draws the number of the next call.
    #[inline]
    pub(super) fn next(&self) -> Ordinal {
        Ordinal(self.ordinal.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts a call of a level.
    #[inline]
    pub(super) fn count(&self, level: usize) {
        self.levels[level].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what waits to the distribution. Each call is taken once, whoever counts meanwhile.
    pub(super) fn take(&self, arrivals: &mut LevelCounts) {
        for (level, count) in self.levels.iter().enumerate() {
            if count.load(Ordering::Relaxed) > 0 {
                arrivals.add(level, count.swap(0, Ordering::Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_is_due_when_its_calls_have_doubled_and_after_each_batch() {
        let due: Vec<_> = (0..4_096)
            .filter(|call| Ordinal(*call).is_due())
            .map(|call| call + 1)
            .collect();
        assert_eq!(due, [64, 128, 256, 512, 1_024, 2_048, 3_072, 4_096]);
    }

    #[test]
    fn calls_of_a_lane_are_taken_once() {
        let lanes = Lanes::new();
        let mut arrivals = LevelCounts::new();
        for level in [0, 99, 100, 499] {
            lanes.current().count(level);
        }
        assert_eq!(lanes.by_class(), [2, 1, 0, 0, 1]);
        lanes.take_all(&mut arrivals);
        lanes.take_all(&mut arrivals);
        assert_eq!(arrivals.by_class(), [2, 1, 0, 0, 1]);
        assert_eq!(lanes.by_class(), [0; 5]);
    }

    #[test]
    fn calls_are_neither_lost_nor_counted_twice_by_threads_that_take_them() {
        let lanes = Lanes::new();
        let mut arrivals = LevelCounts::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|call| lanes.current().count(call % 500)));
            }
            (0..100).for_each(|_| lanes.take_all(&mut arrivals));
        });
        lanes.take_all(&mut arrivals);
        assert_eq!(arrivals.by_class(), [8_000; 5]);
    }
}
