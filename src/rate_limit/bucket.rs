//! The bucket of a limiter, which threads share without a lock.

use super::{
    quota::{Denial, Grant, Quota},
    shared_quota::SharedQuota,
    ticks::{MAX_TICKS, TICK_BITS},
};
use crate::util::sync::atomic::{AtomicU64, Ordering};

const VERSION_BITS: u32 = 2;
const VERSION_MASK: u64 = (1 << VERSION_BITS) - 1;
/// The number of bits below the admissions.
const COUNT_SHIFT: u32 = TICK_BITS + VERSION_BITS;
/// The admissions that a word has room for.
const COUNTED: u64 = 1 << (u64::BITS - COUNT_SHIFT);

/// The part of a bucket that changes with each admission, as one word: the admissions, modulo 256; the version of the quota that
/// holds, another one for each change of settings; and the state of the limit by that quota.
///
/// The admissions are in the highest bits, so that the last of 256 falls out of the word by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    #[inline]
    fn state(self) -> u64 {
        self.0 & MAX_TICKS
    }

    #[inline]
    fn version(self) -> u64 {
        (self.0 >> TICK_BITS) & VERSION_MASK
    }

    #[inline]
    fn count(self) -> u64 {
        self.0 >> COUNT_SHIFT
    }

    #[inline]
    fn with_state(self, state: u64) -> Self {
        debug_assert!(state <= MAX_TICKS);
        Word(self.0 & !MAX_TICKS | state)
    }

    fn with_next_version(self) -> Self {
        let version = (self.version() + 1) & VERSION_MASK;
        Word(self.0 & !(VERSION_MASK << TICK_BITS) | version << TICK_BITS)
    }

    #[inline]
    fn with_admission(self) -> Self {
        Word(self.0.wrapping_add(1 << COUNT_SHIFT))
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

    fn quota_of(&self, word: Word) -> Quota {
        self.quotas[(word.version() & 1) as usize].bits().quota()
    }

    /// Takes cells that are there now, or within the wait.
    #[inline]
    pub(super) fn take(&self, now: u64, cells: u32, max_wait: u64) -> Result<Grant, Denial> {
        // Nearly all calls end here: what comes after it would double their instructions.
        let word = self.load();
        // Both, and then one of them: to load the one that the word names would begin when the word is there.
        let [even, odd] = [&self.quotas[0], &self.quotas[1]].map(SharedQuota::bits);
        let bits = if word.version() & 1 == 0 { even } else { odd };
        if let Some(state) = bits.take_now(word.state(), now, cells) {
            let next = word.with_state(state).with_admission();
            if self.swap(word, next).is_ok() {
                self.carry(next);
                return Ok(Grant { state, wait: 0 });
            }
        }
        self.take_or_deny(now, cells, max_wait)
    }

    #[inline(never)]
    fn take_or_deny(&self, now: u64, cells: u32, max_wait: u64) -> Result<Grant, Denial> {
        let mut word = self.load();
        loop {
            let decision = self.quota_of(word).take(word.state(), now, cells, max_wait);
            word = match decision {
                Ok(grant) => {
                    let next = word.with_state(grant.state).with_admission();
                    match self.swap(word, next) {
                        Ok(()) => {
                            self.carry(next);
                            return Ok(grant);
                        }
                        Err(current) => current,
                    }
                }
                // The quota that was read may have been replaced meanwhile.
                Err(denial) => match self.load() {
                    current if current.version() == word.version() => return Err(denial),
                    current => current,
                },
            };
        }
    }

    #[inline]
    fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Stores the next word, unless another thread has stored one: then returns that.
    #[inline]
    fn swap(&self, word: Word, next: Word) -> Result<(), Word> {
        self.word
            .compare_exchange_weak(word.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(Word)
    }

    /// Counts the admissions of a word whose count has just become 0 again.
    #[inline]
    fn carry(&self, word: Word) {
        if word.count() == 0 {
            self.admitted.fetch_add(COUNTED, Ordering::Relaxed);
        }
    }

    /// Puts back what a grant took, if nothing was taken after it. Otherwise others wait by it already, and it is lost.
    pub(super) fn put_back(&self, grant: Grant, cells: u32) -> bool {
        let mut word = self.load();
        loop {
            if word.state() != grant.state {
                return false;
            }
            let state = self.quota_of(word).put_back(word.state(), cells);
            match self.swap(word, word.with_state(state)) {
                Ok(()) => return true,
                Err(current) => word = current,
            }
        }
    }

    /// Empties the bucket, so that the next cell is there after the pause.
    pub(super) fn empty(&self, now: u64, pause: u64) {
        self.change(|word, quota| word.with_state(quota.empty(word.state(), now, pause)));
    }

    /// Fills the bucket.
    pub(super) fn fill(&self) {
        self.change(|word, _| word.with_state(0));
    }

    /// Replaces the quota; as many cells are missing afterwards as before. One thread at a time may do so.
    pub(super) fn set_quota(&self, now: u64, quota: Quota) {
        let next = self.load().with_next_version();
        // That of the version before the present one: a thread that still reads it has a word of then, and does not succeed.
        self.quotas[(next.version() & 1) as usize].store(quota);
        self.change(|word, before| {
            let state = before.convert(word.state(), now, quota);
            word.with_state(state).with_next_version()
        });
    }

    fn change(&self, next: impl Fn(Word, Quota) -> Word) {
        let mut word = self.load();
        loop {
            match self.swap(word, next(word, self.quota_of(word))) {
                Ok(()) => return,
                Err(current) => word = current,
            }
        }
    }

    /// Returns the state and its quota, which belong together.
    pub(super) fn read(&self) -> (u64, Quota) {
        let mut word = self.load();
        loop {
            let quota = self.quota_of(word);
            let current = self.load();
            if current.version() == word.version() {
                return (word.state(), quota);
            }
            word = current;
        }
    }

    /// Returns how often cells were taken. Never less than before.
    pub(super) fn admitted(&self) -> u64 {
        let carried = self.admitted.load(Ordering::Acquire);
        let read = carried + self.load().count();
        // A thread that has carried the count over, and not added it yet, is behind by 256 for a moment.
        self.last_read.fetch_max(read, Ordering::Relaxed).max(read)
    }
}

#[cfg(all(test, not(tower_keep_loom)))]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::RateAlgorithm;

    fn quota(interval: u64, burst: u32) -> Quota {
        Quota::new(RateAlgorithm::Gcra, interval, burst)
    }

    #[test]
    fn parts_of_a_word_change_apart() {
        let parts = |word: Word| (word.state(), word.version(), word.count());
        let mut word = Word(0).with_state(MAX_TICKS);
        assert_eq!(parts(word), (MAX_TICKS, 0, 0));
        for step in 1..=2 * COUNTED {
            word = word.with_admission().with_next_version();
            assert_eq!(parts(word), (MAX_TICKS, step % 4, step % COUNTED));
        }
        word = word.with_admission().with_next_version().with_state(7);
        assert_eq!(parts(word), (7, 1, 1));
        assert_eq!(parts(word.with_state(0)), (0, 1, 1));
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
