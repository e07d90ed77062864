use super::bucket::BucketBudget;
use crate::{
    call::Outcome,
    util::sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Tokens of a [`BucketBudget`], and its settings.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// See [`BucketWord`].
    word: AtomicU64,
    cost: AtomicU32,
    timeout_cost: AtomicU32,
    refill: AtomicU32,
}

/// Tokens of a bucket, and how many there are at most, in one word, so that a change of the capacity meets no retry
/// halfway. Bits, high to low: 32 capacity, 32 tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
struct BucketWord {
    capacity: u32,
    tokens: u32,
}

impl BucketWord {
    fn unpack(word: u64) -> Self {
        BucketWord {
            capacity: (word >> 32) as u32,
            tokens: word as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.capacity) << 32 | u64::from(self.tokens)
    }

    /// Returns the word without the cost of a retry; `None` if there are too few tokens.
    fn pay(self, cost: u32) -> Option<Self> {
        let tokens = self.tokens.checked_sub(cost)?;
        Some(BucketWord { tokens, ..self })
    }

    /// Returns the word with more tokens; `None` if it is full, as it is in normal operation.
    fn add(self, tokens: u32) -> Option<Self> {
        let added = self.tokens.saturating_add(tokens).min(self.capacity);
        (self.tokens < self.capacity).then_some(BucketWord {
            tokens: added,
            ..self
        })
    }

    /// Returns the word with another capacity, as full as it is.
    fn with_capacity(self, capacity: u32) -> Self {
        let tokens = u64::from(self.tokens) * u64::from(capacity) / u64::from(self.capacity);
        BucketWord {
            capacity,
            // Not more than the capacity, as before.
            tokens: tokens as u32,
        }
    }
}

impl TokenBucket {
    pub(super) fn new(settings: BucketBudget) -> Self {
        let bucket = TokenBucket {
            word: AtomicU64::new(0),
            cost: AtomicU32::new(0),
            timeout_cost: AtomicU32::new(0),
            refill: AtomicU32::new(0),
        };
        bucket.reset(settings);
        bucket
    }

    /// Fills the bucket, with these settings.
    pub(super) fn reset(&self, settings: BucketBudget) {
        self.set_costs(settings);
        let (capacity, tokens) = (settings.capacity, settings.capacity);
        let word = BucketWord { capacity, tokens }.pack();
        self.word.store(word, Ordering::Relaxed);
    }

    /// Changes the settings. The bucket stays as full as it is.
    pub(super) fn apply(&self, settings: BucketBudget) {
        self.set_costs(settings);
        self.update(|word| Some(word.with_capacity(settings.capacity)));
    }

    fn set_costs(&self, settings: BucketBudget) {
        // Relaxed, like all of them: a retry that meets half of a change pays the old or the new cost.
        self.cost.store(settings.cost, Ordering::Relaxed);
        self.timeout_cost
            .store(settings.timeout_cost, Ordering::Relaxed);
        self.refill.store(settings.refill, Ordering::Relaxed);
    }

    /// Takes the cost of a retry after this outcome; returns it.
    pub(super) fn reserve(&self, after: Outcome) -> Option<u32> {
        let cost = match after {
            Outcome::TimedOut => &self.timeout_cost,
            _ => &self.cost,
        };
        let cost = cost.load(Ordering::Relaxed);
        self.update(|word| word.pay(cost)).then_some(cost)
    }

    #[inline]
    pub(super) fn refund(&self, tokens: u32) {
        self.update(|word| word.add(tokens));
    }

