use std::array;

use super::bucket::Bucket;
use crate::util::{
    padded::Padded,
    sync::atomic::{AtomicU64, Ordering},
    thread_slot::thread_slot,
};

const COUNT_BITS: u32 = 16;
const BUCKET_BITS: u32 = 20;
const SHAPE_BITS: u32 = 8;
/// The mask of the count, and so the maximum number of pending successes of a lane.
pub(super) const MAX_PENDING: u64 = (1 << COUNT_BITS) - 1;

/// The number of lanes, a power of two. Few, since each takes 128 bytes of every breaker, of which there are many by key, and is
/// looked at whenever the lock is taken.
const LANES: usize = if cfg!(all(test, tower_keep_loom)) {
    2
} else {
    4
};

/// Successes since the lock was last held, all of one generation and bucket, in lanes: threads that add to one word wait
/// for each other's cache line.
///
/// Each lane is a word: the last 20 bits of the generation, 8 of the number of the window's shape, 20 of the bucket, 16 of
/// count. A success is added only to a word of its own generation, shape and bucket, by one compare-and-swap. So the
/// thread that holds the lock and takes all lanes gets each success once, and in its bucket. They are successes in a row,
/// because a failure takes the lock and empties the lanes first. That keeps the failure streak and count windows exact.
///
/// The lanes are emptied one after the other. A success that is added meanwhile counts before or after whoever empties
/// them, as it would with one word: it happens at the same time, and successes of one bucket are all alike. One that
/// happened before finds its lane not yet emptied, and one that happens afterwards finds all of them empty.
#[derive(Debug)]
pub(super) struct PendingSuccesses {
    lanes: [Padded<AtomicU64>; LANES],
}

/// The result of adding a success.
pub(super) enum Push {
    /// Added to those that the lane held before.
    Added {
        before: u64,
    },
    Full,
    OtherTag,
}

impl PendingSuccesses {
    pub(super) fn new(generation: u64, bucket: Bucket) -> Self {
        let tag = tag(generation, bucket);
        PendingSuccesses {
            lanes: array::from_fn(|_| Padded(AtomicU64::new(tag))),
        }
    }

    /// Adds a success to the lane of this thread, if that is of this generation and bucket and holds less than the maximum.
    #[inline]
    pub(super) fn push(&self, generation: u64, bucket: Bucket, max: u64) -> Push {
        let tag = tag(generation, bucket);
        let lane = &self.lanes[thread_slot() % LANES];
        // Relaxed, since a stale word costs no more than another turn: the exchange compares it.
        let mut word = lane.load(Ordering::Relaxed);
        loop {
            let count = word & MAX_PENDING;
            if word != tag | count {
                return Push::OtherTag;
            }
            if count >= max {
                return Push::Full;
            }
            match lane.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Push::Added { before: count },
                Err(present) => word = present,
            }
        }
    }

    /// Takes the pending successes, and makes all lanes those of this generation and bucket. Called under the lock.
    pub(super) fn drain(&self, generation: u64, bucket: Bucket) -> u64 {
        let tag = tag(generation, bucket);
        let take = |lane: &Padded<AtomicU64>| match lane.load(Ordering::Acquire) {
            // Most lanes are so at most times. Looking does not take the line from the thread that adds to it.
            empty if empty == tag => 0,
            _ => lane.swap(tag, Ordering::AcqRel) & MAX_PENDING,
        };
        self.lanes.iter().map(take).sum()
    }
}

#[inline]
fn tag(generation: u64, bucket: Bucket) -> u64 {
    let index = bucket.index & ((1 << BUCKET_BITS) - 1);
    let generation = generation << (SHAPE_BITS + BUCKET_BITS + COUNT_BITS);
    generation | u64::from(bucket.shape) << (BUCKET_BITS + COUNT_BITS) | index << COUNT_BITS
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn bucket(shape: u8, index: u64) -> Bucket {
        Bucket { shape, index }
    }

    /// Runs the work on threads of as many different lanes, one after the other.
    fn in_lanes(lanes: usize, work: impl Fn() + Send + Sync) {
        let mut used = Vec::new();
        while used.len() < lanes {
            let (sender, receiver) = mpsc::channel();
            thread::scope(|scope| {
                let (work, used) = (&work, &used);
                scope.spawn(move || {
                    let lane = thread_slot() % LANES;
                    if !used.contains(&lane) {
                        work();
                        let _ = sender.send(lane);
                    }
                });
            });
            used.extend(receiver.try_recv());
        }
    }

    fn added(push: Push) -> u64 {
        match push {
            Push::Added { before } => before,
            Push::Full => panic!("full"),
            Push::OtherTag => panic!("of another tag"),
        }
    }

    #[test]
    fn pending_successes_of_all_threads_are_drained_once() {
        let pending = PendingSuccesses::new(3, bucket(1, 5));
        in_lanes(LANES, || {
            assert_eq!(added(pending.push(3, bucket(1, 5), 2)), 0);
            assert_eq!(added(pending.push(3, bucket(1, 5), 2)), 1);
            assert!(matches!(pending.push(3, bucket(1, 5), 2), Push::Full));
        });
        assert_eq!(pending.drain(3, bucket(1, 5)), 2 * LANES as u64);
        assert_eq!(pending.drain(3, bucket(1, 5)), 0);
    }

    #[test]
    fn pending_successes_are_added_to_the_lane_of_their_thread() {
        let pending = PendingSuccesses::new(0, bucket(0, 1));
        in_lanes(LANES, || {
            for before in 0..thread_slot() % LANES {
                assert_eq!(added(pending.push(0, bucket(0, 1), 9)), before as u64);
            }
        });
        for (at, lane) in pending.lanes.iter().enumerate() {
            assert_eq!(lane.load(Ordering::Relaxed) & MAX_PENDING, at as u64);
        }
    }

    #[test]
    fn pending_lanes_all_get_the_generation_and_bucket_of_a_drain() {
        let pending = PendingSuccesses::new(0, bucket(0, 1));
        // Some have something to take, and some have not.
        in_lanes(2, || _ = added(pending.push(0, bucket(0, 1), 9)));
        for (generation, next) in [(1, bucket(0, 1)), (1, bucket(0, 2)), (1, bucket(1, 2))] {
            pending.drain(generation, next);
            in_lanes(LANES, || {
                assert_eq!(added(pending.push(generation, next, 9)), 0);
                let before = pending.push(generation - 1, next, 9);
                assert!(matches!(before, Push::OtherTag));
            });
        }
    }

    #[test]
    fn pending_lane_keeps_generation_shape_and_bucket_apart() {
        let tag = |generation, shape, index| tag(generation, bucket(shape, index));
        assert_eq!(
            tag(0, 0, 1 << BUCKET_BITS),
            tag(0, 0, 0),
            "outgrows its bits"
        );
        assert_ne!(tag(0, 1, 0), tag(0, 0, 1 << BUCKET_BITS));
        assert_ne!(tag(1, 0, 0), tag(0, 255, (1 << BUCKET_BITS) - 1));
        let distinct = [tag(1, 0, 0), tag(0, 1, 0), tag(0, 0, 1), tag(0, 0, 0)];
        assert_eq!(distinct, [1 << 44, 1 << 36, 1 << 16, 0]);
    }
}
