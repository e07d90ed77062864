//! The bucket of a limiter, which threads share without a lock.

use super::{
    RateAlgorithm,
    quota::{Denial, Grant, Quota},
    ticks::{MAX_TICKS, TICK_BITS},
};
use crate::util::sync::atomic::{AtomicU64, Ordering};

const COUNT_BITS: u32 = 8;
const VERSION_BITS: u32 = 2;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const VERSION_MASK: u64 = (1 << VERSION_BITS) - 1;

const _: () = assert!(TICK_BITS + VERSION_BITS + COUNT_BITS == 64);

/// The part of a bucket that changes with each admission, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// The state of the limit by its quota.
    state: u64,
    /// The version of the quota that holds: another one for each change of settings.
    version: u64,
    /// The admissions, modulo 256.
    count: u64,
}

impl Word {
    #[inline]
    fn unpack(bits: u64) -> Self {
        Word {
            state: bits >> (VERSION_BITS + COUNT_BITS),
            version: (bits >> COUNT_BITS) & VERSION_MASK,
            count: bits & COUNT_MASK,
        }
    }

    #[inline]
    fn pack(self) -> u64 {
        debug_assert!(self.state <= MAX_TICKS);
        let version = self.version & VERSION_MASK;
        let count = self.count & COUNT_MASK;
        self.state << (VERSION_BITS + COUNT_BITS) | version << COUNT_BITS | count
    }
}

/// A quota that threads read while the other one is written.
#[derive(Debug)]
struct SharedQuota {
    interval: AtomicU64,
    /// The algorithm in the two highest bits, and the capacity.
    capacity: AtomicU64,
}

const CAPACITY_BITS: u32 = 62;

impl SharedQuota {
    fn new(quota: Quota) -> Self {
        let shared = SharedQuota {
            interval: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
        };
        shared.store(quota);
        shared
    }

    // Released and acquired, so that a thread which reads a part of a later quota cannot swap in a word of before.
    #[inline]
    fn load(&self) -> Quota {
        let bits = self.capacity.load(Ordering::Acquire);
        Quota {
            algorithm: match bits >> CAPACITY_BITS {
                0 => RateAlgorithm::Gcra,
                1 => RateAlgorithm::FixedWindow,
                _ => RateAlgorithm::SlidingWindow,
            },
            interval: self.interval.load(Ordering::Acquire),
            capacity: bits & ((1 << CAPACITY_BITS) - 1),
        }
    }

    fn store(&self, quota: Quota) {
        let algorithm = (quota.algorithm as u64) << CAPACITY_BITS;
        self.interval.store(quota.interval, Ordering::Release);
        self.capacity
            .store(algorithm | quota.capacity, Ordering::Release);
    }
}

/// A bucket of cells: its quota, how full it is, and how many were admitted.
///
/// A thread takes cells by one compare-and-swap. The word has the version of the quota by which its time is meant, so that
/// a thread that has read another one, or half of it, does not succeed and tries again.
#[derive(Debug)]
pub(super) struct Bucket {
    word: AtomicU64,
    /// The quotas of even and of odd versions.
    quotas: [SharedQuota; 2],
    /// The admissions that the word has no room for.
    admitted: AtomicU64,
    /// The number of admissions that was read last, below which none is read.
    last_read: AtomicU64,
}

impl Bucket {
    /// Creates a full bucket.
    pub(super) fn new(quota: Quota) -> Self {
        Bucket {
            word: AtomicU64::new(0),
            quotas: [SharedQuota::new(quota), SharedQuota::new(quota)],
            admitted: AtomicU64::new(0),
            last_read: AtomicU64::new(0),
        }
    }

    #[inline]
    fn quota_of(&self, word: Word) -> Quota {
        self.quotas[(word.version & 1) as usize].load()
    }