    #[inline]
    pub(super) fn complete_first(&self, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.refund(self.refill.load(Ordering::Relaxed));
        }
    }

    pub(super) fn available(&self) -> u64 {
        // A cost is at least 1.
        u64::from(self.read().tokens / self.cost.load(Ordering::Relaxed))
    }

    /// Returns how many retries a full bucket allows.
    pub(super) fn capacity(&self) -> u64 {
        u64::from(self.read().capacity / self.cost.load(Ordering::Relaxed))
    }

    /// Changes the word. Returns whether it was changed.
    #[inline]
    fn update(&self, next: impl Fn(BucketWord) -> Option<BucketWord>) -> bool {
        let order = Ordering::Relaxed;
        let next = |word| next(BucketWord::unpack(word)).map(BucketWord::pack);
        self.word.fetch_update(order, order, next).is_ok()
    }

    fn read(&self) -> BucketWord {
        BucketWord::unpack(self.word.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::CallClock, retry::Budget};
    use proptest::prelude::*;

    #[test]
    fn bucket_allows_a_hundred_retries_in_a_total_outage() {
        let budget = Budget::bucket().build().unwrap();
        let now = CallClock::default();
        for _ in 0..100 {
            let reservation = budget.reserve(Outcome::Failure, &now).expect("tokens");
            reservation.spend().complete(Outcome::Failure);
        }
        assert!(budget.reserve(Outcome::Failure, &now).is_none());
        (0..5).for_each(|_| budget.complete(Outcome::Success));
        assert_eq!(budget.available(&now), Some(1));
        assert!(
            budget.reserve(Outcome::TimedOut, &now).is_none(),
            "a timeout costs double"
        );
    }

    #[test]
    fn bucket_refunds_successful_retries_and_cancelled_waits() {
        let budget = Budget::bucket().capacity(10).build().unwrap();
        let now = CallClock::default();
        for _ in 0..9 {
            let reservation = budget.reserve(Outcome::TimedOut, &now).expect("tokens");
            reservation.spend().complete(Outcome::Success);
            drop(budget.reserve(Outcome::TimedOut, &now).expect("tokens"));
        }
        drop(
            budget
                .reserve(Outcome::Failure, &now)
                .expect("tokens")
                .spend(),
        );
        assert_eq!(
            budget.available(&now),
            Some(1),
            "cancelled after its attempt began"
        );
    }

    #[test]
    fn bucket_costs_and_refill_are_configurable() {
        let settings = Budget::bucket().capacity(20).cost(2).timeout_cost(7);
        let budget = settings.refill(4).build().unwrap();
        let now = CallClock::default();
        let available_after = |after| {
            let reservation = budget.reserve(after, &now).expect("tokens");
            reservation.spend().complete(Outcome::Failure);
            budget.available(&now)
        };
        assert_eq!(available_after(Outcome::Failure), Some(9));
        assert_eq!(available_after(Outcome::TimedOut), Some(5), "11 tokens");
        budget.complete(Outcome::Success);
        assert_eq!(budget.available(&now), Some(7), "15 tokens");
    }

    #[test]
    fn bucket_stays_as_full_as_it_is_when_its_settings_change() {
        let settings = Budget::bucket().capacity(20).cost(5).timeout_cost(10);
        let bucket = TokenBucket::new(settings);
        bucket.apply(settings.capacity(u32::MAX));
        assert_eq!(bucket.read().tokens, u32::MAX);
        bucket.apply(settings);
        assert_eq!(bucket.reserve(Outcome::Failure), Some(5));
        bucket.apply(settings.capacity(40).cost(3).timeout_cost(7).refill(2));
        assert_eq!((bucket.read().tokens, bucket.available()), (30, 10));
        assert_eq!(bucket.capacity(), 13);
        assert_eq!(bucket.reserve(Outcome::Failure), Some(3));
        assert_eq!(bucket.reserve(Outcome::TimedOut), Some(7));
        bucket.complete_first(Outcome::Success);
        assert_eq!(bucket.read().tokens, 22);
        // What was reserved before is refunded in full, up to the new capacity.
        bucket.apply(settings);
        bucket.refund(30);
        assert_eq!(bucket.read().tokens, 20);
        bucket.reserve(Outcome::Failure).expect("tokens");
        bucket.reset(settings.capacity(30));
        assert_eq!((bucket.read().tokens, bucket.available()), (30, 6));
    }

    proptest! {
        #[test]
        fn bucket_never_exceeds_capacity_nor_goes_negative(
            capacity in 10_u32..100, ends in prop::collection::vec((any::<bool>(), any::<bool>()), 0..300),
        ) {
            let budget = Budget::bucket().capacity(capacity).build().unwrap();
            let now = CallClock::default();
            let mut tokens = capacity;
            for (retry, success) in ends {
                let outcome = if success { Outcome::Success } else { Outcome::Failure };
                if retry {
                    let reservation = budget.reserve(Outcome::Failure, &now);
                    prop_assert_eq!(reservation.is_some(), tokens >= 5);
                    if let Some(reservation) = reservation {
                        reservation.spend().complete(outcome);
                        tokens -= if success { 0 } else { 5 };
                    }
                } else {
                    budget.complete(outcome);
                    tokens = (tokens + u32::from(success)).min(capacity);
                }
                prop_assert_eq!(budget.available(&now), Some(u64::from(tokens / 5)));
            }
        }
    }
}

#[cfg(all(test, tower_keep_loom))]
mod loom_tests {
    //! All interleavings of a few threads, run by loom: `.ci/models`.

    use std::sync::Arc;

    use loom::thread;

    use super::{super::Budget, *};

    #[test]
    fn bucket_tokens_are_conserved_by_concurrent_withdrawals_and_refunds() {
        loom::model(|| {
            let bucket = Arc::new(TokenBucket::new(
                Budget::bucket().capacity(12).cost(4).timeout_cost(8),
            ));
            let take = |after| {
                let bucket = bucket.clone();
                thread::spawn(move || bucket.reserve(after).unwrap_or(0))
            };
            let (a, b) = (take(Outcome::TimedOut), take(Outcome::TimedOut));
            let mine = bucket.reserve(Outcome::Failure).unwrap_or(0);
            bucket.refund(mine);
            let taken = a.join().expect("no panic") + b.join().expect("no panic");
            assert_eq!(taken, 8, "one of the two");
            assert_eq!(bucket.read().tokens, 12 - taken);
        });
    }

    #[test]
    fn bucket_tokens_are_conserved_while_the_capacity_changes() {
        loom::model(|| {
            let settings = Budget::bucket().capacity(8).cost(2).timeout_cost(2);
            let bucket = Arc::new(TokenBucket::new(settings));
            let other = bucket.clone();
            let other = thread::spawn(move || other.reserve(Outcome::Failure));
            bucket.apply(settings.capacity(16));
            assert_eq!(other.join().expect("no panic"), Some(2));
            // Of 8 it is a quarter, of 16 an eighth.
            assert!([12, 14].contains(&bucket.read().tokens));
        });
    }
}
