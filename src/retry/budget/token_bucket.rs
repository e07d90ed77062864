use super::bucket::BucketBudget;
use crate::{
    call::Outcome,
    util::sync::atomic::{AtomicU32, Ordering},
};

/// Tokens of a [`BucketBudget`].
#[derive(Debug)]
pub(super) struct TokenBucket {
    capacity: u32,
    cost: u32,
    timeout_cost: u32,
    refill: u32,
    tokens: AtomicU32,
}

impl TokenBucket {
    pub(super) fn new(settings: BucketBudget) -> Self {
        TokenBucket {
            capacity: settings.capacity,
            cost: settings.cost_or_default(),
            timeout_cost: settings.timeout_cost_or_default(),
            refill: settings.refill,
            tokens: AtomicU32::new(settings.capacity),
        }
    }

    /// Takes the cost of a retry after this outcome; returns it.
    pub(super) fn reserve(&self, after: Outcome) -> Option<u32> {
        let cost = match after {
            Outcome::TimedOut => self.timeout_cost,
            _ => self.cost,
        };
        // Relaxed: the number of tokens is all that threads share here.
        let order = Ordering::Relaxed;
        let paid = self
            .tokens
            .fetch_update(order, order, |tokens| tokens.checked_sub(cost));
        paid.is_ok().then_some(cost)
    }

    #[inline]
    pub(super) fn refund(&self, tokens: u32) {
        let capacity = self.capacity;
        let order = Ordering::Relaxed;
        // Writes nothing while it is full, as it is in normal operation.
        let _ = self.tokens.fetch_update(order, order, |available| {
            (available < capacity).then(|| available.saturating_add(tokens).min(capacity))
        });
    }

    #[inline]
    pub(super) fn complete_first(&self, outcome: Outcome) {
        if outcome == Outcome::Success {
            self.refund(self.refill);
        }
    }

    pub(super) fn available(&self) -> u64 {
        u64::from(self.tokens.load(Ordering::Relaxed) / self.cost)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        call::{CallClock, Outcome},
        retry::Budget,
    };
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
            assert_eq!(bucket.tokens.load(Ordering::Relaxed), 12 - taken);
        });
    }
}