    /// Takes cells that are there now, or within the wait.
    #[inline]
    pub(super) fn take(&self, now: u64, cells: u32, max_wait: u64) -> Result<Grant, Denial> {
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = Word::unpack(bits);
            let decision = self.quota_of(word).take(word.state, now, cells, max_wait);
            let current = match decision {
                Ok(grant) => {
                    let next = Word {
                        state: grant.state,
                        count: word.count + 1,
                        ..word
                    };
                    match self.swap(bits, next) {
                        Ok(()) => {
                            self.carry(word);
                            return Ok(grant);
                        }
                        Err(current) => current,
                    }
                }
                // The quota that was read may have been replaced meanwhile.
                Err(denial) => match self.word.load(Ordering::Acquire) {
                    current if Word::unpack(current).version == word.version => return Err(denial),
                    current => current,
                },
            };
            bits = current;
        }
    }

    /// Stores the next word, unless another thread has stored one: then returns that.
    #[inline]
    fn swap(&self, bits: u64, next: Word) -> Result<(), u64> {
        let next = next.pack();
        self.word
            .compare_exchange_weak(bits, next, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// Counts the admissions of the word whose count has just become 0 again.
    #[inline]
    fn carry(&self, before: Word) {
        if before.count == COUNT_MASK {
            self.admitted.fetch_add(COUNT_MASK + 1, Ordering::Relaxed);
        }
    }

    /// Puts back what a grant took, if nothing was taken after it. Otherwise others wait by it already, and it is lost.
    pub(super) fn put_back(&self, grant: Grant, cells: u32) -> bool {
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = Word::unpack(bits);
            if word.state != grant.state {
                return false;
            }
            let next = Word {
                state: self.quota_of(word).put_back(word.state, cells),
                ..word
            };
            match self.swap(bits, next) {
                Ok(()) => return true,
                Err(current) => bits = current,
            }
        }
    }

    /// Empties the bucket, so that the next cell is there after the pause.
    pub(super) fn empty(&self, now: u64, pause: u64) {
        self.change(|word, quota| Word {
            state: quota.empty(word.state, now, pause),
            ..word
        });
    }

    /// Fills the bucket.
    pub(super) fn fill(&self) {
        self.change(|word, _| Word { state: 0, ..word });
    }

    /// Replaces the quota; as many cells are missing afterwards as before. One thread at a time may do so.
    pub(super) fn set_quota(&self, now: u64, quota: Quota) {
        let version = Word::unpack(self.word.load(Ordering::Acquire)).version;
        // That of the version before the present one: a thread that still reads it has a word of then, and does not succeed.
        self.quotas[((version + 1) & 1) as usize].store(quota);
        self.change(|word, before| Word {
            state: before.convert(word.state, now, quota),
            version: version + 1,
            ..word
        });
    }

    fn change(&self, next: impl Fn(Word, Quota) -> Word) {
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = Word::unpack(bits);
            match self.swap(bits, next(word, self.quota_of(word))) {
                Ok(()) => return,
                Err(current) => bits = current,
            }
        }
    }

    /// Returns the state and its quota, which belong together.
    pub(super) fn read(&self) -> (u64, Quota) {
        let mut bits = self.word.load(Ordering::Acquire);
        loop {
            let word = Word::unpack(bits);
            let quota = self.quota_of(word);
            let current = self.word.load(Ordering::Acquire);
            if Word::unpack(current).version == word.version {
                return (word.state, quota);
            }
            bits = current;
        }
    }

    /// Returns how often cells were taken. Never less than before.
    pub(super) fn admitted(&self) -> u64 {
        let carried = self.admitted.load(Ordering::Acquire);
        let word = Word::unpack(self.word.load(Ordering::Acquire));
        let read = carried + word.count;
        // A thread that has carried the count over, and not added it yet, is behind by 256 for a moment.
        self.last_read.fetch_max(read, Ordering::Relaxed).max(read)
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn quota(interval: u64, burst: u32) -> Quota {
        Quota::new(RateAlgorithm::Gcra, interval, burst)
    }

    #[test]
    fn word_is_read_as_it_was_packed() {
        for word in [
            (0, 0, 0),
            (MAX_TICKS, VERSION_MASK, COUNT_MASK),
            (1, 2, 3),
            (1 << 53, 1, 255),
        ] {
            let (state, version, count) = word;
            let word = Word {
                state,
                version,
                count,
            };
            assert_eq!(Word::unpack(word.pack()), word);
        }
    }

    #[test]
    fn admissions_are_counted_beyond_the_word() {
        let bucket = Bucket::new(quota(1, 1));
        for now in 0..1_000 {
            assert_eq!(bucket.admitted(), now);
            bucket.take(now, 1, 0).expect("a cell");
            bucket.take(now, 1, 0).expect_err("no cell");
        }
        assert_eq!(bucket.admitted(), 1_000);
    }

    #[test]
    fn threads_admit_the_burst_and_no_more() {
        let bucket = Bucket::new(quota(10, 3_000));
        let take = || (0..2_000).filter(|_| bucket.take(0, 1, 0).is_ok()).count();
        let admitted: usize = thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(take));
            threads
                .map(|thread| thread.join().expect("no panic"))
                .iter()
                .sum()
        });
        assert_eq!(admitted, 3_000);
        assert_eq!(bucket.admitted(), 3_000);
    }

    #[test]
    fn reservation_is_put_back_if_it_was_the_last() {
        let bucket = Bucket::new(quota(10, 1));
        let [_, second, third] = [0; 3].map(|_| bucket.take(0, 1, 100).expect("in time"));
        assert_eq!((second.wait, third.wait), (10, 20));
        assert!(!bucket.put_back(second, 1), "the third waits by it");
        assert!(bucket.put_back(third, 1));
        assert_eq!(bucket.take(0, 1, 100).expect("in time").wait, 20);
    }

    #[test]
    fn quota_is_replaced_without_losing_what_was_taken() {
        let bucket = Bucket::new(quota(10, 4));
        for _ in 0..3 {
            bucket.take(100, 1, 0).expect("a cell");
        }
        for (interval, burst, available) in [(50, 4, 1), (7, 10, 7), (7, 2, 0), (9, 4, 1)] {
            let quota = quota(interval, burst);
            bucket.set_quota(100, quota);
            let (state, read) = bucket.read();
            assert_eq!(read, quota);
            assert_eq!(quota.available(state, 100), available, "{quota:?}");
        }
        bucket.empty(100, 0);
        assert_eq!(bucket.take(100, 1, 0), Err(Denial::After(9)));
        bucket.fill();
        assert_eq!(bucket.take(100, 4, 0).map(|grant| grant.wait), Ok(0));
    }

    proptest! {
        /// However settings change, no more is admitted than each of them allows for its time.
        #[test]
        fn changes_of_the_quota_never_admit_more_than_the_larger_one_allows(
            first in (1..20_u64, 1..6_u32), second in (1..20_u64, 1..6_u32), change_at in 0..200_u64,
        ) {
            let (first, second) = (quota(first.0, first.1), quota(second.0, second.1));
            let bucket = Bucket::new(first);
            let mut admitted = 0;
            for now in 0..=200 {
                if now == change_at {
                    bucket.set_quota(now, second);
                }
                while bucket.take(now, 1, 0).is_ok() {
                    admitted += 1;
                }
            }
            let bound = first.burst().max(second.burst())
                + change_at.div_ceil(first.interval) + (200 - change_at).div_ceil(second.interval);
            prop_assert!(admitted <= bound, "{admitted} of {bound}");
        }
    }
}
